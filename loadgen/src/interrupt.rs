//! The first SIGINT or SIGTERM ends the run early, with its report; a later one ends the process at once. Neither
//! leaves a broker of ours behind, or its folder.

use std::io;
use std::process;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::{clock, launch};

/// Begins to listen.
pub fn listen() -> io::Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    thread::Builder::new().name("signals".to_owned()).spawn(move || {
        let mut first = None;
        for signal in &mut signals {
            REQUESTED.store(true, Ordering::Release);
            // timeout(1) sends its signal twice, to the process and to its group: those are one.
            if first.get_or_insert_with(Instant::now).elapsed() > ONE_SIGNAL {
                end_at_once(signal);
            }
        }
    })?;
    Ok(())
}

/// Whether the run shall end.
pub fn requested() -> bool {
    REQUESTED.load(Ordering::Acquire)
}

/// Tells which broker is ours while we have one.
pub fn protect(pid: Option<u32>) {
    BROKER.store(pid.map_or(0, |pid| pid as i32), Ordering::Release);
}

/// Tells which run is ours while we have one: it ends by itself, with its broker, when it is told.
pub fn pass_on(pid: Option<u32>) {
    RUN.store(pid.map_or(0, |pid| pid as i32), Ordering::Release);
}

/// Returns at that clock time, or when the run shall end.
pub fn sleep_until(deadline: u64) {
    while !requested() {
        let Some(left) = deadline.checked_sub(clock::now()).filter(|&left| left > 0) else { return };
        thread::sleep(Duration::from_nanos(left).min(LOOK_EVERY));
    }
}

fn end_at_once(signal: i32) -> ! {
    if let Some(broker) = Pid::from_raw(BROKER.load(Ordering::Acquire)) {
        // It may have ended by itself.
        _ = kill_process(broker, Signal::KILL);
        launch::remove_folders();
    }
    if let Some(run) = Pid::from_raw(RUN.load(Ordering::Acquire)) {
        _ = kill_process(run, Signal::TERM);
    }
    process::exit(128 + signal)
}

static REQUESTED: AtomicBool = AtomicBool::new(false);
/// 0: none.
static BROKER: AtomicI32 = AtomicI32::new(0);
static RUN: AtomicI32 = AtomicI32::new(0);
const ONE_SIGNAL: Duration = Duration::from_millis(200);
const LOOK_EVERY: Duration = Duration::from_millis(20);
