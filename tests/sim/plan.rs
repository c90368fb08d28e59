//! What a run is like: each seed draws which things happen often, which seldom and which not at all.

use crate::dice::Dice;
use crate::store::Weather;

pub struct Plan {
    pub shards: u16,
    pub clients: usize,
    pub channels: u16,
    /// Requests that a client sends on a channel before it has read the answers.
    pub pipeline: usize,
    pub phases: usize,
    pub steps: usize,
    /// Weights: a shard's turn, a client reads, a client acts.
    pub turns: [u32; 3],
    /// Weights of how much a read brings, from a few octets to 64 KB.
    pub reads: [u32; 4],
    /// How often a turn ends with a flush, in percent.
    pub flushes: usize,
    /// Weights by `Act`.
    pub acts: [u32; ACTS],
    /// Weights of body sizes, from none to more than a read.
    pub sizes: [u32; 5],
    /// Weights of how many messages in a row.
    pub bursts: [u32; 4],
    /// Acks of ten settlements; the rest are rejected or requeued, so many of ten.
    pub acks: u32,
    pub requeues: usize,
    /// Most nanoseconds that a step takes.
    pub pace: usize,
    /// Queues with rules, messages with an expiration, messages with a priority, and consumers with one, in percent.
    pub ruled: usize,
    pub expiring: usize,
    pub urgent: usize,
    pub preferred: usize,
    /// Messages come one by one to many queues, some of which keep none: often a shard holds nothing at all.
    pub sparse: bool,
    /// Queues that are durable, and messages that are persistent for that, in percent.
    pub durable: usize,
    pub persistent: usize,
    /// Consumers without acks, in percent.
    pub no_ack: usize,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Act {
    Publish,
    Settle,
    Consume,
    Cancel,
    Get,
    Purge,
    Declare,
    Redeclare,
    Passive,
    Bind,
    Unbind,
    Delete,
    Contend,
    Qos,
    Limit,
    Recover,
    Confirm,
    Select,
    Commit,
    Rollback,
    CloseChannel,
    CloseConnection,
    Drop,
    Pause,
    Err,
    Provoke,
}

/// Each act with its weight at a medium mood.
const BASE: [(Act, u32); ACTS] = [
    (Act::Publish, 120),
    (Act::Settle, 200),
    (Act::Consume, 30),
    (Act::Cancel, 10),
    (Act::Get, 20),
    (Act::Purge, 4),
    (Act::Declare, 15),
    (Act::Redeclare, 6),
    (Act::Passive, 10),
    (Act::Bind, 20),
    (Act::Unbind, 8),
    (Act::Delete, 6),
    (Act::Contend, 16),
    (Act::Qos, 12),
    (Act::Limit, 24),
    (Act::Recover, 6),
    (Act::Confirm, 8),
    (Act::Select, 5),
    (Act::Commit, 20),
    (Act::Rollback, 8),
    (Act::CloseChannel, 6),
    (Act::CloseConnection, 1),
    (Act::Drop, 1),
    (Act::Pause, 6),
    (Act::Err, 1),
    (Act::Provoke, 1),
];

pub const ACTS: usize = 26;
/// Plans with few messages, in percent.
const SPARSE: usize = 20;

impl Plan {
    pub fn draw(dice: &mut Dice) -> Plan {
        let mood = |dice: &mut Dice| [0, 1, 2, 2, 3, 6][dice.roll(6)];
        let mut acts = BASE.map(|(_, weight)| weight * mood(dice));
        // Without these nothing happens at all.
        for (weight, (act, base)) in acts.iter_mut().zip(BASE) {
            if matches!(act, Act::Publish | Act::Declare | Act::Settle) {
                *weight = (*weight).max(base);
            }
        }
        // Or nothing that is published in tx mode.
        let [select, commit] = [Act::Select, Act::Commit].map(|act| act as usize);
        acts[commit] = acts[commit].max(if acts[select] > 0 { 20 } else { 0 });
        let plan = Plan {
            shards: dice.between(2, 4) as u16,
            clients: dice.between(2, 7),
            channels: dice.between(1, 4) as u16,
            pipeline: [1, 2, 4, 12][dice.roll(4)],
            phases: dice.between(1, 4),
            steps: dice.between(200, 2_000),
            turns: [dice.between(2, 8) as u32, 2, dice.between(1, 4) as u32],
            reads: [1, 3, 2, 4].map(|weight| weight * mood(dice) + 1),
            flushes: [100, 90, 50][dice.roll(3)],
            acts,
            sizes: [2, 10, 3, 2, 1].map(|weight| weight * mood(dice)),
            bursts: [60, 30, 4, 1].map(|weight| weight * mood(dice)),
            acks: [9, 7, 4][dice.roll(3)],
            requeues: [7, 4, 9][dice.roll(3)],
            pace: [20_000, 100_000, 400_000][dice.roll(3)],
            ruled: [0, 40, 80, 95][dice.roll(4)],
            expiring: [0, 5, 40][dice.roll(3)],
            urgent: [0, 50, 90][dice.roll(3)],
            preferred: [0, 50][dice.roll(2)],
            sparse: false,
            durable: 30,
            persistent: 0,
            no_ack: 30,
        };
        // Not from the dice of the run itself: the seeds stay what they are.
        if dice.clone().chance(SPARSE) { plan.sparse() } else { plan }
    }

    /// Much is to outlive the server, and publishers want to know.
    pub fn with_disk(&mut self, weather: &Weather) {
        (self.durable, self.persistent) = (weather.durable, weather.persistent);
        if weather.full > 0 {
            // What settles wrongly overtakes publishes while the disk is full, and its error would be blamed on them.
            self.acts[Act::Err as usize] = 0;
        }
        let confirm = &mut self.acts[Act::Confirm as usize];
        *confirm = (*confirm).max(16);
        if weather.commits {
            // And nothing comes in between that would hide whether all of a commit counts.
            for (act, weight) in
                [(Act::Select, 60), (Act::Commit, 240), (Act::Get, 0), (Act::Purge, 0), (Act::Consume, 5)]
            {
                self.acts[act as usize] = weight;
            }
            (self.ruled, self.no_ack) = (20, 0);
            self.channels = self.channels.max(3);
        }
    }

    fn sparse(self) -> Plan {
        let mut acts = self.acts;
        for (act, weight) in [
            (Act::Publish, 600),
            (Act::Settle, 400),
            (Act::Consume, 60),
            (Act::Purge, 60),
            (Act::Declare, 30),
            (Act::Bind, 100),
            (Act::Delete, 30),
        ] {
            acts[act as usize] = weight;
        }
        Plan { acts, shards: 2, bursts: [1, 0, 0, 0], acks: 9, ruled: 80, sparse: true, ..self }
    }

    pub fn act(&self, dice: &mut Dice) -> Act {
        BASE[dice.weighted(&self.acts)].0
    }

    pub fn body(&self, dice: &mut Dice) -> usize {
        match dice.weighted(&self.sizes) {
            0 => dice.roll(8),
            1 => 8 + dice.roll(60),
            2 => dice.roll(3_000),
            3 => dice.roll(40_000),
            _ => dice.between(60_000, 300_000),
        }
    }

    /// Large messages come one by one.
    pub fn burst(&self, dice: &mut Dice, body: usize) -> usize {
        let burst = match dice.weighted(&self.bursts) {
            0 => 1,
            1 => dice.between(2, 20),
            2 => dice.between(20, 200),
            _ => dice.between(300, 1_500),
        };
        if body > 1_000 { burst.min(3) } else { burst }
    }
}
