//! Answers come back to a parked channel: the reply is written and the frames that waited are run.

use super::Shard;
use super::command::{Answer, Ask, Command, Got, Question, Reply};
use crate::amqp::frame;
use crate::amqp::method::Method;
use crate::amqp::reply::{ChannelError, ReplyCode};
use crate::amqp::wire::ShortStr;
use crate::connection::channel::{ChannelState, ParkedFrames, Pending};
use crate::connection::deliver::append_content;
use crate::connection::{Connection, Failure, UnackedTag};
use crate::ids::{ChannelNumber, ConsumerId, Requester, Tx};
use crate::limits::{FRAME_MAX_BYTES, FRAME_SLACK_BYTES};
use crate::message::Message;
use crate::queue::ConsumerAt;
use crate::settlement::Settlement;
use crate::topology::Outcome;

impl Shard {
    /// The topology's answer.
    pub(super) fn on_outcome(&mut self, to: Requester, outcome: Outcome) {
        let Some(pending) = self.take_pending(to) else { return };
        let (slot, number) = (to.connection.slot, to.channel);
        match outcome {
            Outcome::Ok => self.done(slot, number, &pending),
            Outcome::QueueDeclared { id, name, existed } => {
                let Pending::QueueDeclare { nowait, exclusive } = pending else { return };
                if let Some(connection) = self.rooms.outward.connections.get_mut(slot) {
                    if exclusive && !existed {
                        connection.exclusive_queues.push(id);
                    }
                    if let Some(channel) = connection.channel(number) {
                        channel.last_queue = Some(Box::from(&*name));
                    }
                }
                if existed {
                    // Its counts are known to its shard alone, and behind what this channel published before.
                    self.ask_counts(to, id, Pending::QueueCounts { nowait, name: Box::from(&*name) });
                    return;
                }
                self.write(slot, number, nowait, |connection| {
                    connection.reply(number, &declare_ok(&name, 0, 0));
                });
            }
            Outcome::Several { done, refused } => {
                let Pending::QueueBinds { nowait } = pending else { return };
                for &nowait in nowait.iter().take(done as usize) {
                    self.write(slot, number, nowait, |connection| {
                        connection.reply(number, &Method::QueueBindOk {});
                    });
                }
                if let Some(error) = refused {
                    self.fail_pending(slot, number, error.into());
                }
            }
            Outcome::NameTaken => self.fail_pending(slot, number, name_taken()),
            Outcome::SoftError(error) => self.fail_pending(slot, number, error.into()),
        }
        self.answered(to);
    }

