//! What is left of the input, and of the limits.

use super::{Limits, Malformed};

/// The input of a decoder.
#[derive(Debug, Clone, Copy)]
pub struct Reader<'a> {
    /// The whole input; bytes before `at` are taken.
    bytes: &'a [u8],
    at: usize,
    entries_left: usize,
    text_left: usize,
    longest_text: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8], limits: Limits) -> Result<Self, Malformed> {
        if bytes.len() > limits.bytes {
            return Err(Malformed::TooManyBytes);
        }
        Ok(Self { bytes, at: 0, entries_left: limits.entries, text_left: limits.bytes, longest_text: limits.text })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.at == self.bytes.len()
    }

    /// How many bytes are left.
    pub(super) fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// The next eight bytes, or those that are left, as a number with the lowest first, and how many they are. They are not taken.
    pub(super) fn word(&self) -> (u64, u32) {
        let rest = &self.bytes[self.at..];
        if let Some(word) = rest.first_chunk() {
            return (u64::from_le_bytes(*word), 8);
        }
        rest.iter().rev().fold((0, 0), |(word, count), byte| (word << 8 | u64::from(*byte), count + 1))
    }

    /// The next bytes, if there are as many. They are not taken.
    pub(super) fn peek<const N: usize>(&self) -> Option<&'a [u8; N]> {
        self.bytes[self.at..].first_chunk()
    }

    /// Takes bytes that were looked at.
    pub(super) fn skip(&mut self, count: usize) {
        self.at += count;
    }

    /// Gives back the last bytes that were taken.
    pub(super) fn give_back(&mut self, count: usize) {
        self.at -= count;
    }

    /// One byte.
    ///
    /// # Errors
    /// [`Malformed::Short`] at the end.
    pub fn byte(&mut self) -> Result<u8, Malformed> {
        let byte = self.bytes.get(self.at).ok_or(Malformed::Short)?;
        self.at += 1;
        Ok(*byte)
    }

    /// The next `length` bytes.
    ///
    /// # Errors
    /// [`Malformed::Short`] if there are fewer.
    pub fn bytes(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let end = self.at.checked_add(length).ok_or(Malformed::Short)?;
        let bytes = self.bytes.get(self.at..end).ok_or(Malformed::Short)?;
        self.at = end;
        Ok(bytes)
    }

    /// A LEB128 number in its shortest form.
    ///
    /// # Errors
    /// [`Malformed::Number`] for another form or more than 64 bits, [`Malformed::Short`] at the end.
    pub fn number(&mut self) -> Result<u64, Malformed> {
        // Most numbers are short.
        if let Some(byte) = self.bytes.get(self.at)
            && *byte < 0x80
        {
            self.at += 1;
            return Ok(u64::from(*byte));
        }
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if bits << shift >> shift != bits {
                return Err(Malformed::Number);
            }
            number |= bits << shift;
            if byte < 0x80 {
                return if byte == 0 && shift > 0 { Err(Malformed::Number) } else { Ok(number) };
            }
        }
        Err(Malformed::Number)
    }

    /// One of a rising series of ids, as written by `put_rising`.
    pub(super) fn rising(&mut self, previous: Option<u64>) -> Result<u64, Malformed> {
        let gap = self.number()?;
        let base = previous.map_or(Some(0), |previous| previous.checked_add(1));
        base.and_then(|base| base.checked_add(gap)).ok_or(Malformed::Number)
    }

    /// A number of entries, taken from their limit.
    pub(super) fn count(&mut self) -> Result<usize, Malformed> {
        let count = self.number()?;
        self.entries(count)
    }

    /// Takes `count` entries from their limit.
    pub(super) fn entries(&mut self, count: u64) -> Result<usize, Malformed> {
        let count = usize::try_from(count).map_err(|_| Malformed::TooManyEntries)?;
        self.entries_left = self.entries_left.checked_sub(count).ok_or(Malformed::TooManyEntries)?;
        Ok(count)
    }

    /// The length of a text or of a part of one.
    pub(super) fn length(&mut self) -> Result<usize, Malformed> {
        usize::try_from(self.number()?).map_err(|_| Malformed::TextTooLong)
    }

    /// Takes a whole text's length from the limits, before memory is taken for it.
    pub(super) fn admit_text(&mut self, length: usize) -> Result<(), Malformed> {
        if length > self.longest_text {
            return Err(Malformed::TextTooLong);
        }
        self.text_left = self.text_left.checked_sub(length).ok_or(Malformed::TooManyBytes)?;
        Ok(())
    }

    /// A text behind its length.
    pub(super) fn text(&mut self) -> Result<String, Malformed> {
        let length = self.length()?;
        self.admit_text(length)?;
        String::from_utf8(self.bytes(length)?.to_vec()).map_err(|_| Malformed::Text)
    }
}
