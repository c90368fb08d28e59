//! Who guesses passwords waits: the more wrong ones came from an address, the longer.
//!
//! ```text
//! wrong logins of the last minute    1 ... 10   11    12    13    14    15    16 and more
//! the answer waits, s                    0       1     2     4     8    16    30
//! ```
//! Only wrong logins wait. What is right is answered at once, from that address too.

#![allow(clippy::disallowed_types, reason = "it is the HTTP thread's own: no shard waits for it")]

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

#[derive(Default)]
pub struct Throttle {
    failures: Mutex<HashMap<IpAddr, Failures>>,
}

/// A bucket that fills with wrong logins and runs dry in a minute.
#[derive(Clone, Copy)]
struct Failures {
    level: f64,
    at: Instant,
}

impl Throttle {
    /// A wrong login came from there. Answers how long it must wait for its answer.
    pub fn failed(&self, from: IpAddr, now: Instant) -> Duration {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        if failures.len() >= ADDRESSES_MAX {
            failures.retain(|_, failures| failures.level_at(now) >= 1.0);
        }
        if failures.len() >= ADDRESSES_MAX && !failures.contains_key(&from) {
            // So many guess that whoever is new is taken for one of them.
            return DELAY_MAX;
        }
        let of = failures.entry(from).or_insert(Failures { level: 0.0, at: now });
        *of = Failures { level: of.level_at(now) + 1.0, at: now };
        delay(of.level)
    }
}

impl Failures {
    fn level_at(self, now: Instant) -> f64 {
        let gone = now.saturating_duration_since(self.at).as_secs_f64() * FREE / 60.0;
        (self.level - gone).max(0.0)
    }
}

fn delay(level: f64) -> Duration {
    let beyond = (level - FREE).ceil();
    if beyond < 1.0 {
        return Duration::ZERO;
    }
    Duration::from_secs_f64(2f64.powf(beyond.min(10.0) - 1.0)).min(DELAY_MAX)
}

/// Wrong logins a minute that nobody waits for.
const FREE: f64 = 10.0;
const DELAY_MAX: Duration = Duration::from_secs(30);
/// About a megabyte.
const ADDRESSES_MAX: usize = 16_384;

#[cfg(test)]
mod tests {
    use super::*;

    fn address(number: u32) -> IpAddr {
        IpAddr::V4(number.into())
    }

    #[test]
    fn who_guesses_waits_longer_and_longer_and_others_do_not() {
        let (throttle, now) = (Throttle::default(), Instant::now());
        let waits: Vec<u64> = (0..17).map(|_| throttle.failed(address(1), now).as_secs()).collect();
        assert_eq!(waits, [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 4, 8, 16, 30, 30]);
        assert_eq!(throttle.failed(address(2), now), Duration::ZERO);
        let later = now + Duration::from_secs(120);
        assert_eq!(throttle.failed(address(1), later), Duration::ZERO);
    }

    #[test]
    fn a_crowd_of_addresses_takes_no_more_room_than_there_is() {
        let (throttle, now) = (Throttle::default(), Instant::now());
        for number in 0..ADDRESSES_MAX as u32 {
            assert_eq!(throttle.failed(address(number), now), Duration::ZERO);
        }
        assert_eq!(throttle.failed(address(u32::MAX), now), DELAY_MAX);
        let later = now + Duration::from_secs(60);
        assert_eq!(throttle.failed(address(u32::MAX), later), Duration::ZERO);
        assert_eq!(throttle.failures.lock().unwrap().len(), 1);
    }
}
