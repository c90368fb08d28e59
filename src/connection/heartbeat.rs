//! When a connection was last heard, and when it must hear from us.

/// Times are nanoseconds of the shard's monotonic clock.
#[derive(Clone, Copy, Debug)]
pub struct Heartbeat {
    /// As the client set it in tune-ok; 0 is off.
    interval_ns: u64,
    received_at: u64,
    sent_at: u64,
    /// The entry in the shard's deadlines that counts.
    pub due_at: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Beat {
    Quiet,
    Send,
    /// Nothing came for two intervals.
    Dead,
}

impl Heartbeat {
    pub fn new(now: u64) -> Heartbeat {
        Heartbeat { interval_ns: 0, received_at: now, sent_at: now, due_at: u64::MAX }
    }

    pub fn set_interval(&mut self, seconds: u16, now: u64) {
        self.interval_ns = u64::from(seconds) * 1_000_000_000;
        self.received_at = now;
    }

    #[inline]
    pub fn received(&mut self, now: u64) {
        self.received_at = now;
    }

    #[inline]
    pub fn sent(&mut self, now: u64) {
        self.sent_at = now;
    }

    /// `held` says that we do not read: then silence is our own doing.
    pub fn check(&mut self, now: u64, held: bool) -> Beat {
        if self.interval_ns == 0 {
            return Beat::Quiet;
        }
        if held {
            self.received_at = now;
        }
        if now >= self.received_at + 2 * self.interval_ns {
            return Beat::Dead;
        }
        if now >= self.sent_at + self.interval_ns / 2 { Beat::Send } else { Beat::Quiet }
    }

    /// When to look again.
    pub fn next(&self, now: u64) -> Option<u64> {
        (self.interval_ns > 0).then(|| {
            let send = self.sent_at + self.interval_ns / 2;
            let dead = self.received_at + 2 * self.interval_ns;
            send.min(dead).max(now + self.interval_ns / 8)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: u64 = 1_000_000_000;

    #[test]
    fn a_silent_peer_is_dead_after_two_intervals_and_not_before() {
        let mut heartbeat = Heartbeat::new(0);
        heartbeat.set_interval(2, 0);
        heartbeat.sent(3 * S);
        assert_eq!(heartbeat.check(4 * S - 1, false), Beat::Quiet);
        assert_eq!(heartbeat.check(4 * S, false), Beat::Dead);
        heartbeat.received(4 * S);
        assert_eq!(heartbeat.check(4 * S, false), Beat::Send);
    }

    #[test]
    fn a_peer_that_we_do_not_read_is_not_blamed() {
        let mut heartbeat = Heartbeat::new(0);
        heartbeat.set_interval(2, 0);
        heartbeat.sent(100 * S);
        assert_eq!(heartbeat.check(100 * S, true), Beat::Quiet);
        assert_eq!(heartbeat.check(101 * S, false), Beat::Send);
    }

    #[test]
    fn zero_is_off() {
        let mut heartbeat = Heartbeat::new(0);
        assert_eq!(heartbeat.check(u64::MAX, false), Beat::Quiet);
        assert_eq!(heartbeat.next(5), None);
    }
}
