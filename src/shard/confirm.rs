//! Publisher confirms over several shards: who still owes an answer for what.
//!
//! Each shard answers cumulatively per ring ("so many more are accepted"), because rings keep their order. So
//! the publisher's shard needs no more than the order in which it sent them.

use std::collections::VecDeque;

use super::Shard;
use crate::amqp::method::Method;
use crate::exchange::ListIndex;
use crate::ids::{ChannelNumber, ConnectionId, ShardId};
use crate::mesh::parcel::Record;

pub struct Confirming {
    /// By peer: counted messages that it has not accepted yet, in the order of the ring.
    awaited: Vec<VecDeque<Run>>,
    /// By peer: messages that we accepted from it and have not told it.
    accepted: Vec<u32>,
    /// Channels with a basic.ack due.
    due: Vec<(ConnectionId, ChannelNumber)>,
}

/// Publishes of one channel with seqnos in a row.
#[derive(Clone, Copy, Debug)]
struct Run {
    connection: ConnectionId,
    channel: ChannelNumber,
    channel_generation: u32,
    first: u64,
    count: u32,
}

impl Confirming {
    pub fn new(shards: u16) -> Confirming {
        let shards = usize::from(shards);
        Confirming { awaited: vec![VecDeque::new(); shards], accepted: vec![0; shards], due: Vec::new() }
    }

    pub fn accept(&mut self, from: ShardId) {
        self.accepted[from.index()] += 1;
    }

    fn await_from(&mut self, shard: ShardId, one: Run) {
        let runs = &mut self.awaited[shard.index()];
        match runs.back_mut() {
            Some(last)
                if last.connection == one.connection
                    && last.channel == one.channel
                    && last.channel_generation == one.channel_generation
                    && last.first + u64::from(last.count) == one.first =>
            {
                last.count += 1;
            }
            _ => runs.push_back(one),
        }
    }

    /// The next run that `count` accepted messages cover, taken out.
    fn take(&mut self, from: ShardId, count: u32) -> Option<Run> {
        let runs = &mut self.awaited[from.index()];
        let run = runs.front_mut()?;
        if run.count <= count {
            return runs.pop_front();
        }
        let taken = Run { count, ..*run };
        run.first += u64::from(count);
        run.count -= count;
        Some(taken)
    }
}

impl Shard {
    /// Gives the publish its seqno and notes which other shards must accept it.
    pub(super) fn count_confirm(&mut self, slot: u32, number: ChannelNumber, shards: u16, list: ListIndex) {
        let Some(connection) = self.rooms.outward.connections.get_mut(slot) else { return };
        let id = connection.id;
        let Some(channel) = connection.channel(number) else { return };
        let channel_generation = channel.generation;
        let Some(confirms) = &mut channel.confirms else { return };
        let seqno = confirms.published(shards);
        if !channel.confirm_listed {
            channel.confirm_listed = true;
            self.confirming.due.push((id, number));
        }
        if shards == 0 {
            return;
        }
        let run = Run { connection: id, channel: number, channel_generation, first: seqno, count: 1 };
        let targets = self.router.targets(list);
        for shard in (0..self.rooms.outward.mesh.shards()).map(ShardId) {
            if shard != self.id && targets.iter().any(|queue| queue.shard == shard) {
                self.confirming.await_from(shard, run);
            }
        }
    }

    /// Another shard accepted so many more of what we sent it.
    pub(super) fn accepted(&mut self, from: ShardId, mut count: u32) {
        while count > 0 {
            let Some(run) = self.confirming.take(from, count) else {
                debug_assert!(false, "a shard accepts what it was sent");
                return;
            };
            count -= run.count;
            let Some(connection) = self.rooms.outward.connection(run.connection) else { continue };
            let Some(channel) = connection.channel(run.channel) else { continue };
            if channel.generation != run.channel_generation {
                continue;
            }
            if let Some(confirms) = &mut channel.confirms {
                confirms.accepted(run.first, run.count);
                if !channel.confirm_listed {
                    channel.confirm_listed = true;
                    self.confirming.due.push((run.connection, run.channel));
                }
            }
        }
    }

    /// Tells a peer how many of its messages we accepted.
    pub(super) fn report_accepted(&mut self, peer: ShardId) {
        let count = std::mem::take(&mut self.confirming.accepted[peer.index()]);
        if count > 0 {
            self.rooms.outward.mesh.record(peer, Record::Accepted { count });
        }
    }

    /// One basic.ack for all that a batch confirmed on a channel.
    pub(super) fn write_confirms(&mut self) {
        while let Some((id, number)) = self.confirming.due.pop() {
            let Some(connection) = self.rooms.outward.connection(id) else { continue };
            let Some(channel) = connection.channel(number) else { continue };
            channel.confirm_listed = false;
            let open = channel.state == crate::connection::channel::ChannelState::Open;
            let due = channel.confirms.as_mut().and_then(|confirms| confirms.due());
            if let Some((delivery_tag, multiple)) = due.filter(|_| open) {
                connection.reply(number, &Method::BasicAck { delivery_tag, multiple });
                self.rooms.outward.touch(id.slot);
            }
        }
    }
}
