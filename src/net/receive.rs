//! The receive buffer of a shard: one for all its connections, so that an idle connection holds none.
//!
//! ```text
//!   before a read   [ tail of this connection | up to 64 KB are read behind it                  ]
//!   after it        [ frames that were run                         | tail ]
//! ```
//! The tail stays where it is until the buffer is needed again. If the same connection reads next, it moves to
//! the front; if another does, it moves out to its owner.

use crate::amqp::frame::FRAME_OVERHEAD;
use crate::limits::{FRAME_MAX_BYTES, FRAME_SLACK_BYTES, READ_BYTES};
use std::ops::Range;

/// Lives on: its shard.
pub struct ReceiveBuffer {
    bytes: Box<[u8]>,
    /// Whose tail lies at `kept`; None if it is empty.
    owner: Option<u32>,
    kept: Range<usize>,
}

/// A tail is at most a frame that lacks its last byte.
const TAIL_BYTES_MAX: usize = (FRAME_MAX_BYTES + FRAME_SLACK_BYTES) as usize + FRAME_OVERHEAD;

impl Default for ReceiveBuffer {
    fn default() -> Self {
        ReceiveBuffer { bytes: vec![0; TAIL_BYTES_MAX + READ_BYTES].into(), owner: None, kept: 0..0 }
    }
}

impl ReceiveBuffer {
    /// The tail of another connection than `slot`, which has to leave, and whose it is.
    pub fn evict(&mut self, slot: u32) -> Option<(u32, &[u8])> {
        let owner = self.owner.take_if(|owner| *owner != slot)?;
        Some((owner, &self.bytes[self.kept.clone()]))
    }

    /// Puts the tail of `slot` to the front, from the buffer or from `outside`; answers its length.
    pub fn load(&mut self, slot: u32, outside: &mut Vec<u8>) -> usize {
        debug_assert!(self.owner.is_none_or(|owner| owner == slot), "the former tail was evicted");
        if self.owner.is_none() {
            self.bytes[..outside.len()].copy_from_slice(outside);
            self.keep(slot, 0..outside.len());
            *outside = Vec::new();
        } else if self.kept.start > 0 {
            self.bytes.copy_within(self.kept.clone(), 0);
            self.kept = 0..self.kept.len();
        }
        self.kept.len()
    }

    /// Where to read behind a tail of `tail` bytes. Empty only if the tail is longer than any frame.
    pub fn space(&mut self, tail: usize) -> &mut [u8] {
        let end = self.bytes.len().min(tail + READ_BYTES);
        &mut self.bytes[tail..end]
    }

    pub fn filled(&self, range: Range<usize>) -> &[u8] {
        &self.bytes[range]
    }

    /// What was not consumed stays for `slot`.
    pub fn keep(&mut self, slot: u32, tail: Range<usize>) {
        self.owner = (!tail.is_empty()).then_some(slot);
        self.kept = tail;
    }

    /// The connection has gone.
    pub fn forget(&mut self, slot: u32) {
        self.owner.take_if(|owner| *owner == slot);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(
        buffer: &mut ReceiveBuffer,
        slot: u32,
        outside: &mut Vec<u8>,
        bytes: &[u8],
        consume: usize,
    ) -> Vec<u8> {
        let tail = buffer.load(slot, outside);
        buffer.space(tail)[..bytes.len()].copy_from_slice(bytes);
        let seen = buffer.filled(0..tail + bytes.len()).to_vec();
        buffer.keep(slot, consume..seen.len());
        seen
    }

    #[test]
    fn the_tail_comes_before_what_the_same_connection_reads_next() {
        let mut buffer = ReceiveBuffer::default();
        let mut outside = Vec::new();
        assert_eq!(read(&mut buffer, 1, &mut outside, b"abcdef", 4), b"abcdef");
        assert!(buffer.evict(1).is_none());
        assert_eq!(read(&mut buffer, 1, &mut outside, b"gh", 4), b"efgh");
        assert_eq!(buffer.load(1, &mut outside), 0);
    }

    #[test]
    fn a_tail_moves_out_when_another_connection_reads_and_comes_back() {
        let mut buffer = ReceiveBuffer::default();
        let (mut first, mut second) = (Vec::new(), Vec::new());
        read(&mut buffer, 1, &mut first, b"abc", 1);
        let (owner, tail) = buffer.evict(2).unwrap();
        assert_eq!((owner, tail), (1, &b"bc"[..]));
        first = tail.to_vec();
        assert_eq!(read(&mut buffer, 2, &mut second, b"xyz", 3), b"xyz");
        assert!(buffer.evict(1).is_none(), "nothing was left");
        assert_eq!(read(&mut buffer, 1, &mut first, b"d", 3), b"bcd");
        assert_eq!(first.capacity(), 0);
    }

    #[test]
    fn there_is_room_for_a_full_read_behind_the_longest_tail() {
        let mut buffer = ReceiveBuffer::default();
        assert_eq!(buffer.space(TAIL_BYTES_MAX).len(), READ_BYTES);
        assert_eq!(buffer.space(0).len(), READ_BYTES);
    }

    #[test]
    fn a_connection_that_went_leaves_nothing_to_the_next_of_its_slot() {
        let mut buffer = ReceiveBuffer::default();
        read(&mut buffer, 1, &mut Vec::new(), b"abc", 1);
        buffer.forget(1);
        assert_eq!(buffer.load(1, &mut Vec::new()), 0);
    }
}
