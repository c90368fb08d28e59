//! The memory that stored messages live in: pages filled front to back, freed when nothing in them is live.
//!
//! ```text
//! slab (64 MB, huge pages) = page | page | ... ; page (256 KB) = record | record | ... | free
//! ```
//! A page counts its live references without atomics: it never leaves its shard. A message above
//! `PAGED_BYTES_MAX`, or with more than `OVERHEAD_BYTES_MAX` beside its body, is a shared buffer of its own under the same
//! handle.

use std::sync::Arc;

use bytes::Bytes;
use memmap2::{Advice, MmapMut, MmapOptions};

use crate::budget::Budget;
use crate::limits::{PAGE_BYTES, PAGED_BYTES_MAX, SLAB_BYTES};
use crate::message::Message;

/// A counted reference to a stored record. `Copy`, so whoever copies it says `retain`, whoever drops it `release`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct MessageRef {
    page: u32,
    /// Of a record in a page where it begins, and above `OFFSET_BITS` what of it is no body; of a large one only the latter.
    place: u32,
    body: u32,
}

impl MessageRef {
    /// Without a look at the message, which may be far away.
    #[inline]
    pub fn body_bytes(self) -> u64 {
        u64::from(self.body)
    }

    /// Of the record.
    #[inline]
    fn len(self) -> usize {
        let shift = if self.page & LARGE != 0 { 0 } else { OFFSET_BITS };
        (self.body + (self.place >> shift)) as usize
    }

    #[inline]
    fn offset(self) -> usize {
        self.place as usize & (PAGE_BYTES - 1)
    }
}

/// Lives on: the shard whose queues store in it.
pub struct Pages {
    slabs: Vec<MmapMut>,
    pages: Vec<Page>,
    /// Pages with nothing live, last freed first: the warmest memory is used again first.
    free: Vec<u32>,
    current: Option<u32>,
    large: Vec<Option<Large>>,
    large_free: Vec<u32>,
    budget: Arc<Budget>,
}

impl Pages {
    pub fn new(budget: Arc<Budget>) -> Pages {
        Pages {
            slabs: Vec::new(),
            pages: Vec::new(),
            free: Vec::new(),
            current: None,
            large: Vec::new(),
            large_free: Vec::new(),
            budget,
        }
    }

    /// Copies the message into the current page; the result holds one reference.
    pub fn store(&mut self, message: &Message<'_>) -> MessageRef {
        let (len, overhead) = (message.record_bytes(), message.overhead_bytes());
        if len > PAGED_BYTES_MAX || overhead > OVERHEAD_BYTES_MAX {
            let mut record = Vec::with_capacity(len);
            record.extend_from_slice(message.route);
            record.extend_from_slice(message.content);
            return self.store_large(Bytes::from(record));
        }
        let (page, offset) = self.reserve(len);
        let record = &mut self.page_mut(page)[offset..offset + len];
        let (route, content) = record.split_at_mut(message.route.len());
        route.copy_from_slice(message.route);
        content.copy_from_slice(message.content);
        let place = offset | overhead << OFFSET_BITS;
        MessageRef { page, place: place as u32, body: (len - overhead) as u32 }
    }

    /// Keeps a record that is already a buffer of its own, without a copy.
    pub fn store_large(&mut self, record: Bytes) -> MessageRef {
        let len = record.len();
        let overhead = Message::from_record(&record).overhead_bytes();
        self.budget.add(record.len());
        let large = Some(Large { record, live: 1 });
        let slot = match self.large_free.pop() {
            Some(slot) => {
                self.large[slot as usize] = large;
                slot
            }
            None => {
                self.large.push(large);
                (self.large.len() - 1) as u32
            }
        };
        MessageRef { page: slot | LARGE, place: overhead as u32, body: (len - overhead) as u32 }
    }

