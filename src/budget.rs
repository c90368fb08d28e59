//! What message memory may take in the whole server, and whether it, or what waits to be written, has reached its limit;
//! and how much of the disk must stay free. Administrators change both limits while everybody goes by them.
//!
//! Each shard adds and subtracts whole pages, so that the shared counter is touched once per 256 KB.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};

/// Shared by all shards. Above the limit the alarm is on and publishes wait; it goes off again below nine tenths of
/// it, so that it does not flutter.
#[derive(Debug)]
pub struct Budget {
    limit_bytes: AtomicUsize,
    used_bytes: AtomicUsize,
    alarm: AtomicBool,
    /// How many journals have more to write than they should.
    behind: AtomicUsize,
}

impl Budget {
    pub fn new(limit_bytes: usize) -> Budget {
        Budget {
            limit_bytes: AtomicUsize::new(limit_bytes),
            used_bytes: AtomicUsize::new(0),
            alarm: AtomicBool::new(false),
            behind: AtomicUsize::new(0),
        }
    }

    pub fn add(&self, bytes: usize) {
        let used = self.used_bytes.fetch_add(bytes, Relaxed) + bytes;
        if used > self.limit_bytes() {
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
        self.limit_bytes.load(Relaxed)
    }

    /// The alarm is as if it had never been on or off before. At a limit of 0 it is on, whatever is used: so RabbitMQ's
    /// users stop all publishers.
    pub fn set_limit(&self, bytes: usize) {
        self.limit_bytes.store(bytes, Relaxed);
        self.alarm.store(self.used_bytes() >= bytes, Relaxed);
    }

    fn is_low(&self, used: usize) -> bool {
        used < self.limit_bytes() / 10 * 9
    }
}

/// Free bytes of the disk below which publishers wait. Shared by the journals' threads and that of HTTP.
#[derive(Clone, Debug, Default)]
pub struct DiskFloor(Arc<AtomicU64>);

impl DiskFloor {
    pub fn new(bytes: u64) -> DiskFloor {
        DiskFloor(Arc::new(AtomicU64::new(bytes)))
    }

    pub fn bytes(&self) -> u64 {
        self.0.load(Relaxed)
    }

    /// The journals find it when they look at the room next.
    pub fn set(&self, bytes: u64) {
        self.0.store(bytes, Relaxed);
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

    #[test]
    fn a_new_limit_counts_at_once_and_at_none_the_alarm_is_always_on() {
        let budget = Budget::new(1000);
        budget.add(500);
        budget.set_limit(400);
        assert!(budget.alarm());
        budget.set_limit(510);
        assert!(!budget.alarm(), "what was on before does not count");
        budget.subtract(500);
        budget.set_limit(0);
        assert!(budget.alarm());
    }
}
