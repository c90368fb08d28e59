//! The one clock of a run: CLOCK_MONOTONIC in nanoseconds, the same for all processes of the machine.

use rustix::time::{ClockId, Timespec, clock_gettime};

pub fn now() -> u64 {
    nanoseconds(clock_gettime(ClockId::Monotonic))
}

/// CPU time that this process has used, all threads together.
pub fn own_cpu() -> u64 {
    nanoseconds(clock_gettime(ClockId::ProcessCPUTime))
}

fn nanoseconds(time: Timespec) -> u64 {
    time.tv_sec as u64 * NS_PER_SECOND + time.tv_nsec as u64
}

pub const NS_PER_SECOND: u64 = 1_000_000_000;
