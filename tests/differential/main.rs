//! HareMQ beside RabbitMQ: what is drawn from a seed is said to both, and what they answer is compared.
//!
//! ```text
//! draw -> admit -> speak -> side (HareMQ)   -> render -> run: the same? -> known: a reason? -> shrink
//!            ^          \-> side (RabbitMQ) -> render ----^
//!            +-- ledger <----+
//! ```
//! `HAREMQ_DIFF_SEED=n` runs one seed and shows it, `HAREMQ_DIFF_SEEDS=n` so many, `HAREMQ_DIFF_FROM=n` from there on.

#[path = "../common/mod.rs"]
mod common;
#[allow(dead_code)]
#[path = "../sim/dice.rs"]
mod dice;

mod act;
mod admit;
mod draw;
mod draw_arguments;
mod known;
mod ledger;
mod link;
mod quiet;
mod render;
mod run;
mod shrink;
mod side;
mod speak;

use common::Broker;
use common::rabbit::Rabbit;
use draw::Plan;
use quiet::Quiet;
use run::{Brokers, Run, Tally};
use shrink::shrink;
use std::str::FromStr;
use std::time::{Duration, Instant};

#[test]
fn haremq_answers_as_rabbitmq_does() {
    if !Rabbit::is_installed() {
        return;
    }
    let rabbit = Quiet::start(port());
    // RabbitMQ beside itself shows how much of what it does is decided by chance.
    let itself = variable("HAREMQ_DIFF_ITSELF").unwrap_or(0) != 0;
    let twin = itself.then(|| Quiet::start(port() + 1));
    let haremq = (!itself).then(Broker::start);
    let first = twin.as_ref().map(|twin| (twin.amqp(), Some(twin.quiet)));
    let first = first.or_else(|| haremq.as_ref().map(|broker| (broker.amqp, None)));
    let (address, quiet) = first.expect("one of the two was started");
    let brokers = Brokers { addresses: [address, rabbit.amqp()], quiet: [quiet, Some(rabbit.quiet)] };
    match variable("HAREMQ_DIFF_SEED") {
        Some(seed) => assert!(!one(brokers, seed, true).1, "seed {seed} differs"),
        None => many(brokers),
    }
}

fn many(brokers: Brokers) {
    let (from, seeds) =
        (variable("HAREMQ_DIFF_FROM").unwrap_or(0), variable("HAREMQ_DIFF_SEEDS").unwrap_or(SEEDS));
    let began = Instant::now();
    let mut total = Tally::default();
    let mut different = Vec::new();
    for seed in from..from + seeds {
        let (tally, differs) = one(brokers, seed, false);
        total.add(tally);
        different.extend(differs.then_some(seed));
    }
    println!("{total:#?}\nin {:.0} s", began.elapsed().as_secs_f64());
    assert!(different.is_empty(), "{} of {seeds} seeds differ: {different:?}", different.len());
}

/// Runs a seed and says whether the brokers differ, and do so again; then it prints in what, and how to see it.
fn one(brokers: Brokers, seed: u64, log: bool) -> (Tally, bool) {
    let count = variable("HAREMQ_DIFF_STEPS").unwrap_or(STEPS) as usize;
    let has_arguments = variable("HAREMQ_DIFF_ARGUMENTS").map(|it| it != 0);
    let steps = Plan::new(seed, has_arguments).steps(count);
    let dying = Dying(seed);
    let (mut tally, finding) = Run::seed(brokers, &steps, log);
    let mut differs = false;
    if let Some(finding) = &finding {
        println!("seed {seed}: {}", finding.text());
        differs = (0..REPEATS).any(|_| Run::seed(brokers, &steps, false).1.is_some());
        tally.once += u64::from(!differs);
    }
    if let Some(finding) = finding.as_ref().filter(|_| differs) {
        println!("again: HAREMQ_DIFF_SEED={seed} cargo test --test differential -- --nocapture");
        let seconds = variable("HAREMQ_DIFF_SHRINK").unwrap_or(SECONDS_TO_SHRINK);
        println!(
            "{}\n",
            shrink(brokers, &steps[..steps.len().min(finding.at + 1)], finding, Duration::from_secs(seconds))
        );
    }
    drop(dying);
    (tally, differs)
}

/// Says which seed it was, if the test panics while it lives.
struct Dying(u64);

impl Drop for Dying {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("seed {} panicked", self.0);
        }
    }
}

fn port() -> u16 {
    std::env::var("RABBIT_PORT").ok().and_then(|port| port.parse().ok()).unwrap_or(PORT)
}

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|value| u64::from_str(&value).ok())
}

const SEEDS: u64 = 50;
const STEPS: u64 = 500;
/// What differs must do so in one of so many more runs: RabbitMQ beside itself differs now and then, too.
const REPEATS: usize = 3;
const SECONDS_TO_SHRINK: u64 = 60;
/// RabbitMQ's, if RABBIT_PORT names no other.
const PORT: u16 = 5686;
