//! Scripts of ours for pika and amqplib. Each file is a test here and can be run by hand against any broker.

use super::{Target, missing};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

#[test]
fn pika_tutorials() {
    pika("tutorials");
}

#[test]
fn pika_later_tutorials() {
    pika("later_tutorials");
}

#[test]
fn pika_publishing() {
    pika("publishing");
}

#[test]
fn pika_consuming() {
    pika("consuming");
}

#[test]
fn pika_limits() {
    pika("limits");
}

#[test]
fn pika_topology() {
    pika("topology");
}

#[test]
fn pika_routing() {
    pika("routing");
}

#[test]
fn pika_connections() {
    pika("connections");
}

#[test]
fn pika_transactions() {
    pika("transactions");
}

#[test]
fn pika_replies() {
    pika("replies");
}

#[test]
fn pika_dead_letters() {
    pika("dead_letters");
}

#[test]
fn pika_dead_letter_routes() {
    pika("dead_letter_routes");
}

#[test]
fn pika_expiry() {
    pika("expiry");
}

#[test]
fn pika_lengths() {
    pika("lengths");
}

/// RabbitMQ's alarm is set by its own tool, and its memory is not ours: only against `haremq`.
#[test]
fn pika_alarm() {
    let target = Target::start_with(&["--shards", "2", "--memory-high", "67108864"]);
    if !target.is_oracle() {
        pika_against("alarm", &target);
    }
}

#[test]
fn amqplib_tutorials() {
    amqplib("tutorials");
}

#[test]
fn amqplib_channels() {
    amqplib("channels");
}

#[test]
fn amqplib_callbacks() {
    amqplib("callbacks");
}

fn pika(script: &str) {
    pika_against(script, &Target::start());
}

fn pika_against(script: &str, target: &Target) {
    let Some(python) = pika_python() else { return };
    let mut command = Command::new(python);
    command.args(["-m", "unittest", "-v", script]);
    command.current_dir(folder("python")).env("PYTHONDONTWRITEBYTECODE", "1");
    run(command, target);
}

fn amqplib(script: &str) {
    let Some(folder) = amqplib_folder() else { return };
    let target = Target::start();
    let mut command = Command::new("node");
    command.args(["--test", "--test-reporter=spec", &format!("{script}.mjs")]).current_dir(folder);
    run(command, &target);
}

/// A Python that has pika.
pub fn pika_python() -> Option<PathBuf> {
    let pythons = [folder("python").join(".venv/bin/python"), PathBuf::from("python3")];
    let found = pythons.into_iter().find(|python| runs(Command::new(python).args(["-c", "import pika"])));
    if found.is_none() {
        missing("pika (tests/conformance/install-clients.sh)");
    }
    found
}

/// Where `node` finds amqplib.
pub fn amqplib_folder() -> Option<PathBuf> {
    let folder = folder("node");
    let is_there = runs(Command::new("node").args(["-e", "require('amqplib')"]).current_dir(&folder));
    if !is_there {
        missing("node with amqplib (tests/conformance/install-clients.sh)");
    }
    is_there.then_some(folder)
}

fn folder(language: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance").join(language)
}

pub fn runs(command: &mut Command) -> bool {
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

/// A client that waits for what never comes ends with the test.
const TIME_FOR_A_SCRIPT: Duration = Duration::from_secs(240);

fn run(mut command: Command, target: &Target) {
    command.env("HAREMQ_TEST_URI", &target.uri);
    let output = output_within(command, TIME_FOR_A_SCRIPT);
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{}\n{out}\n{err}", output.status);
}

/// Runs it to its end, or kills it when its time is over.
pub fn output_within(mut command: Command, limit: Duration) -> Output {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let pid = rustix::process::Pid::from_child(&child);
    let waiting = thread::spawn(move || child.wait_with_output());
    let end = Instant::now() + limit;
    while !waiting.is_finished() {
        if Instant::now() >= end {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            break;
        }
        thread::sleep(Duration::from_millis(5));
    }
    waiting.join().expect("the waiting thread does not panic").expect("a child can be waited for")
}
