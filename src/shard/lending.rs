//! basic.qos, and the credit that channels with a limit of their own lend to the queues of their consumers.
//!
//! ```text
//! ack, want, returned -> list_lending -> (end of the batch) lend -> Lend, Recall -> queue's shard
//! ```

use super::Shard;
use super::outward::Outward;
use super::rooms::Rooms;
use crate::amqp::method::Method;
use crate::amqp::reply::{ConnectionError, ReplyCode};
use crate::connection::Failure;
use crate::connection::channel::Pending;
use crate::connection::limit::Lending;
use crate::ids::{ChannelNumber, ConnectionId, ConsumerId, QueueId, Requester};
use crate::limits::PUMP_DELIVERIES;
use crate::mesh::parcel::{Recall, Record, Returned};
use crate::queue::{ConsumerAt, NO_LIMIT, Queue};

impl Shard {
    /// With `global` the count is for all consumers of the channel together. Without, it is for each of those to come,
    /// and lifts the limit of the channel: whoever wants both sets that last, as with RabbitMQ.
    pub(super) fn qos(
        &mut self,
        slot: u32,
        number: ChannelNumber,
        size: u32,
        count: u16,
        global: bool,
    ) -> Result<(), Failure> {
        if size != 0 {
            let text = format!("prefetch_size!=0 ({size})");
            return Err(ConnectionError::new(ReplyCode::NotImplemented, text, (60, 10)).into());
        }
        if !global {
            self.with_channel(slot, number, |channel| channel.prefetch = count);
        }
        let requester = self.requester(slot, number);
        let Some(connection) = self.rooms.outward.connections.get_mut(slot) else { return Ok(()) };
        connection.set_limit(number, if global { u32::from(count) } else { 0 }, &mut self.lendings);
        self.rooms.carry(requester, &mut self.lendings);
        let Some(connection) = self.rooms.outward.connections.get_mut(slot) else { return Ok(()) };
        if !connection.limit_holds(number, &mut self.lendings) {
            self.park(slot, number, Pending::Qos);
            return Ok(());
        }
        self.rooms.carry(requester, &mut self.lendings);
        self.rooms.outward.list_lending(requester.connection, number);
        self.reply(slot, number, false, &Method::BasicQosOk {})
    }

    /// Channels with a limit lend what has become free.
    pub(super) fn lend(&mut self) {
        for _ in 0..self.rooms.outward.lending.len() {
            let Some((id, number)) = self.rooms.outward.lending.pop_front() else { return };
            let Some(connection) = self.rooms.outward.connection(id) else { continue };
            if connection.lend(number, &mut self.lendings) {
                self.rooms.outward.lending.push_back((id, number));
            }
            let requester = self.requester(id.slot, number);
            self.rooms.carry(requester, &mut self.lendings);
            self.limit_changed(requester);
        }
        self.run_local();
    }

    /// Answers a basic.qos that waits, if the limit that it asked for holds now.
    fn limit_changed(&mut self, to: Requester) {
        let (slot, number) = (to.connection.slot, to.channel);
        let Some(connection) = self.rooms.outward.connection(to.connection) else { return };
        let asked = |pending: &Option<Pending>| matches!(pending, Some(Pending::Qos));
        if !connection.channel(number).is_some_and(|channel| asked(&channel.pending))
            || !connection.limit_holds(number, &mut self.lendings)
        {
            return;
        }
        self.take_pending(to);
        self.rooms.carry(to, &mut self.lendings);
        self.rooms.outward.list_lending(to.connection, number);
        self.write(slot, number, false, |connection| connection.reply(number, &Method::BasicQosOk {}));
        self.answered(to);
    }
}

impl Rooms {
    /// Brings to the queues what a channel lends and recalls.
    pub fn carry(&mut self, channel: Requester, lendings: &mut Vec<Lending>) {
        for lending in lendings.drain(..) {
            match lending {
                Lending::Lend { queue, consumer, messages } => self.lend(queue, consumer, messages),
                Lending::Lift { queue, consumer } => self.lend(queue, consumer, NO_LIMIT),
                Lending::Recall { queue, consumer, handle } => {
                    self.recall(Recall { queue, consumer, channel, handle });
                }
            }
        }
    }

    /// A channel lends a consumer so many messages, wherever the queue is.
    pub fn lend(&mut self, queue: QueueId, consumer: ConsumerId, messages: u32) {
        if queue.shard != self.outward.id {
            self.outward.mesh.record(queue.shard, Record::Lend { queue, consumer, messages });
        } else if let Some(here) = self.queues.live_mut(queue.slot, queue.generation) {
            here.lend(consumer, messages);
            self.list(queue.slot);
        }
    }

    /// A channel wants back what a consumer does not use, wherever the queue is.
    pub fn recall(&mut self, recall: Recall) {
        let Recall { queue, consumer, channel, handle } = recall;
        if queue.shard != self.outward.id {
            self.outward.mesh.record(queue.shard, Record::Recall(recall));
            return;
        }
        let mut messages = 0;
        if self.queues.live_mut(queue.slot, queue.generation).is_some() {
            // Otherwise two queues with messages could have each other's credit recalled for ever.
            self.serve_some(queue.slot, PUMP_DELIVERIES);
            if let Some(here) = self.queues.get_mut(queue.slot) {
                messages = here.recall(consumer);
            }
            self.list(queue.slot);
        }
        self.outward.returned(Returned { channel, handle, messages });
    }
}

impl Outward {
    /// The channel has something to lend, or somebody asks it to.
    pub fn list_lending(&mut self, id: ConnectionId, number: ChannelNumber) {
        if self.connection(id).is_some_and(|connection| connection.lists_lending(number)) {
            self.lending.push_back((id, number));
        }
    }

    /// The channels of consumers that lack credit hear of it.
    #[cold]
    pub fn ask_for_credit(&mut self, queue: &mut Queue) {
        while let Some(at) = queue.next_lacking() {
            self.want(at);
        }
    }

    pub fn want(&mut self, at: ConsumerAt) {
        let ConsumerAt { connection, handle } = at;
        if connection.shard != self.id {
            self.mesh.record(connection.shard, Record::Want { connection, handle });
        } else if let Some(number) = self.connection(connection).and_then(|it| it.wants_credit(handle)) {
            self.list_lending(connection, number);
        }
    }

    pub fn returned(&mut self, returned: Returned) {
        let Returned { channel: Requester { connection, channel, channel_generation }, handle, messages } =
            returned;
        if connection.shard != self.id {
            self.mesh.record(connection.shard, Record::Returned(returned));
        } else if let Some(here) = self.connection(connection)
            && here.channel(channel).is_some_and(|channel| channel.generation == channel_generation)
        {
            here.returned(channel, handle, messages);
            self.list_lending(connection, channel);
        }
    }
}