    /// A queue's answer.
    pub(super) fn on_answer(&mut self, answer: Answer) {
        let Answer { requester: to, reply } = answer;
        let (slot, number) = (to.connection.slot, to.channel);
        match reply {
            Reply::Cancelled { handle } => {
                self.cancelled(to, handle);
                return;
            }
            Reply::Deleted { .. } if number == ChannelNumber(0) => {
                self.exclusive_queue_deleted(to);
                return;
            }
            _ => {}
        }
        let Some(pending) = self.take_pending(to) else {
            self.return_unwanted(reply);
            return;
        };
        match (pending, reply) {
            (Pending::Consume { handle, nowait, .. }, Reply::Consuming { consumer }) => {
                self.consuming(to, handle, consumer, nowait);
            }
            (Pending::Consume { handle, .. }, Reply::Refused(error)) => {
                self.forget_consumer(slot, number, handle);
                self.fail_pending(slot, number, error.into());
            }
            (Pending::Consume { handle, queue, .. }, Reply::NotFound) => {
                self.forget_consumer(slot, number, handle);
                let failure = self.no_queue(slot, &queue, (60, 20));
                self.fail_pending(slot, number, failure);
            }
            (Pending::Get { .. }, Reply::Got(got)) => self.got(slot, number, &got),
            (Pending::Get { .. }, Reply::Empty) => {
                self.write(slot, number, false, |connection| {
                    connection.reply(number, &Method::BasicGetEmpty {})
                });
            }
            (Pending::QueuePurge { nowait, .. }, Reply::Purged { messages }) => {
                let purged = Method::QueuePurgeOk { message_count: messages };
                self.write(slot, number, nowait, |connection| connection.reply(number, &purged));
            }
            (Pending::QueueDelete { nowait, gone }, Reply::Deleted { messages }) => {
                let deleted = Method::QueueDeleteOk { message_count: messages };
                self.write(slot, number, nowait, |connection| connection.reply(number, &deleted));
                for handle in gone {
                    self.consumer_gone(ConsumerAt { connection: to.connection, handle });
                }
            }
            (Pending::QueueCounts { nowait, name }, Reply::Counts { messages, consumers }) => {
                if let Some(channel) = self.channel(slot, number) {
                    channel.last_queue = Some(name.clone());
                }
                self.write(slot, number, nowait, |connection| {
                    connection.reply(number, &declare_ok(&name, messages, consumers));
                });
            }
            (Pending::QueueCounts { name, .. }, Reply::NotFound) => {
                let failure = self.no_queue(slot, &name, (50, 10));
                self.fail_pending(slot, number, failure);
            }
            (Pending::Get { queue }, Reply::NotFound) => {
                let failure = self.no_queue(slot, &queue, (60, 70));
                self.fail_pending(slot, number, failure);
            }
            (Pending::QueuePurge { queue, .. }, Reply::NotFound) => {
                let failure = self.no_queue(slot, &queue, (50, 30));
                self.fail_pending(slot, number, failure);
            }
            (_, Reply::Refused(error)) => self.fail_pending(slot, number, error.into()),
            (pending, _) => debug_assert!(false, "no such answer to {pending:?}"),
        }
        self.answered(to);
    }

    /// The queue of a consumer is gone.
    pub(super) fn consumer_gone(&mut self, at: ConsumerAt) {
        let Some(connection) = self.rooms.outward.connection(at.connection) else { return };
        let Some(end) = connection.consumers.get(at.handle) else { return };
        let (number, tag) = (end.channel, end.tag.clone());
        let Some(channel) = connection.channel(number) else { return };
        let cancelling =
            matches!(channel.pending, Some(Pending::Cancel { handle, .. }) if handle == at.handle);
        if cancelling || channel.state != ChannelState::Open {
            // The answer to its cancellation is under way and will take it away.
            return;
        }
        if let Some(Pending::QueueDelete { gone, .. }) = &mut channel.pending {
            return gone.push(at.handle);
        }
        let slot = at.connection.slot;
        let wanted =
            connection.session.as_ref().is_some_and(|session| session.capabilities.consumer_cancel_notify);
        self.forget_consumer(slot, number, at.handle);
        if wanted {
            let cancel = Method::BasicCancel { consumer_tag: super::short(&tag), nowait: true };
            self.write(slot, number, false, |connection| connection.reply_behind(number, &cancel));
        }
    }

    fn cancelled(&mut self, to: Requester, handle: u32) {
        let (slot, number) = (to.connection.slot, to.channel);
        let Some(connection) = self.rooms.outward.connection(to.connection) else { return };
        let tag = connection.consumers.get(handle).map(|end| end.tag.clone());
        let Some(channel) = connection.channel(number) else { return };
        if channel.generation != to.channel_generation {
            return;
        }
        let pending = match channel.pending {
            Some(Pending::Cancel { handle: awaited, nowait }) if awaited == handle => {
                channel.pending = None;
                Some(nowait)
            }
            _ => None,
        };
        self.forget_consumer(slot, number, handle);
        match pending {
            Some(nowait) => {
                if let Some(tag) = tag {
                    let ok = Method::BasicCancelOk { consumer_tag: super::short(&tag) };
                    self.write(slot, number, nowait, |connection| connection.reply(number, &ok));
                }
                self.answered(to);
            }
            None => self.teardown_cancelled(slot, number),
        }
    }

