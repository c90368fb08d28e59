//! Counts latencies into histograms: one for the measured part of the run, one for the second that is under way.

use hdrhistogram::Histogram;

/// Latencies of one kind, seen by one thread.
pub struct Meter {
    /// Planned times from here, and before `until`, belong to the measured part.
    from: u64,
    until: u64,
    measured: Histogram<u64>,
    interval: Histogram<u64>,
    /// Messages in a row that were planned at the same time: a batch costs one entry in the histograms.
    run_planned: u64,
    run_count: u64,
    /// Messages whose planned time lies in the future.
    implausible: u64,
}

impl Meter {
    pub fn new() -> Meter {
        Meter {
            from: u64::MAX,
            until: u64::MAX,
            measured: histogram(),
            interval: histogram(),
            run_planned: 0,
            run_count: 0,
            implausible: 0,
        }
    }

    /// Measures what is planned in this span.
    pub fn measure(&mut self, from: u64, until: u64) {
        (self.from, self.until) = (from, until);
    }

    /// A message planned at `planned` is done now. The clock is read once per batch: `settle` tells it.
    #[inline]
    pub fn done(&mut self, planned: u64, now: u64) {
        if planned != self.run_planned {
            self.settle(now);
            self.run_planned = planned;
        }
        self.run_count += 1;
    }

    /// Ends a batch: all that was `done` since the last one took until `now`.
    pub fn settle(&mut self, now: u64) {
        let (planned, count) = (self.run_planned, std::mem::take(&mut self.run_count));
        if count == 0 {
            return;
        }
        let Some(latency) = now.checked_sub(planned) else {
            self.implausible += count;
            return;
        };
        self.interval.saturating_record_n(latency, count);
        if planned >= self.from && planned < self.until {
            self.measured.saturating_record_n(latency, count);
        }
    }

    /// What came since the last call.
    pub fn take_interval(&mut self) -> Histogram<u64> {
        let interval = self.interval.clone();
        self.interval.reset();
        interval
    }

    pub fn implausible(&self) -> u64 {
        self.implausible
    }

    pub fn into_measured(self) -> Histogram<u64> {
        self.measured
    }
}

/// Nanoseconds up to 1,000 s with three digits; what is longer counts as that.
pub fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LATENCY_NS_MAX, 3).expect("the bounds are constants in range")
}

const LATENCY_NS_MAX: u64 = 1_000_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_counts_every_message_once() {
        let mut meter = Meter::new();
        meter.measure(100, 200);
        for planned in [100, 100, 150, 150, 150] {
            meter.done(planned, 1_100);
        }
        meter.settle(1_100);
        meter.settle(9_999);
        assert_eq!(meter.take_interval().len(), 5);
        assert_eq!(meter.take_interval().len(), 0);
        let measured = meter.into_measured();
        assert_eq!((measured.len(), measured.min(), measured.count_at(950)), (5, 950, 3));
    }

    #[test]
    fn warm_up_and_what_follows_are_not_measured() {
        let mut meter = Meter::new();
        meter.measure(100, 200);
        for planned in [99, 100, 199, 200] {
            meter.done(planned, 1_000);
        }
        meter.settle(1_000);
        assert_eq!(meter.into_measured().len(), 2);
    }

    #[test]
    fn a_time_in_the_future_is_implausible() {
        let mut meter = Meter::new();
        meter.done(500, 400);
        meter.settle(400);
        assert_eq!(meter.implausible(), 1);
    }
}
