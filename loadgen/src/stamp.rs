//! What every message body says about itself, so that loss, duplicates, order and damage can be seen.
//!
//! ```text
//!  0          2                   8                        16
//!  | producer | sequence (u48)    | planned time (u64, ns) | fill, a function of the sequence ... |
//! ```
//! The sequence counts from 0 per producer and lane (plan.rs), the time is CLOCK_MONOTONIC.

/// The smallest body that can carry a stamp.
pub const BODY_BYTES_MIN: usize = 16;
pub const UNIQUE_WORD_BYTES: usize = 16;

/// The first 16 bytes of a body.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stamp {
    pub producer: u16,
    pub sequence: u64,
    pub planned: u64,
}

impl Stamp {
    pub fn encode(self) -> [u8; BODY_BYTES_MIN] {
        debug_assert!(self.sequence <= SEQUENCE_MAX);
        let identity = u64::from(self.producer) << 48 | self.sequence;
        (u128::from(identity) << 64 | u128::from(self.planned)).to_be_bytes()
    }

    /// A word of 16 letters that no other message of the run has beside the same key: `a` to `p`, a letter for each four
    /// bits of the producer and the sequence.
    #[inline]
    pub fn unique_word(self) -> [u8; UNIQUE_WORD_BYTES] {
        let identity = u64::from(self.producer) << 48 | self.sequence;
        let mut word = [0; UNIQUE_WORD_BYTES];
        word[..8].copy_from_slice(&letters((identity >> 32) as u32));
        word[8..].copy_from_slice(&letters(identity as u32));
        word
    }

    /// None when the body is too short to carry one.
    pub fn decode(body: &[u8]) -> Option<Stamp> {
        let word = u128::from_be_bytes(*body.first_chunk()?);
        let identity = (word >> 64) as u64;
        Some(Stamp {
            producer: (identity >> 48) as u16,
            sequence: identity & SEQUENCE_MAX,
            planned: word as u64,
        })
    }
}

/// Spreads the half octets of a number over eight octets and makes letters of them, highest first.
#[inline]
fn letters(number: u32) -> [u8; 8] {
    let pairs = u64::from(number);
    let pairs = (pairs | pairs << 16) & 0x0000_FFFF_0000_FFFF;
    let octets = (pairs | pairs << 8) & 0x00FF_00FF_00FF_00FF;
    let halves = (octets | octets << 4) & 0x0F0F_0F0F_0F0F_0F0F;
    (halves + 0x6161_6161_6161_6161).to_be_bytes()
}

/// The bytes behind the stamp. They come from one pseudo-random string, begun at one of 16 places that the sequence
/// chooses, so that two neighbouring messages differ in every byte and checking is one comparison of memory.
pub struct Fill {
    bytes: Box<[u8]>,
    body_bytes: usize,
}

impl Fill {
    /// For bodies of `body_bytes` in all, stamp included.
    pub fn new(body_bytes: usize) -> Fill {
        let mut state = 0x9E37_79B9_7F4A_7C15_u64;
        let next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 32) as u8
        };
        let bytes = std::iter::repeat_with(next).take(body_bytes + VARIANTS).collect();
        Fill { bytes, body_bytes }
    }

    /// What stands behind the stamp of the message with this sequence.
    pub fn of(&self, sequence: u64) -> &[u8] {
        let start = (sequence as usize) % VARIANTS;
        &self.bytes[start..start + self.body_bytes - BODY_BYTES_MIN]
    }

    /// Whether a body has the right length and fill. Its stamp is judged elsewhere (check.rs).
    pub fn matches(&self, body: &[u8], sequence: u64) -> bool {
        body.len() == self.body_bytes
            && (self.body_bytes == BODY_BYTES_MIN || body[BODY_BYTES_MIN..] == *self.of(sequence))
    }

    pub fn body_bytes(&self) -> usize {
        self.body_bytes
    }
}

const SEQUENCE_MAX: u64 = (1 << 48) - 1;
const VARIANTS: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_survives_the_journey() {
        let stamp = Stamp { producer: 65_535, sequence: SEQUENCE_MAX, planned: u64::MAX - 7 };
        assert_eq!(Stamp::decode(&stamp.encode()), Some(stamp));
        assert_eq!(Stamp::decode(&[0; 15]), None);
    }

    #[test]
    fn every_bit_of_the_identity_changes_the_unique_word() {
        let word = |producer, sequence| Stamp { producer, sequence, planned: 0 }.unique_word();
        assert_eq!(&word(0x0123, 0x4567_89AB_CDEF), b"abcdefghijklmnop");
        assert_eq!(&word(0, 0), b"aaaaaaaaaaaaaaaa");
        let words: std::collections::HashSet<_> =
            (0..48).map(|bit| word(0, 1 << bit)).chain((0..16).map(|bit| word(1 << bit, 0))).collect();
        assert_eq!(words.len(), 64);
    }

    #[test]
    fn a_single_changed_byte_of_the_fill_is_seen() {
        let fill = Fill::new(100);
        let mut body = vec![0; BODY_BYTES_MIN];
        body.extend_from_slice(fill.of(5));
        assert!(fill.matches(&body, 5));
        assert!(!fill.matches(&body, 6), "the fill of another message");
        assert!(!fill.matches(&body[..99], 5), "cut short");
        for at in BODY_BYTES_MIN..100 {
            body[at] ^= 1;
            assert!(!fill.matches(&body, 5), "byte {at}");
            body[at] ^= 1;
        }
    }

    #[test]
    fn a_body_of_the_smallest_size_has_no_fill() {
        let fill = Fill::new(BODY_BYTES_MIN);
        assert!(fill.of(3).is_empty());
        assert!(fill.matches(&[0; BODY_BYTES_MIN], 3));
    }
}
