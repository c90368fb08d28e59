//! From a shard's log back to what its queues held.
//!
//! ```text
//! records, in order -> Recovery -> by queue: messages in publish order, their counts; in the shard's pages
//! ```
//! The log was checked when it was read. What makes no sense all the same (its queue is gone, its message was lost to
//! damage) is counted and left out.

use std::collections::{BTreeMap, BTreeSet};

use super::keep::Keeps;
use super::position::Position;
use super::record::{self, Place, Places, Record, kind};
use super::{Journal, Urgency};
use crate::ids::{Kept, QueueUid};
use crate::message::Message;
use crate::pages::{MessageRef, Pages};

/// Takes a log in. Lives on: the thread that starts the shard.
pub struct Recovery {
    pages: Pages,
    keeps: Keeps,
    queues: BTreeMap<QueueUid, Held>,
    /// What transactions brought that are not committed so far.
    open: BTreeMap<u64, Vec<Uncommitted>>,
    /// What was settled and is not held, while some transaction is not committed: it may be of that one.
    early: BTreeSet<(QueueUid, u64)>,
    /// The first record that is still there.
    begin: Option<Position>,
    /// The message that was recorded last: further places of it may follow.
    last: Option<(Position, Kept)>,
    /// The numbers of journals whose messages are here now.
    adopted: Vec<u64>,
    stopped: bool,
    senseless: u64,
}

/// What a log leads to.
pub struct Recovered {
    pub pages: Pages,
    pub keeps: Keeps,
    pub queues: BTreeMap<QueueUid, Held>,
    /// The server stopped in order: what is not marked was not delivered.
    pub stopped: bool,
    /// Records that made no sense.
    pub senseless: u64,
}

/// What a queue held, by publish order.
#[derive(Default)]
pub struct Held {
    pub messages: BTreeMap<u64, HeldMessage>,
    /// No message that ever came had a higher sequence.
    pub last_sequence: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HeldMessage {
    pub message: MessageRef,
    pub kept: Kept,
    /// When it came, ms since 1970.
    pub stamp_ms: u64,
    pub returns: u16,
    pub letter: bool,
    pub redelivered: bool,
}

impl Recovered {
    /// Takes over what the journal of that number held, recorded in this one as one transaction: all of it counts, and what
    /// is still there does not, or nothing does. `written` is called now and then, so that what gathers is written.
    pub fn adopt(
        &mut self,
        number: u64,
        other: &Recovered,
        journal: &mut Journal,
        mut written: impl FnMut(&mut Journal),
    ) {
        for (&queue, others) in &other.queues {
            let held = self.queues.entry(queue).or_default();
            held.last_sequence = held.last_sequence.max(others.last_sequence);
            for (&sequence, one) in &others.messages {
                let HeldMessage { returns, letter, redelivered, stamp_ms, .. } = *one;
                let place = Place { queue, sequence, returns, letter, redelivered };
                let message = other.pages.read(one.message);
                let at = journal.record(kind::MESSAGE, Urgency::Sync, |out| {
                    record::put_message(out, ADOPTION, stamp_ms, message.route, message.content);
                    record::put_place(out, &place);
                });
                let stored = self.pages.store(&message);
                let kept = self.keeps.insert(at, stored, stamp_ms, message.record_bytes(), place);
                let one = HeldMessage { message: stored, kept, ..*one };
                if let Some(before) = held.messages.insert(sequence, one) {
                    self.keeps.settle(before.kept, queue);
                    self.pages.release(before.message);
                }
                written(journal);
            }
        }
        journal.record(kind::ADOPTED, Urgency::Sync, |out| record::put_journal(out, number));
    }

    /// The queues that have something here.
    pub fn occupied(&self) -> impl Iterator<Item = QueueUid> {
        self.queues.iter().filter(|(_, held)| !held.messages.is_empty()).map(|(&queue, _)| queue)
    }
}

/// The transaction that takes another journal over; no client's has the number.
const ADOPTION: u64 = u64::MAX;

enum Uncommitted {
    Message { at: Position, stamp_ms: u64, record: Vec<u8>, places: Vec<Place> },
    Place { of: Position, place: Place },
}

impl Recovery {
    /// `pages` are to be those of the shard.
    pub fn new(pages: Pages) -> Recovery {
        Recovery {
            pages,
            keeps: Keeps::new(),
            queues: BTreeMap::new(),
            open: BTreeMap::new(),
            early: BTreeSet::new(),
            begin: None,
            last: None,
            adopted: Vec::new(),
            stopped: true,
            senseless: 0,
        }
    }

