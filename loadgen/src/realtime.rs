//! SCHED_RR for this process and all it starts, by chrt of util-linux: latency tails on cores that are shared with a
//! load are else those of the scheduler.

use std::process::Command;

/// Puts all threads of this process under SCHED_RR; what it starts from now on inherits that.
pub fn enter() -> Result<(), String> {
    chrt(&["--all-tasks", "--rr", "--pid", PRIORITY, &std::process::id().to_string()])
}

/// Whether `enter` would succeed; `Err` is a sentence that says why not.
pub fn permitted() -> Result<(), String> {
    chrt(&["--rr", PRIORITY, "true"])
}

fn chrt(arguments: &[&str]) -> Result<(), String> {
    let output = Command::new("chrt").args(arguments).output();
    let output = output.map_err(|error| format!("SCHED_RR needs chrt (util-linux): {error}"))?;
    match output.status.success() {
        true => Ok(()),
        false => {
            let said = String::from_utf8_lossy(&output.stderr);
            Err(format!("SCHED_RR is not permitted here (be root, or have CAP_SYS_NICE): {}", said.trim()))
        }
    }
}

/// Above nothing else that is likely to be there; all of a run have the same.
const PRIORITY: &str = "10";
