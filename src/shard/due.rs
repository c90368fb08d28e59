//! What the clock brings: messages that have waited their time, consumers that are too slow, queues that nobody uses.

use super::Shard;
use super::command::Command;
use crate::amqp::reply::{ChannelError, ReplyCode};
use crate::connection::channel::ChannelState;
use crate::ids::Tx;
use crate::journal::Journal;
use crate::limits::TIMER_STEPS;
use crate::queue::{Due, Overdue};
use crate::settlement::Settlement;
use crate::wheel::TimerId;

impl Shard {
    /// When the shell should call again, at the latest, by the clock of `now`.
    pub fn next_due(&self) -> Option<u64> {
        let lazy_at = self.rooms.journal.as_ref().and_then(Journal::next_at);
        self.rooms.timers.next_at().into_iter().chain(lazy_at).min()
    }

    /// Some of what was due may be left.
    pub(super) fn is_behind(&self) -> bool {
        self.rooms.timers.next_at().is_some_and(|at| at <= self.now)
    }

    /// Takes what is due, in pieces.
    pub(super) fn take_due(&mut self) {
        let mut steps = TIMER_STEPS;
        while let Some((timer, due)) = self.rooms.timers.due(&mut steps) {
            match due {
                Due::Expiry { queue, priority, sequence } => {
                    self.rooms.expire(timer, queue, priority, sequence);
                }
                Due::Settling { queue, unacked } => self.too_slow(timer, queue, unacked),
                Due::Idle { queue } => self.idle(timer, queue),
            }
        }
    }

    /// The messages of a queue that ends like this are not dead-lettered: so it is with RabbitMQ.
    fn idle(&mut self, timer: TimerId, slot: u32) {
        if let Some(queue) = self.rooms.queues.get(slot)
            && queue.is_idle(timer)
        {
            self.end_queue(queue.id, None);
            self.run_local();
        }
    }

    /// The queue lets the consumer go; its connection hears of it behind what it was sent.
    fn too_slow(&mut self, timer: TimerId, slot: u32, unacked: u32) {
        let Some(queue) = self.rooms.queues.get_mut(slot) else { return };
        let Some((consumer, overdue)) = queue.overdue(timer, unacked, &mut self.rooms.timers) else { return };
        let id = queue.id;
        let ends = queue.remove_consumer(consumer, &mut self.rooms.timers);
        self.send(overdue.consumer.connection.shard, Command::Overdue(Box::new(overdue)));
        if ends {
            self.end_queue(id, None);
        }
        self.rooms.list(slot);
        self.run_local();
    }

    /// A consumer here did not settle in time, and its queue has let it go. A client that understands it is told that the
    /// consumer is cancelled, and what that had goes back; else the channel is closed, as RabbitMQ does.
    pub(super) fn overdue(&mut self, overdue: Overdue) {
        let Overdue { consumer: at, queue, unacked, timeout_ms } = overdue;
        let Some(connection) = self.rooms.outward.connection(at.connection) else { return };
        let Some(number) = connection.consumers.get(at.handle).map(|end| end.channel) else { return };
        let understood =
            connection.session.as_ref().is_some_and(|session| session.capabilities.consumer_cancel_notify);
        let Some(channel) = connection.channel(number) else { return };
        if channel.state != ChannelState::Open {
            return;
        }
        if !understood {
            let text = format!(
                "delivery acknowledgement on channel {} timed out. Timeout value used: {timeout_ms} ms. \
                 This timeout value can be configured, see consumers doc guide to learn more",
                number.0
            );
            let error = ChannelError::new(ReplyCode::PreconditionFailed, text, (0, 0));
            return self.fail(at.connection.slot, number, error.into());
        }
        let returned = channel.unacked.take_back(queue, &unacked);
        for unacked in returned {
            self.rooms.settle(queue, unacked, Settlement::Requeue, Tx::NONE);
        }
        self.consumer_gone(at);
    }
}
