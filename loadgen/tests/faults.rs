//! The whole program against a broker that makes mistakes: each must be found, counted and end in exit code 1.
#![allow(clippy::unwrap_used)] // test code, outside of #[test] functions

mod peer;

use std::process::Command;

use peer::Fault;
use serde_json::Value;

struct Run {
    code: i32,
    report: Value,
}

/// 500 messages of 64 bytes through a broker with this fault.
fn run(fault: Fault, options: &[&str]) -> Run {
    let port = peer::serve(fault);
    let output = Command::new(env!("CARGO_BIN_EXE_loadgen"))
        .args(["run", "--uri", &format!("amqp://guest:guest@127.0.0.1:{port}")])
        .args(["-C", "500", "-s", "64", "--drain-timeout", "0.5", "--format", "json"])
        .args(options)
        .output()
        .unwrap();
    let code = output.status.code().unwrap();
    let report = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
    Run { code, report }
}

impl Run {
    fn count(&self, kind: &str) -> u64 {
        self.report["violations"][kind].as_u64().unwrap_or_else(|| panic!("no {kind} in {}", self.report))
    }

    /// Exit code 1, this kind counted this often, and nothing else.
    fn found(&self, kind: &str, count: u64) {
        assert_eq!((self.code, self.count(kind)), (1, count), "{}", self.report);
        let kinds = [
            "lost",
            "duplicated",
            "reordered",
            "corrupted",
            "returned",
            "early",
            "left_over",
            "unconfirmed",
            "protocol",
        ];
        for other in kinds.into_iter().filter(|&other| other != kind) {
            assert_eq!(self.count(other), 0, "{other}: {}", self.report);
        }
        let example = self.report["violations"]["examples"][0].as_str().unwrap();
        assert!(example.to_lowercase().starts_with(kind), "{example}");
    }
}

#[test]
fn a_broker_without_fault_is_intact() {
    for options in [&["-a"][..], &["-A", "10"], &["-c", "50", "-A", "7", "-q", "20"], &["-r", "5000"]] {
        let run = run(Fault::None, options);
        assert_eq!((run.code, &run.report["intact"]), (0, &Value::Bool(true)), "{options:?} {}", run.report);
        assert_eq!(
            (run.report["published"].as_u64(), run.report["delivered"].as_u64()),
            (Some(500), Some(500))
        );
    }
}

#[test]
fn a_lost_message_is_found() {
    run(Fault::Lose(250), &[]).found("lost", 1);
    run(Fault::Lose(499), &["-a"]).found("lost", 1);
}

#[test]
fn a_duplicate_is_found_even_of_the_last_message() {
    run(Fault::Repeat(250), &[]).found("duplicated", 1);
    run(Fault::Repeat(499), &["-a"]).found("duplicated", 1);
}

#[test]
fn a_duplicate_that_is_marked_redelivered_is_allowed() {
    let run = run(Fault::Redeliver(250), &[]);
    assert_eq!((run.code, run.count("redelivered"), run.count("duplicated")), (0, 1, 0));
}

#[test]
fn swapped_messages_are_found() {
    run(Fault::Swap(250), &[]).found("reordered", 1);
}

#[test]
fn a_changed_byte_is_found() {
    // In the fill.
    let damaged = run(Fault::Damage(250, 40), &[]);
    assert_eq!((damaged.code, damaged.count("corrupted"), damaged.count("lost")), (1, 1, 1));
    // In the producer's number, the high byte of the sequence, and the high byte of the time.
    for byte in [0, 2, 8] {
        let damaged = run(Fault::Damage(250, byte), &[]);
        assert!(damaged.code == 1 && damaged.count("corrupted") == 1, "byte {byte}: {}", damaged.report);
    }
}

#[test]
fn a_shortened_body_is_found() {
    let run = run(Fault::Shorten(250), &[]);
    assert_eq!((run.code, run.count("corrupted"), run.count("lost")), (1, 1, 1));
}

