//! The messages of a shard that its journal holds, and which segments they hold.
//!
//! ```text
//! segments   oldest: 3 live | 0 live | 7 live | newest      freed from the front, once nothing in them is live
//! ```
//! Only from the front: what settles a message lies behind it, and must not go before it.

use std::collections::VecDeque;

use super::Position;
use super::record::Place;
use crate::ids::{Kept, QueueUid};
use crate::pages::MessageRef;

/// Lives on: the shard of the journal.
#[derive(Default)]
pub struct Keeps {
    /// By number; number 0 stands for none.
    entries: Vec<Option<Keep>>,
    free: Vec<u32>,
    segments: VecDeque<Segment>,
    live: usize,
    live_bytes: u64,
}

/// A message that some queues here have.
pub struct Keep {
    pub at: Position,
    pub message: MessageRef,
    /// When it was taken, ms since 1970.
    pub stamp_ms: u64,
    /// Never empty.
    places: Places,
    /// Bytes of its record, about.
    bytes: u32,
}

/// One needs no memory of its own.
enum Places {
    One(Place),
    More(Vec<Place>),
}

struct Segment {
    number: u32,
    live: u32,
    /// Those that were recorded in it; some are settled, or moved on, since.
    kept: Vec<Kept>,
}

impl Keep {
    pub fn places(&self) -> &[Place] {
        match &self.places {
            Places::One(place) => std::slice::from_ref(place),
            Places::More(places) => places,
        }
    }
}

impl Keeps {
    pub fn new() -> Keeps {
        Keeps { entries: vec![None], ..Keeps::default() }
    }

    /// A message was recorded at `at` with its first place.
    pub fn insert(
        &mut self,
        at: Position,
        message: MessageRef,
        stamp_ms: u64,
        bytes: usize,
        place: Place,
    ) -> Kept {
        let keep = Keep { at, message, stamp_ms, places: Places::One(place), bytes: bytes as u32 };
        let number = match self.free.pop() {
            Some(number) => {
                self.entries[number as usize] = Some(keep);
                number
            }
            None => {
                self.entries.push(Some(keep));
                (self.entries.len() - 1) as u32
            }
        };
        self.live += 1;
        let kept = Kept(number);
        self.enter(kept, at, bytes as u32);
        kept
    }

    /// The message, if that number still stands for what was recorded there.
    pub fn get(&self, kept: Kept) -> Option<&Keep> {
        self.entries.get(kept.0 as usize)?.as_ref()
    }

    /// One more queue has it.
    pub fn add_place(&mut self, kept: Kept, place: Place) {
        let Some(keep) = self.get_mut(kept) else { return };
        match &mut keep.places {
            Places::One(first) => keep.places = Places::More(vec![*first, place]),
            Places::More(places) => places.push(place),
        }
    }

    /// It came back to a queue so often.
    pub fn returned(&mut self, kept: Kept, queue: QueueUid, returns: u16) -> Option<Place> {
        let keep = self.get_mut(kept)?;
        let place = match &mut keep.places {
            Places::One(place) => place,
            Places::More(places) => places.iter_mut().find(|place| place.queue == queue)?,
        };
        (place.returns, place.redelivered) = (returns, true);
        Some(*place)
    }

    /// A queue has done with it.
    pub fn settle(&mut self, kept: Kept, queue: QueueUid) {
        let Some(keep) = self.get_mut(kept) else { return };
        if let Places::More(places) = &mut keep.places {
            if let Some(at) = places.iter().position(|place| place.queue == queue) {
                places.swap_remove(at);
            }
            if !places.is_empty() {
                return;
            }
        }
        let (at, bytes) = (keep.at, keep.bytes);
        self.entries[kept.0 as usize] = None;
        self.free.push(kept.0);
        self.live -= 1;
        self.leave(at, bytes);
    }

    /// It was recorded again elsewhere.
    pub fn moved(&mut self, kept: Kept, to: Position) {
        let Some(keep) = self.get_mut(kept) else { return };
        let (from, bytes) = (keep.at, keep.bytes);
        keep.at = to;
        self.enter(kept, to, bytes);
        self.leave(from, bytes);
    }

    /// The oldest segment that must stay, if some older one may go that could not before.
    pub fn oldest_if_moved(&mut self) -> Option<u32> {
        let before = self.segments.len();
        while self.segments.len() > 1 && self.segments.front().is_some_and(|oldest| oldest.live == 0) {
            self.segments.pop_front();
        }
        if self.segments.len() == before {
            return None;
        }
        self.segments.front().map(|oldest| oldest.number)
    }

    /// The next of the messages that hold the oldest segment, if what is live takes less than half of the segments that are
    /// there up to number `newest`, of `segment_bytes` each, a few aside. Whoever takes it records it again.
    pub fn next_to_move(&mut self, segment_bytes: u32, newest: u32) -> Option<Kept> {
        let oldest = self.segments.front_mut()?;
        let segments = u64::from(newest.saturating_sub(oldest.number) + 1).saturating_sub(SLACK_SEGMENTS);
        if segments * u64::from(segment_bytes) <= 2 * self.live_bytes || oldest.number >= newest {
            return None;
        }
        while let Some(kept) = oldest.kept.pop() {
            let keep = self.entries[kept.0 as usize].as_ref();
            if keep.is_some_and(|keep| keep.at.segment() == oldest.number) {
                return Some(kept);
            }
        }
        None
    }

    pub fn len(&self) -> usize {
        self.live
    }

    pub fn is_empty(&self) -> bool {
        self.live == 0
    }

    fn get_mut(&mut self, kept: Kept) -> Option<&mut Keep> {
        self.entries.get_mut(kept.0 as usize)?.as_mut()
    }

    fn enter(&mut self, kept: Kept, at: Position, bytes: u32) {
        let number = at.segment();
        // Nearly always the newest; what a transaction brought may lie in one that nothing else holds.
        if self.segments.back().is_none_or(|newest| newest.number != number)
            && let Err(before) = self.segments.binary_search_by_key(&number, |segment| segment.number)
        {
            self.segments.insert(before, Segment { number, live: 0, kept: Vec::new() });
        }
        if let Some(segment) = self.segment_mut(number) {
            segment.live += 1;
            segment.kept.push(kept);
            self.live_bytes += u64::from(bytes);
        }
    }

    fn leave(&mut self, at: Position, bytes: u32) {
        if let Some(segment) = self.segment_mut(at.segment()) {
            segment.live -= 1;
        }
        self.live_bytes -= u64::from(bytes);
    }

    fn segment_mut(&mut self, number: u32) -> Option<&mut Segment> {
        if self.segments.back().is_some_and(|newest| newest.number == number) {
            return self.segments.back_mut();
        }
        let at = self.segments.binary_search_by_key(&number, |segment| segment.number).ok()?;
        self.segments.get_mut(at)
    }
}

/// Segments that may be there beside twice what is live.
const SLACK_SEGMENTS: u64 = 4;
