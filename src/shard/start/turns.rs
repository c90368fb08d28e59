//! How long the turns of a shard were: a histogram that one thread writes and any may read.

use std::sync::atomic::{AtomicU64, Ordering};

/// A counter with one writer: no locked instruction.
#[derive(Default)]
pub struct Count(AtomicU64);

impl Count {
    pub fn add(&self, more: u64) {
        self.set(self.value() + more);
    }

    pub fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    pub fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Written on: the shard. Buckets are a power of two in eight parts, so that a value is known within 12.5 %.
pub struct Turns {
    buckets: Box<[Count]>,
    max_ns: Count,
    /// Turns that spent their budget, so that readers waited for the reactor.
    gated: Count,
}

/// Eight parts of each of 64 powers of two hold every u64.
const BUCKETS: usize = 64 * 8;

impl Default for Turns {
    fn default() -> Self {
        Turns {
            buckets: (0..BUCKETS).map(|_| Count::default()).collect(),
            max_ns: Count::default(),
            gated: Count::default(),
        }
    }
}

impl Turns {
    pub fn ended(&self, ns: u64) {
        self.buckets[bucket(ns)].add(1);
        if ns > self.max_ns.value() {
            self.max_ns.set(ns);
        }
    }

    pub fn gated(&self) {
        self.gated.add(1);
    }

    pub fn summary(&self) -> TurnSummary {
        let counts: Vec<u64> = self.buckets.iter().map(Count::value).collect();
        let max_ns = self.max_ns.value();
        let at = |share: f64| (percentile(&counts, share).min(max_ns)) as f64 / 1e3;
        TurnSummary {
            count: counts.iter().sum(),
            gated: self.gated.value(),
            p50_us: at(0.5),
            p99_us: at(0.99),
            p99_9_us: at(0.999),
            max_us: max_ns as f64 / 1e3,
        }
    }
}

/// Microseconds from the start of a turn to its end; percentiles are upper bounds, at most 12.5 % too high.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct TurnSummary {
    pub count: u64,
    pub gated: u64,
    pub p50_us: f64,
    pub p99_us: f64,
    pub p99_9_us: f64,
    pub max_us: f64,
}

fn bucket(ns: u64) -> usize {
    if ns < 8 {
        return ns as usize;
    }
    let power = ns.ilog2();
    // The three bits below the highest one.
    (power as usize) * 8 + ((ns >> (power - 3)) & 7) as usize
}

/// The greatest value that falls into the bucket.
fn bucket_end(bucket: usize) -> u64 {
    if bucket < 24 {
        return (bucket as u64).min(7);
    }
    let (power, part) = (bucket / 8, (bucket % 8) as u64);
    let step = 1u64 << (power - 3);
    ((8 + part) * step).saturating_add(step - 1)
}

fn percentile(counts: &[u64], share: f64) -> u64 {
    let rank = (counts.iter().sum::<u64>() as f64 * share).ceil() as u64;
    let mut below = 0;
    for (bucket, count) in counts.iter().enumerate() {
        below += count;
        if below >= rank && below > 0 {
            return bucket_end(bucket);
        }
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_value_falls_into_a_bucket_that_ends_at_most_an_eighth_above_it() {
        for ns in
            (0..64).flat_map(|power| [1u64 << power, (1 << power) + 1, (1 << power) | ((1 << power) - 1)])
        {
            let end = bucket_end(bucket(ns));
            assert!(end >= ns && end - ns <= ns / 8, "{ns} in a bucket that ends at {end}");
        }
        assert_eq!(bucket_end(bucket(0)), 0);
        assert_eq!(bucket_end(bucket(u64::MAX)), u64::MAX);
    }

    #[test]
    fn the_summary_tells_the_common_turn_from_the_rare_one() {
        let turns = Turns::default();
        assert_eq!(turns.summary().p99_9_us, 0.0);
        (0..998).for_each(|_| turns.ended(200_000));
        (0..2).for_each(|_| turns.ended(9_000_000));
        let summary = turns.summary();
        assert_eq!(summary.count, 1000);
        assert!((200.0..=225.0).contains(&summary.p50_us) && (200.0..=225.0).contains(&summary.p99_us));
        assert_eq!((summary.p99_9_us, summary.max_us), (9000.0, 9000.0));
    }
}
