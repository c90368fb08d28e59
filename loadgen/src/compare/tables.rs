//! All figures of a comparison as tables: medians, spreads, and ratios to RabbitMQ and to the null peer.

use std::fmt::Write;

use super::bout::{self, Bout};
use super::course::Course;
use super::scenarios::{Scenario, Shows};
use crate::page::thousands;
use crate::report::{BacklogReport, DiskReport, MessagesReport, Percentiles, Report};

/// summary.md.
pub fn summary(course: &Course, bouts: &[Bout]) -> String {
    let title = format!("# {}, (min-max)\n", course.measure());
    let mut page = Page { course, bouts, text: title };
    page.rates();
    page.latencies();
    page.backlogs();
    page.confirms();
    page.connections();
    page.starts();
    page.remarks();
    page.text
}

/// What the counted runs of a peer in a scenario have in common.
pub struct Figures<'a> {
    bouts: Vec<&'a Bout>,
    reports: Vec<&'a Report>,
}

impl<'a> Figures<'a> {
    pub fn of(bouts: &'a [Bout], scenario: &str, peer: &str) -> Figures<'a> {
        let own = |bout: &&Bout| bout.scenario == scenario && bout.peer == peer;
        let bouts: Vec<&Bout> = bouts.iter().filter(own).collect();
        let reports = bouts.iter().filter_map(|bout| bout.report()).collect();
        Figures { bouts, reports }
    }

    /// None if no run has that figure.
    pub fn spread(&self, figure: impl Fn(&Report) -> Option<f64>) -> Option<Spread> {
        Spread::of(self.reports.iter().filter_map(|report| figure(report)).collect())
    }

    /// Deliveries, or sessions, per second.
    pub fn rate(&self) -> Option<Spread> {
        self.spread(|report| match report {
            Report::Messages(report) => Some(report.delivered_per_second),
            Report::Backlog(_) => None,
            Report::Sessions(report) => Some(report.sessions_per_second),
        })
    }

    /// Into a queue: confirmed messages per second.
    pub fn filled(&self) -> Option<Spread> {
        self.backlog(|report| Some(report.fill.confirmed_per_second))
    }

    /// Out of it.
    pub fn drained(&self) -> Option<Spread> {
        self.backlog(|report| Some(report.drain.delivered_per_second))
    }

    pub fn fill_cpu_us(&self) -> Option<Spread> {
        self.backlog(|report| report.fill.cost.broker_cpu_us_per_publish)
    }

    pub fn drain_cpu_us(&self) -> Option<Spread> {
        self.backlog(|report| report.drain.cost.broker_cpu_us_per_deliver)
    }

    fn backlog(&self, figure: impl Fn(&BacklogReport) -> Option<f64>) -> Option<Spread> {
        self.spread(|report| match report {
            Report::Backlog(report) => figure(report),
            Report::Messages(_) | Report::Sessions(_) => None,
        })
    }

    pub fn confirms(&self, of: impl Fn(&Percentiles) -> f64) -> Option<Spread> {
        self.publishing(|report| report.confirm_latency.as_ref().map(&of))
    }

    pub fn disk(&self, of: impl Fn(&DiskReport) -> f64) -> Option<Spread> {
        self.publishing(|report| report.disk.as_ref().map(&of))
    }

    /// By how much the median of the confirms is above that of the disk beside them.
    pub fn above_disk(&self) -> Option<Spread> {
        self.spread(|report| bout::confirm_and_disk(report).map(|(confirm, disk)| confirm - disk))
    }

    fn publishing(&self, figure: impl Fn(&MessagesReport) -> Option<f64>) -> Option<Spread> {
        self.spread(|report| report.of_messages().first().and_then(|part| figure(part)))
    }

    fn peak_megabytes(&self) -> Option<Spread> {
        self.spread(|report| bout::cost(report).broker_peak_bytes.map(|bytes| bytes as f64 / 1e6))
    }

    pub fn cpu_us(&self) -> Option<Spread> {
        self.spread(bout::cpu_us)
    }

    pub fn latency(&self, of: impl Fn(&Percentiles) -> f64) -> Option<Spread> {
        self.spread(|report| bout::latency(report).map(&of))
    }

    fn foreign(&self) -> Option<Spread> {
        self.spread(|report| bout::cost(report).foreign_cores)
    }

    /// A word for the column that says whether all is well.
    pub fn verdict(&self) -> &'static str {
        let verified = |report: &&Report| report.of_messages().iter().all(|part| part.verified);
        match (self.bouts.iter().all(|bout| bout.is_intact()), self.reports.iter().all(verified)) {
            (true, true) => "yes",
            (true, false) => "unverified",
            (false, _) => "**no**",
        }
    }

