//! The end of a channel and of a connection: nothing is lost, and whoever sees close-ok sees it done.
//!
//! ```text
//! channel     AwaitAnswer -> Cancelling -> Requeueing -> AwaitBarriers -> Done
//! connection  its channels -> its exclusive queues -> close-ok -> socket -> slot free
//! ```

use super::Shard;
use super::command::{Ask, Command, Question};
use super::notes::{What, without_octets};
use crate::amqp::method::Method;
use crate::amqp::reply::{ConnectionError, ReplyCode};
use crate::connection::channel::{ChannelState, CloseOk, Pending, TeardownStep};
use crate::connection::{ClosedBy, Closing, Failure, Phase};
use crate::ids::{ChannelNumber, ConnectionId, Requester, ShardId, Tx};
use crate::limits::{CLOSE_OK_TIMEOUT_NS, SWEEP_ENTRIES};
use crate::settlement::Settlement;

impl Shard {
    /// What a client did wrong closes its channel or its connection.
    pub(super) fn fail(&mut self, slot: u32, number: ChannelNumber, failure: Failure) {
        let Some(connection) = self.rooms.outward.connections.get_mut(slot) else { return };
        match failure {
            Failure::Channel(error) => {
                let text = error.reply_text();
                error.encode(number, connection.outbox.buffer());
                self.rooms.outward.touch(slot);
                self.note(slot, What::ChannelFailed { channel: number, text });
                self.begin_channel_close(slot, number, CloseOk::ClientOwes);
            }
            Failure::Connection(error) => {
                if matches!(connection.phase, Phase::Closing(_)) {
                    return;
                }
                error.encode(connection.outbox.buffer());
                self.note_failure(slot, number, without_octets(&error.reply_text()));
                self.begin_close(slot, ClosedBy::Server);
            }
        }
    }

    pub(super) fn begin_channel_close(&mut self, slot: u32, number: ChannelNumber, close_ok: CloseOk) {
        let Some(connection) = self.rooms.outward.connections.get_mut(slot) else { return };
        let Some(channel) = connection.channel(number) else { return };
        if channel.state != ChannelState::Open {
            return;
        }
        channel.state = ChannelState::Closing { step: TeardownStep::AwaitAnswer, close_ok };
        channel.assembly = Default::default();
        channel.blocked = Default::default();
        self.roll_back_at_close(slot, number);
        let Some(channel) = self.channel(slot, number) else { return };
        let parked = std::mem::take(&mut channel.parked);
        self.teardown_step(slot, number);
        // None of it is done any more, but a close of the client's may be among it and must be answered.
        self.run_parked(slot, number, parked);
    }

    /// Goes on as far as no answer is needed.
    pub(super) fn teardown_step(&mut self, slot: u32, number: ChannelNumber) {
        let Some(connection) = self.rooms.outward.connections.get_mut(slot) else { return };
        let id = connection.id;
        let Some(channel) = connection.channel(number) else { return };
        let ChannelState::Closing { step, .. } = channel.state else { return };
        match step {
            TeardownStep::AwaitAnswer if channel.pending.is_none() => self.cancel_consumers(slot, number),
            TeardownStep::Cancelling { left: 0 } => {
                self.set_step(slot, number, TeardownStep::Requeueing);
                self.requeue_channel(id, number);
            }
            TeardownStep::AwaitBarriers { left: 0 } => self.channel_done(slot, number),
            TeardownStep::AwaitAnswer
            | TeardownStep::Cancelling { .. }
            | TeardownStep::Requeueing
            | TeardownStep::AwaitBarriers { .. }
            | TeardownStep::Done => {}
        }
    }

    pub(super) fn teardown_cancelled(&mut self, slot: u32, number: ChannelNumber) {
        self.count_down(slot, number);
    }

