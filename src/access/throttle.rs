//! Who guesses passwords waits: the more wrong ones came from an address, the longer.
//!
//! ```text
//! wrong logins of the last minute    1 ... 10   11    12    13    14    15    16 and more
//! the last one waits, s                  0       1     2     4     8    16    30
//! ```
//! Only wrong logins wait. What is right is answered at once, from that address too.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};

/// Lives on: each shard for AMQP, and the HTTP thread. Times are ns of a clock that goes on.
#[derive(Default)]
pub struct Throttle {
    failures: BTreeMap<IpAddr, Failures>,
    /// Not before then it is looked whom to forget.
    sweep_at: u64,
}

/// A bucket that fills with wrong logins and runs dry in a minute.
#[derive(Clone, Copy)]
struct Failures {
    level: f64,
    at: u64,
}

impl Throttle {
    /// A wrong login came from there. Answers how long it must wait, ns.
    pub fn failed(&mut self, from: IpAddr, now: u64) -> u64 {
        let from = origin(from);
        if self.failures.len() >= ADDRESSES_MAX && now >= self.sweep_at {
            self.failures.retain(|_, failures| failures.level_at(now) >= 1.0);
            self.sweep_at = now + SWEEP_EVERY_NS;
        }
        if self.failures.len() >= ADDRESSES_MAX && !self.failures.contains_key(&from) {
            // So many guess that whoever is new is taken for one of them.
            return DELAY_MAX_NS;
        }
        let of = self.failures.entry(from).or_insert(Failures { level: 0.0, at: now });
        *of = Failures { level: of.level_at(now) + 1.0, at: now };
        delay(of.level)
    }

    /// The next wrong login from there would have to wait.
    pub fn suspects(&self, from: IpAddr, now: u64) -> bool {
        self.failures.get(&origin(from)).is_some_and(|of| delay(of.level_at(now) + 1.0) > 0)
    }
}

impl Failures {
    fn level_at(self, now: u64) -> f64 {
        let gone = now.saturating_sub(self.at) as f64 * FREE / MINUTE_NS;
        (self.level - gone).max(0.0)
    }
}

/// What counts as one address: whoever has one of IPv6 has the others of its network (RFC 4291 section 2.5.4).
pub fn origin(from: IpAddr) -> IpAddr {
    match from.to_canonical() {
        IpAddr::V6(from) => IpAddr::V6(Ipv6Addr::from_bits(from.to_bits() >> 64 << 64)),
        from => from,
    }
}

fn delay(level: f64) -> u64 {
    let beyond = (level - FREE).ceil();
    if beyond < 1.0 {
        return 0;
    }
    (SECOND_NS << (beyond.min(10.0) as u32 - 1)).min(DELAY_MAX_NS)
}

/// Wrong logins a minute that nobody waits for.
const FREE: f64 = 10.0;
const SECOND_NS: u64 = 1_000_000_000;
const MINUTE_NS: f64 = 60e9;
const DELAY_MAX_NS: u64 = 30 * SECOND_NS;
/// About a megabyte.
const ADDRESSES_MAX: usize = 16_384;
/// To look through all of them takes some 100 us.
const SWEEP_EVERY_NS: u64 = SECOND_NS;

#[cfg(test)]
mod tests {
    use super::*;

    fn address(number: u32) -> IpAddr {
        IpAddr::V4(number.into())
    }

    #[test]
    fn who_guesses_waits_longer_and_longer_and_others_do_not() {
        let mut throttle = Throttle::default();
        let mut waits = Vec::new();
        for _ in 0..17 {
            let suspected = throttle.suspects(address(1), 5);
            waits.push(throttle.failed(address(1), 5) / SECOND_NS);
            assert_eq!(suspected, *waits.last().unwrap() > 0);
        }
        assert_eq!(waits, [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 4, 8, 16, 30, 30]);
        assert_eq!((throttle.failed(address(2), 5), throttle.suspects(address(2), 5)), (0, false));
        assert_eq!(throttle.failed(address(1), 120 * SECOND_NS), 0);
    }

    #[test]
    fn a_network_counts_as_one_address() {
        let mut throttle = Throttle::default();
        let mut wait = |address: &str| throttle.failed(address.parse().unwrap(), 0) / SECOND_NS;
        for _ in 0..10 {
            wait("2001:db8::1");
            wait("::ffff:10.0.0.1");
        }
        assert_eq!(
            ["2001:db8::2", "2001:db8:0:1::1", "10.0.0.1", "::ffff:10.0.0.2"].map(&mut wait),
            [1, 0, 1, 0]
        );
    }

    #[test]
    fn a_crowd_of_addresses_takes_no_more_room_than_there_is() {
        let mut throttle = Throttle::default();
        for number in 0..ADDRESSES_MAX as u32 {
            assert_eq!(throttle.failed(address(number), 0), 0);
        }
        assert_eq!(throttle.failed(address(u32::MAX), 0), DELAY_MAX_NS);
        assert_eq!(throttle.failed(address(u32::MAX), 60 * SECOND_NS), 0);
        assert_eq!(throttle.failures.len(), 1);
    }
}
