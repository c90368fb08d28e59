//! What the log of a shard says of messages: the bodies of its records.
//!
//! ```text
//! Message    tx | stamp_ms | bytes: u32 | 0: u32 | the message's record (message.rs) | place | place ...
//! Place      tx | position of a Message | place                a further queue of it, too late for its record
//! Settled    (uid | sequence) ...                              acknowledged, dropped, dead-lettered
//! Returned   place ...                                         came back, how often
//! Committed  tx | (uid | sequence) ...                         the transaction counts, with what it settled
//! Adopted    journal                                           what another held counts from here on, and there no more
//! Start, Stop                                                  of the server; before a Stop all was said
//!
//! place      uid | sequence | returns: u16 | flags: u8 | 0: u8             u64 where nothing else is said
//! ```
//! A message of a transaction counts from its `Committed` on, or not at all if the server starts before. Who records a
//! message again (its segment is wanted back) says all that is true of it then: the later one counts.

use crate::ids::QueueUid;

use super::Position;

/// Record kinds. The numbers are part of the format.
pub mod kind {
    pub const MESSAGE: u8 = 1;
    pub const PLACE: u8 = 2;
    pub const SETTLED: u8 = 3;
    pub const RETURNED: u8 = 4;
    pub const COMMITTED: u8 = 5;
    pub const START: u8 = 6;
    pub const STOP: u8 = 7;
    pub const ADOPTED: u8 = 8;
}

/// A message's place in one queue.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place {
    pub queue: QueueUid,
    /// Publish order within the queue.
    pub sequence: u64,
    pub returns: u16,
    /// It was dead-lettered before.
    pub letter: bool,
    pub redelivered: bool,
}

