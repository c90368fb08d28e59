//! What message memory may take in the whole server, and whether it has reached its limit.
//!
//! Each shard adds and subtracts whole pages, so that the shared counter is touched once per 256 KB.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

/// Shared by all shards. Above the limit the alarm is on and connections that publish are not read; it goes
/// off again below nine tenths of it, so that it does not flutter.
#[derive(Debug)]
pub struct Budget {
    limit_bytes: usize,
    used_bytes: AtomicUsize,
    alarm: AtomicBool,
}

impl Budget {
    pub fn new(limit_bytes: usize) -> Budget {
        Budget { limit_bytes, used_bytes: AtomicUsize::new(0), alarm: AtomicBool::new(false) }
    }

    pub fn add(&self, bytes: usize) {
        let used = self.used_bytes.fetch_add(bytes, Relaxed) + bytes;
        if used > self.limit_bytes {
            self.alarm.store(true, Relaxed);
        }
    }

    pub fn subtract(&self, bytes: usize) {
        let used = self.used_bytes.fetch_sub(bytes, Relaxed) - bytes;
        if used < self.limit_bytes / 10 * 9 {
            self.alarm.store(false, Relaxed);
        }
    }

    pub fn alarm(&self) -> bool {
        self.alarm.load(Relaxed)
    }

    pub fn used_bytes(&self) -> usize {
        self.used_bytes.load(Relaxed)
    }

    pub fn limit_bytes(&self) -> usize {
        self.limit_bytes
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
}
