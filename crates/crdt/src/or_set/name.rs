//! The names of keys: numbers that stand for them, so that most keys are compared, sorted and hashed without a look at memory elsewhere.
//!
//! ```text
//! "mug"               m u g 0 0 0 0 0 0 0 0 0 0 0 0    3       the whole key and its length
//! "mug-stoneware-01"  m u g - s t o n e w a r e - 0  255       the start of a longer one: the keys themselves decide
//! ```

/// In place of the length of a text that is longer than [`Name::BYTES`].
const LONG: u128 = 0xff;

/// Masks of the first bytes: of none, of one ..
const STARTS: [u128; 16] = {
    let mut masks = [0; 16];
    let mut count = 1;
    while count < masks.len() {
        masks[count] = masks[count - 1] >> 8 | 0xff << 120;
        count += 1;
    }
    masks
};

/// The name of a key. Names sort as their keys do, but those of long keys that start with the same bytes are equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(u128);

impl Name {
    /// As many bytes of a text as a name holds; the last byte is the length.
    pub(crate) const BYTES: usize = 15;

    pub(crate) fn of_number(number: u64) -> Self {
        Self(u128::from(number) << 8)
    }

    pub(crate) fn of_text(text: &str) -> Self {
        let length = if text.len() > Self::BYTES { LONG } else { text.len() as u128 };
        Self(start(text.as_bytes()) & STARTS[Self::BYTES] | length)
    }

    /// Whether the whole key is in it.
    pub(crate) fn is_whole(self) -> bool {
        self.0 & LONG != LONG
    }

    /// The number, of which it is the name.
    pub(crate) fn number(self) -> u64 {
        u64::try_from(self.0 >> 8).expect("the name of a number")
    }

    /// The bytes of a text that is all in it, with zeros behind them, and how many they are.
    pub(crate) fn text(self) -> ([u8; 16], usize) {
        ((self.0 & STARTS[Self::BYTES]).to_be_bytes(), self.length())
    }

    /// The length of a text that is all in it.
    pub(crate) fn length(self) -> usize {
        (self.0 & LONG) as usize
    }

    /// The byte at an index below [`Self::BYTES`], 0 behind the text.
    pub(crate) fn byte(self, index: usize) -> u8 {
        (self.0 >> (8 * (Self::BYTES - index)) & 0xff) as u8
    }

    /// Whether there is nothing but ASCII in it.
    pub(crate) fn is_ascii(self) -> bool {
        const TOPS: u128 = u128::from_ne_bytes([0x80; 16]) & STARTS[Name::BYTES];
        self.0 & TOPS == 0
    }

    /// The name of the text that shares its first `shared` bytes with this one and goes on with the first `count` bytes of `added`, the first
    /// of which is the highest; together they are at most [`Self::BYTES`].
    #[inline]
    pub(crate) fn changed(self, shared: usize, added: u128, count: usize) -> Self {
        Self(self.0 & STARTS[shared] | (added & STARTS[count]) >> (8 * shared) | (shared + count) as u128)
    }
}

/// The first 16 bytes, zeros behind a shorter text.
fn start(text: &[u8]) -> u128 {
    if let Some(first) = text.first_chunk() {
        return u128::from_be_bytes(*first);
    }
    // Two words that may overlap.
    if let (Some(first), Some(last)) = (text.first_chunk(), text.last_chunk()) {
        return u128::from(u64::from_be_bytes(*first)) << 64 | u128::from(u64::from_be_bytes(*last)) << (128 - 8 * text.len());
    }
    text.iter().rev().fold(0, |start, byte| start >> 8 | u128::from(*byte) << 120)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn names_sort_as_texts_do(one in "(ab|\0|é){0,12}", other in "(ab|\0|é){0,12}") {
            let (names, texts) = ([&one, &other].map(|text| Name::of_text(text)), (&one, &other));
            if names[0] == names[1] {
                prop_assert_eq!(texts.0 == texts.1 || one.len().min(other.len()) > Name::BYTES, true);
            } else {
                prop_assert_eq!(names[0].cmp(&names[1]), one.cmp(&other));
            }
        }

        #[test]
        fn a_text_is_in_its_name_unless_it_is_long(text in "(a|é|\0){0,20}") {
            let name = Name::of_text(&text);
            prop_assert_eq!(name.is_whole(), text.len() <= Name::BYTES);
            if name.is_whole() {
                let (bytes, length) = name.text();
                prop_assert_eq!(&bytes[..length], text.as_bytes());
                prop_assert!(bytes[length..].iter().all(|byte| *byte == 0));
                prop_assert_eq!(name.is_ascii(), text.is_ascii());
            }
        }

        #[test]
        fn a_changed_name_is_that_of_the_changed_text(shared in "[ab]{0,9}", dropped in "[ab]{0,6}", added in "[abc]{0,6}", rest in any::<u64>()) {
            let bytes = [added.as_bytes(), &rest.to_be_bytes(), &[7; 8]].concat();
            let added_bits = u128::from_be_bytes(*bytes.first_chunk().unwrap());
            let changed = Name::of_text(&format!("{shared}{dropped}")).changed(shared.len(), added_bits, added.len());
            prop_assert_eq!(changed, Name::of_text(&format!("{shared}{added}")));
        }

        #[test]
        fn names_of_numbers_are_whole_and_sort_as_numbers_do(one: u64, other: u64) {
            let names = [one, other].map(Name::of_number);
            prop_assert_eq!(names[0].cmp(&names[1]), one.cmp(&other));
            prop_assert_eq!((names[0].is_whole(), names[0].number()), (true, one));
        }
    }
}
