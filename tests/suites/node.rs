//! amqplib and @cloudamqp/amqp-client, whose packages hold no tests: ours, on node's own runner.

use crate::foreign::{
    Exception, Outcomes, Suite, What, folder, missing, needs_a_broker, output_within, passes,
};
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::Duration;

pub const TESTS: &[(&str, fn())] = &[
    ("amqplib", amqplib),
    ("amqplib_needs_a_broker", amqplib_needs_a_broker),
    ("amqp_client", amqp_client),
    ("amqp_client_needs_a_broker", amqp_client_needs_a_broker),
];

const AMQPLIB: Suite = Suite {
    name: "amqplib",
    cases: 245,
    exceptions: &[Exception {
        case: "exchanges: an unknown type is refused",
        what: What::FailsOnRabbitmq,
        because: UNKNOWN_TYPE,
    }],
    run: |broker| run("amqplib", broker),
};

const AMQP_CLIENT: Suite = Suite {
    name: "@cloudamqp/amqp-client",
    cases: 97,
    exceptions: &[Exception {
        case: "connecting: an unknown type of exchange is refused",
        what: What::FailsOnRabbitmq,
        because: UNKNOWN_TYPE,
    }],
    run: |broker| run("amqp-client", broker),
};

const UNKNOWN_TYPE: &str =
    "closes the connection until 3.13; we follow 4.0, where it closes the channel alone";

fn amqplib() {
    passes(&AMQPLIB);
}

fn amqplib_needs_a_broker() {
    needs_a_broker(&AMQPLIB);
}

fn amqp_client() {
    passes(&AMQP_CLIENT);
}

fn amqp_client_needs_a_broker() {
    needs_a_broker(&AMQP_CLIENT);
}

const TIME_FOR_A_SUITE: Duration = Duration::from_secs(400);

/// Runs each file of the client's folder, besides what they share.
fn run(client: &str, broker: SocketAddr) -> Option<Outcomes> {
    let folder = folder("node");
    let mut look = Command::new("node");
    look.args(["-e", "require('amqplib'); require('@cloudamqp/amqp-client')"]).current_dir(&folder);
    if !look.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success()) {
        missing("node with amqplib and @cloudamqp/amqp-client");
        return None;
    }
    let files = folder.join(client).read_dir().expect("our own folder is readable");
    let mut files: Vec<_> = files.map(|file| file.expect("our own folder is readable").path()).collect();
    files.retain(|file| !file.ends_with("support.mjs"));
    files.sort();
    let mut command = Command::new("node");
    command.args(["--test", "--test-reporter=./reporter.mjs"]).args(files).current_dir(folder);
    command.env("HAREMQ_TEST_URI", format!("amqp://guest:guest@{broker}"));
    Some(Outcomes::from_lines(output_within(command, TIME_FOR_A_SUITE)))
}