    /// `*` if a run was disturbed whenever it was repeated.
    fn mark(&self) -> &'static str {
        if self.bouts.iter().any(|bout| bout.disturbed) { "\\*" } else { "" }
    }
}

#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Spread {
    pub median: f64,
    pub min: f64,
    pub max: f64,
}

impl Spread {
    pub fn of(mut values: Vec<f64>) -> Option<Spread> {
        values.sort_by(f64::total_cmp);
        let (&min, &max) = (values.first()?, values.last()?);
        let median = (values[(values.len() - 1) / 2] + values[values.len() / 2]) / 2.0;
        Some(Spread { median, min, max })
    }

    fn text(&self, number: impl Fn(f64) -> String) -> String {
        format!("{} ({}-{})", number(self.median), number(self.min), number(self.max))
    }
}

struct Page<'a> {
    course: &'a Course,
    bouts: &'a [Bout],
    text: String,
}

impl<'a> Page<'a> {
    fn rates(&mut self) {
        let heads = [
            "scenario",
            "peer",
            "deliveries/s",
            "times RabbitMQ",
            "CPU us/delivery",
            "times null",
            "broker cores",
            "loadgen us/msg",
            "peak RSS MB",
            "bind s",
            "foreign cores",
            "intact",
        ];
        let is_shown = |scenario: &Scenario| scenario.shows == Shows::Rate;
        self.table(is_shown, "Rate", &heads, |page, scenario, peer| {
            let figures = page.figures(scenario, peer);
            vec![
                spread(figures.rate(), whole),
                page.times(scenario, peer, "rabbitmq", Figures::rate),
                spread(figures.cpu_us(), micros),
                page.times(scenario, peer, "null", Figures::cpu_us),
                middle(figures.spread(|report| bout::cost(report).broker_cores), 2),
                middle(figures.spread(|report| bout::cost(report).loadgen_cpu_us_per_message), 3),
                most(figures.peak_megabytes()),
                middle(figures.spread(declare_seconds), 3),
                middle(figures.foreign(), 2) + figures.mark(),
                figures.verdict().to_owned(),
            ]
        });
    }

    fn latencies(&mut self) {
        let scheduler = match &self.course.realtime {
            Ok(()) => "9f and its like: broker and generator under SCHED_RR".to_owned(),
            Err(why) => format!("9f and its like not under SCHED_RR: {why}"),
        };
        let title = format!("Latency from the planned time, us ({scheduler})");
        let heads =
            ["scenario", "peer", "p50", "p99", "p99.9", "max", "CPU us/delivery", "foreign cores", "intact"];
        let is_shown = |scenario: &Scenario| scenario.shows == Shows::Latency;
        self.table(is_shown, &title, &heads, |page, scenario, peer| {
            let figures = page.figures(scenario, peer);
            vec![
                spread(figures.latency(|latency| latency.p50), whole),
                spread(figures.latency(|latency| latency.p99), whole),
                spread(figures.latency(|latency| latency.p999), whole),
                spread(figures.latency(|latency| latency.max), whole),
                spread(figures.cpu_us(), micros),
                middle(figures.foreign(), 2) + figures.mark(),
                figures.verdict().to_owned(),
            ]
        });
    }

    fn backlogs(&mut self) {
        let heads = [
            "scenario",
            "peer",
            "in: confirmed/s",
            "times RabbitMQ",
            "out: deliveries/s",
            "times RabbitMQ",
            "CPU us/message in",
            "out",
            "peak RSS MB",
            "foreign cores",
            "intact",
        ];
        let is_shown = |scenario: &Scenario| scenario.shows == Shows::Backlog;
        let title = format!("{} messages into a queue, then out of it", thousands(self.course.messages));
        self.table(is_shown, &title, &heads, |page, scenario, peer| {
            let figures = page.figures(scenario, peer);
            vec![
                spread(figures.filled(), whole),
                page.times(scenario, peer, "rabbitmq", Figures::filled),
                spread(figures.drained(), whole),
                page.times(scenario, peer, "rabbitmq", Figures::drained),
                spread(figures.fill_cpu_us(), micros),
                spread(figures.drain_cpu_us(), micros),
                most(figures.peak_megabytes()),
                middle(figures.foreign(), 2) + figures.mark(),
                figures.verdict().to_owned(),
            ]
        });
    }

