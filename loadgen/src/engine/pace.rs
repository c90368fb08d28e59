//! When a message is due: open loop, so that a slow broker does not slow the schedule down and hide its own delay.

use crate::clock::NS_PER_SECOND;

/// The planned times of one producer.
#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    start: u64,
    /// Between one burst and the next.
    interval_ns: f64,
    /// Messages that are due together.
    burst: u64,
}

impl Schedule {
    /// `phase` is where in the first interval the first message is due, 0 to 1: producers do not send in step.
    pub fn new(start: u64, rate: f64, burst: u64, phase: f64) -> Schedule {
        let interval_ns = NS_PER_SECOND as f64 * burst as f64 / rate;
        Schedule { start: start + (interval_ns * phase) as u64, interval_ns, burst }
    }

    /// When message `index`, counted from 0, is due.
    pub fn planned(&self, index: u64) -> u64 {
        let before = if self.burst == 1 { index } else { index / self.burst };
        self.start + (before as f64 * self.interval_ns) as u64
    }

    /// How many messages are due at or before `now`.
    pub fn due(&self, now: u64) -> u64 {
        match now.checked_sub(self.start) {
            None => 0,
            Some(elapsed) => ((elapsed as f64 / self.interval_ns) as u64 + 1) * self.burst,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_message_is_due_when_it_is_planned() {
        for (rate, phase) in [(20_000.0, 0.0), (40.0, 0.37), (3.0, 0.5), (0.1, 0.0), (7_000_000.0, 0.9)] {
            let schedule = Schedule::new(1_000_000, rate, 1, phase);
            for index in [0, 1, 2, 17, 1_000, 999_999] {
                let planned = schedule.planned(index);
                // Rounding to whole nanoseconds may tell one early or one late.
                assert!(schedule.due(planned + 1) > index, "rate {rate}, index {index}");
                assert!(schedule.due(planned - 1) <= index + 1, "rate {rate}, index {index}");
            }
        }
    }

    #[test]
    fn nothing_is_due_before_the_start() {
        let schedule = Schedule::new(1_000, 10.0, 1, 0.5);
        assert_eq!((schedule.due(0), schedule.due(50_000_999), schedule.due(50_001_000)), (0, 0, 1));
    }

    #[test]
    fn a_burst_is_due_at_once() {
        let schedule = Schedule::new(0, 1_000_000.0, 500, 0.0);
        assert_eq!([0, 499, 500, 1_499].map(|index| schedule.planned(index)), [0, 0, 500_000, 1_000_000]);
        assert_eq!([0, 499_999, 500_000].map(|now| schedule.due(now)), [500, 500, 1_000]);
    }

    #[test]
    fn the_schedule_does_not_drift() {
        let schedule = Schedule::new(0, 30_000.0, 1, 0.0);
        assert_eq!(schedule.planned(30_000 * 3_600), 3_600 * NS_PER_SECOND);
    }
}
