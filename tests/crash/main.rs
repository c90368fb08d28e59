//! The real server, killed: whatever it said is true after the next start.
//!
//! Everything but time is drawn from a seed. `HAREMQ_CRASH_SEEDS=n` runs so many, `HAREMQ_CRASH_FROM=n` from there on. The
//! folder of a run that failed is kept.

#[path = "../common/mod.rs"]
mod common;
// The simulator's; of its parts, these tests need only the dice.
#[allow(dead_code)]
#[path = "../sim/dice.rs"]
mod dice;

mod adoption;
mod blocklog;
mod body;
mod book;
mod client;
mod consumer;
mod damage;
mod declarer;
mod disk;
mod frozen;
mod inspector;
mod judge;
#[cfg(test)]
mod judge_tests;
mod load;
mod names;
mod plan;
mod power;
mod publisher;
mod rules;
mod transactor;
mod whole;
mod world;

use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::thread;

use world::{KILLS_PER_SEED, Tally, World};

/// 30 kills and more.
const SEEDS: u64 = 30u64.div_ceil(KILLS_PER_SEED as u64);

#[test]
fn what_was_promised_is_true_after_every_kill() {
    let seeds = variable("HAREMQ_CRASH_SEEDS").unwrap_or(SEEDS);
    let from = variable("HAREMQ_CRASH_FROM").unwrap_or(0);
    let mut total = Tally::default();
    for seed in from..from + seeds {
        let folder = Folder::new(&format!("seed-{seed}"), Some(seed));
        total.add(&World::new(seed, &folder.path).run());
    }
    println!("{total:#?}");
    if seeds >= SEEDS {
        saw_enough(&total);
    }
}

/// A run that no longer comes to something proves nothing of it.
fn saw_enough(total: &Tally) {
    for (what, times, least) in [
        ("servers were killed", total.kills, 25),
        ("servers were killed while they started", total.kills_at_start, 1),
        ("messages were confirmed", total.confirmed, 5_000),
        ("messages were not", total.published - total.confirmed, 100),
        ("transactions were committed", total.commits, 100),
        ("messages were settled", total.settled, 500),
        ("names were changed", total.changes, 200),
        ("changes were open", total.open_changes, 5),
        ("letters came", total.letters, 50),
        ("messages came back", total.found, 5_000),
    ] {
        assert!(times >= least, "{what} only {times} times");
    }
}

impl Tally {
    fn add(&mut self, other: &Tally) {
        self.kills += other.kills;
        self.kills_at_start += other.kills_at_start;
        self.published += other.published;
        self.confirmed += other.confirmed;
        self.commits += other.commits;
        self.open_commits += other.open_commits;
        self.settled += other.settled;
        self.changes += other.changes;
        self.open_changes += other.open_changes;
        self.letters += other.letters;
        self.found += other.found;
        self.start_ms = self.start_ms.max(other.start_ms);
        self.answer_ms = self.answer_ms.max(other.answer_ms);
    }
}

/// Of one run, on the disk that the tree is on; it stays if the run fails.
struct Folder {
    path: PathBuf,
    seed: Option<u64>,
}

impl Folder {
    /// Of a test without a seed.
    fn of(name: &str) -> Folder {
        Folder::new(name, None)
    }

    fn new(name: &str, seed: Option<u64>) -> Folder {
        let path =
            Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("crash-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).expect("the target folder can be written to");
        Folder { path, seed }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("--- the folder stays: {}", self.path.display());
            if let Some(seed) = self.seed {
                let run = "cargo test --test crash every_kill";
                eprintln!("--- again: HAREMQ_CRASH_FROM={seed} HAREMQ_CRASH_SEEDS=1 {run}");
            }
        } else {
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

fn variable<T: FromStr>(name: &str) -> Option<T> {
    let value = std::env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name} is no number: {value}")))
}