    /// Beside the disk: a confirm that waits for it cannot be sooner.
    fn confirms(&mut self) {
        let heads = [
            "scenario",
            "peer",
            "p50",
            "p99",
            "times RabbitMQ",
            "max",
            "delivery p50",
            "p99",
            "times RabbitMQ",
            "disk p50",
            "disk p99",
            "p50 - disk p50",
            "intact",
        ];
        let title =
            "Confirms of persistent messages, us, beside writes and syncs of 4 KiB in the same folder";
        self.table(
            |scenario| scenario.kept,
            title,
            &heads,
            |page, scenario, peer| {
                let figures = page.figures(scenario, peer);
                vec![
                    spread(figures.confirms(|confirm| confirm.p50), whole),
                    spread(figures.confirms(|confirm| confirm.p99), whole),
                    page.times(scenario, peer, "rabbitmq", |figures| figures.confirms(|confirm| confirm.p99)),
                    spread(figures.confirms(|confirm| confirm.max), whole),
                    spread(figures.latency(|latency| latency.p50), whole),
                    spread(figures.latency(|latency| latency.p99), whole),
                    page.times(scenario, peer, "rabbitmq", |figures| figures.latency(|latency| latency.p99)),
                    spread(figures.disk(DiskReport::p50), whole),
                    spread(figures.disk(DiskReport::p99), whole),
                    middle(figures.above_disk(), 0),
                    figures.verdict().to_owned(),
                ]
            },
        );
    }

    fn connections(&mut self) {
        let heads = [
            "scenario",
            "peer",
            "connections/s",
            "times RabbitMQ",
            "CPU us each",
            "p50 us",
            "p99 us",
            "foreign cores",
        ];
        self.table(
            |scenario| scenario.shows == Shows::Connections,
            "Connections opened and closed, 8 at a time",
            &heads,
            |page, scenario, peer| {
                let figures = page.figures(scenario, peer);
                vec![
                    spread(figures.rate(), whole),
                    page.times(scenario, peer, "rabbitmq", Figures::rate),
                    spread(figures.cpu_us(), micros),
                    spread(figures.latency(|latency| latency.p50), whole),
                    spread(figures.latency(|latency| latency.p99), whole),
                    middle(figures.foreign(), 2) + figures.mark(),
                ]
            },
        );
    }

    fn starts(&mut self) {
        let heads = ["scenario", "peer", "ready after ms", "idle RSS MB"];
        self.table(
            |scenario| scenario.shows == Shows::Start,
            "From the start of the process to the first open connection",
            &heads,
            |page, scenario, peer| {
                let figures = page.figures(scenario, peer);
                vec![
                    spread(figures.latency(|latency| latency.p50 / 1e3), |ms| format!("{ms:.1}")),
                    middle(
                        figures.spread(|report| {
                            bout::cost(report).broker_resident_bytes.map(|bytes| bytes as f64 / 1e6)
                        }),
                        1,
                    ),
                ]
            },
        );
    }

    /// Runs that were repeated, and runs that failed or were not intact.
    fn remarks(&mut self) {
        let mut lines = Vec::new();
        for bout in self.bouts {
            for attempt in &bout.attempts {
                match &attempt.report {
                    Err(why) => lines.push(format!("- {} failed: {}", attempt.name, why.replace('\n', "; "))),
                    Ok(report) if !report.is_intact() => {
                        let examples =
                            report.of_messages().into_iter().flat_map(|part| &part.violations.examples);
                        let examples: Vec<&str> = examples.map(String::as_str).collect();
                        lines.push(format!("- {} not intact: {}", attempt.name, examples.join("; ")));
                    }
                    Ok(report) if bout.attempts.len() > 1 => {
                        let counts = bout.report().is_some_and(|counted| std::ptr::eq(counted, report));
                        let word = if counts { "counts" } else { "does not count" };
                        lines.push(format!(
                            "- {}: others used {:.2} cores; {word}",
                            attempt.name,
                            bout::foreign_cores(report)
                        ));
                    }
                    Ok(_) => {}
                }
            }
        }
        if !lines.is_empty() {
            _ = write!(self.text, "\n## Runs that were repeated or failed\n\n{}\n", lines.join("\n"));
        }
        if self.bouts.iter().any(|bout| bout.disturbed) {
            self.text.push_str(
                "\n\\* disturbed by more than 0.15 cores of foreign load whenever it was repeated.\n",
            );
        }
    }

    fn table(
        &mut self,
        is_shown: impl Fn(&Scenario) -> bool,
        title: &str,
        heads: &[&str],
        cells: impl Fn(&Self, &Scenario, &str) -> Vec<String>,
    ) {
        let scenarios: Vec<&Scenario> =
            self.course.scenarios.iter().copied().filter(|scenario| is_shown(scenario)).collect();
        if scenarios.is_empty() {
            return;
        }
        _ = write!(self.text, "\n## {title}\n\n| {} |\n|{}\n", heads.join(" | "), "---|".repeat(heads.len()));
        for scenario in &scenarios {
            for peer in self.course.peers_of(scenario) {
                let cells = cells(self, scenario, &peer.name);
                _ = writeln!(self.text, "| {} | {} | {} |", scenario.name, peer.name, cells.join(" | "));
            }
        }
        self.text.push('\n');
        for scenario in scenarios {
            _ = writeln!(self.text, "- `{}`: {}", scenario.name, scenario.words);
        }
    }

