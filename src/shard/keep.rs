//! What becomes of messages is told to the journal: each arrival, each end, each commit.
//!
//! ```text
//! accept -> keep -> Message | Place                let_go -> Settled            commit -> Committed
//! ```
//! Only persistent messages in durable queues are kept; all else costs a look at a field.

use crate::ids::{Kept, Origin, QueueId, QueueUid, Tx};
use crate::journal::record::{self, Place, kind};
use crate::journal::{Due, Held, HeldMessage, Journal, Promised, Proof, Recovered, Urgency};
use crate::limits::MOVE_BYTES;
use crate::message::Message;
use crate::pages::MessageRef;
use crate::queue::{Entry, Marks, Restored};
use crate::queue_args::Durability;

use super::rooms::Rooms;

/// What the queues of this shard that a message goes to share of it.
#[derive(Default)]
pub struct Stored {
    pub origin: Origin,
    pub at: Option<MessageRef>,
    kept: Kept,
}

impl Stored {
    pub fn of(origin: Origin) -> Stored {
        Stored { origin, ..Stored::default() }
    }
}

/// Messages that came to a queue at once.
pub struct Unkept {
    queue: QueueId,
    since: u64,
    count: u64,
}

/// Commits of which something is in the journal of this shard and that are not recorded as done.
#[derive(Default)]
pub struct Commits {
    open: Vec<Commit>,
}

struct Commit {
    tx: Tx,
    /// How safe it is to be.
    durability: Durability,
    /// What it acknowledged: done with once the commit is recorded.
    settled: Vec<(QueueUid, Entry)>,
}

impl Commits {
    fn of(&mut self, tx: Tx) -> &mut Commit {
        let at = match self.open.iter().position(|commit| commit.tx == tx) {
            Some(at) => at,
            None => {
                self.open.push(Commit { tx, durability: Durability::Os, settled: Vec::new() });
                self.open.len() - 1
            }
        };
        &mut self.open[at]
    }

    fn take(&mut self, tx: Tx) -> Option<Commit> {
        let at = self.open.iter().position(|commit| commit.tx == tx)?;
        Some(self.open.swap_remove(at))
    }
}

impl Rooms {
    /// Records a message that comes to a queue here, if it is to be kept; notes that in `marks`. Answers when it is safe.
    pub(super) fn keep(
        &mut self,
        id: QueueId,
        message: &Message<'_>,
        at: MessageRef,
        stored: &mut Stored,
        marks: &mut Marks,
    ) -> Due {
        let origin = stored.origin;
        let Some(queue) = self.queues.get(id.slot) else { return Due::NOW };
        let Some((uid, durability)) = queue.journaled else { return Due::NOW };
        let sequence = queue.next_sequence();
        let Some(journal) = &mut self.journal else { return Due::NOW };
        if !message.is_persistent() {
            return Due::NOW;
        }
        let place = Place { queue: uid, sequence, returns: 0, letter: origin.letter, redelivered: false };
        let urgency = if origin.tx.is_none() { urgency(durability) } else { Urgency::Lazy };
        match self.keeps.get(stored.kept).filter(|keep| keep.message == at).map(|keep| keep.at) {
            Some(of) => {
                if !journal.extend(of, urgency, |out| record::put_place(out, &place)) {
                    journal.record(kind::PLACE, urgency, |out| {
                        record::put_place_of(out, origin.tx.0, of);
                        record::put_place(out, &place);
                    });
                }
                self.keeps.add_place(stored.kept, place);
            }
            None => {
                let stamp_ms = self.wall_ms;
                let recorded = journal.record(kind::MESSAGE, urgency, |out| {
                    record::put_message(out, origin.tx.0, stamp_ms, message.route, message.content);
                    record::put_place(out, &place);
                });
                stored.kept = self.keeps.insert(recorded, at, stamp_ms, message.record_bytes(), place);
            }
        }
        marks.kept = stored.kept;
        if !origin.tx.is_none() {
            // It is safe with its commit, and says nothing before.
            let commit = self.commits.of(origin.tx);
            commit.durability = safer(commit.durability, durability);
            return Due::NOW;
        }
        let due = Due::when(journal.forming(), durability);
        self.await_kept(id, due);
        due
    }

