//! A client on rabbitmq-c that measures a rate as loadgen does. Here it only has to run and to count; what it measures
//! beside loadgen is in results/ (`results/measure.py FOLDER agreement`).
#![allow(clippy::unwrap_used)] // test code, outside of #[test] functions

mod peer;

use std::path::Path;
use std::process::Command;

use peer::Fault;
use serde_json::Value;

/// The client against the peer with this fault: whether it succeeded, and what it printed.
fn run(fault: Fault) -> Option<(bool, Value)> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/independent/client.c");
    let program = std::env::temp_dir().join(format!("independent-{}-{fault:?}", std::process::id()));
    let compiler =
        Command::new("cc").arg(source).arg("-o").arg(&program).args(["-pthread", "-lrabbitmq"]).output();
    if !compiler.is_ok_and(|output| output.status.success()) {
        missing("rabbitmq-c (Debian: librabbitmq-dev)");
        return None;
    }
    let port = peer::serve(fault).to_string();
    let output =
        Command::new(&program).args(["127.0.0.1", &port, "0", "500", "0", "0", "5000"]).output().unwrap();
    std::fs::remove_file(program).unwrap();
    Some((output.status.success(), serde_json::from_slice(&output.stdout).unwrap_or(Value::Null)))
}

/// A failure in CI, which is to test everything; else a word and a skip.
fn missing(what: &str) {
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{what} was not found");
    eprintln!("SKIPPED: {what} was not found");
}

#[test]
fn the_independent_client_counts_what_it_published() {
    let Some((succeeded, report)) = run(Fault::None) else { return };
    assert!(succeeded, "{report}");
    assert_eq!((report["published"].as_u64(), report["delivered"].as_u64()), (Some(5000), Some(5000)));
    assert!(report["delivered_per_second"].as_f64().unwrap() > 0.0);
}

#[test]
fn the_independent_client_sees_a_swapped_message() {
    let Some((succeeded, _)) = run(Fault::Swap(2500)) else { return };
    assert!(!succeeded);
}
