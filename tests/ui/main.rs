//! The pages in Debian's Chromium, driven by Playwright: each file `*.test.mjs` beside this one has a broker of its own.

#[path = "../common/mod.rs"]
mod common;

use std::path::Path;
use std::process::Command;

use common::Broker;

#[test]
fn queues_and_their_messages() {
    run("queues");
}

#[test]
fn exchanges_and_routing() {
    run("exchanges");
}

#[test]
fn connections_and_channels() {
    run("connections");
}

#[test]
fn what_administrators_do() {
    run("admin");
}

#[test]
fn what_all_pages_share() {
    run("walk");
}

/// Runs the tests of that file, or names what is missing; CI is to have all.
fn run(file: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/ui");
    let chromium = std::env::var("CHROMIUM").unwrap_or_else(|_| "/usr/bin/chromium".to_owned());
    for needed in [Path::new(&chromium), &folder.join("node_modules/playwright-core")] {
        if !needed.exists() {
            assert!(
                std::env::var("CI").as_deref() != Ok("true"),
                "{} was not found, and CI is to test everything",
                needed.display()
            );
            eprintln!("SKIPPED: {} was not found (Debian's chromium, tests/ui/install.sh)", needed.display());
            return;
        }
    }
    let broker = Broker::start();
    let output = Command::new("node")
        .args(["--test", "--test-reporter=tap", &format!("{file}.test.mjs")])
        .current_dir(&folder)
        .env("HAREMQ_HTTP", broker.http.to_string())
        .env("HAREMQ_AMQP", broker.amqp.to_string())
        .env("CHROMIUM", chromium)
        .output()
        .expect("node runs wherever npm has installed something");
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{told}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(told.contains("# fail 0") && !told.contains("# tests 0"), "{told}");
}
