//! The way out of a shard: to the connections here, and by the mesh to other shards.

use std::collections::VecDeque;

use bytes::Bytes;

use super::command::Command;
use crate::connection::Connection;
use crate::connection::channel::Channel;
use crate::ids::{ChannelNumber, ConnectionId, QueueId, ReplyTo, ShardId};
use crate::mesh::Mesh;
use crate::mesh::parcel::{Deliver, Record};
use crate::message::Message;
use crate::queue::ConsumerAt;
use crate::slots::Slots;
use crate::stats::Counters;

/// The way out: to connections here, and to other shards.
pub struct Outward {
    pub id: ShardId,
    pub connections: Slots<Connection>,
    pub mesh: Mesh<Command>,
    /// Connections with output, in the order in which they got it.
    pub dirty: VecDeque<u32>,
    /// Channels with a limit of their own that have something to lend, or are asked to.
    pub lending: VecDeque<(ConnectionId, ChannelNumber)>,
    /// About the bytes that were encoded since the last flush.
    pub unflushed: usize,
    pub counters: Counters,
}

impl Outward {
    /// Brings a delivery to its consumer's connection. False if that is here and nobody takes it any more.
    #[inline]
    pub fn deliver(
        &mut self,
        queue: QueueId,
        to: ConsumerAt,
        message: &Message<'_>,
        buffer: Option<&Bytes>,
        unacked: Option<u32>,
        redelivered: bool,
    ) -> bool {
        let ConsumerAt { connection, handle } = to;
        if connection.shard != self.id {
            let message = self.mesh.message(connection.shard, message, buffer);
            let deliver = Deliver { connection, handle, queue, unacked, redelivered, message };
            self.mesh.record(connection.shard, Record::Deliver(deliver));
            return true;
        }
        let Some(here) = self.connections.live_mut(connection.slot, connection.generation) else {
            return false;
        };
        if !here.deliver(handle, message, queue, unacked, redelivered) {
            return false;
        }
        self.counters.delivered += 1;
        self.unflushed += message.window_bytes() as usize;
        if !here.listed {
            here.listed = true;
            self.dirty.push_back(connection.slot);
        }
        true
    }

    /// Brings a direct reply to its requester's connection.
    pub fn reply(&mut self, to: &ReplyTo, message: &Message<'_>, buffer: Option<&Bytes>) {
        if to.connection.shard != self.id {
            let message = self.mesh.message(to.connection.shard, message, buffer);
            self.mesh.record(to.connection.shard, Record::Reply { to: *to, message });
        } else if self.connection(to.connection).is_some_and(|here| here.deliver_reply(to, message)) {
            self.counters.delivered += 1;
            self.unflushed += message.window_bytes() as usize;
            self.touch(to.connection.slot);
        } else {
            self.counters.replies_dropped += 1;
        }
    }

    /// Lines a connection up to be flushed.
    pub fn touch(&mut self, slot: u32) {
        if let Some(connection) = self.connections.get_mut(slot)
            && !connection.listed
        {
            connection.listed = true;
            self.dirty.push_back(slot);
        }
    }

    /// A channel of a connection that may be gone, whichever opening of its number it is.
    pub fn channel(&mut self, id: ConnectionId, number: ChannelNumber) -> Option<&mut Channel> {
        self.connection(id)?.channel(number)
    }

    pub fn connection(&mut self, id: ConnectionId) -> Option<&mut Connection> {
        self.connections.live_mut(id.slot, id.generation)
    }
}
