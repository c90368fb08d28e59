//! loadgen: a load generator that drives any AMQP 0-9-1 broker, measures it, and verifies every message.

mod check;
mod client;
mod clock;
mod engine;
mod interrupt;
mod launch;
mod meter;
mod observe;
mod options;
mod page;
mod pinning;
mod plan;
mod process;
mod report;
mod routing;
mod run;
mod scenario;
mod sessions;
mod setup;
mod stamp;
mod summary;
mod threads;
mod uri;
mod violations;

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;

use crate::client::ClientError;
use crate::launch::Broker;
use crate::options::{Cli, Command, Format, RunOptions};
use crate::plan::{Run, Workload};
use crate::report::{Report, Second};
use crate::run::Target;
use crate::uri::Uri;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            _ = error.print();
            let asked = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
            return ExitCode::from(if asked { 0 } else { EXIT_USAGE });
        }
    };
    let options = match cli.command {
        Some(Command::Run(options)) => *options,
        None => RunOptions { scenario: Some("1".to_owned()), ..RunOptions::default() },
    };
    match execute(&options) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(EXIT_VIOLATED),
        Err(Failure { code, text }) => {
            eprintln!("loadgen: {text}");
            ExitCode::from(code)
        }
    }
}

struct Failure {
    code: u8,
    text: String,
}

/// Runs, shows the report, and says whether all was intact.
fn execute(options: &RunOptions) -> Result<bool, Failure> {
    let run = Run::resolve(options.clone()).map_err(Failure::usage)?;
    interrupt::listen().map_err(|error| Failure::internal(error.to_string()))?;
    let report = match (&run.workload, options.uri.as_deref()) {
        (Workload::Start, Some(_)) => {
            return Err(Failure::usage("this scenario starts its own broker".to_owned()));
        }
        (Workload::Start, None) => {
            let arguments = options.broker_args.as_deref().unwrap_or("");
            Report::Sessions(Box::new(sessions::starts(&run, arguments).map_err(Failure::internal)?))
        }
        (_, Some(uri)) => {
            let uri = Uri::parse(uri).map_err(|error| Failure::usage(error.to_string()))?;
            let pid = || uri.is_local().then(|| process::listener(uri.port)).flatten();
            let pid = options.broker_pid.or_else(pid);
            measure(&run, options, &Target { uri, pid })?
        }
        (_, None) => with_own_broker(&run, options)?,
    };
    show(options, &report)?;
    Ok(report.is_intact())
}

fn with_own_broker(run: &Run, options: &RunOptions) -> Result<Report, Failure> {
    let binary = launch::binary().map_err(Failure::unreachable)?;
    let arguments = options.broker_args.as_deref().unwrap_or("");
    let broker = Broker::start(&binary, arguments).map_err(Failure::unreachable)?;
    let target = Target { uri: broker.uri(), pid: Some(broker.pid()) };
    let report = measure(run, options, &target);
    let status = broker.stop().map_err(Failure::internal)?;
    match report {
        Ok(_) if !status.success() => Err(Failure::internal(format!("haremq did not end well: {status}"))),
        report => report,
    }
}

fn measure(run: &Run, options: &RunOptions, target: &Target) -> Result<Report, Failure> {
    let mut each_second = |second: &Second| {
        if options.format == Format::Live {
            say(&(second.line(&run.id) + "\n"));
        }
    };
    Ok(match &run.workload {
        Workload::Messages(load) => {
            Report::Messages(Box::new(run::messages(run, load, target, &mut each_second)?))
        }
        Workload::Churn { concurrency } => {
            Report::Sessions(Box::new(sessions::churn(run, *concurrency, target)?))
        }
        Workload::Start => return Err(Failure::internal("a start needs no broker".to_owned())),
    })
}

fn show(options: &RunOptions, report: &Report) -> Result<(), Failure> {
    let json = serde_json::to_string(report).map_err(|error| Failure::internal(error.to_string()))?;
    match (options.format, report) {
        (Format::Live, _) => say(&report.text()),
        (Format::Json, _) => say(&(json.clone() + "\n")),
        (Format::Quiet, Report::Messages(report)) if !report.intact => say(&report.violations_text()),
        (Format::Quiet, _) => {}
    }
    let Some(path) = &options.json else { return Ok(()) };
    std::fs::write(path, json + "\n")
        .map_err(|error| Failure::internal(format!("{}: {error}", path.display())))
}

/// To standard output, which may have been closed by whoever read it; the run goes on.
fn say(text: &str) {
    _ = std::io::stdout().write_all(text.as_bytes());
}

impl Failure {
    fn usage(text: String) -> Failure {
        Failure { code: EXIT_USAGE, text }
    }

    fn unreachable(text: String) -> Failure {
        Failure { code: EXIT_UNREACHABLE, text }
    }

    fn internal(text: String) -> Failure {
        Failure { code: EXIT_INTERNAL, text }
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Failure {
        let code = match error {
            ClientError::Unreachable(_) => EXIT_UNREACHABLE,
            ClientError::Closed(_) | ClientError::Protocol(_) => EXIT_VIOLATED,
        };
        Failure { code, text: error.to_string() }
    }
}

const EXIT_VIOLATED: u8 = 1;
const EXIT_USAGE: u8 = 64;
const EXIT_UNREACHABLE: u8 = 69;
const EXIT_INTERNAL: u8 = 70;
