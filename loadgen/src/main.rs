//! loadgen: a load generator that drives any AMQP 0-9-1 broker, measures it, and verifies every message.

mod backlog;
mod check;
mod client;
mod clock;
mod compare;
mod disk;
mod engine;
mod failure;
mod interrupt;
mod launch;
mod meter;
mod null_peer;
mod observe;
mod options;
mod page;
mod pairs;
mod pinning;
mod plan;
mod process;
mod properties;
mod realtime;
mod report;
mod routing;
mod run;
mod scenario;
mod sessions;
mod setup;
mod single;
mod stamp;
mod summary;
mod threads;
mod uri;
mod verify;
mod violations;

use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;

use crate::failure::{EXIT_USAGE, EXIT_VIOLATED, Failure};
use crate::options::{Cli, Command, RunOptions};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = match Cli::try_parse_from(options::perftest_words(std::env::args())) {
        Ok(cli) => cli,
        Err(error) => {
            _ = error.print();
            let asked = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
            return ExitCode::from(if asked { 0 } else { EXIT_USAGE });
        }
    };
    match execute(cli.command) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(EXIT_VIOLATED),
        Err(Failure { code, text }) => {
            eprintln!("loadgen: {text}");
            ExitCode::from(code)
        }
    }
}

/// Whether all was intact.
fn execute(command: Option<Command>) -> Result<bool, Failure> {
    if let Some(Command::NullPeer { port }) = command {
        return null_peer::serve(port).map(|()| true).map_err(|error| Failure::internal(error.to_string()));
    }
    interrupt::listen().map_err(|error| Failure::internal(error.to_string()))?;
    match command {
        Some(Command::Run(options)) => single::run(&options),
        Some(Command::Compare(options)) => compare::run(&options),
        Some(Command::Verify(options)) => verify::run(&options),
        None | Some(Command::NullPeer { .. }) => {
            single::run(&RunOptions { scenario: Some("1".to_owned()), ..RunOptions::default() })
        }
    }
}
