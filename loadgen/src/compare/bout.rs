//! One run of one peer in one scenario, and its repetitions if others disturbed it.

use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::course::Peer;
use super::scenarios::{Scenario, Shows};
use crate::interrupt;
use crate::page::thousands;
use crate::report::{Cost, Report};
use crate::violations::Kind;

/// All attempts at one run. The one that the others of the machine disturbed least counts.
pub struct Bout {
    pub scenario: &'static str,
    pub shows: Shows,
    pub peer: String,
    pub attempts: Vec<Attempt>,
    /// Whether none of them was undisturbed.
    pub disturbed: bool,
}

pub struct Attempt {
    pub name: String,
    /// `Err` says why there is no report.
    pub report: Result<Report, String>,
    pub succeeded: bool,
}

/// Where runs are made.
pub struct Ring {
    /// Of the reports.
    pub folder: PathBuf,
    pub foreign_cores_max: f64,
    /// How often a disturbed run is repeated.
    pub again: usize,
}

impl Ring {
    /// `Err` if not even a process could be started.
    pub fn fight(
        &self,
        scenario: &Scenario,
        peer: &Peer,
        name: &str,
        arguments: &[String],
    ) -> Result<Bout, String> {
        let mut attempts = Vec::new();
        let mut disturbed = true;
        for attempt in 0..=self.again {
            let name = if attempt == 0 { name.to_owned() } else { format!("{name}-again{attempt}") };
            let mut attempt = self.attempt(name, arguments)?;
            // Whoever disturbs a run may have disturbed the disk before and after it more.
            if let Ok(report) = &mut attempt.report
                && peer.is_synced()
                && foreign_cores(report) <= self.foreign_cores_max
            {
                doubt(report);
            }
            attempts.push(attempt);
            // A run that failed fails again; a start is over before anybody could disturb it.
            let report = attempts.last().and_then(|attempt| attempt.report.as_ref().ok());
            let Some(report) = report.filter(|_| scenario.shows != Shows::Start) else {
                disturbed = false;
                break;
            };
            disturbed = foreign_cores(report) > self.foreign_cores_max;
            if !disturbed || interrupt::requested() {
                break;
            }
        }
        let peer = peer.name.clone();
        Ok(Bout { scenario: scenario.name, shows: scenario.shows, peer, attempts, disturbed })
    }

    fn attempt(&self, name: String, arguments: &[String]) -> Result<Attempt, String> {
        let own = env::current_exe().map_err(|error| format!("cannot find myself: {error}"))?;
        let json = self.folder.join(format!("{name}.json"));
        // A file, not a pipe: a broker that outlives its run would keep a pipe open.
        let errors = self.folder.join(format!("{name}.stderr"));
        let file = File::create(&errors).map_err(|error| format!("{}: {error}", errors.display()))?;
        let mut command = Command::new(&own);
        command.arg("run").args(arguments).args(["--format", "quiet", "--json"]).arg(&json);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(file);
        let child = command.spawn().map_err(|error| format!("{}: {error}", own.display()))?;
        let succeeded = wait(child)?;
        let said = take(&errors);
        let report = fs::read_to_string(&json).map_err(|_| said).and_then(|text| {
            serde_json::from_str(&text).map_err(|error| format!("{}: {error}", json.display()))
        });
        Ok(Attempt { name, report, succeeded })
    }
}

impl Bout {
    /// The report that counts.
    pub fn report(&self) -> Option<&Report> {
        let reports = self.attempts.iter().filter_map(|attempt| attempt.report.as_ref().ok());
        reports.min_by(|one, other| foreign_cores(one).total_cmp(&foreign_cores(other)))
    }

    pub fn is_intact(&self) -> bool {
        self.attempts
            .iter()
            .all(|attempt| attempt.succeeded && attempt.report.as_ref().is_ok_and(Report::is_intact))
    }

    /// How it went, for whoever watches.
    pub fn line(&self) -> String {
        let Some(report) = self.report() else {
            let why = self.attempts.last().and_then(|attempt| attempt.report.as_ref().err());
            return format!("failed: {}", why.map_or("", |text| text.lines().last().unwrap_or("")));
        };
        let mut line = match report {
            Report::Messages(report) => format!("{}/s", thousands(report.delivered_per_second as u64)),
            Report::Backlog(report) => format!(
                "{}/s in, {}/s out",
                thousands(report.fill.confirmed_per_second as u64),
                thousands(report.drain.delivered_per_second as u64)
            ),
            Report::Sessions(report) => format!("{:.1}/s", report.sessions_per_second),
        };
        let latency = latency(report).filter(|_| self.shows != Shows::Rate);
        if let Some(latency) = latency {
            line.push_str(&format!(", p50 {:.0} us, p99 {:.0} us", latency.p50, latency.p99));
        }
        if let Some((confirm, disk)) = confirm_and_disk(report) {
            line.push_str(&format!(", confirm p50 {confirm:.0} us beside a sync of {disk:.0} us"));
        }
        if let Some(us) = cpu_us(report) {
            line.push_str(&format!(", CPU {us:.3} us each"));
        }
        line.push_str(&format!(", foreign {:.2} cores", foreign_cores(report)));
        if self.attempts.len() > 1 {
            line.push_str(&format!(" (best of {} attempts)", self.attempts.len()));
        }
        if !self.is_intact() {
            line.push_str(", NOT INTACT");
            line.extend(self.examples().map(|example| format!("; {example}")));
        }
        line
    }

