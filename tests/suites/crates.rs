//! Suites that a crate ships: compiled as the tests of a package of ours, in a folder of this test target.

use crate::foreign::{folder, output_within};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// `test NAME ... ok`, as rustc's test runner writes it: a case, whose name begins with `prefix`.
pub fn case_line(prefix: &str, line: &str) -> Option<String> {
    let (case, outcome) = line.strip_prefix("test ")?.split_once(" ... ")?;
    match outcome {
        "ok" => Some(format!("case pass {prefix}{case}\n")),
        "FAILED" => Some(format!("case fail {prefix}{case}\n")),
        _ => None,
    }
}

pub struct Program {
    pub name: String,
    pub path: PathBuf,
}

/// Builds them if that is not done yet; in the folder where this test is built, for they share what they use.
pub fn programs(package: &str) -> Vec<Program> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let target = Path::new(env!("CARGO_BIN_EXE_haremq")).ancestors().nth(2).expect("target/PROFILE/haremq");
    let mut command = Command::new(cargo);
    command.args(["test", "--no-run", "--locked", "--message-format=json", "--manifest-path"]);
    command.arg(folder(package).join("Cargo.toml")).arg("--target-dir").arg(target);
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

const TIME_TO_BUILD: Duration = Duration::from_secs(600);
