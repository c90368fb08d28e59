//! The command `run`: one load on one broker, shown and kept as asked.

use std::io::Write;

use crate::disk::Probe;
use crate::failure::Failure;
use crate::launch::Recipe;
use crate::options::{Format, RunOptions};
use crate::plan::{Run, Workload};
use crate::report::{Report, Second};
use crate::run::Target;
use crate::uri::Uri;
use crate::{backlog, process, realtime, run, sessions};

/// Runs, shows the report, and says whether all was intact.
pub fn run(options: &RunOptions) -> Result<bool, Failure> {
    let run = Run::resolve(options.clone()).map_err(Failure::usage)?;
    if run.realtime {
        realtime::enter().map_err(Failure::internal)?;
    }
    let report = match (&run.workload, options.uri.as_deref()) {
        (Workload::Start, Some(_)) => {
            return Err(Failure::usage("this scenario starts its own broker".to_owned()));
        }
        (Workload::Start, None) => {
            let recipe = Recipe::of(options).map_err(Failure::unreachable)?;
            Report::Sessions(Box::new(sessions::starts(&run, &recipe).map_err(Failure::internal)?))
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
    let recipe = Recipe::of(options).map_err(Failure::unreachable)?;
    let broker = recipe.start().map_err(Failure::unreachable)?;
    let target = Target { uri: broker.uri(), pid: Some(broker.pid().map_err(Failure::internal)?) };
    let probe = broker.folder().filter(|_| run.keeps()).map(Probe::begin).transpose();
    let report = probe.map_err(Failure::internal).and_then(|probe| {
        let mut report = measure(run, options, &target)?;
        if let (Some(probe), Some(part)) = (probe, report.of_publishing()) {
            part.disk = Some(probe.end().map_err(Failure::internal)?);
        }
        Ok(report)
    });
    let stopped = broker.stop().map_err(Failure::internal);
    match report {
        Ok(report) => stopped.map(|()| report),
        failure => failure,
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
        Workload::Backlog(backlog) => {
            Report::Backlog(Box::new(backlog::run(run, backlog, target, &mut each_second)?))
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
        (Format::Quiet, report) => {
            let broken = report.of_messages().into_iter().filter(|report| !report.intact);
            broken.for_each(|report| say(&report.violations_text()));
        }
    }
    let Some(path) = &options.json else { return Ok(()) };
    std::fs::write(path, json + "\n")
        .map_err(|error| Failure::internal(format!("{}: {error}", path.display())))
}

/// To standard output, which may have been closed by whoever read it; the run goes on.
fn say(text: &str) {
    _ = std::io::stdout().write_all(text.as_bytes());
}