    fn await_kept(&mut self, queue: QueueId, due: Due) {
        let since = self.timers.now;
        if let Some(last) = self.unkept.back_mut().and_then(|last| last.with(due))
            && (last.queue, last.since) == (queue, since)
        {
            last.count += 1;
        } else if !due.is_now() {
            self.unkept.push_back(Promised::new(due, Unkept { queue, since, count: 1 }));
        }
    }

    /// Counts how long those messages took that are as safe now as their queues promise.
    pub(super) fn count_kept(&mut self, proof: &Proof) {
        while let Some(promised) = self.unkept.pop_front_if(|promised| promised.is_kept(proof))
            && let Ok(Unkept { queue, since, count }) = promised.keep(proof)
        {
            let took_ns = self.timers.now.saturating_sub(since);
            self.timers.latency.kept.record(took_ns, count);
            if let Some(queue) = self.queues.live_mut(queue.slot, queue.generation) {
                queue.count_kept(took_ns, count);
            }
        }
    }

    /// A queue has done with a message for good; `journaled` is the queue's.
    #[inline]
    pub(super) fn let_go(&mut self, journaled: Option<(QueueUid, Durability)>, entry: &Entry) {
        if !entry.kept.is_none()
            && let Some((uid, durability)) = journaled
        {
            self.settle_kept(uid, durability, entry);
        }
        self.pages.release(entry.message);
    }

    /// A consumer acknowledged a message, or rejected one that has nowhere to go.
    #[inline]
    pub(super) fn acked(&mut self, slot: u32, entry: &Entry, tx: Tx) {
        let journaled = self.queues.get(slot).and_then(|queue| queue.journaled);
        if let Some((uid, durability)) = journaled
            && !tx.is_none()
            && !entry.kept.is_none()
        {
            // It comes back if the commit is not recorded before the server ends.
            let commit = self.commits.of(tx);
            commit.durability = safer(commit.durability, durability);
            commit.settled.push((uid, *entry));
            return;
        }
        self.let_go(journaled, entry);
    }

    /// Everything that a transaction brings to this shard is here. Answers when it is safe.
    pub(super) fn commit(&mut self, tx: Tx) -> Due {
        let Some(Commit { durability, settled, .. }) = self.commits.take(tx) else { return Due::NOW };
        let Some(journal) = &mut self.journal else { return Due::NOW };
        journal.record(kind::COMMITTED, urgency(durability), |out| {
            record::put_tx(out, tx.0);
            settled.iter().for_each(|(uid, entry)| record::put_settlement(out, *uid, entry.sequence));
        });
        let due = Due::when(journal.forming(), durability);
        for (uid, entry) in settled {
            self.keeps.settle(entry.kept, uid);
            self.pages.release(entry.message);
        }
        due
    }

    /// Messages that open commits have acknowledged.
    pub(super) fn uncommitted(&self) -> usize {
        self.commits.open.iter().map(|commit| commit.settled.len()).sum()
    }

    /// A message came back to its queue, which may count that.
    #[inline]
    pub(super) fn came_back(&mut self, slot: u32, entry: &Entry) {
        if !entry.kept.is_none() {
            self.count_return(slot, entry);
        }
    }

    fn count_return(&mut self, slot: u32, entry: &Entry) {
        let Some(queue) = self.queues.get(slot).filter(|queue| queue.counts_returns()) else { return };
        let Some((uid, durability)) = queue.journaled else { return };
        let Some(journal) = &mut self.journal else { return };
        if let Some(place) = self.keeps.returned(entry.kept, uid, entry.returns) {
            journal.record(kind::RETURNED, unhurried(durability), |out| record::put_place(out, &place));
        }
    }

    /// What is left to do for the journal at the end of a batch.
    pub(super) fn tend_journal(&mut self) {
        self.tidy_journal();
        if let Some(journal) = &mut self.journal {
            journal.flush();
        }
    }

    /// Records again some of what holds the oldest segment, if segments take much more than what is live in them; lets
    /// segments go that nothing holds.
    fn tidy_journal(&mut self) {
        let Some(journal) = &mut self.journal else { return };
        // What an open commit brought must not be recorded without it.
        if self.commits.open.is_empty() && !journal.is_behind() {
            let newest = journal.forming().segment();
            let mut bytes = 0;
            while bytes < MOVE_BYTES
                && let Some(kept) = self.keeps.next_to_move(journal.segment_bytes(), newest)
                && let Some(keep) = self.keeps.get(kept)
            {
                let message = self.pages.read(keep.message);
                let to = journal.record(kind::MESSAGE, Urgency::Lazy, |out| {
                    record::put_message(out, Tx::NONE.0, keep.stamp_ms, message.route, message.content);
                    keep.places().iter().for_each(|place| record::put_place(out, place));
                });
                bytes += message.record_bytes();
                self.keeps.moved(kept, to);
            }
        }
        if let Some(oldest) = self.keeps.oldest_if_moved() {
            journal.free_before(oldest);
        }
    }

