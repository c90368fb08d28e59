//! The dead of the queues here go on to their dead letter exchanges.
//!
//! ```text
//! queue --bury--> letters --(rings have room) rewritten, routed--> the queues that take it
//! ```
//! A letter stays in its list, and with it its message in the pages, until it was written to all its queues here and into
//! the parcels for the others. Full rings pause it: nobody's socket can be held back for it.

use super::Shard;
use super::rooms::Letter;
use crate::death::{self, CycleQueues, Death};
use crate::ids::QueueId;
use crate::limits::LETTERS;
use crate::message::Message;

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
            let Some(Letter { dead, to }) = self.rooms.letters.pop_front() else { return };
            let died = self.rooms.pages.read(dead.message);
            let death = Death { reason: dead.reason, queue: &to.queue, time_s: self.wall_s };
            let record = death::letter(&died, dead.letter, &death, &to.exchange, to.routing_key.as_deref());
            self.rooms.pages.release(dead.message);
            self.send_letter(&record);
        }
    }

    /// An exchange that is not there, like one that leads nowhere, is the end of the message: so it is with RabbitMQ.
    fn send_letter(&mut self, record: &[u8]) {
        let message = Message::from_record(record);
        let Ok(resolved) = self.router.resolve_letter(&message) else { return };
        let mut targets = self.router.targets(resolved.list).to_vec();
        let cyclic = death::cycle_queues(&message);
        targets.retain(|target| !self.is_cyclic(&cyclic, *target));
        self.rooms.outward.counters.dead_lettered += 1;
        self.rooms.spread(&targets, &message, None, false, true);
    }

    fn is_cyclic(&self, queues: &CycleQueues<'_>, target: QueueId) -> bool {
        let mut ids = queues.names().filter_map(|name| self.router.queue(name)).map(|route| route.id);
        ids.any(|id| id == target) || queues.is_full()
    }
}