    /// The next record of the log.
    pub fn record(&mut self, at: Position, kind: u8, body: &[u8]) {
        let begin = *self.begin.get_or_insert(at);
        let Some(record) = Record::decode(kind, body) else {
            self.senseless += 1;
            return;
        };
        self.stopped = matches!(record, Record::Stop);
        match record {
            Record::Message { tx: 0, stamp_ms, message, places } => {
                self.message(at, stamp_ms, message, places.iter());
            }
            Record::Message { tx, stamp_ms, message, places } => {
                let places = places.iter().collect();
                let message = Uncommitted::Message { at, stamp_ms, record: message.to_vec(), places };
                self.open.entry(tx).or_default().push(message);
            }
            // Of a message whose segment was freed, as it was settled, or recorded again with all its places.
            Record::Place { of, .. } if of < begin => {}
            Record::Place { tx: 0, of, place } => self.place(of, place),
            Record::Place { tx, of, place } => {
                self.open.entry(tx).or_default().push(Uncommitted::Place { of, place });
            }
            Record::Settled(settled) => settled.iter().for_each(|(queue, at)| self.settle(queue, at)),
            Record::Returned(places) => self.returned(places),
            Record::Committed { tx, settled } => {
                self.commit(tx);
                settled.iter().for_each(|(queue, at)| self.settle(queue, at));
            }
            Record::Adopted { journal } => {
                self.commit(ADOPTION);
                self.adopted.push(journal);
            }
            // Whatever was not committed then never will be.
            Record::Start | Record::Stop => {
                self.open.clear();
                self.early.clear();
            }
        }
    }

    /// The numbers of journals whose messages are here: what is left of these counts no more.
    pub fn adopted(&self) -> &[u64] {
        &self.adopted
    }

    /// Lets go of all messages: they are elsewhere.
    pub fn forget(&mut self) {
        for (queue, held) in std::mem::take(&mut self.queues) {
            for held in held.messages.into_values() {
                self.keeps.settle(held.kept, queue);
                self.pages.release(held.message);
            }
        }
        self.open.clear();
        self.last = None;
    }

    /// Queues that were spoken of, whether they exist or not.
    pub fn uids(&self) -> impl Iterator<Item = QueueUid> {
        self.queues.keys().copied()
    }

    /// All was read. Messages of queues that `exists` does not know are let go.
    pub fn finish(mut self, exists: impl Fn(QueueUid) -> bool) -> Recovered {
        let gone: Vec<QueueUid> = self.queues.keys().copied().filter(|queue| !exists(*queue)).collect();
        for queue in gone {
            let held = self.queues.remove(&queue).unwrap_or_default();
            for held in held.messages.into_values() {
                self.keeps.settle(held.kept, queue);
                self.pages.release(held.message);
            }
        }
        if !self.stopped {
            // Any of them may have been delivered.
            let all = self.queues.values_mut().flat_map(|held| held.messages.values_mut());
            all.for_each(|held| held.redelivered = true);
        }
        let Recovery { pages, keeps, queues, stopped, senseless, .. } = self;
        Recovered { pages, keeps, queues, stopped, senseless }
    }

    /// What the transaction brought counts, but for what consumers were done with before it was through.
    fn commit(&mut self, tx: u64) {
        let mut held = Vec::new();
        for part in self.open.remove(&tx).unwrap_or_default() {
            match part {
                Uncommitted::Message { at, stamp_ms, record, places } => {
                    held.extend(places.iter().map(|place| (place.queue, place.sequence)));
                    self.message(at, stamp_ms, &record, places.into_iter());
                }
                Uncommitted::Place { of, place } => {
                    held.push((place.queue, place.sequence));
                    self.place(of, place);
                }
            }
        }
        for (queue, sequence) in held {
            if self.early.remove(&(queue, sequence)) {
                self.settle(queue, sequence);
            }
        }
        if self.open.is_empty() {
            self.early.clear();
        }
    }

    fn message(&mut self, at: Position, stamp_ms: u64, record: &[u8], places: impl Iterator<Item = Place>) {
        self.last = None;
        let Some(message) = Message::checked(record) else {
            self.senseless += 1;
            return;
        };
        let stored = self.pages.store(&message);
        for place in places {
            let kept = match self.last {
                Some((_, kept)) => {
                    self.pages.retain(stored);
                    self.keeps.add_place(kept, place);
                    kept
                }
                None => self.keeps.insert(at, stored, stamp_ms, record.len(), place),
            };
            self.last = Some((at, kept));
            self.hold(stored, kept, stamp_ms, place);
        }
        if self.last.is_none() {
            self.pages.release(stored);
        }
    }

