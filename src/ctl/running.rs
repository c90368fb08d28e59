//! What is changed of a server that runs, until it ends: its limits, and whether clients may come in.

use clap::Subcommand;
use serde_json::{Value, json};

use super::{Ctl, DATA, Failure, USAGE};

#[derive(Subcommand, Clone, Debug)]
#[command(rename_all = "snake_case")]
pub enum Command {
    /// Sets from how much memory on publishers wait, until the server ends: a fraction, or `absolute` and bytes (2GiB)
    #[command(override_usage = "set_vm_memory_high_watermark <fraction> | absolute <value>")]
    SetVmMemoryHighWatermark {
        #[arg(num_args = 1..=2, required = true)]
        limit: Vec<String>,
    },
    /// Sets with how little room on the disk publishers wait, until the server ends: bytes (2GiB), or `mem_relative` and
    /// a multiple of the memory
    #[command(override_usage = "set_disk_free_limit <disk_limit> | mem_relative <fraction>")]
    SetDiskFreeLimit {
        #[arg(num_args = 1..=2, required = true)]
        limit: Vec<String>,
    },
    /// Ends all connections and lets nobody in; the process, queues and messages stay
    StopApp,
    /// Lets connections in again
    StartApp,
    /// Refuses new connections; those that are there stay
    SuspendListeners,
    /// Takes new connections again
    ResumeListeners,
}

impl Command {
    pub async fn run(self, ctl: &Ctl) -> Result<(), Failure> {
        match self {
            Command::SetVmMemoryHighWatermark { limit } => {
                let (limit, told) = match words(&limit) {
                    ("absolute", Some(text)) => (bytes(text), format!("{text} bytes")),
                    ("absolute", None) => return Err(too_few()),
                    (text, None) => (share(text)?, text.to_owned()),
                    (_, Some(_)) => return Err(bad("")),
                };
                ctl.say(&format!("Setting memory threshold on the server to {told} ..."));
                set(ctl, "memory_high", limit).await
            }
            Command::SetDiskFreeLimit { limit } => {
                let (limit, told) = match words(&limit) {
                    ("mem_relative", Some(text)) => (times(text)?, format!("{text} times the total RAM")),
                    ("mem_relative", None) => return Err(too_few()),
                    (text, None) => (bytes(text), format!("{text} bytes")),
                    (_, Some(_)) => return Err(bad("")),
                };
                ctl.say(&format!("Setting disk free limit on the server to {told} ..."));
                set(ctl, "disk_free_min", limit).await
            }
            Command::StopApp => {
                ctl.say("Stopping rabbit application on the server ...");
                put(ctl, "app", json!({"running": false})).await
            }
            Command::StartApp => {
                ctl.say("Starting the server ...");
                put(ctl, "app", json!({"running": true})).await
            }
            Command::SuspendListeners => {
                ctl.say(
                    "Will suspend client connection listeners on the server. The node will no longer accept client \
                     connections!",
                );
                put(ctl, "listeners", json!({"open": false})).await
            }
            Command::ResumeListeners => {
                ctl.say(
                    "Will resume client connection listeners on the server. The node will now accept client connections",
                );
                put(ctl, "listeners", json!({"open": true})).await
            }
        }
    }
}

async fn set(ctl: &Ctl, name: &str, limit: Value) -> Result<(), Failure> {
    let set = ctl.server.put("/api/haremq/limits", &json!({name: limit})).await?;
    if set.status == 400 { Err(bad("")) } else { set.sound().map(drop) }
}

async fn put(ctl: &Ctl, what: &str, body: Value) -> Result<(), Failure> {
    ctl.server.put(&format!("/api/haremq/{what}"), &body).await?.sound().map(drop)
}

/// The parser has seen to it that there is one.
fn words(limit: &[String]) -> (&str, Option<&str>) {
    (limit.first().map_or("", String::as_str), limit.get(1).map(String::as_str))
}

fn share(text: &str) -> Result<Value, Failure> {
    let share = text.parse::<f64>().map_err(|_| bad(""))?;
    if !(0.0..=1.0).contains(&share) {
        return Err(bad(": The threshold should be a fraction between 0.0 and 1.0"));
    }
    Ok(json!({"relative": share}))
}

fn times(text: &str) -> Result<Value, Failure> {
    let times = text.parse::<f64>().ok().filter(|times| times.is_finite() && *times >= 0.0);
    times.map(|times| json!({"relative": times})).ok_or_else(|| bad(""))
}

/// The server knows the units.
fn bytes(text: &str) -> Value {
    json!({"absolute": text})
}

fn bad(why: &str) -> Failure {
    Failure { code: DATA, text: format!("(argument validation): Bad argument{why}.") }
}

fn too_few() -> Failure {
    Failure { code: USAGE, text: "(argument validation): not enough arguments.".to_owned() }
}
