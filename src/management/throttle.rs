//! [`access::Throttle`] for the HTTP thread, whose requests are tasks side by side.

#![allow(clippy::disallowed_types, reason = "it is the HTTP thread's own: no shard waits for it")]

use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::access;

pub struct Throttle {
    began: Instant,
    failures: Mutex<access::Throttle>,
}

impl Default for Throttle {
    fn default() -> Throttle {
        Throttle { began: Instant::now(), failures: Mutex::default() }
    }
}

impl Throttle {
    /// A wrong login came from there. Answers how long it must wait for its answer.
    pub fn failed(&self, from: IpAddr) -> Duration {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        Duration::from_nanos(failures.failed(from, self.began.elapsed().as_nanos() as u64))
    }
}