    pub fn read(&self, at: MessageRef) -> Message<'_> {
        Message::from_record(self.record(at))
    }

    /// An octet from each end of the record.
    pub fn glance(&self, at: MessageRef) -> u8 {
        let record = self.record(at);
        record.first().zip(record.last()).map_or(0, |(first, last)| first ^ last)
    }

    /// The buffer behind a large message, to be shared with another shard.
    pub fn large(&self, at: MessageRef) -> Option<&Bytes> {
        (at.page & LARGE != 0).then(|| &self.large_at(at).record)
    }

    pub fn retain(&mut self, at: MessageRef) {
        if at.page & LARGE != 0 {
            self.large_mut(at).live += 1;
        } else {
            let page = &mut self.pages[at.page as usize];
            debug_assert!(page.live > 0, "who retains has a reference");
            page.live += 1;
        }
    }

    /// One more reference to what was stored last, though all to it may have been released since: false if so.
    ///
    /// As long as nothing was stored behind it, a page with anything live still holds it.
    pub fn share(&mut self, at: MessageRef) -> bool {
        let is_live = if at.page & LARGE != 0 {
            self.large[(at.page & !LARGE) as usize].is_some()
        } else {
            self.pages[at.page as usize].live > 0
        };
        if is_live {
            self.retain(at);
        }
        is_live
    }

    pub fn release(&mut self, at: MessageRef) {
        if at.page & LARGE != 0 {
            self.release_large(at);
            return;
        }
        let page = &mut self.pages[at.page as usize];
        page.live -= 1;
        if page.live > 0 {
            return;
        }
        page.filled = 0;
        if self.current != Some(at.page) {
            self.free.push(at.page);
            self.budget.subtract(PAGE_BYTES);
        }
    }

    /// What is free holds nothing. Costs what there is.
    pub fn invariants(&self) {
        assert!(self.free.iter().all(|&page| self.pages[page as usize].live == 0));
        assert!(self.current.is_none_or(|current| !self.free.contains(&current)));
    }

    /// Live references in all pages, for invariants: one per queue entry and message.
    pub fn live(&self) -> u64 {
        let paged: u64 = self.pages.iter().map(|page| u64::from(page.live)).sum();
        paged + self.large.iter().flatten().map(|large| u64::from(large.live)).sum::<u64>()
    }

    fn record(&self, at: MessageRef) -> &[u8] {
        if at.page & LARGE != 0 {
            return &self.large_at(at).record;
        }
        let start = page_start(at.page) + at.offset();
        &self.slabs[slab_of(at.page)][start..start + at.len()]
    }

    fn release_large(&mut self, at: MessageRef) {
        let large = self.large_mut(at);
        large.live -= 1;
        if large.live == 0 {
            let slot = at.page & !LARGE;
            self.large[slot as usize] = None;
            self.large_free.push(slot);
            self.budget.subtract(at.len());
        }
    }

    /// Room for `len` bytes in the current page, else in a fresh one.
    fn reserve(&mut self, len: usize) -> (u32, usize) {
        if let Some(current) = self.current {
            let page = &mut self.pages[current as usize];
            let offset = page.filled as usize;
            if offset + len <= PAGE_BYTES {
                page.filled += len as u32;
                page.live += 1;
                return (current, offset);
            }
        }
        self.turn_page();
        self.reserve(len)
    }

    fn turn_page(&mut self) {
        if let Some(full) = self.current.take()
            && self.pages[full as usize].live == 0
        {
            self.pages[full as usize].filled = 0;
            self.current = Some(full);
            return;
        }
        if self.free.is_empty() {
            self.add_slab();
        }
        self.current = self.free.pop();
        self.budget.add(PAGE_BYTES);
    }

    fn add_slab(&mut self) {
        let slab = MmapOptions::new().len(SLAB_BYTES).map_anon().expect("the kernel grants anonymous memory");
        // Without huge pages a backlog of 1 KB messages fills four times slower; refusal costs only that.
        let _ = slab.advise(Advice::HugePage);
        self.slabs.push(slab);
        let first = self.pages.len() as u32;
        let count = (SLAB_BYTES / PAGE_BYTES) as u32;
        self.pages.resize(self.pages.len() + count as usize, Page { filled: 0, live: 0 });
        self.free.extend((first..first + count).rev());
    }

    fn page_mut(&mut self, page: u32) -> &mut [u8] {
        let start = page_start(page);
        &mut self.slabs[slab_of(page)][start..start + PAGE_BYTES]
    }

    fn large_at(&self, at: MessageRef) -> &Large {
        self.large[(at.page & !LARGE) as usize].as_ref().expect("a live reference keeps its message")
    }

    fn large_mut(&mut self, at: MessageRef) -> &mut Large {
        self.large[(at.page & !LARGE) as usize].as_mut().expect("a live reference keeps its message")
    }
}

