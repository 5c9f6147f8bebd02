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
    /// The first byte left is the one that the next bit is in.
    input: &'a mut Reader<'b>,
    /// Bits of that byte that are taken: 7 at most.
    taken: u32,
}

impl<'a, 'b> BitReader<'a, 'b> {
    pub(super) fn new(input: &'a mut Reader<'b>) -> Self {
        Self { input, taken: 0 }
    }

    /// Takes a number of `width` bits, 64 at most.
    pub(super) fn take(&mut self, width: u32) -> Result<u64, Malformed> {
        if width > 56 {
            let low = self.take(32)?;
            return Ok(self.take(width - 32)? << 32 | low);
        }
        let (bits, count) = self.peek();
        if count < width {
            return Err(Malformed::Short);
        }
        self.skip(width);
        Ok(bits & ((1 << width) - 1))
    }

    /// Takes a number in Elias gamma code with at most `most` bits behind its highest.
    pub(super) fn take_gamma(&mut self, most: u32) -> Result<u64, Malformed> {
        let mut tail = 0;
        loop {
            let (bits, count) = self.peek();
            if count == 0 {
                return Err(Malformed::Short);
            }
            let zeros = bits.trailing_zeros().min(count);
            tail += zeros;
            if tail > most {
                return Err(Malformed::Number);
            }
            self.skip(zeros);
            if zeros < count {
                self.skip(1);
                return Ok(self.take(tail)? | 1 << tail);
            }
        }
    }

    /// Takes one more entry from the limits.
    pub(super) fn entry(&mut self) -> Result<(), Malformed> {
        self.input.entries(1).map(|_| ())
    }

    /// The end: what is left of the last byte is zeros.
    pub(super) fn finish(self) -> Result<(), Malformed> {
        if self.taken > 0 && self.input.byte()? >> self.taken != 0 {
            return Err(Malformed::Form);
        }
        Ok(())
    }

    /// The next bits, and how many: 57 or more, except near the end.
    fn peek(&self) -> (u64, u32) {
        let (word, bytes) = self.input.word();
        (word >> self.taken, 8 * bytes - self.taken)
    }

    fn skip(&mut self, width: u32) {
        let taken = self.taken + width;
        self.input.skip(taken / 8);
        self.taken = taken % 8;
    }
}
