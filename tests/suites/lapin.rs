//! lapin, the Rust client, whose crate holds its tests: they are compiled as those of the package in `lapin/`.

use crate::foreign::{
    Exception, Outcomes, Suite, What, folder, missing, needs_a_broker, output_within, passes,
};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
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

const TIME_TO_BUILD: Duration = Duration::from_secs(600);
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
    for program in programs() {
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
        let lines: String = text.lines().filter_map(|line| case_line(&program.name, line)).collect();
        outcomes.join(Outcomes::from_lines(lines + &text));
    }
    Some(outcomes)
}

/// `test NAME ... ok`, as rustc's test runner writes it, as a case of its file.
fn case_line(file: &str, line: &str) -> Option<String> {
    let (case, outcome) = line.strip_prefix("test ")?.split_once(" ... ")?;
    match outcome {
        "ok" => Some(format!("case pass {file}: {case}\n")),
        "FAILED" => Some(format!("case fail {file}: {case}\n")),
        _ => None,
    }
}

struct Program {
    name: String,
    path: PathBuf,
}

/// Builds them if that is not done yet; in the folder where this test is built, for they share what they use.
fn programs() -> Vec<Program> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let target = Path::new(env!("CARGO_BIN_EXE_haremq")).ancestors().nth(2).expect("target/PROFILE/haremq");
    let mut command = Command::new(cargo);
    command.args(["test", "--no-run", "--locked", "--message-format=json", "--manifest-path"]);
    command.arg(folder("lapin/Cargo.toml")).arg("--target-dir").arg(target);
    let text = output_within(command, TIME_TO_BUILD);
    let messages = text.lines().filter_map(|line| serde_json::from_str(line).ok());
    let programs: Vec<Program> = messages.filter_map(program).collect();
    assert!(!programs.is_empty(), "{text}");
    programs
}

/// Of what cargo says, a program that it has built.
fn program(message: serde_json::Value) -> Option<Program> {
    let path = message.get("executable")?.as_str()?.into();
    Some(Program { name: message["target"]["name"].as_str()?.to_owned(), path })
}