    fn place(&mut self, of: Position, place: Place) {
        let found = self.last.filter(|(at, _)| *at == of);
        let keep =
            found.and_then(|(at, kept)| Some((kept, self.keeps.get(kept).filter(|keep| keep.at == at)?)));
        let Some((kept, keep)) = keep else {
            self.senseless += 1;
            return;
        };
        let (message, stamp_ms) = (keep.message, keep.stamp_ms);
        self.pages.retain(message);
        self.keeps.add_place(kept, place);
        self.hold(message, kept, stamp_ms, place);
    }

    fn hold(&mut self, message: MessageRef, kept: Kept, stamp_ms: u64, place: Place) {
        let Place { queue, sequence, returns, letter, redelivered } = place;
        let held = self.queues.entry(queue).or_default();
        held.last_sequence = held.last_sequence.max(sequence);
        let one = HeldMessage { message, kept, stamp_ms, returns, letter, redelivered };
        // It may have been recorded before, in a segment that is still there.
        if let Some(before) = held.messages.insert(sequence, one) {
            self.keeps.settle(before.kept, queue);
            self.pages.release(before.message);
        }
    }

    fn settle(&mut self, queue: QueueUid, sequence: u64) {
        let held = self.queues.get_mut(&queue).and_then(|held| held.messages.remove(&sequence));
        match held {
            Some(settled) => {
                self.keeps.settle(settled.kept, queue);
                self.pages.release(settled.message);
            }
            None if !self.open.is_empty() => {
                self.early.insert((queue, sequence));
            }
            None => {}
        }
    }

    fn returned(&mut self, places: Places<'_>) {
        for place in places.iter() {
            let queue = self.queues.get_mut(&place.queue);
            let Some(held) = queue.and_then(|held| held.messages.get_mut(&place.sequence)) else { continue };
            (held.returns, held.redelivered) = (place.returns, true);
            self.keeps.returned(held.kept, place.queue, place.returns);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::budget::Budget;

    const QUEUE: QueueUid = QueueUid(1);

    #[test]
    fn what_was_settled_before_its_transaction_was_through_is_settled() {
        let mut recovery = Recovery::new(Pages::new(Arc::new(Budget::new(usize::MAX))));
        let record = |recovery: &mut Recovery, at, kind, write: &dyn Fn(&mut Vec<u8>)| {
            let mut body = Vec::new();
            write(&mut body);
            recovery.record(Position::new(1, at), kind, &body);
        };
        let settled = |sequence| move |out: &mut Vec<u8>| record::put_settlement(out, QUEUE, sequence);
        for sequence in 1..=4 {
            record(&mut recovery, sequence as u32, kind::MESSAGE, &|out| {
                record::put_message(out, 7, 0, b"\0\0", &CONTENT);
                let place = Place { queue: QUEUE, sequence, returns: 0, letter: false, redelivered: false };
                record::put_place(out, &place);
            });
        }
        // It was never seen: what it is about was freed.
        record(&mut recovery, 5, kind::SETTLED, &settled(99));
        record(&mut recovery, 6, kind::SETTLED, &settled(2));
        record(&mut recovery, 7, kind::COMMITTED, &|out| {
            record::put_tx(out, 7);
            record::put_settlement(out, QUEUE, 4);
        });
        record(&mut recovery, 8, kind::SETTLED, &settled(3));
        record(&mut recovery, 9, kind::PLACE, &|out| {
            record::put_place_of(out, 0, Position::new(0, 8_192));
            let place = Place { queue: QUEUE, sequence: 5, returns: 0, letter: false, redelivered: false };
            record::put_place(out, &place);
        });
        let recovered = recovery.finish(|_| true);
        assert_eq!(recovered.senseless, 0, "the last is of what was freed");
        assert_eq!(recovered.queues[&QUEUE].messages.keys().copied().collect::<Vec<_>>(), [1]);
        assert_eq!(recovered.keeps.len(), 1);
    }

    /// The frame of a content header without properties and without a body.
    const CONTENT: [u8; 22] = [2, 0, 1, 0, 0, 0, 14, 0, 60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xCE];
}
