//! The dead of the queues here go on to their dead letter exchanges.
//!
//! ```text
//! queue --bury--> letters --(rings have room) rewritten, routed--> the queues that take it
//!                                                  \-> sent until the other shards have answered
//! ```
//! The message stays in the pages of the shard where it died until all its queues have accepted or refused it. Full rings
//! pause the letters: nobody's socket can be held back for them.

use std::collections::VecDeque;

use super::Shard;
use super::confirm::Sender;
use super::rooms::{Letter, Rooms};
use crate::death::{self, CycleQueues, Death};
use crate::exchange::Router;
use crate::ids::{Origin, QueueId, QueueUid, Tx};
use crate::limits::LETTERS;
use crate::message::Message;
use crate::queue::Entry;
use crate::queue_args::Durability;

impl Shard {
    /// Whether some letter can go on.
    pub(super) fn may_send_letters(&self) -> bool {
        !self.rooms.letters.is_empty() && !self.rooms.outward.mesh.spilled()
    }

    /// A piece of the letters.
    pub(super) fn send_letters(&mut self) {
        for _ in 0..LETTERS {
            if !self.may_send_letters() {
                return;
            }
            let Some(Letter { dead, to, from }) = self.rooms.letters.pop_front() else { return };
            let died = self.rooms.pages.read(dead.entry.message);
            let death = Death { reason: dead.reason, queue: &to.queue, time_s: self.wall_s };
            let record =
                death::letter(&died, dead.entry.is_letter(), &death, &to.exchange, to.routing_key.as_deref());
            let shards = self.send_letter(&to.vhost, &record);
            if shards == 0 {
                // In the journal it goes behind what took its place.
                self.rooms.let_go(from, &dead.entry);
            } else {
                self.rooms.sent.push(dead.entry, from, shards);
            }
        }
    }

    /// Answers how many other shards it went to. An exchange that is not there, like one that leads nowhere, is the end of
    /// the message: so it is with RabbitMQ.
    fn send_letter(&mut self, vhost: &[u8], record: &[u8]) -> u16 {
        let message = Message::from_record(record);
        let Some(router) = self.routers.of_mut(vhost) else { return 0 };
        let Ok(resolved) = router.resolve_letter(&message) else { return 0 };
        let mut targets = router.targets(resolved.list).to_vec();
        let cyclic = death::cycle_queues(&message);
        targets.retain(|target| !is_cyclic(router, &cyclic, *target));
        self.rooms.outward.counters.dead_lettered += 1;
        let spread = self.rooms.spread(&targets, &message, None, true, Origin { letter: true, tx: Tx::NONE });
        if spread.elsewhere > 0 {
            self.confirming.await_all(self.id, &targets, Sender::Letters, self.rooms.sent.next());
        }
        spread.elsewhere
    }
}

fn is_cyclic(router: &Router, queues: &CycleQueues<'_>, target: QueueId) -> bool {
    let mut ids = queues.names().filter_map(|name| router.queue(name)).map(|route| route.id);
    ids.any(|id| id == target) || queues.is_full()
}

impl Rooms {
    /// A shard answered for letters: what nobody owes an answer for is let go.
    pub(super) fn letters_answered(&mut self, first: u64, count: u32) {
        self.sent.answered(first, count);
        while let Some(SentLetter { entry, from, .. }) = self.sent.take() {
            self.let_go(from, &entry);
        }
    }
}

/// A letter that waits for answers.
struct SentLetter {
    /// As it was in the queue where it died.
    entry: Entry,
    /// That queue, if it is in the journal.
    from: Option<(QueueUid, Durability)>,
    /// How many shards still owe an answer.
    shards: u16,
}

/// Letters that other shards have not answered for, oldest first.
#[derive(Default)]
pub struct SentLetters {
    /// The number of the oldest.
    first: u64,
    waiting: VecDeque<SentLetter>,
}

impl SentLetters {
    /// The number of the letter that is sent next.
    fn next(&self) -> u64 {
        self.first + self.waiting.len() as u64
    }

    fn push(&mut self, entry: Entry, from: Option<(QueueUid, Durability)>, shards: u16) {
        self.waiting.push_back(SentLetter { entry, from, shards });
    }

    /// A shard answered for so many letters from a number on.
    fn answered(&mut self, first: u64, count: u32) {
        for number in first..first + u64::from(count) {
            self.waiting[(number - self.first) as usize].shards -= 1;
        }
    }

    /// The oldest, if nobody owes an answer for it.
    fn take(&mut self) -> Option<SentLetter> {
        let letter = self.waiting.pop_front_if(|letter| letter.shards == 0)?;
        self.first += 1;
        Some(letter)
    }

    pub fn len(&self) -> usize {
        self.waiting.len()
    }
}
