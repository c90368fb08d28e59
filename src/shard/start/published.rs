//! What a shard tells the threads outside: whether it is up, its counters, its turns. Written by the shard once
//! a turn, read by whoever asks over HTTP.

use super::turns::{Count, TurnSummary, Turns};
use crate::net::IoCounts;
use crate::stats::Counters;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

/// Written on: the shard.
#[derive(Default)]
pub struct Published {
    up: AtomicBool,
    counters: [Count; Counters::NAMES.len()],
    io: [Count; IoCounts::NAMES.len()],
    pub turns: Turns,
}

impl Published {
    pub fn is_up(&self) -> bool {
        self.up.load(Ordering::SeqCst)
    }

    pub fn set_up(&self, up: bool) {
        self.up.store(up, Ordering::SeqCst);
    }

    pub fn publish(&self, counters: &Counters, io: &IoCounts) {
        self.counters.iter().zip(counters.values()).for_each(|(count, value)| count.set(value));
        self.io.iter().zip(io.values()).for_each(|(count, value)| count.set(value));
    }

    /// `connections`: those handed to the shard and not yet gone.
    pub fn snapshot(&self, shard: usize, connections: u32) -> Snapshot {
        let named = |names: &[&'static str], counts: &[Count]| {
            names.iter().copied().zip(counts.iter().map(Count::value)).collect()
        };
        Snapshot {
            shard,
            up: self.is_up(),
            connections,
            turns: self.turns.summary(),
            io: named(&IoCounts::NAMES, &self.io),
            counters: named(&Counters::NAMES, &self.counters),
        }
    }
}

/// One shard in the answer to `GET /debug/shards`.
#[derive(serde::Serialize)]
pub struct Snapshot {
    shard: usize,
    up: bool,
    connections: u32,
    turns: TurnSummary,
    io: BTreeMap<&'static str, u64>,
    counters: BTreeMap<&'static str, u64>,
}
