//! lapin, the Rust client, whose crate holds its tests: they are compiled as those of the package in `lapin/`.

use crate::crates::{case_line, programs};
use crate::foreign::{
    Exception, Outcomes, Suite, What, folder, missing, needs_a_broker, output_within, passes,
};
use std::net::SocketAddr;
use std::process::Command;
use std::time::{Duration, Instant};

pub const TESTS: &[(&str, fn())] = &[("lapin", lapin), ("lapin_needs_a_broker", lapin_needs_a_broker)];

const LAPIN: Suite = Suite {
    name: "lapin",
    cases: 17,
    exceptions: &[
        own_server("connection_retry: half_close_after_start_rejects_instead_of_replaying_authentication"),
        own_server("connection_retry: initial_half_close_rejects_when_retries_are_exhausted"),
        own_server("connection_retry: initial_half_close_retries_handshake_on_new_socket"),
        Exception {
            case: "conn_refused: connection",
            what: What::Deselected,
            because: "it asks whether port 5673 of this machine is closed",
        },
    ],
    run,
};

const fn own_server(case: &'static str) -> Exception {
    Exception { case, what: What::NeedsNoBroker, because: "it has a server of its own, which hangs up" }
}

fn lapin() {
    passes(&LAPIN);
}

fn lapin_needs_a_broker() {
    needs_a_broker(&LAPIN);
}

const TIME_FOR_A_FILE: Duration = Duration::from_secs(60);

/// Two tests want a close to come while acks are under way. As long as other suites keep the machine busy none may be left by
/// then, whatever the broker.
const NO_RACE: &str = "the close never cut into the acks";
const TIME_FOR_A_RACE: Duration = Duration::from_secs(240);

fn run(broker: SocketAddr) -> Option<Outcomes> {
    if !folder("lapin/shipped").exists() {
        missing("the tests of lapin");
        return None;
    }
    let mut outcomes = Outcomes::default();
    for program in programs("lapin") {
        let once = || {
            let mut command = Command::new(&program.path);
            command.arg("--test-threads=1").env("AMQP_ADDR", format!("amqp://guest:guest@{broker}/%2f"));
            // Their log would stand between a test's name and its outcome.
            command.env("RUST_LOG", "off");
            output_within(command, TIME_FOR_A_FILE)
        };
        let began = Instant::now();
        let mut text = once();
        while text.contains(NO_RACE) && began.elapsed() < TIME_FOR_A_RACE {
            text = once();
        }
        let prefix = format!("{}: ", program.name);
        let lines: String = text.lines().filter_map(|line| case_line(&prefix, line)).collect();
        outcomes.join(Outcomes::from_lines(lines + &text));
    }
    Some(outcomes)
}
