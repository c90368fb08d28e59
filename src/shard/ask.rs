//! The queue's side of a request: its shard decides, and answers behind what it delivered before.

use super::Shard;
use super::command::{Answer, Ask, Command, Got, Question, QueueAt, Reply, Waiter};
use super::rooms::Rooms;
use crate::amqp::reply::{ChannelError, ReplyCode};
use crate::death;
use crate::ids::{QueueId, Requester, ShardId};
use crate::queue::{ConsumerAt, Queue};

impl Shard {
    pub(super) fn on_ask(&mut self, ask: Ask) {
        let Ask { requester, queue: id, question } = ask;
        let reply = match self.rooms.queues.live_mut(id.slot, id.generation) {
            Some(queue) if !queue.dying => self.judge(requester, id, question),
            Some(_) => self.wait_for_end(requester, id, question),
            None => Some(absent(question)),
        };
        match reply {
            // In line: that its queue is gone may wait here for this consumer, and must not find another by that handle.
            Some(reply @ Reply::Cancelled { .. }) => self.answer(requester, reply),
            // At once: a command that waits here may let a channel publish, whose delivery would overtake consume-ok.
            Some(reply) if requester.connection.shard == self.id => {
                self.on_answer(Answer { requester, reply })
            }
            Some(reply) => self.answer(requester, reply),
            None => {}
        }
    }

    pub(super) fn answer(&mut self, requester: Requester, reply: Reply) {
        self.send(requester.connection.shard, Command::Answer(Box::new(Answer { requester, reply })));
    }

    /// The answer, unless it comes when the queue is gone.
    fn judge(&mut self, requester: Requester, id: QueueId, question: Question) -> Option<Reply> {
        let queue = self.rooms.queues.live_mut(id.slot, id.generation)?;
        match question {
            Question::Consume { handle, terms } => {
                if !queue.admits(terms.exclusive) {
                    let text = format!("{} in exclusive use", queue.text());
                    return Some(Reply::Refused(ChannelError::new(ReplyCode::AccessRefused, text, (60, 20))));
                }
                let at = ConsumerAt { connection: requester.connection, handle };
                let consumer = queue.add_consumer(at, terms, &mut self.rooms.timers);
                self.rooms.list(id.slot);
                Some(Reply::Consuming { consumer })
            }
            Question::Cancel { handle, consumer } => {
                let ends = queue.remove_consumer(consumer, &mut self.rooms.timers);
                let reply = Reply::Cancelled { handle };
                // Another may be the active one now.
                self.rooms.list(id.slot);
                if ends {
                    // Whoever has seen cancel-ok of the last consumer finds an auto-delete queue gone.
                    self.end_queue(id, Some(Waiter { requester, reply }));
                    return None;
                }
                Some(reply)
            }
            Question::Get { no_ack } => Some(self.get(id, no_ack)),
            Question::Purge => {
                let messages = queue.ready_count() as u32;
                let doomed = queue.purge();
                self.rooms.doomed.push(doomed);
                Some(Reply::Purged { messages })
            }
            Question::Counts => {
                queue.used(&mut self.rooms.timers);
                Some(counts(queue))
            }
            Question::Delete { if_unused, if_empty } => {
                if let Some(error) = refuse_delete(queue, if_unused, if_empty) {
                    return Some(Reply::Refused(error));
                }
                let messages = queue.ready_count() as u32;
                self.end_queue(id, Some(Waiter { requester, reply: Reply::Deleted { messages } }));
                None
            }
        }
    }

    fn get(&mut self, id: QueueId, no_ack: bool) -> Reply {
        let Rooms { queues, pages, timers, .. } = &mut self.rooms;
        let Some(queue) = queues.live_mut(id.slot, id.generation) else { return Reply::NotFound };
        let Some((entry, unacked)) = queue.take(no_ack, pages, timers) else { return Reply::Empty };
        let message = pages.read(entry.message);
        let record = if entry.returns > 0 && queue.counts_returns() {
            death::with_delivery_count(&message, u64::from(entry.returns))
        } else {
            [message.route, message.content].concat()
        };
        let (left, journaled) = (queue.ready_count() as u32, queue.journaled);
        if unacked.is_none() {
            self.rooms.let_go(journaled, &entry);
        }
        Reply::Got(Got { queue: id, unacked, redelivered: entry.is_redelivered(), left, record })
    }

    /// A queue on its way out: a deletion or a cancellation is answered when it is gone, the rest finds nothing.
    fn wait_for_end(&mut self, requester: Requester, id: QueueId, question: Question) -> Option<Reply> {
        match question {
            Question::Delete { .. } => {
                self.rooms.waiters.push((id, Waiter { requester, reply: Reply::Deleted { messages: 0 } }));
                None
            }
            Question::Consume { .. }
            | Question::Cancel { .. }
            | Question::Get { .. }
            | Question::Purge
            | Question::Counts => Some(absent(question)),
        }
    }

    /// Marks the queue dying in one step; control makes the removal known, then `queue_gone` frees the slot.
    pub(super) fn end_queue(&mut self, id: QueueId, waiter: Option<Waiter>) {
        let Some(queue) = self.rooms.queues.live_mut(id.slot, id.generation) else { return };
        let (vhost, name) = (queue.vhost.clone(), queue.name.clone());
        let consumers = queue.die(&mut self.rooms.timers);
        self.rooms.waiters.extend(waiter.map(|waiter| (id, waiter)));
        for at in consumers {
            self.send(at.connection.shard, Command::ConsumerGone(at));
        }
        self.send(ShardId::CONTROL, Command::QueueDying(Box::new(QueueAt { vhost, name, id })));
    }

    /// It ends with its vhost, unless it is ending already.
    pub(super) fn end_if_live(&mut self, id: QueueId) {
        if self.rooms.queues.live(id.slot, id.generation).is_some_and(|queue| !queue.dying) {
            self.end_queue(id, None);
        }
    }

    /// No router leads to the queue any more.
    pub(super) fn queue_gone(&mut self, id: QueueId) {
        let removed = self.rooms.queues.remove(id.slot);
        self.rooms.outward.counters.queues_deleted += 1;
        debug_assert!(removed.as_ref().is_some_and(|it| it.id == id && it.dying), "a queue dies once");
        self.rooms.doomed.extend(removed.map(Queue::remains));
        let (gone, kept) = std::mem::take(&mut self.rooms.waiters).into_iter().partition(|(of, _)| *of == id);
        self.rooms.waiters = kept;
        let gone: Vec<(QueueId, Waiter)> = gone;
        for (_, Waiter { requester, reply }) in gone {
            self.answer(requester, reply);
        }
    }
}

fn counts(queue: &Queue) -> Reply {
    Reply::Counts { messages: queue.ready_count() as u32, consumers: queue.consumer_count() as u32 }
}

fn refuse_delete(queue: &Queue, if_unused: bool, if_empty: bool) -> Option<ChannelError> {
    let why = if if_empty && queue.ready_count() > 0 {
        "not empty"
    } else if if_unused && queue.consumer_count() > 0 {
        "in use"
    } else {
        return None;
    };
    let text = format!("{} {why}", queue.text());
    Some(ChannelError::new(ReplyCode::PreconditionFailed, text, (50, 40)))
}

/// The answer for a queue that is not there.
fn absent(question: Question) -> Reply {
    match question {
        Question::Cancel { handle, .. } => Reply::Cancelled { handle },
        Question::Delete { .. } => Reply::Deleted { messages: 0 },
        Question::Consume { .. } | Question::Get { .. } | Question::Purge | Question::Counts => {
            Reply::NotFound
        }
    }
}
