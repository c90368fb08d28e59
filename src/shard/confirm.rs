//! Publisher confirms over several shards: who still owes an answer for what.
//!
//! Each shard answers cumulatively per ring ("so many more are accepted"), because rings keep their order. So
//! the publisher's shard needs no more than the order in which it sent them.

use std::collections::VecDeque;

use super::Shard;
use super::publish::Spread;
use crate::amqp::method::Method;
use crate::connection::channel::ChannelState;
use crate::connection::confirms::Due;
use crate::exchange::ListIndex;
use crate::ids::{ChannelNumber, ConnectionId, QueueId, Requester, ShardId};
use crate::mesh::parcel::Record;

pub struct Confirming {
    /// By peer: counted messages that it has not accepted yet, in the order of the ring.
    awaited: Vec<VecDeque<Run>>,
    /// By peer: messages that we accepted from it and have not told it.
    accepted: Vec<u32>,
    /// Channels with a basic.ack due.
    due: Vec<(ConnectionId, ChannelNumber)>,
}

/// Who waits for the answers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Sender {
    /// A channel in confirm mode, or one that commits.
    Channel(Requester),
    /// The dead letters of this shard.
    Letters,
}

/// Publishes of one sender with seqnos in a row.
#[derive(Clone, Copy, Debug)]
struct Run {
    to: Sender,
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
            Some(last) if last.to == one.to && last.first + u64::from(last.count) == one.first => {
                last.count += 1;
            }
            _ => runs.push_back(one),
        }
    }

    /// All shards but this one that have some of these queues must answer for a message.
    pub fn await_all(&mut self, here: ShardId, targets: &[QueueId], to: Sender, seqno: u64) {
        let run = Run { to, first: seqno, count: 1 };
        for shard in (0..self.awaited.len() as u16).map(ShardId) {
            if shard != here && targets.iter().any(|queue| queue.shard == shard) {
                self.await_from(shard, run);
            }
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
    pub(super) fn count_confirm(
        &mut self,
        slot: u32,
        number: ChannelNumber,
        spread: Spread,
        list: ListIndex,
    ) {
        let Some(connection) = self.rooms.outward.connections.get_mut(slot) else { return };
        let id = connection.id;
        let Some(channel) = connection.channel(number) else { return };
        let channel_generation = channel.generation;
        let Some(confirms) = &mut channel.confirms else { return };
        let seqno = confirms.published(spread.elsewhere, spread.refused);
        if !channel.confirm_listed {
            channel.confirm_listed = true;
            self.confirming.due.push((id, number));
        }
        if spread.elsewhere > 0 {
            let to = Requester { connection: id, channel: number, channel_generation };
            self.confirming.await_all(self.id, self.router.targets(list), Sender::Channel(to), seqno);
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
            self.answered_run(&run, false);
        }
    }

    /// A queue of another shard had no room for the next of what we sent it.
    pub(super) fn refused(&mut self, from: ShardId) {
        let run = self.confirming.take(from, 1);
        debug_assert!(run.is_some(), "a shard refuses what it was sent");
        if let Some(run) = run {
            self.answered_run(&run, true);
        }
    }

    fn answered_run(&mut self, run: &Run, refused: bool) {
        let Sender::Channel(to) = run.to else {
            return self.rooms.sent.answered(run.first, run.count, &mut self.rooms.pages);
        };
        let Requester { connection, channel: number, channel_generation } = to;
        let Some(channel) = self.rooms.outward.channel(connection, number) else { return };
        if channel.generation != channel_generation {
            return;
        }
        if let Some(confirms) = &mut channel.confirms {
            confirms.answered(run.first, run.count, refused);
            if !channel.confirm_listed {
                channel.confirm_listed = true;
                self.confirming.due.push((connection, number));
            }
        } else if let Some(transaction) = &mut channel.transaction {
            transaction.refused |= refused;
        }
    }

    /// Tells a peer how many of its messages we accepted.
    pub(super) fn report_accepted(&mut self, peer: ShardId) {
        let count = std::mem::take(&mut self.confirming.accepted[peer.index()]);
        if count > 0 {
            self.rooms.outward.mesh.record(peer, Record::Accepted { count });
        }
    }

    /// One basic.ack for all that a batch confirmed on a channel, and a basic.nack for what was refused in between.
    pub(super) fn write_confirms(&mut self) {
        while let Some((id, number)) = self.confirming.due.pop() {
            let Some(connection) = self.rooms.outward.connection(id) else { continue };
            let Some(channel) = connection.channel(number) else { continue };
            channel.confirm_listed = false;
            let open = channel.state == ChannelState::Open;
            while let Some(channel) = connection.channel(number)
                && let Some(confirms) = &mut channel.confirms
                && let Some(Due { last: delivery_tag, multiple, refused }) = confirms.due()
            {
                if open {
                    connection.reply(
                        number,
                        &if refused {
                            Method::BasicNack { delivery_tag, multiple, requeue: false }
                        } else {
                            Method::BasicAck { delivery_tag, multiple }
                        },
                    );
                }
            }
            self.rooms.outward.touch(id.slot);
        }
    }
}
