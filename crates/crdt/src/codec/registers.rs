//! The registers as bytes.

use super::{Malformed, Reader, Wire, numbering::Numbering, put_count, put_number, put_rising, put_text};
use crate::{Context, LwwRegister, MvRegister, ReplicaId, dot_fun::DotFun, lww_register::Stamped};

impl Wire for LwwRegister<String> {
    const VERSION: u8 = 0x51;

    fn put(&self, out: &mut Vec<u8>) {
        put_count(out, usize::from(self.latest().is_some()));
        self.latest().into_iter().for_each(|stamped| put_stamped(stamped, out));
    }

    fn take(input: &mut Reader<'_>) -> Result<Self, Malformed> {
        match input.byte()? {
            0 => Ok(Self::from_latest(None)),
            1 => Ok(Self::from_latest(Some(take_stamped(input)?))),
            _ => Err(Malformed::Form),
        }
    }
}

impl Wire for MvRegister<String> {
    const VERSION: u8 = 0x61;

    fn put(&self, out: &mut Vec<u8>) {
        self.context().put(out);
        put_values(self.stored(), &Numbering::of(self.context()), out);
    }

    fn take(input: &mut Reader<'_>) -> Result<Self, Malformed> {
        let context = Context::take(input)?;
        let values = take_values(&Numbering::of(&context), input)?;
        Ok(Self::from_stored(values, context))
    }
}

pub(super) fn put_stamped(stamped: &Stamped<String>, out: &mut Vec<u8>) {
    put_number(out, stamped.timestamp);
    put_number(out, u64::from(stamped.replica.0));
    put_text(out, &stamped.value);
}

pub(super) fn take_stamped(input: &mut Reader<'_>) -> Result<Stamped<String>, Malformed> {
    let timestamp = input.number()?;
    let replica = ReplicaId(u32::try_from(input.number()?).map_err(|_| Malformed::Number)?);
    Ok(Stamped { timestamp, replica, value: input.text()? })
}

pub(super) fn put_values(values: &DotFun<String>, numbering: &Numbering<'_>, out: &mut Vec<u8>) {
    put_count(out, values.len());
    let mut previous = None;
    for (dot, text) in values.iter() {
        let number = numbering.number(dot);
        put_rising(out, previous, number);
        previous = Some(number);
        put_text(out, text);
    }
}

pub(super) fn take_values(numbering: &Numbering<'_>, input: &mut Reader<'_>) -> Result<DotFun<String>, Malformed> {
    let count = input.count()?;
    let mut previous = None;
    let take = |_| {
        let number = input.rising(previous)?;
        previous = Some(number);
        Ok((numbering.dot(number)?, input.text()?))
    };
    (0..count).map(take).collect()
}