    fn consuming(&mut self, to: Requester, handle: u32, consumer: ConsumerId, nowait: bool) {
        let (slot, number) = (to.connection.slot, to.channel);
        self.write(slot, number, nowait, |connection| {
            if let Some(end) = connection.consumers.get(handle) {
                let ok = Method::BasicConsumeOk { consumer_tag: super::short(&end.tag) };
                ok.encode(number, connection.outbox.buffer());
            }
        });
        if let Some(connection) = self.rooms.outward.connections.get_mut(slot)
            && let Some(end) = connection.consumers.get_mut(handle)
        {
            end.consumer = Some(consumer);
        }
        self.rooms.outward.list_lending(to.connection, number);
    }

    fn got(&mut self, slot: u32, number: ChannelNumber, got: &Got) {
        let message = Message::from_record(&got.record);
        let mut taken = false;
        self.write(slot, number, false, |connection| {
            let frame_max = connection.frame_max;
            let Some(channel) = connection.channel(number) else { return };
            let delivery_tag = channel.take_tag();
            if let Some(unacked) = got.unacked {
                channel.unacked.push(UnackedTag::fetched(delivery_tag, got.queue, unacked));
            }
            let ok = Method::BasicGetOk {
                delivery_tag,
                redelivered: got.redelivered,
                exchange: super::short(message.exchange()),
                routing_key: super::short(message.routing_key()),
                message_count: got.left,
            };
            connection.reply(number, &ok);
            append_content(message.content, number, frame_max, connection.outbox.buffer());
            taken = true;
        });
        if taken {
            self.rooms.outward.counters.delivered += 1;
            self.rooms.outward.unflushed += got.record.len();
        } else if let Some(unacked) = got.unacked {
            self.rooms.settle(got.queue, unacked, Settlement::Undelivered, Tx::NONE);
        }
    }

    /// Nobody waits for this any more; what it brought goes back.
    fn return_unwanted(&mut self, reply: Reply) {
        if let Reply::Got(Got { queue, unacked: Some(unacked), .. }) = reply {
            self.rooms.settle(queue, unacked, Settlement::Undelivered, Tx::NONE);
        }
    }

    fn ask_counts(&mut self, to: Requester, queue: crate::ids::QueueId, pending: Pending) {
        if let Some(channel) = self.rooms.outward.channel(to.connection, to.channel) {
            channel.pending = Some(pending);
        }
        let ask = Ask { requester: to, queue, question: Question::Counts };
        self.send(queue.shard, Command::Ask(Box::new(ask)));
    }

    /// The reply to a request that leaves nothing to tell.
    pub(super) fn done(&mut self, slot: u32, number: ChannelNumber, pending: &Pending) {
        let (nowait, method) = match *pending {
            Pending::ExchangeDeclare { nowait } => (nowait, Method::ExchangeDeclareOk {}),
            Pending::ExchangeDelete { nowait } => (nowait, Method::ExchangeDeleteOk {}),
            Pending::ExchangeBind { nowait } => (nowait, Method::ExchangeBindOk {}),
            Pending::ExchangeUnbind { nowait } => (nowait, Method::ExchangeUnbindOk {}),
            Pending::QueueBind { nowait } => (nowait, Method::QueueBindOk {}),
            Pending::QueueUnbind => (false, Method::QueueUnbindOk {}),
            Pending::TxCommit { .. } => (false, Method::TxCommitOk {}),
            Pending::QueueDeclare { .. }
            | Pending::QueueCounts { .. }
            | Pending::QueueBinds { .. }
            | Pending::QueuePurge { .. }
            | Pending::QueueDelete { .. }
            | Pending::Consume { .. }
            | Pending::Cancel { .. }
            | Pending::Get { .. }
            | Pending::Qos
            | Pending::Recover { .. } => {
                debug_assert!(false, "{pending:?} has an answer of its own");
                return;
            }
        };
        self.write(slot, number, nowait, |connection| connection.reply(number, &method));
    }

    /// Writes to an open channel, unless nobody wants to hear.
    pub(super) fn write(
        &mut self,
        slot: u32,
        number: ChannelNumber,
        nowait: bool,
        write: impl FnOnce(&mut Connection),
    ) {
        if nowait {
            return;
        }
        let Some(connection) = self.rooms.outward.connections.get_mut(slot) else { return };
        if connection.channel(number).is_some_and(|channel| channel.state == ChannelState::Open) {
            write(connection);
            self.rooms.outward.touch(slot);
        }
    }

