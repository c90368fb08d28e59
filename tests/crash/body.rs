//! What is in a message: made from its number, so that every octet of it is known.
//!
//! ```text
//! client: u16 | number: u32 | route: u8 | 0 | sum: u64 of all else | filler
//! ```

use crate::dice::mix;

/// One message: the channel that sent it, and which it was on that channel, from 0.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Id {
    pub client: u16,
    pub number: u32,
}

pub const BYTES_MIN: usize = 16;
pub const BYTES_MAX: usize = 200_000;

/// `len` is at least `BYTES_MIN`.
pub fn make(id: Id, route: u8, len: usize) -> Vec<u8> {
    let mut body = Vec::with_capacity(len);
    body.extend(id.client.to_le_bytes());
    body.extend(id.number.to_le_bytes());
    body.extend([route, 0]);
    body.extend([0; 8]);
    let mut word = mix(u64::from(id.client) << 32 | u64::from(id.number));
    while body.len() < len {
        word = word.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(0x2545_F491_4F6C_DD1D);
        body.extend(&word.to_le_bytes()[..(len - body.len()).min(8)]);
    }
    let sum = sum(&body);
    body[8..16].copy_from_slice(&sum.to_le_bytes());
    body
}

/// Whose body it is, and its route; None: some octet is not as it was sent.
pub fn read(body: &[u8]) -> Option<(Id, u8)> {
    let (&head, _) = body.split_first_chunk::<8>()?;
    let [c0, c1, n0, n1, n2, n3, route, _] = head;
    let id = Id { client: u16::from_le_bytes([c0, c1]), number: u32::from_le_bytes([n0, n1, n2, n3]) };
    (body.len() >= BYTES_MIN && make(id, route, body.len()) == body).then_some((id, route))
}

fn sum(body: &[u8]) -> u64 {
    let words = body.chunks(8).map(|chunk| {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        u64::from_le_bytes(word)
    });
    words
        .fold(body.len() as u64, |sum, word| (sum ^ word).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(23))
}

#[test]
fn a_body_says_whose_it_is_and_whether_it_is_whole() {
    let id = Id { client: 7, number: 70_000 };
    for len in [BYTES_MIN, BYTES_MIN + 1, 100, 4_096] {
        let body = make(id, 3, len);
        assert_eq!((body.len(), read(&body)), (len, Some((id, 3))));
        for at in 0..len {
            let mut flipped = body.clone();
            flipped[at] ^= 4;
            assert_eq!(read(&flipped), None);
        }
        assert_eq!(read(&body[..len - 1]), None);
    }
}
