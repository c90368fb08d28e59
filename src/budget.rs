//! What message memory may take in the whole server, and whether it, or what waits to be written, has reached its limit.
//!
//! Each shard adds and subtracts whole pages, so that the shared counter is touched once per 256 KB.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

/// Shared by all shards. Above the limit the alarm is on and publishes wait; it goes off again below nine tenths of
/// it, so that it does not flutter.
#[derive(Debug)]
pub struct Budget {
    limit_bytes: usize,
    used_bytes: AtomicUsize,
    alarm: AtomicBool,
    /// How many journals have more to write than they should.
    behind: AtomicUsize,
}

impl Budget {
    pub fn new(limit_bytes: usize) -> Budget {
        Budget {
            limit_bytes,
            used_bytes: AtomicUsize::new(0),
            alarm: AtomicBool::new(false),
            behind: AtomicUsize::new(0),
        }
    }

    pub fn add(&self, bytes: usize) {
        let used = self.used_bytes.fetch_add(bytes, Relaxed) + bytes;
        if used > self.limit_bytes {
            self.alarm.store(true, Relaxed);
        }
    }

    pub fn subtract(&self, bytes: usize) {
        let used = self.used_bytes.fetch_sub(bytes, Relaxed) - bytes;
        if self.is_low(used) {
            self.alarm.store(false, Relaxed);
        }
    }

    /// Two shards that add and subtract at once may leave the flag as the slower of them saw it. It then stays off
    /// until somebody adds, which does no harm; that it does not stay on, who asks makes sure.
    pub fn alarm(&self) -> bool {
        if self.alarm.load(Relaxed) && self.is_low(self.used_bytes()) {
            self.alarm.store(false, Relaxed);
        }
        self.alarm.load(Relaxed)
    }

    /// A journal has more to write than it should, or has no more.
    pub fn set_behind(&self, behind: bool) {
        if behind {
            self.behind.fetch_add(1, Relaxed)
        } else {
            self.behind.fetch_sub(1, Relaxed)
        };
    }

    /// Whether some journal has more to write than it should: publishers wait for it.
    pub fn is_behind(&self) -> bool {
        self.behind.load(Relaxed) > 0
    }

    pub fn used_bytes(&self) -> usize {
        self.used_bytes.load(Relaxed)
    }

    pub fn limit_bytes(&self) -> usize {
        self.limit_bytes
    }

    fn is_low(&self, used: usize) -> bool {
        used < self.limit_bytes / 10 * 9
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_alarm_goes_off_only_well_below_the_limit() {
        let budget = Budget::new(1000);
        budget.add(1001);
        assert!(budget.alarm());
        budget.subtract(50);
        assert!(budget.alarm());
        budget.subtract(60);
        assert!(!budget.alarm());
        assert_eq!(budget.used_bytes(), 891);
    }

    #[test]
    fn an_alarm_that_was_set_too_late_does_not_stay() {
        let budget = Budget::new(1000);
        budget.alarm.store(true, Relaxed);
        assert!(!budget.alarm());
        budget.add(950);
        assert!(!budget.alarm(), "what was low is no alarm until the limit");
    }
}
