//! The watchdog: the service manager hears of us only while every shard answers, and ends and restarts us otherwise.
//!
//! A shard with nothing to do sleeps, so that it does not turn proves nothing. It is asked at its desk, which takes the road
//! of every order: its doorbell wakes it, the order passes the gate, and the answer leaves at the end of the turn.

use std::io;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use futures_lite::future::block_on;

use super::Notify;
use crate::ids::ShardId;
use crate::shard::desk::Order;
use crate::shard::start::Common;

/// How long the service manager waits for a word of us; None if it does not.
pub fn patience(variable: &dyn Fn(&str) -> Option<String>) -> Option<Duration> {
    let number = |name: &str| variable(name).and_then(|text| text.parse::<u64>().ok());
    // What was meant for a parent of ours says nothing to us.
    if number("WATCHDOG_PID").is_some_and(|pid| pid != u64::from(std::process::id())) {
        return None;
    }
    number("WATCHDOG_USEC").filter(|us| *us > 0).map(Duration::from_micros)
}

/// Asks the shards on a thread of its own, which ends with the process: twice within `patience`, as sd_watchdog_enabled(3)
/// advises.
pub fn watch(patience: Duration, notify: Arc<Notify>, common: Common) -> io::Result<()> {
    let round = move || {
        while common.shards().all(|shard| answers(&common, shard)) {
            notify.is_well();
            thread::sleep(patience / 2);
        }
    };
    thread::Builder::new().name("watchdog".into()).spawn(round).map(drop)
}

/// Waits for as long as it takes; false when the server stops.
fn answers(common: &Common, shard: ShardId) -> bool {
    while !common.stop.requested() {
        if block_on(common.ask_at(shard, Order::Ping)).is_some() {
            return true;
        }
        // It is overrun with orders: that it takes them is still to be seen.
        thread::sleep(OVERRUN_PAUSE);
    }
    false
}

const OVERRUN_PAUSE: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_process_that_is_meant_is_watched() {
        let own = std::process::id().to_string();
        let patience = |us: &str, pid: &str| {
            patience(&|name| match name {
                "WATCHDOG_USEC" => Some(us.to_owned()),
                "WATCHDOG_PID" => Some(pid.to_owned()),
                _ => None,
            })
        };
        assert_eq!(patience("3000000", &own), Some(Duration::from_secs(3)));
        assert_eq!(patience("3000000", "1"), None);
        assert_eq!(patience("0", &own), None);
        assert_eq!(super::patience(&|_| None), None);
    }
}