#[test]
fn what_breaks_the_protocol_ends_the_run() {
    for fault in [Fault::BreakFrame(250), Fault::Refuse(250)] {
        run(fault, &[]).found("protocol", 1);
    }
    let vanished = run(Fault::Vanish(250), &[]);
    assert!(vanished.code == 1 && vanished.count("protocol") > 0, "{}", vanished.report);
    run(Fault::ConfirmTwice(250), &["-c", "50"]).found("protocol", 1);
    let refused = run(Fault::Refuse(250), &[]);
    let words = refused.report["violations"]["examples"][0].as_str().unwrap();
    assert!(words.contains("channel.close 404 NOT_FOUND - no exchange 'x' in vhost '/'"), "{words}");
}

#[test]
fn a_missing_confirm_is_found() {
    run(Fault::Forget(499), &["-c", "50"]).found("unconfirmed", 1);
}

#[test]
fn a_returned_message_is_found() {
    let run = run(Fault::Return(250), &["-f", "mandatory"]);
    assert_eq!((run.code, run.count("returned")), (1, 1), "{}", run.report);
}

#[test]
fn a_nacked_message_may_be_missing() {
    let run = run(Fault::Nack(250), &["-c", "50"]);
    assert_eq!(
        (run.code, run.report["nacked"].as_u64(), run.count("lost")),
        (0, Some(1), 0),
        "{}",
        run.report
    );
}

#[test]
fn what_comes_before_its_expiration_is_found() {
    let dead_letters = ["--dead-letter-queue", "dead", "--message-properties", "expiration=5000-5010"];
    run(Fault::None, &dead_letters).found("early", 500);
    let due_at_once = ["--dead-letter-queue", "dead", "--message-properties", "expiration=0"];
    let run = run(Fault::None, &due_at_once);
    assert_eq!((run.code, run.count("early")), (0, 0), "{}", run.report);
    assert_eq!(run.report["lateness"]["count"].as_u64(), Some(500));
}

#[test]
fn only_messages_that_differ_may_overtake() {
    let alike = run(Fault::Swap(250), &["--message-properties", "priority=5"]);
    alike.found("reordered", 1);
    let overtaken: Vec<u64> = (0..20)
        .map(|at| run(Fault::Swap(at), &["--message-properties", "priority=0-9"]).count("reordered"))
        .collect();
    assert!(overtaken.iter().all(|&count| count <= 1), "{overtaken:?}");
    assert!(
        (1..10).contains(&overtaken.iter().sum::<u64>()),
        "neighbours are alike one time in ten: {overtaken:?}"
    );
}

#[test]
fn a_blocked_connection_publishes_nothing_until_it_is_unblocked() {
    let run = run(Fault::Block(100), &["-r", "1000"]);
    let seconds = run.report["blocked_seconds"].as_f64().unwrap();
    assert!(run.code == 0 && (0.25..1.0).contains(&seconds), "{}", run.report);
    let latest = run.report["lag"]["max"].as_f64().unwrap();
    assert!(latest > 250_000.0, "what was due meanwhile keeps its planned time: {latest}");
}

#[test]
fn a_consumer_keeps_its_rate() {
    let run = run(Fault::None, &["-R", "1000"]);
    let seconds = run.report["measured_seconds"].as_f64().unwrap();
    assert!(run.code == 0 && (0.3..2.0).contains(&seconds), "{}", run.report);
}

#[test]
fn wrong_usage_and_an_absent_broker_have_their_exit_codes() {
    let code = |arguments: &[&str]| {
        Command::new(env!("CARGO_BIN_EXE_loadgen")).args(arguments).output().unwrap().status.code()
    };
    assert_eq!(code(&["run", "--no-such-option"]), Some(64));
    assert_eq!(code(&["run", "--uri", "http://x"]), Some(64));
    assert_eq!(code(&["run", "--uri", "amqp://127.0.0.1:1"]), Some(69));
    assert_eq!(code(&["--help"]), Some(0));
}