    pub(super) fn barrier_passed(&mut self, to: Requester) {
        if to.is_desk() {
            return self.shard_knows(to);
        }
        let Some(channel) = self.rooms.outward.channel(to.connection, to.channel) else {
            return;
        };
        if channel.generation != to.channel_generation {
            return;
        }
        if matches!(channel.pending, Some(Pending::TxCommit { .. })) {
            self.commit_accepted(to);
        } else if !self.recover_count_down(to) {
            self.count_down(to.connection.slot, to.channel);
        }
    }

    /// One more piece of the unacked messages that closing and recovering channels give back.
    pub(super) fn requeue_some(&mut self) {
        if self.may_requeue() && !self.rooms.outward.mesh.is_ahead() {
            for (id, number) in std::mem::take(&mut self.requeueing) {
                self.requeue_channel(id, number);
            }
        }
    }

    /// What goes back must not pile up in the stages of full rings.
    pub(super) fn may_requeue(&self) -> bool {
        !self.requeueing.is_empty() && !self.rooms.outward.mesh.spilled()
    }

    /// No close-ok is to be said or heard any more.
    pub(super) fn no_more_close_ok(&mut self, slot: u32, number: ChannelNumber) {
        let Some(channel) = self.channel(slot, number) else {
            return;
        };
        if let ChannelState::Closing { step, close_ok } = &mut channel.state {
            *close_ok = CloseOk::Nobody;
            if *step == TeardownStep::Done {
                self.free_channel(slot, number);
            }
        }
    }

    /// Takes the connection down. Who closed it says what is still to be said.
    pub(super) fn begin_close(&mut self, slot: u32, by: ClosedBy) {
        let deadline = self.now + CLOSE_OK_TIMEOUT_NS;
        self.rooms.outward.touch(slot);
        let Some(connection) = self.rooms.outward.connections.get_mut(slot) else { return };
        if by == ClosedBy::Gone {
            connection.drop_blocked();
        }
        let parked = connection.any_parked();
        match &mut connection.phase {
            Phase::Closing(closing) => {
                if by == ClosedBy::Gone {
                    closing.by = by;
                }
                return;
            }
            Phase::Refused { later, .. } => {
                self.unauthenticated -= 1;
                if *later {
                    self.guesses.gone(connection.address.ip());
                }
            }
            Phase::Header | Phase::Handshake(_) => self.unauthenticated -= 1,
            Phase::Open if by != ClosedBy::Server && parked => {
                connection.leaving = Some(by);
                return;
            }
            Phase::Open => {}
        }
        let by = match connection.leaving.take() {
            Some(ClosedBy::Gone) => ClosedBy::Gone,
            // Both sides close at once: each answers the other.
            Some(ClosedBy::Client) if by == ClosedBy::Server => {
                connection.reply(ChannelNumber(0), &Method::ConnectionCloseOk {});
                by
            }
            _ => by,
        };
        connection.phase = Phase::Closing(Closing { by, deletions: None, done: false, deadline });
        connection.parked_bytes = 0;
        connection.channels.iter_mut().flatten().for_each(|channel| channel.parked = Default::default());
        let numbers: Vec<ChannelNumber> =
            connection.channels.iter().flatten().map(|channel| channel.number).collect();
        self.schedule(slot, deadline);
        for number in numbers {
            self.begin_channel_close(slot, number, CloseOk::Nobody);
            self.no_more_close_ok(slot, number);
        }
        self.close_step(slot);
        self.resume_if_roomy(slot);
    }

    pub(super) fn close_ok_received(&mut self, slot: u32) {
        self.begin_close(slot, ClosedBy::Gone);
    }

    pub(super) fn exclusive_queue_deleted(&mut self, to: Requester) {
        let Some(connection) = self.rooms.outward.connection(to.connection) else { return };
        if let Phase::Closing(Closing { deletions: Some(left), .. }) = &mut connection.phase {
            *left -= 1;
        }
        self.close_step(to.connection.slot);
    }

    /// The socket is no more, whatever was still to be said.
    pub(super) fn socket_gone(&mut self, slot: u32) {
        self.note_if_vanished(slot);
        self.begin_close(slot, ClosedBy::Gone);
        let Some(connection) = self.rooms.outward.connections.get_mut(slot) else { return };
        connection.socket_gone = true;
        if let Phase::Closing(Closing { done: true, .. }) = connection.phase {
            self.free_connection(slot);
        }
    }