    /// An error for a channel that may be going already; then nobody wants to hear of it.
    pub(super) fn fail_pending(&mut self, slot: u32, number: ChannelNumber, failure: Failure) {
        let open = self.channel(slot, number).is_some_and(|channel| channel.state == ChannelState::Open);
        if open {
            self.fail(slot, number, failure);
        }
    }

    pub(super) fn take_pending(&mut self, to: Requester) -> Option<Pending> {
        let channel = self.rooms.outward.connection(to.connection)?.channel(to.channel)?;
        if channel.generation != to.channel_generation {
            return None;
        }
        channel.pending.take()
    }

    /// The channel waits no longer: its teardown goes on, or the frames that came meanwhile are run.
    pub(super) fn answered(&mut self, to: Requester) {
        let (slot, number) = (to.connection.slot, to.channel);
        let Some(channel) = self.rooms.outward.channel(to.connection, number) else {
            return;
        };
        if channel.pending.is_some() {
            return;
        }
        match channel.state {
            ChannelState::Open => self.replay(slot, number),
            ChannelState::Closing { .. } => self.teardown_step(slot, number),
        }
        self.leave_if_drained(slot);
    }

    /// Runs the frames that waited, until the channel is parked again.
    pub(super) fn replay(&mut self, slot: u32, number: ChannelNumber) {
        if let Some(channel) = self.channel(slot, number) {
            let frames = std::mem::take(&mut channel.parked);
            self.run_parked(slot, number, frames);
        }
        self.resume_if_roomy(slot);
    }

    /// Frames of one channel number; they may close the channel and open its next life.
    pub(super) fn run_parked(&mut self, slot: u32, number: ChannelNumber, mut frames: ParkedFrames) {
        while !frames.is_empty() {
            let Some(connection) = self.rooms.outward.connections.get_mut(slot) else { return };
            if !connection.is_open() {
                return;
            }
            if let Some(channel) = connection.channel(number)
                && channel.is_parked()
            {
                channel.parked = frames;
                return;
            }
            let bytes = frames.rest();
            let Ok(Some((frame, taken))) = frame::decode(bytes, FRAME_MAX_BYTES + FRAME_SLACK_BYTES) else {
                debug_assert!(false, "only whole frames are parked");
                return;
            };
            connection.parked_bytes -= taken;
            if let Some(binds) = self.bind_several(slot, number, bytes) {
                if let Some(connection) = self.rooms.outward.connections.get_mut(slot) {
                    connection.parked_bytes -= binds - taken;
                }
                frames.advance(binds);
                continue;
            }
            if self.waits_for_alarm(slot, &frame, &bytes[..taken]) {
                frames.advance(taken);
                continue;
            }
            if let Err(failure) = self.run_frame(slot, &frame, &bytes[..taken]) {
                self.fail(slot, number, failure);
            }
            frames.advance(taken);
        }
    }

    fn forget_consumer(&mut self, slot: u32, number: ChannelNumber, handle: u32) {
        let Some(connection) = self.rooms.outward.connections.get_mut(slot) else { return };
        let id = connection.id;
        connection.end_loan(number, handle);
        connection.consumers.remove(handle);
        connection.used.retain(|&used| used != handle);
        if let Some(channel) = connection.channel(number) {
            channel.consumers.retain(|&consumer| consumer != handle);
        }
        self.rooms.outward.list_lending(id, number);
    }
}

fn declare_ok(name: &[u8], message_count: u32, consumer_count: u32) -> Method<'_> {
    Method::QueueDeclareOk {
        queue: ShortStr::new(name).unwrap_or(ShortStr::EMPTY),
        message_count,
        consumer_count,
    }
}

fn name_taken() -> Failure {
    ChannelError::new(ReplyCode::ResourceLocked, "the name that the server gave is taken", (50, 10)).into()
}
