//! Numbers of any width, packed without gaps: the lowest bit first, zeros up to the next byte behind the last one.

use std::num::NonZero;

use super::{Malformed, Reader};

/// Appends bits to bytes.
#[derive(Debug)]
pub(super) struct BitWriter<'a> {
    out: &'a mut Vec<u8>,
    held: u128,
    filled: u32,
}

impl<'a> BitWriter<'a> {
    pub(super) fn new(out: &'a mut Vec<u8>) -> Self {
        Self { out, held: 0, filled: 0 }
    }

    /// Appends the lowest `width` bits of `number`, 64 at most; it has no others.
    pub(super) fn put(&mut self, number: u64, width: u32) {
        self.held |= u128::from(number) << self.filled;
        self.filled += width;
        while self.filled >= 8 {
            self.out.push((self.held & 0xff) as u8);
            self.held >>= 8;
            self.filled -= 8;
        }
    }

    /// Appends `number` in Elias gamma code: as many zeros as it has bits behind its highest, then that one, then those.
    pub(super) fn put_gamma(&mut self, number: NonZero<u64>) {
        let tail = number.ilog2();
        self.put(0, tail);
        self.put(1, 1);
        self.put(number.get() ^ (1 << tail), tail);
    }

    /// Fills the last byte.
    pub(super) fn finish(self) {
        if self.filled > 0 {
            self.out.push((self.held & 0xff) as u8);
        }
    }
}

/// Takes bits from bytes.
#[derive(Debug)]
pub(super) struct BitReader<'a, 'b> {
    input: &'a mut Reader<'b>,
    held: u128,
    filled: u32,
}

impl<'a, 'b> BitReader<'a, 'b> {
    pub(super) fn new(input: &'a mut Reader<'b>) -> Self {
        Self { input, held: 0, filled: 0 }
    }

    /// Takes a number of `width` bits, 64 at most.
    pub(super) fn take(&mut self, width: u32) -> Result<u64, Malformed> {
        self.fill(width)?;
        let mask = (1_u128 << width) - 1;
        let number = u64::try_from(self.held & mask).map_err(|_| Malformed::Number)?;
        self.skip(width);
        Ok(number)
    }

    /// Makes at least `width` bits ready.
    fn fill(&mut self, width: u32) -> Result<(), Malformed> {
        while self.filled < width {
            let (bits, count) = match self.input.word() {
                Some(word) => (u128::from(word), 64),
                None => (u128::from(self.input.byte()?), 8),
            };
            self.held |= bits << self.filled;
            self.filled += count;
        }
        Ok(())
    }

    fn skip(&mut self, width: u32) {
        self.held >>= width;
        self.filled -= width;
    }

    /// Takes a number in Elias gamma code with at most `most` bits behind its highest.
    pub(super) fn take_gamma(&mut self, most: u32) -> Result<u64, Malformed> {
        let mut tail = 0;
        loop {
            self.fill(1)?;
            let zeros = self.held.trailing_zeros().min(self.filled);
            tail += zeros;
            if tail > most {
                return Err(Malformed::Number);
            }
            self.skip(zeros);
            if self.filled > 0 {
                self.skip(1);
                return Ok(self.take(tail)? | 1 << tail);
            }
        }
    }

    /// Takes one more entry from the limits.
    pub(super) fn entry(&mut self) -> Result<(), Malformed> {
        self.input.entries(1).map(|_| ())
    }

    /// The end: what is left of the last byte is zeros. Whole bytes that were taken ahead are given back.
    pub(super) fn finish(self) -> Result<(), Malformed> {
        let rest_of_byte = self.filled % 8;
        self.input.give_back(usize::try_from(self.filled / 8).map_err(|_| Malformed::Short)?);
        if self.held & ((1 << rest_of_byte) - 1) == 0 { Ok(()) } else { Err(Malformed::Form) }
    }
}
