//! What a shard tells the threads outside: whether it is up, its counters, its turns. Written by the shard once
//! a turn, read by whoever asks over HTTP.

use super::turns::{Count, TurnSummary, Turns};
use crate::net::IoCounts;
use crate::stats::Counters;
use std::collections::BTreeMap;
use std::fs;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};

/// Written on: the shard.
#[derive(Default)]
pub struct Published {
    up: AtomicBool,
    /// By which the operating system knows its thread; 0 until it is up.
    thread: AtomicI32,
    counters: Counts<{ Counters::NAMES.len() }>,
    io: Counts<{ IoCounts::NAMES.len() }>,
    pub turns: Turns,
}

struct Counts<const N: usize>([Count; N]);

impl<const N: usize> Default for Counts<N> {
    fn default() -> Self {
        Counts(std::array::from_fn(|_| Count::default()))
    }
}

impl Published {
    pub fn is_up(&self) -> bool {
        self.up.load(Ordering::SeqCst)
    }

    /// On the shard's thread.
    pub fn set_up(&self, up: bool) {
        self.thread.store(rustix::thread::gettid().as_raw_nonzero().get(), Ordering::Relaxed);
        self.up.store(up, Ordering::SeqCst);
    }

    /// Processor time that the shard has had so far, us; 0 where nobody knows.
    pub fn processor_us(&self) -> u64 {
        let path = format!("/proc/self/task/{}/schedstat", self.thread.load(Ordering::Relaxed));
        let stat = fs::read_to_string(path).unwrap_or_default();
        stat.split(' ').next().and_then(|ns| ns.parse::<u64>().ok()).unwrap_or(0) / 1_000
    }

    pub fn publish(&self, counters: &Counters, io: &IoCounts) {
        self.counters.0.iter().zip(counters.values()).for_each(|(count, value)| count.set(value));
        self.io.0.iter().zip(io.values()).for_each(|(count, value)| count.set(value));
    }

    /// By its name among those of [`Counters`].
    pub fn counter(&self, name: &str) -> u64 {
        let at = Counters::NAMES.iter().position(|known| *known == name);
        at.map_or(0, |at| self.counters.0[at].value())
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
            processor_us: self.processor_us(),
            turns: self.turns.summary(),
            io: named(&IoCounts::NAMES, &self.io.0),
            counters: named(&Counters::NAMES, &self.counters.0),
        }
    }
}

impl Snapshot {
    /// All that can be drawn over time: shape and order are the same for each shard.
    pub fn numbers(&self) -> Vec<(String, f64)> {
        let turns = &self.turns;
        let own = [
            ("up", f64::from(u8::from(self.up))),
            ("processor_us", self.processor_us as f64),
            ("turns", turns.count as f64),
            ("turns_gated", turns.gated as f64),
            ("turn_p50_us", turns.p50_us),
            ("turn_p99_us", turns.p99_us),
            ("turn_p99_9_us", turns.p99_9_us),
            ("turn_max_us", turns.max_us),
        ];
        let own = own.into_iter().map(|(name, value)| (name.to_owned(), value));
        let counted = self.io.iter().chain(&self.counters);
        own.chain(counted.map(|(name, value)| ((*name).to_owned(), *value as f64))).collect()
    }
}

/// One shard in the answer to `GET /debug/shards`.
#[derive(serde::Serialize)]
pub struct Snapshot {
    shard: usize,
    up: bool,
    connections: u32,
    processor_us: u64,
    turns: TurnSummary,
    io: BTreeMap<&'static str, u64>,
    counters: BTreeMap<&'static str, u64>,
}