    /// Words for what was not intact.
    fn examples(&self) -> impl Iterator<Item = &String> {
        let reports = self.attempts.iter().filter_map(|attempt| attempt.report.as_ref().ok());
        reports.flat_map(Report::of_messages).flat_map(|report| &report.violations.examples)
    }
}

/// A confirm that says of a message that the disk has it takes as long as it takes to bring it there.
fn doubt(report: &mut Report) {
    let medians = confirm_and_disk(report);
    if let (Some((confirm, disk)), Some(part)) = (medians, report.of_publishing()) {
        part.violate(Kind::Unsynced, u64::from(confirm < disk), || {
            format!("confirm p50 {confirm:.0} us, but writing and syncing 4 KiB takes this disk {disk:.0} us")
        });
    }
}

/// The median of the confirms, and of a sync of the disk beside them.
pub fn confirm_and_disk(report: &Report) -> Option<(f64, f64)> {
    let part = *report.of_messages().first()?;
    Some((part.confirm_latency.as_ref()?.p50, part.disk.as_ref()?.p50()))
}

/// Of a backlog, that of the filling.
pub fn cost(report: &Report) -> &Cost {
    match report {
        Report::Messages(report) => &report.cost,
        Report::Backlog(report) => &report.fill.cost,
        Report::Sessions(report) => &report.cost,
    }
}

pub fn latency(report: &Report) -> Option<&crate::report::Percentiles> {
    match report {
        Report::Messages(report) => report.latency.as_ref(),
        // How long messages lay there.
        Report::Backlog(_) => None,
        Report::Sessions(report) => report.latency.as_ref(),
    }
}

/// The broker's, per delivery, per message in and out, or per session.
pub fn cpu_us(report: &Report) -> Option<f64> {
    match report {
        Report::Messages(report) => report.cost.broker_cpu_us_per_deliver,
        Report::Backlog(report) => {
            Some(report.fill.cost.broker_cpu_us_per_publish? + report.drain.cost.broker_cpu_us_per_deliver?)
        }
        Report::Sessions(report) => report.cost.broker_cpu_us_per_publish,
    }
}

/// Unknown is none; of a backlog, in the worse of its two runs.
pub fn foreign_cores(report: &Report) -> f64 {
    let drain = match report {
        Report::Backlog(report) => report.drain.cost.foreign_cores,
        Report::Messages(_) | Report::Sessions(_) => None,
    };
    cost(report).foreign_cores.unwrap_or(0.0).max(drain.unwrap_or(0.0))
}

/// Until it ends; an interrupt is passed on, so that it ends its broker and reports what it has.
fn wait(mut child: Child) -> Result<bool, String> {
    interrupt::pass_on(Some(child.id()));
    let mut told = false;
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break Ok(status.success()),
            Ok(None) => {}
            Err(error) => break Err(format!("a run of mine was lost: {error}")),
        }
        if interrupt::requested()
            && !std::mem::replace(&mut told, true)
            && let Some(pid) = Pid::from_raw(child.id() as i32)
        {
            // It may have ended just now.
            _ = kill_process(pid, Signal::TERM);
        }
        thread::sleep(LOOK_EVERY);
    };
    interrupt::pass_on(None);
    status
}

/// What the file holds; it is removed if that is nothing.
fn take(errors: &Path) -> String {
    let said = fs::read_to_string(errors).unwrap_or_default().trim().to_owned();
    if said.is_empty() {
        // Nothing depends on its absence.
        _ = fs::remove_file(errors);
    }
    said
}

const LOOK_EVERY: Duration = Duration::from_millis(20);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{DiskReport, MessagesReport, Percentiles};

    fn percentiles(p50: f64) -> Percentiles {
        Percentiles { p50, p90: p50, p99: p50, p999: p50, p9999: p50, max: p50, count: 1 }
    }

    fn report(confirm: f64, disk: [f64; 2]) -> Report {
        let [before, after] = disk.map(percentiles);
        let disk = Some(DiskReport { file_system: "ext4".to_owned(), before, after });
        let part =
            MessagesReport { confirm_latency: Some(percentiles(confirm)), disk, ..MessagesReport::default() };
        Report::Messages(Box::new(MessagesReport { intact: true, ..part }))
    }

    #[test]
    fn nothing_is_kept_sooner_than_the_disk_keeps_it() {
        for (confirm, disk, intact) in [
            (150.0, [145.0, 160.0], true),
            (150.0, [160.0, 145.0], true),
            (150.0, [150.0, 900.0], true),
            (60.0, [145.0, 160.0], false),
        ] {
            let mut report = report(confirm, disk);
            doubt(&mut report);
            assert_eq!(report.is_intact(), intact, "{confirm} {disk:?}");
            let examples = &report.of_messages()[0].violations.examples;
            assert_eq!(examples.iter().any(|text| text.starts_with("Unsynced: confirm p50 60 us")), !intact);
        }
    }
}