    /// Puts back what the queues here held when the server ended. They are there, and empty.
    pub(super) fn recover(&mut self, recovered: Recovered, wall_ns: u64) {
        let Recovered { pages, keeps, mut queues, .. } = recovered;
        (self.pages, self.keeps) = (pages, keeps);
        let slots: Vec<u32> = self.queues.iter().map(|(slot, _)| slot).collect();
        for slot in slots {
            let uid = self.queues.get(slot).and_then(|queue| queue.journaled).map(|(uid, _)| uid);
            let Some(held) = uid.and_then(|uid| queues.remove(&uid)) else { continue };
            self.recover_queue(slot, held, wall_ns);
            self.drop_heads(slot);
        }
        // What is left over is of queues that were kept out: it stays in the journal.
    }

    fn recover_queue(&mut self, slot: u32, held: Held, wall_ns: u64) {
        let Rooms { queues, pages, timers, .. } = self;
        let Some(queue) = queues.get_mut(slot) else { return };
        for (sequence, held) in held.messages {
            let HeldMessage { message, kept, stamp_ms, returns, letter, redelivered } = held;
            let read = pages.read(message);
            let mut marks = queue.marks(read.priority(), read.expiration_ms(), letter);
            marks.kept = kept;
            // A stamp is rounded down: what came in the last of that millisecond must not expire early. The wall clock may have
            // been set back meanwhile, or forth.
            let waited_ns = wall_ns.saturating_sub(stamp_ms.saturating_add(1).saturating_mul(1_000_000));
            marks.ttl_ns = marks.ttl_ns.map(|ttl| ttl.saturating_sub(waited_ns));
            let restored = Restored { sequence, message, returns, redelivered, waited_ns };
            queue.restore(&restored, &marks, pages, timers);
        }
        queue.continue_behind(held.last_sequence);
    }

    /// The server stops in order: what a start is to know besides, then that all was said. None: the log ends as the last
    /// process left it.
    pub(super) fn close_journal(&mut self) -> Option<Journal> {
        let mut journal = self.journal.take().filter(|journal| !journal.is_untouched())?;
        let queues = &self.queues;
        for (_, queue) in queues.iter() {
            let Some((uid, _)) = queue.journaled else { continue };
            for entry in queue.entries().filter(|entry| !entry.kept.is_none() && entry.is_redelivered()) {
                let place = Place {
                    queue: uid,
                    sequence: entry.sequence,
                    returns: entry.returns,
                    letter: entry.is_letter(),
                    redelivered: true,
                };
                journal.record(kind::RETURNED, Urgency::Lazy, |out| record::put_place(out, &place));
            }
        }
        journal.record(kind::STOP, Urgency::Sync, |_| ());
        journal.flush_all();
        Some(journal)
    }

    fn settle_kept(&mut self, uid: QueueUid, durability: Durability, entry: &Entry) {
        self.keeps.settle(entry.kept, uid);
        let Some(journal) = &mut self.journal else { return };
        let urgency = unhurried(durability);
        let put = |out: &mut Vec<u8>| record::put_settlement(out, uid, entry.sequence);
        if !journal.extend(self.settled_at, urgency, put) {
            self.settled_at = journal.record(kind::SETTLED, urgency, put);
        }
    }
}

fn urgency(durability: Durability) -> Urgency {
    match durability {
        Durability::Fsync => Urgency::Sync,
        Durability::Os => Urgency::Write,
        Durability::None => Urgency::Lazy,
    }
}

/// Of what nobody waits for.
fn unhurried(durability: Durability) -> Urgency {
    match durability {
        Durability::Fsync => Urgency::Lazy,
        Durability::Os | Durability::None => Urgency::Loose,
    }
}

fn safer(one: Durability, other: Durability) -> Durability {
    if one == Durability::Fsync || other == Durability::Fsync { Durability::Fsync } else { Durability::Os }
}
