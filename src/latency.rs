//! How long messages took from one step to the next, by the shard's clock, which is read once a batch.
//!
//! ```text
//! arrival -> (waited) -> first delivery -> (acked) -> ack          at the queue
//!    \---> (kept) -> as safe as the queue promises                 at the queue, if it is in the journal
//! publish -> (confirmed) -> basic.ack to the publisher             at the channel
//! ```

use std::collections::VecDeque;
use std::fmt;

use hdrhistogram::Histogram;

/// How often it took how long, in microseconds, within a sixteenth. Times that repeat, as those of a batch do, cost a
/// comparison each.
#[derive(Clone, Default)]
pub struct Latency {
    /// The last time, and how often in a row; not yet in the histogram.
    last_us: u64,
    run: u64,
    /// None: there was no other time but the last.
    histogram: Option<Box<Histogram<u64>>>,
}

impl Latency {
    #[inline]
    pub fn record(&mut self, ns: u64, times: u64) {
        let us = ns / 1000;
        if us != self.last_us {
            self.end_run(us);
        }
        self.run += times;
    }

    #[cold]
    fn end_run(&mut self, us: u64) {
        if self.run > 0 {
            let histogram = self.histogram.get_or_insert_with(|| Box::new(empty()));
            record(histogram, self.last_us, self.run);
        }
        (self.last_us, self.run) = (us, 0);
    }

    pub fn histogram(&self) -> Histogram<u64> {
        let mut histogram = self.histogram.as_deref().cloned().unwrap_or_else(empty);
        record(&mut histogram, self.last_us, self.run);
        histogram
    }
}

/// Grows with the times that it is told of.
fn empty() -> Histogram<u64> {
    Histogram::new(1).expect("one significant digit is enough for anybody")
}

fn record(histogram: &mut Histogram<u64>, us: u64, times: u64) {
    histogram.record_n(us, times).expect("it grows");
}

impl fmt::Debug for Latency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let histogram = self.histogram();
        write!(f, "Latency({} times, {} us at most)", histogram.len(), histogram.max())
    }
}

/// Of one queue, or of all queues of a shard.
#[derive(Clone, Default, Debug)]
pub struct QueueLatency {
    /// From a message's arrival to its first delivery.
    pub waited: Latency,
    /// From its arrival until it was as safe as the queue promises: what its confirm waits for.
    pub kept: Latency,
    /// From a delivery to its ack.
    pub acked: Latency,
}

/// When the numbers of a row passed: they only rise, and those of a batch pass at once. A long row is known in parts, in each
/// of which they are taken to have come evenly.
#[derive(Clone, Default, Debug)]
pub struct Timeline {
    parts: VecDeque<Part>,
    last_at: i64,
}

/// Begins with one batch, and may have others up to the one that it ends with. Times are in ns, below 0 before the clock began.
#[derive(Clone, Copy, Debug)]
struct Part {
    first: u64,
    first_at: i64,
    last: u64,
    last_at: i64,
}

impl Part {
    fn at(&self, number: u64) -> i64 {
        if number >= self.last {
            return self.last_at;
        }
        let share = number.saturating_sub(self.first) as f64 / (self.last - self.first) as f64;
        self.first_at + ((self.last_at - self.first_at) as f64 * share) as i64
    }
}

impl Timeline {
    #[inline]
    pub fn note(&mut self, number: u64, at: i64) {
        if at != self.last_at || self.parts.is_empty() {
            self.note_batch(number, at);
        }
    }

    #[cold]
    fn note_batch(&mut self, number: u64, at: i64) {
        self.last_at = at;
        let begun_at = self.parts.front().map_or(at, |part| part.first_at);
        match self.parts.back_mut() {
            Some(part) if at - part.first_at <= (at - begun_at) / PARTS => {
                (part.last, part.last_at) = (number, at);
            }
            _ => self.parts.push_back(Part { first: number, first_at: at, last: number, last_at: at }),
        }
    }

    /// When that number passed; those below it will not be asked for again.
    #[inline]
    pub fn pass(&mut self, number: u64) -> Option<i64> {
        while self.parts.get(1).is_some_and(|next| next.first <= number) {
            self.parts.pop_front();
        }
        self.parts.front().map(|part| part.at(number))
    }

    /// The same of all numbers from one to another, in order: each time and how often.
    pub fn pass_all(&mut self, mut from: u64, to: u64, mut passed: impl FnMut(i64, u64)) {
        while from <= to
            && let Some(at) = self.pass(from)
        {
            let end = match (self.parts.front(), self.parts.get(1)) {
                (Some(part), _) if from < part.last => from,
                (_, Some(next)) => to.min(next.first - 1),
                _ => to,
            };
            passed(at, end - from + 1);
            from = end + 1;
        }
    }

    /// The same of any number. One that was passed over is taken for the oldest that is known.
    pub fn at(&self, number: u64) -> Option<i64> {
        let behind = self.parts.partition_point(|part| part.first <= number);
        self.parts.get(behind.saturating_sub(1)).map(|part| part.at(number))
    }

    pub fn clear(&mut self) {
        self.parts.clear();
    }
}

/// A part takes that share of the time since the row began, so that an hour of small batches has some hundred parts.
const PARTS: i64 = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_counted_in_runs_is_all_there() {
        let mut latency = Latency::default();
        assert_eq!(latency.histogram().len(), 0);
        for (ns, times) in [(0, 5), (999, 1), (7_000_000, 2), (7_000_500, 1), (0, 1), (u64::MAX, 1)] {
            latency.record(ns, times);
        }
        let histogram = latency.histogram();
        assert_eq!(histogram.len(), 11);
        assert_eq!(histogram.count_at(0), 7);
        assert_eq!(histogram.count_between(6_500, 7_500), 3);
    }

    #[test]
    fn a_number_passed_when_its_batch_did() {
        let mut timeline = Timeline::default();
        for (number, at) in [(1, -5), (2, -5), (3, 10), (4, 10), (9, 20)] {
            timeline.note(number, at);
        }
        assert_eq!([1, 2, 3, 8, 9, 10].map(|number| timeline.at(number)), [-5, -5, 10, 10, 20, 20].map(Some));
        assert_eq!(timeline.pass(2), Some(-5));
        assert_eq!(timeline.pass(4), Some(10));
        assert_eq!((timeline.at(1), timeline.at(4)), (Some(10), Some(10)));
        let mut all = Vec::new();
        timeline.pass_all(4, 12, |at, times| all.push((at, times)));
        assert_eq!(all, [(10, 5), (20, 4)]);
        timeline.clear();
        assert_eq!((timeline.pass(1), timeline.at(1)), (None, None));
    }

    #[test]
    fn a_long_row_is_known_in_few_parts() {
        let mut timeline = Timeline::default();
        let at = |number: u64| (number / 10 * 10_000) as i64 + 77_000_000;
        (1_000..=1_001_000).for_each(|number| timeline.note(number, at(number)));
        assert!(timeline.parts.len() < 800, "{}", timeline.parts.len());
        for number in (1_000..=1_001_000).step_by(997) {
            assert!((timeline.at(number).unwrap() - at(number)).abs() <= 20_000, "{number}");
        }
        assert_eq!(timeline.pass(1_000_000), timeline.at(1_000_000));
        assert!(timeline.parts.len() < 3);
        (1_001_001..1_001_999).for_each(|number| timeline.note(number, at(number)));
        assert!((timeline.at(1_001_500).unwrap() - at(1_001_500)).abs() <= 20_000);
    }
}
