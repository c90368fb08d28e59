//! The program's commands as a user gives them: a run beside the null peer, verify, compare.
#![allow(clippy::unwrap_used)] // test code, outside of #[test] functions

mod peer;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use peer::Fault;
use serde_json::Value;

fn loadgen(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_loadgen")).args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn the_null_peer_delivers_as_many_messages_as_were_published() {
    for (options, copies) in
        [("-s 16", 1), ("-s 200000", 1), ("-t fanout -y 3 --queue-pattern n-%d --queue-pattern-to 3", 3)]
    {
        let always =
            ["run", "--broker", "null", "-a", "-C", "2000", "--in-flight", "500", "--format", "json"];
        let arguments: Vec<&str> = always.into_iter().chain(options.split_whitespace()).collect();
        let output = loadgen(&arguments);
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert!(output.status.success(), "{options}: {}", text(&output.stderr));
        assert_eq!(
            (report["published"].as_u64(), report["delivered"].as_u64()),
            (Some(2000), Some(2000 * copies)),
            "{options}"
        );
        assert_eq!((&report["verified"], &report["latency"]), (&Value::Bool(false), &Value::Null));
    }
}

#[test]
fn verify_fails_when_a_broker_does() {
    let port = peer::serve(Fault::Refuse(250));
    let output = loadgen(&["verify", "--uri", &format!("amqp://guest:guest@127.0.0.1:{port}")]);
    let said = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{said}{}", text(&output.stderr));
    assert!(said.starts_with("FAILED  default exchange, automatic acks"), "{said}");
    assert!(said.contains("channel.close 404 NOT_FOUND"), "{said}");
}

/// Built with the workspace's tests, not with this crate's alone.
fn haremq() -> Option<PathBuf> {
    let haremq = Path::new(env!("CARGO_BIN_EXE_loadgen")).with_file_name("haremq");
    if haremq.is_file() {
        return Some(haremq);
    }
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{} is not there", haremq.display());
    eprintln!("SKIPPED: {} is not there", haremq.display());
    None
}

#[test]
fn what_is_nacked_comes_again_unless_it_shall_not() {
    let Some(haremq) = haremq() else { return };
    let redelivered = |requeue: &str| {
        let words = [
            "run",
            "--haremq",
            haremq.to_str().unwrap(),
            "-C",
            "200",
            "--format",
            "json",
            "-na",
            "-re",
            requeue,
        ];
        let output = loadgen(&words);
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!((output.status.code(), &report["intact"]), (Some(0), &Value::Bool(true)), "{report}");
        report["violations"]["redelivered"].as_u64().unwrap()
    };
    assert_eq!(redelivered("false"), 0);
    assert!(redelivered("true") > 200, "again and again");
}

#[test]
fn verify_finds_nothing_wrong_with_haremq() {
    let Some(haremq) = haremq() else { return };
    let output = loadgen(&["verify", "--haremq", haremq.to_str().unwrap(), "--broker-args", "--shards 2"]);
    assert_eq!(output.status.code(), Some(0), "{}{}", text(&output.stdout), text(&output.stderr));
    assert!(text(&output.stdout).lines().all(|line| line.starts_with("intact")));
}

struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn compare_keeps_every_run_and_says_what_came_out() {
    let folder = Folder(std::env::temp_dir().join(format!("loadgen-compare-{}", std::process::id())));
    let out = folder.0.to_str().unwrap();
    let arguments = [
        "compare",
        "--peers",
        "null",
        "--scenarios",
        "1,4",
        "-z",
        "0.3",
        "--repeats",
        "2",
        "--again",
        "0",
        "--out",
        out,
    ];
    let output = loadgen(&arguments);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let progress = text(&output.stderr);
    assert!(
        progress.contains("4 runs, about 1 min at least") && progress.contains("[4/4] 4-null-2: "),
        "{progress}"
    );
    let mut raw: Vec<String> = fs::read_dir(folder.0.join("raw"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    raw.sort();
    assert_eq!(raw, ["1-null-1.json", "1-null-2.json", "4-null-1.json", "4-null-2.json"]);
    let read = |name| fs::read_to_string(folder.0.join(name)).unwrap();
    assert!(read("README.md").contains("## What limits it"));
    assert!(read("summary.md").contains("| 1 | null | "), "{}", read("summary.md"));
    assert!(read("command").starts_with("cargo run --release -p loadgen -- compare --peers null"));
    assert!(read("versions").contains("linux ") && read("configurations").contains("# null"));
    assert_eq!(loadgen(&arguments).status.code(), Some(64), "what is there is not overwritten");
}
