//! The observed-remove set as bytes.

use super::{
    Element, Malformed, Reader, Wire,
    bits::{BitReader, BitWriter},
    numbering::Numbering,
    put_count,
};
use crate::{Context, OrSet, or_set::Dots};

impl<E: Element> Wire for OrSet<E> {
    const VERSION: u8 = E::SET_VERSION;

    fn put(&self, out: &mut Vec<u8>) {
        self.context().put(out);
        put_count(out, self.len());
        let mut previous = None;
        for element in self.iter() {
            element.put(previous, out);
            previous = Some(element);
        }
        let numbering = Numbering::of(self.context());
        let mut bits = BitWriter::new(out);
        for (_, dots) in self.entries() {
            for (index, dot) in dots.iter().enumerate() {
                numbering.put(&mut bits, *dot, index + 1 == dots.len());
            }
        }
        bits.finish();
    }

    fn take(input: &mut Reader<'_>) -> Result<Self, Malformed> {
        let context = Context::take(input)?;
        let mut elements: Vec<E> = Vec::new();
        for _ in 0..input.count()? {
            elements.push(E::take(elements.last(), input)?);
        }
        let numbering = Numbering::of(&context);
        let mut bits = BitReader::new(input);
        let mut entries = Vec::with_capacity(elements.len());
        for element in elements {
            let dots = numbering.take(&mut bits, |_, dot| Ok(dot))?;
            entries.push((element, Dots::new(dots).ok_or(Malformed::Form)?));
        }
        bits.finish()?;
        Self::from_entries(entries, context).ok_or(Malformed::Dot)
    }
}