/// A record, borrowed from the log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Record<'a> {
    Message { tx: u64, stamp_ms: u64, message: &'a [u8], places: Places<'a> },
    Place { tx: u64, of: Position, place: Place },
    Settled(Settlements<'a>),
    Returned(Places<'a>),
    Committed { tx: u64, settled: Settlements<'a> },
    Adopted { journal: u64 },
    Start,
    Stop,
}

/// Encoded places.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Places<'a>(&'a [u8]);

/// Encoded queues and sequences.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Settlements<'a>(&'a [u8]);

impl<'a> Record<'a> {
    /// None: it is not one of ours, or its body is not what its kind says.
    pub fn decode(kind: u8, body: &'a [u8]) -> Option<Record<'a>> {
        Some(match kind {
            kind::MESSAGE => {
                let (tx, body) = u64_of(body)?;
                let (stamp_ms, body) = u64_of(body)?;
                let (len, body) = u64_of(body)?;
                let (message, places) = body.split_at_checked(usize::try_from(len).ok()?)?;
                Record::Message { tx, stamp_ms, message, places: Places::of(places)? }
            }
            kind::PLACE => {
                let (tx, body) = u64_of(body)?;
                let (of, body) = u64_of(body)?;
                let place = Places::of(body)?.iter().next()?;
                Record::Place { tx, of: Position::from_u64(of), place }
            }
            kind::SETTLED => Record::Settled(Settlements::of(body)?),
            kind::RETURNED => Record::Returned(Places::of(body)?),
            kind::COMMITTED => {
                let (tx, body) = u64_of(body)?;
                Record::Committed { tx, settled: Settlements::of(body)? }
            }
            kind::ADOPTED => Record::Adopted { journal: u64_of(body)?.0 },
            kind::START => Record::Start,
            kind::STOP => Record::Stop,
            _ => return None,
        })
    }
}

/// The body of a `Message` without places; they follow.
pub fn put_message(out: &mut Vec<u8>, tx: u64, stamp_ms: u64, route: &[u8], content: &[u8]) {
    out.extend_from_slice(&tx.to_le_bytes());
    out.extend_from_slice(&stamp_ms.to_le_bytes());
    out.extend_from_slice(&((route.len() + content.len()) as u64).to_le_bytes());
    out.extend_from_slice(route);
    out.extend_from_slice(content);
}

pub fn put_place(out: &mut Vec<u8>, place: &Place) {
    out.extend_from_slice(&place.queue.0.to_le_bytes());
    out.extend_from_slice(&place.sequence.to_le_bytes());
    out.extend_from_slice(&place.returns.to_le_bytes());
    out.push(u8::from(place.letter) | u8::from(place.redelivered) << 1);
    out.push(0);
}

/// The head of a `Place` that follows its message; the place itself follows.
pub fn put_place_of(out: &mut Vec<u8>, tx: u64, of: Position) {
    out.extend_from_slice(&tx.to_le_bytes());
    out.extend_from_slice(&of.as_u64().to_le_bytes());
}

pub fn put_settlement(out: &mut Vec<u8>, queue: QueueUid, sequence: u64) {
    out.extend_from_slice(&queue.0.to_le_bytes());
    out.extend_from_slice(&sequence.to_le_bytes());
}

pub fn put_journal(out: &mut Vec<u8>, journal: u64) {
    out.extend_from_slice(&journal.to_le_bytes());
}

pub fn put_tx(out: &mut Vec<u8>, tx: u64) {
    out.extend_from_slice(&tx.to_le_bytes());
}

impl<'a> Places<'a> {
    fn of(bytes: &'a [u8]) -> Option<Places<'a>> {
        bytes.len().is_multiple_of(PLACE_BYTES).then_some(Places(bytes))
    }

    pub fn iter(self) -> impl Iterator<Item = Place> + use<'a> {
        let (places, _) = self.0.as_chunks::<PLACE_BYTES>();
        places.iter().filter_map(|bytes| {
            let (queue, rest) = u64_of(bytes)?;
            let (sequence, rest) = u64_of(rest)?;
            let &[low, high, flags, _] = rest else { return None };
            Some(Place {
                queue: QueueUid(queue),
                sequence,
                returns: u16::from_le_bytes([low, high]),
                letter: flags & 1 != 0,
                redelivered: flags & 2 != 0,
            })
        })
    }
}

impl<'a> Settlements<'a> {
    fn of(bytes: &'a [u8]) -> Option<Settlements<'a>> {
        bytes.len().is_multiple_of(SETTLEMENT_BYTES).then_some(Settlements(bytes))
    }

    pub fn iter(self) -> impl Iterator<Item = (QueueUid, u64)> + use<'a> {
        let (settled, _) = self.0.as_chunks::<SETTLEMENT_BYTES>();
        settled.iter().filter_map(|bytes| {
            let (queue, rest) = u64_of(bytes)?;
            Some((QueueUid(queue), u64_of(rest)?.0))
        })
    }
}

fn u64_of(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (first, rest) = bytes.split_first_chunk::<8>()?;
    Some((u64::from_le_bytes(*first), rest))
}

const PLACE_BYTES: usize = 20;
const SETTLEMENT_BYTES: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    fn place(sequence: u64) -> Place {
        Place { queue: QueueUid(7), sequence, returns: 3, letter: sequence == 4, redelivered: true }
    }

    #[test]
    fn what_is_put_is_read() {
        let mut body = Vec::new();
        put_message(&mut body, 5, 6, b"\x01e\x01k", b"content");
        put_place(&mut body, &place(1));
        put_place(&mut body, &place(2));
        let Some(Record::Message { tx: 5, stamp_ms: 6, message, places }) =
            Record::decode(kind::MESSAGE, &body)
        else {
            panic!("{body:?}")
        };
        assert_eq!(message, b"\x01e\x01kcontent");
        assert_eq!(places.iter().collect::<Vec<_>>(), [place(1), place(2)]);

        let mut body = Vec::new();
        put_place_of(&mut body, 9, Position::new(2, 8_192));
        put_place(&mut body, &place(4));
        let read = Record::decode(kind::PLACE, &body);
        assert_eq!(read, Some(Record::Place { tx: 9, of: Position::new(2, 8_192), place: place(4) }));

        let mut body = Vec::new();
        put_tx(&mut body, 11);
        put_settlement(&mut body, QueueUid(1), 2);
        let Some(Record::Committed { tx: 11, settled }) = Record::decode(kind::COMMITTED, &body) else {
            panic!("{body:?}")
        };
        assert_eq!(settled.iter().collect::<Vec<_>>(), [(QueueUid(1), 2)]);
    }

    #[test]
    fn nonsense_is_no_record_and_no_panic() {
        for kind in 0..=u8::MAX {
            for len in 0..80 {
                let body: Vec<u8> =
                    (0..len).map(|at| (at as u8).wrapping_mul(37).wrapping_add(kind) ^ 0x5a).collect();
                if let Some(Record::Message { places, .. } | Record::Returned(places)) =
                    Record::decode(kind, &body)
                {
                    places.iter().for_each(drop);
                }
            }
        }
    }
}