#[derive(Clone)]
struct Page {
    filled: u32,
    live: u32,
}

struct Large {
    record: Bytes,
    live: u32,
}

/// Marks the page number of a handle as an index into the large messages.
const LARGE: u32 = 1 << 31;
const OFFSET_BITS: u32 = PAGE_BYTES.ilog2();
const _: () = assert!(PAGE_BYTES.is_power_of_two());
/// What is left beside the offset: 16 KB of headers and frames.
const OVERHEAD_BYTES_MAX: usize = (1 << (u32::BITS - OFFSET_BITS)) - 1;
const PAGES_PER_SLAB: u32 = (SLAB_BYTES / PAGE_BYTES) as u32;

fn slab_of(page: u32) -> usize {
    (page / PAGES_PER_SLAB) as usize
}

fn page_start(page: u32) -> usize {
    (page % PAGES_PER_SLAB) as usize * PAGE_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::amqp::frame::{FrameKind, encode_frame};
    use crate::ids::ChannelNumber;

    fn pages() -> Pages {
        Pages::new(Arc::new(Budget::new(usize::MAX)))
    }

    fn message(content: &[u8]) -> Message<'_> {
        Message { route: b"\0\x01k", content }
    }

    #[test]
    fn what_is_stored_is_read_back() {
        let mut pages = pages();
        let small = pages.store(&message(b"abc"));
        let body = vec![7; PAGED_BYTES_MAX + 1];
        let large = pages.store(&message(&body));
        assert_eq!(pages.read(small).content, b"abc");
        assert_eq!(pages.read(small).routing_key(), b"k");
        assert_eq!(pages.read(large).content, body);
        assert!(pages.large(large).is_some() && pages.large(small).is_none());
    }

    #[test]
    fn the_size_of_a_body_is_known_without_a_look_at_it() {
        let mut pages = pages();
        for (header, body) in [(14, 0), (14, 5), (14, PAGED_BYTES_MAX), (OVERHEAD_BYTES_MAX, 9), (60_000, 4)]
        {
            let mut content = Vec::new();
            encode_frame(&mut content, FrameKind::Header, ChannelNumber(1), |out| {
                out.extend_from_slice(&[0, 60, 0, 0]);
                out.extend_from_slice(&(body as u64).to_be_bytes());
                out.resize(out.len() + header - 12, 0);
            });
            encode_frame(&mut content, FrameKind::Body, ChannelNumber(1), |out| out.extend(vec![7; body]));
            let at = pages.store(&message(&content));
            assert_eq!((at.body_bytes(), pages.read(at).content), (body as u64, &content[..]));
        }
    }

    #[test]
    fn a_page_returns_when_its_last_message_goes() {
        let mut pages = pages();
        let body = vec![1; 60_000];
        let stored: Vec<_> = (0..9).map(|_| pages.store(&message(&body))).collect();
        let used = pages.budget.used_bytes();
        assert_eq!(used, 3 * PAGE_BYTES);
        for at in stored {
            pages.release(at);
        }
        assert_eq!(pages.budget.used_bytes(), PAGE_BYTES, "only the current page stays");
        assert_eq!(pages.live(), 0);
    }

    #[test]
    fn a_shared_message_lives_until_its_last_reference() {
        let mut pages = pages();
        for content in [&b"abc"[..], &vec![9; PAGED_BYTES_MAX + 1]] {
            let at = pages.store(&message(content));
            pages.retain(at);
            pages.release(at);
            assert_eq!(pages.read(at).content, content);
            pages.release(at);
            assert_eq!(pages.live(), 0);
        }
    }

    #[test]
    fn what_was_released_by_all_is_not_shared() {
        let mut pages = pages();
        for content in [&b"abc"[..], &vec![9; PAGED_BYTES_MAX + 1]] {
            let at = pages.store(&message(content));
            assert!(pages.share(at));
            pages.release(at);
            pages.release(at);
            assert!(!pages.share(at));
            assert_eq!(pages.live(), 0);
        }
    }

    #[test]
    fn a_steady_stream_uses_the_same_pages_again() {
        let mut pages = pages();
        for _ in 0..100_000 {
            let at = pages.store(&message(&[0; 100]));
            pages.release(at);
        }
        assert_eq!(pages.budget.used_bytes(), PAGE_BYTES);
        assert_eq!(pages.slabs.len(), 1);
    }
}
