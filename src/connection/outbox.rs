//! What a connection still has to send, in order.

use crate::limits::OUTBOX_KEEP_BYTES;

/// Bytes before `sent` are with the kernel, the rest is not.
#[derive(Default)]
pub struct Outbox {
    bytes: Vec<u8>,
    sent: usize,
}

impl Outbox {
    #[inline]
    pub fn unsent(&self) -> &[u8] {
        &self.bytes[self.sent..]
    }

    #[inline]
    pub fn len(&self) -> usize {
        self.bytes.len() - self.sent
    }

    #[inline]
    pub fn is_empty(&self) -> bool {
        self.bytes.len() == self.sent
    }

    /// Where frames are appended.
    #[inline]
    pub fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    pub fn sent(&mut self, bytes: usize) {
        self.sent += bytes;
        debug_assert!(self.sent <= self.bytes.len());
        if self.is_empty() {
            self.bytes.clear();
            self.sent = 0;
            self.bytes.shrink_to(OUTBOX_KEEP_BYTES);
        } else if self.sent >= self.bytes.len() / 2 {
            self.bytes.drain(..self.sent);
            self.sent = 0;
        }
    }

    /// Gives the memory of an idle connection back.
    pub fn release_memory(&mut self) {
        if self.is_empty() {
            self.bytes = Vec::new();
            self.sent = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_short_send_left_comes_next() {
        let mut outbox = Outbox::default();
        outbox.buffer().extend_from_slice(b"abcdef");
        outbox.sent(2);
        assert_eq!(outbox.unsent(), b"cdef");
        outbox.buffer().extend_from_slice(b"gh");
        outbox.sent(3);
        assert_eq!(outbox.unsent(), b"fgh");
        outbox.sent(3);
        assert!(outbox.is_empty());
    }
}