    /// The last parked channel of a connection that is leaving has done what it was sent.
    pub(super) fn leave_if_drained(&mut self, slot: u32) {
        if let Some(connection) = self.rooms.outward.connections.get_mut(slot)
            && !connection.any_parked()
            && let Some(by) = connection.leaving.take()
        {
            self.begin_close(slot, by);
        }
    }

    /// We give the peer up: nothing more is sent, and the shell closes the socket.
    pub(super) fn give_up(&mut self, slot: u32) {
        if let Some(connection) = self.rooms.outward.connections.get_mut(slot) {
            let unsent = connection.outbox.len();
            connection.outbox.sent(unsent);
        }
        self.begin_close(slot, ClosedBy::Gone);
    }

    pub(super) fn close_all(&mut self) {
        let slots: Vec<u32> = self.rooms.outward.connections.iter().map(|(slot, _)| slot).collect();
        for slot in slots {
            let open =
                self.rooms.outward.connections.get(slot).is_some_and(|connection| connection.is_open());
            if open {
                let text = "broker forced connection closure with reason 'shutdown'";
                let error = ConnectionError::new(ReplyCode::ConnectionForced, text, (0, 0));
                self.fail(slot, ChannelNumber(0), error.into());
            } else {
                self.begin_close(slot, ClosedBy::Gone);
            }
        }
    }

    fn cancel_consumers(&mut self, slot: u32, number: ChannelNumber) {
        let requester = self.requester(slot, number);
        let Some(connection) = self.rooms.outward.connections.get_mut(slot) else { return };
        let Some(channel) = connection.channel(number) else { return };
        let handles = channel.consumers.clone();
        let cancels: Vec<Ask> = handles
            .iter()
            .filter_map(|&handle| {
                let end = connection.consumers.get(handle)?;
                let question = Question::Cancel { handle, consumer: end.consumer? };
                Some(Ask { requester, queue: end.queue, question })
            })
            .collect();
        self.set_step(slot, number, TeardownStep::Cancelling { left: cancels.len() as u32 });
        for ask in cancels {
            self.send(ask.queue.shard, Command::Ask(Box::new(ask)));
        }
        self.teardown_step(slot, number);
    }

    /// Gives a piece back to the queues; behind the last piece a barrier goes to each other shard.
    pub(super) fn requeue_channel(&mut self, id: ConnectionId, number: ChannelNumber) {
        let Some(channel) = self.rooms.outward.channel(id, number) else {
            return;
        };
        let last = match channel.pending {
            Some(Pending::Recover { last_tag, .. }) => last_tag,
            _ => u64::MAX,
        };
        let mut unacked = std::mem::take(&mut channel.unacked);
        let mut done = false;
        for _ in 0..SWEEP_ENTRIES {
            let Some(entry) = unacked.pop_up_to(last) else {
                done = true;
                break;
            };
            self.rooms.settle(entry.queue, entry.unacked(), Settlement::Requeue, Tx::NONE);
        }
        if let Some(channel) = self.rooms.outward.channel(id, number) {
            channel.unacked = unacked;
        }
        self.rooms.outward.list_lending(id, number);
        if done {
            self.send_barriers(id.slot, number);
        } else {
            self.requeueing.push((id, number));
        }
    }

    fn send_barriers(&mut self, slot: u32, number: ChannelNumber) {
        let requester = self.requester(slot, number);
        if self.recover_requeued(requester) {
            return;
        }
        let shards = self.rooms.outward.mesh.shards();
        self.set_step(slot, number, TeardownStep::AwaitBarriers { left: u32::from(shards) - 1 });
        for shard in (0..shards).map(ShardId) {
            if shard != self.id {
                self.send(shard, Command::Barrier(requester));
            }
        }
        self.teardown_step(slot, number);
    }

