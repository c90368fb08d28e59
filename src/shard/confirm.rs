//! Publisher confirms over several shards: who still owes an answer for what.
//!
//! Each shard answers cumulatively per ring ("so many more are accepted"), because rings keep their order. So
//! the publisher's shard needs no more than the order in which it sent them.

use std::collections::VecDeque;

use super::publish::Spread;
use super::{Command, Shard};
use crate::amqp::method::Method;
use crate::connection::channel::ChannelState;
use crate::connection::confirms;
use crate::exchange::ListIndex;
use crate::ids::{ChannelNumber, ConnectionId, QueueId, Requester, ShardId};
use crate::journal::{Due, Promised, Proof};
use crate::latency::Latency;
use crate::mesh::parcel::Record;

pub struct Confirming {
    /// By peer: counted messages that it has not accepted yet, in the order of the ring.
    awaited: Vec<VecDeque<Run>>,
    /// By peer: messages that we accepted from it and have not told it.
    accepted: Vec<u32>,
    /// By peer, this shard among them: what it is told once the journal has got so far, in the order of the ring.
    promised: Vec<VecDeque<Promised<Answer>>>,
    /// Channels with a basic.ack due.
    due: Vec<(ConnectionId, ChannelNumber)>,
    /// From a publish to its basic.ack.
    pub latency: Latency,
}

/// Who waits for the answers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Sender {
    /// A channel in confirm mode, or one that commits.
    Channel(Requester),
    /// The dead letters of this shard.
    Letters,
}

/// What a shard is told of what came from it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Answer {
    /// So many of its counted messages were accepted.
    Accepted(u32),
    /// A queue had no room for the next.
    Refused,
    /// All that a commit brought here is done.
    Committed(Requester),
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
        Confirming {
            awaited: vec![VecDeque::new(); shards],
            accepted: vec![0; shards],
            promised: (0..shards).map(|_| VecDeque::new()).collect(),
            due: Vec::new(),
            latency: Latency::default(),
        }
    }

    /// Puts an answer in line for its time. Gives it back if that has come.
    #[inline]
    fn promise(&mut self, to: ShardId, due: Due, answer: Answer) -> Option<Answer> {
        let line = &mut self.promised[to.index()];
        if line.is_empty() && due.is_now() {
            return Some(answer);
        }
        if let Some(last) = line.back_mut()
            && let Answer::Accepted(more) = answer
            && let Some(Answer::Accepted(count)) = last.with(due)
        {
            *count += more;
            return None;
        }
        // None overtakes another.
        let due = line.back().map_or(due, |last| last.due().and(due));
        line.push_back(Promised::new(due, answer));
        None
    }

    fn kept(&mut self, to: ShardId, proof: &Proof) -> Option<Answer> {
        let line = &mut self.promised[to.index()];
        line.pop_front_if(|promised| promised.is_kept(proof))?.keep(proof).ok()
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
        let here = u16::from(!spread.due.is_now());
        let seqno = confirms.published(spread.elsewhere + here, spread.refused, self.now);
        if !channel.confirm_listed {
            channel.confirm_listed = true;
            self.confirming.due.push((id, number));
        }
        if spread.elsewhere + here == 0 {
            return;
        }
        let to = Sender::Channel(Requester { connection: id, channel: number, channel_generation });
        if spread.elsewhere > 0 {
            let targets = self.routers.at(self.memos[slot as usize].router).targets(list);
            self.confirming.await_all(self.id, targets, to, seqno);
        }
        if here > 0 {
            self.confirming.await_from(self.id, Run { to, first: seqno, count: 1 });
            self.answer_shard(self.id, spread.due, Answer::Accepted(1));
        }
    }

    /// Answers a shard for what came from it, once that is as safe as it should be, and behind the answers before.
    #[inline]
    pub(super) fn answer_shard(&mut self, to: ShardId, due: Due, answer: Answer) {
        if let Some(answer) = self.confirming.promise(to, due, answer) {
            self.say(to, answer);
        }
    }

    /// Lets out what was promised, as far as the journal has come. True if it has come further.
    pub(super) fn keep_promises(&mut self) -> bool {
        let Some(journal) = &mut self.rooms.journal else { return false };
        let proof = journal.proof();
        if self.proof == proof {
            return false;
        }
        self.proof = proof;
        self.rooms.count_kept(&proof);
        for shard in (0..self.rooms.outward.mesh.shards()).map(ShardId) {
            while let Some(answer) = self.confirming.kept(shard, &proof) {
                self.say(shard, answer);
            }
            self.report_accepted(shard);
        }
        true
    }

    fn say(&mut self, to: ShardId, answer: Answer) {
        match answer {
            Answer::Accepted(count) if to == self.id => self.accepted(to, count),
            Answer::Accepted(count) => self.confirming.accepted[to.index()] += count,
            Answer::Refused => {
                self.report_accepted(to);
                self.rooms.outward.mesh.record(to, Record::Refused);
            }
            Answer::Committed(requester) => {
                self.report_accepted(to);
                self.send(to, Command::BarrierPassed(requester));
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
            return self.rooms.letters_answered(run.first, run.count);
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
                && let before = confirms.said()
                && let Some(confirms::Due { last: delivery_tag, multiple, refused }) = confirms.due()
            {
                if !refused {
                    channel.traffic.confirm += delivery_tag - before;
                    let latency = &mut self.confirming.latency;
                    confirms.sent.pass_all(before + 1, delivery_tag, |at, times| {
                        latency.record(self.now.saturating_sub_signed(at), times);
                    });
                }
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