    fn figures(&self, scenario: &Scenario, peer: &str) -> Figures<'a> {
        Figures::of(self.bouts, scenario.name, peer)
    }

    /// How many times the base's figure a peer's is.
    fn times(
        &self,
        scenario: &Scenario,
        peer: &str,
        base: &str,
        figure: impl Fn(&Figures<'a>) -> Option<Spread>,
    ) -> String {
        times(figure(&self.figures(scenario, peer)), figure(&self.figures(scenario, base)))
    }
}

/// `-` if one of them is missing.
pub fn times(figure: Option<Spread>, base: Option<Spread>) -> String {
    match (figure, base) {
        (Some(figure), Some(base)) if base.median > 0.0 => {
            let times = figure.median / base.median;
            if times < 10.0 { format!("{times:.2}") } else { format!("{times:.0}") }
        }
        _ => MISSING.to_owned(),
    }
}

pub fn spread(spread: Option<Spread>, number: impl Fn(f64) -> String) -> String {
    spread.map_or(MISSING.to_owned(), |spread| spread.text(number))
}

pub fn middle(spread: Option<Spread>, decimals: usize) -> String {
    spread.map_or(MISSING.to_owned(), |spread| format!("{:.*}", decimals, spread.median))
}

fn most(spread: Option<Spread>) -> String {
    spread.map_or(MISSING.to_owned(), |spread| whole(spread.max))
}

pub fn whole(number: f64) -> String {
    thousands(number.round() as u64)
}

fn micros(us: f64) -> String {
    if us < 10.0 { format!("{us:.3}") } else { format!("{us:.1}") }
}

fn declare_seconds(report: &Report) -> Option<f64> {
    match report {
        Report::Messages(report) => Some(report.setup.declare_seconds),
        Report::Backlog(_) | Report::Sessions(_) => None,
    }
}

const MISSING: &str = "-";

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::compare::bout::Attempt;
    use crate::compare::course::tests::course;
    use crate::report::{Cost, SessionsReport};

    /// A run of scenario 12 in which others used so many cores.
    fn attempt(name: &str, sessions_per_second: f64, foreign_cores: f64) -> Attempt {
        let report = SessionsReport {
            id: name.to_owned(),
            scenario: Some("12".to_owned()),
            broker: String::new(),
            what: String::new(),
            measured_seconds: 1.0,
            sessions: sessions_per_second as u64,
            sessions_per_second,
            latency: None,
            cost: Cost { foreign_cores: Some(foreign_cores), ..Cost::default() },
        };
        let report = Ok(Report::Sessions(Box::new(report)));
        Attempt { name: name.to_owned(), report, succeeded: true }
    }

    pub fn bout(peer: &str, attempts: Vec<Attempt>) -> Bout {
        Bout { scenario: "12", shows: Shows::Connections, peer: peer.to_owned(), attempts, disturbed: false }
    }

    #[test]
    fn the_median_lies_between_the_middle_two() {
        let spread = |values: &[f64]| Spread::of(values.to_vec());
        assert_eq!(spread(&[3.0, 1.0, 2.0]), Some(Spread { median: 2.0, min: 1.0, max: 3.0 }));
        assert_eq!(spread(&[4.0, 1.0]).unwrap().median, 2.5);
        assert_eq!(spread(&[]), None);
    }

    #[test]
    fn the_least_disturbed_attempt_counts_and_all_are_told() {
        let course = course("--scenarios 12 --shards 1 --quick");
        let bouts = [
            bout("rabbitmq", vec![attempt("12-rabbitmq-1", 1000.0, 0.0)]),
            bout(
                "haremq-1",
                vec![attempt("a", 7000.0, 0.9), attempt("b", 12_000.0, 0.1), attempt("c", 3.0, 0.2)],
            ),
        ];
        let page = summary(&course, &bouts);
        assert!(page.contains("| 12 | haremq-1 | 12,000 (12,000-12,000) | 12 |"), "{page}");
        assert!(page.contains("- a: others used 0.90 cores; does not count"), "{page}");
        assert!(page.contains("- b: others used 0.10 cores; counts"), "{page}");
    }

    #[test]
    fn a_run_without_a_report_leaves_a_gap_and_a_remark() {
        let course = course("--scenarios 12 --shards 1 --quick");
        let failed = Attempt { name: "x".to_owned(), report: Err("540 no".to_owned()), succeeded: false };
        let bouts = [bout("rabbitmq", vec![attempt("12", 9.0, 0.0)]), bout("haremq-1", vec![failed])];
        let page = summary(&course, &bouts);
        assert!(page.contains("| 12 | haremq-1 | - | - |") && page.contains("- x failed: 540 no"), "{page}");
        assert!(!bouts[1].is_intact() && bouts[0].is_intact());
    }
}