    /// One awaited answer of a teardown has come.
    fn count_down(&mut self, slot: u32, number: ChannelNumber) {
        let Some(channel) = self.channel(slot, number) else {
            return;
        };
        if let ChannelState::Closing {
            step: TeardownStep::Cancelling { left } | TeardownStep::AwaitBarriers { left },
            ..
        } = &mut channel.state
        {
            *left -= 1;
            self.teardown_step(slot, number);
        }
    }

    fn channel_done(&mut self, slot: u32, number: ChannelNumber) {
        self.set_step(slot, number, TeardownStep::Done);
        let Some(connection) = self.rooms.outward.connections.get_mut(slot) else { return };
        let Some(channel) = connection.channel(number) else { return };
        let ChannelState::Closing { close_ok, .. } = channel.state else { return };
        match close_ok {
            CloseOk::WeOwe => {
                connection.reply(number, &Method::ChannelCloseOk {});
                self.rooms.outward.touch(slot);
                self.free_channel(slot, number);
            }
            CloseOk::Nobody => self.free_channel(slot, number),
            CloseOk::ClientOwes => {}
        }
    }

    /// The number may be opened again; frames that came too early are run now.
    fn free_channel(&mut self, slot: u32, number: ChannelNumber) {
        let Some(connection) = self.rooms.outward.connections.get_mut(slot) else { return };
        let Some(channel) = connection.channels[usize::from(number.0)].take() else { return };
        self.rooms.outward.counters.channels_closed += u64::from(!connection.internal);
        let router = self.memos[slot as usize].router;
        self.routers.departed(router, &channel.traffic);
        if matches!(connection.phase, Phase::Closing(_)) {
            self.close_step(slot);
        } else {
            self.run_parked(slot, number, channel.parked);
            self.leave_if_drained(slot);
        }
    }

    /// Goes on once the channels, then the exclusive queues, are gone.
    fn close_step(&mut self, slot: u32) {
        let Some(connection) = self.rooms.outward.connections.get_mut(slot) else { return };
        let Phase::Closing(closing) = &mut connection.phase else { return };
        if closing.done || connection.channels.iter().flatten().next().is_some() {
            return;
        }
        match closing.deletions {
            None => {
                let queues = std::mem::take(&mut connection.exclusive_queues);
                closing.deletions = Some(queues.len() as u32);
                let requester =
                    Requester { connection: connection.id, channel: ChannelNumber(0), channel_generation: 0 };
                for queue in queues {
                    let question = Question::Delete { if_unused: false, if_empty: false };
                    self.send(queue.shard, Command::Ask(Box::new(Ask { requester, queue, question })));
                }
                self.close_step(slot);
            }
            Some(0) => self.all_gone(slot),
            Some(_) => {}
        }
    }

    fn all_gone(&mut self, slot: u32) {
        let Some(connection) = self.rooms.outward.connections.get_mut(slot) else { return };
        let Phase::Closing(closing) = &mut connection.phase else { return };
        closing.done = true;
        // Before close-ok: its client may connect again at once.
        connection.seat = None;
        let (by, socket_gone) = (closing.by, connection.socket_gone);
        if by == ClosedBy::Client {
            closing.by = ClosedBy::Gone;
            connection.reply(ChannelNumber(0), &Method::ConnectionCloseOk {});
            self.rooms.outward.touch(slot);
        }
        if socket_gone {
            self.free_connection(slot);
        }
    }

    fn free_connection(&mut self, slot: u32) {
        if let Some(connection) = self.rooms.outward.connections.remove(slot) {
            self.internal -= usize::from(connection.internal);
            if connection.blocked {
                self.blocked.retain(|id| id.slot != slot);
            }
        }
        self.tell_memo(slot);
        self.memos[slot as usize] = Default::default();
        if self.routers.has_gone() {
            self.drop_routers();
        }
    }

    fn set_step(&mut self, slot: u32, number: ChannelNumber, next: TeardownStep) {
        if let Some(channel) = self.channel(slot, number)
            && let ChannelState::Closing { step, .. } = &mut channel.state
        {
            *step = next;
        }
    }
}
