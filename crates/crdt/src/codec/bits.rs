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

/// So many bits are at hand after a look at the input, except near its end.
const AT_HAND: u32 = 56;

/// Takes bits from bytes. What is called for every number is always inlined: that makes a tenth of the time in which a set is merged.
#[derive(Debug)]
pub(super) struct BitReader<'a, 'b> {
    /// Comes to where the copy is, at the end.
    behind: &'a mut Reader<'b>,
    /// A copy, which is kept in registers.
    input: Reader<'b>,
    /// The next bits.
    held: u64,
    /// How many they are: 63 at most. Those behind them are zeros or what the input has there.
    count: u32,
}

impl<'a, 'b> BitReader<'a, 'b> {
    pub(super) fn new(input: &'a mut Reader<'b>) -> Self {
        Self { input: *input, behind: input, held: 0, count: 0 }
    }

    /// Looks at the input once for several short numbers.
    #[inline(always)]
    pub(super) fn fill(&mut self) {
        let (word, bytes) = self.input.word();
        self.held |= word << self.count;
        let taken = ((63 - self.count) / 8).min(bytes);
        self.input.skip(taken as usize);
        self.count += 8 * taken;
    }

    /// Takes a number of `width` bits, 64 at most.
    #[inline(always)]
    pub(super) fn take(&mut self, width: u32) -> Result<u64, Malformed> {
        if width > AT_HAND {
            let low = self.take_short(32)?;
            return Ok(self.take_short(width - 32)? << 32 | low);
        }
        self.take_short(width)
    }

    #[inline(always)]
    fn take_short(&mut self, width: u32) -> Result<u64, Malformed> {
        if self.count < width {
            self.fill();
        }
        let number = self.held & ((1 << width) - 1);
        self.skip(width)?;
        Ok(number)
    }

    /// Takes a number in Elias gamma code with at most `most` bits behind its highest, which are fewer than [`AT_HAND`].
    #[inline(always)]
    pub(super) fn take_gamma(&mut self, most: u32) -> Result<u64, Malformed> {
        if self.held.trailing_zeros() >= self.count {
            self.fill();
        }
        let tail = self.held.trailing_zeros();
        if tail > most {
            return Err(Malformed::Number);
        }
        if self.count <= 2 * tail {
            self.skip(tail + 1)?;
            return Ok(self.take_short(tail)? | 1 << tail);
        }
        // As nearly always, all of it is at hand.
        let number = self.held >> tail >> 1 & ((1 << tail) - 1) | 1 << tail;
        self.held = self.held >> (2 * tail) >> 1;
        self.count -= 2 * tail + 1;
        Ok(number)
    }

    /// Takes one more entry from the limits.
    #[inline]
    pub(super) fn entry(&mut self) -> Result<(), Malformed> {
        self.input.entries(1).map(|_| ())
    }

    /// The end: what is left of the last byte is zeros.
    #[inline]
    pub(super) fn finish(mut self) -> Result<(), Malformed> {
        self.input.give_back(self.count as usize / 8);
        *self.behind = self.input;
        if self.held & ((1 << (self.count % 8)) - 1) == 0 { Ok(()) } else { Err(Malformed::Form) }
    }

    #[inline(always)]
    fn skip(&mut self, width: u32) -> Result<(), Malformed> {
        self.count = self.count.checked_sub(width).ok_or(Malformed::Short)?;
        self.held >>= width;
        Ok(())
    }
}
