//! The README of a comparison: the question, the answer in a table, what limits it.

use std::fmt::Write;

use super::bout::{self, Bout};
use super::course::{Course, Peer};
use super::scenarios::{Scenario, Shows};
use super::tables::{self, Figures, Spread};
use crate::launch::Kind;

/// One screen; summary.md has all figures.
pub fn readme(course: &Course, bouts: &[Bout]) -> String {
    let names: Vec<&str> = course.peers.iter().map(|peer| peer.name.as_str()).collect();
    let mut page = format!(
        "# {} side by side\n\nWhat does each broker reach on this machine, which it shares with its load generator, in runs that took turns? {}, \
         each with a fresh broker and folder, every message verified; in parentheses the ratio to RabbitMQ. `command` repeats it, `versions` and \
         `configurations` say what was measured, `raw/` holds every run as `loadgen` wrote it, [summary.md](summary.md) all figures.\n",
        names.join(", "),
        course.measure()
    );
    rates(&mut page, course, bouts, false);
    rates(&mut page, course, bouts, true);
    confirms(&mut page, course, bouts);
    latencies(&mut page, course, bouts);
    limits(&mut page, course, bouts);
    page
}

/// A line of the first tables.
struct Row<'a> {
    scenario: &'static Scenario,
    words: String,
    /// Messages or connections per second, or milliseconds until ready.
    answer: fn(&Figures<'a>) -> Option<Spread>,
    cost: fn(&Figures<'a>) -> Option<Spread>,
}

impl<'a> Row<'a> {
    fn of(scenario: &'static Scenario) -> Vec<Row<'a>> {
        let plain =
            Row { scenario, words: scenario.words.to_owned(), answer: Figures::rate, cost: Figures::cpu_us };
        match scenario.shows {
            Shows::Rate | Shows::Latency | Shows::Connections => vec![plain],
            Shows::Start => vec![Row { answer: ready_ms, cost: |_| None, ..plain }],
            Shows::Backlog => {
                let out = Row {
                    words: "out of it again".to_owned(),
                    answer: Figures::drained,
                    cost: Figures::drain_cpu_us,
                    ..plain
                };
                vec![Row { answer: Figures::filled, cost: Figures::fill_cpu_us, ..plain }, out]
            }
        }
    }

    fn number(&self, median: f64) -> String {
        match self.scenario.shows {
            Shows::Start => format!("{median:.1} ms"),
            Shows::Rate | Shows::Latency | Shows::Backlog | Shows::Connections => {
                format!("{}/s", tables::whole(median))
            }
        }
    }

    /// In parentheses, how many times better, if both are known; less time is better.
    fn times(&self, own: Option<Spread>, base: Option<Spread>) -> String {
        let (own, base) = if self.scenario.shows == Shows::Start { (base, own) } else { (own, base) };
        match (own, base) {
            (Some(_), Some(_)) => format!(" ({}x)", tables::times(own, base)),
            _ => String::new(),
        }
    }
}

fn ready_ms(figures: &Figures<'_>) -> Option<Spread> {
    figures.latency(|latency| latency.p50 / 1e3)
}

fn rates(page: &mut String, course: &Course, bouts: &[Bout], kept: bool) {
    let scenarios = chosen(course, |scenario| scenario.shows != Shows::Latency && scenario.kept == kept);
    let peers = brokers(course, &scenarios);
    let names: Vec<&str> = peers.iter().map(|peer| peer.name.as_str()).collect();
    if scenarios.is_empty() {
        return;
    }
    if kept {
        page.push_str(
            "\nPersistent messages in durable queues, confirmed: by haremq when the disk has them, by haremq-os, as by RabbitMQ, when the \
             operating system has them.\n",
        );
    }
    let heads = names.join(" | ");
    _ = write!(page, "\n| | {heads} | CPU us each: {} | times null |\n", names.join(", "));
    _ = writeln!(page, "|---|{}---|---|", "---|".repeat(peers.len()));
    for row in scenarios.iter().flat_map(|scenario| Row::of(scenario)) {
        let figures = |peer: &str| Figures::of(bouts, row.scenario.name, peer);
        let rabbitmq = (row.answer)(&figures("rabbitmq"));
        let cells = peers.iter().map(|peer| {
            let own = (row.answer)(&figures(&peer.name));
            let number = own.map_or("-".to_owned(), |own| row.number(own.median));
            match peer.kind {
                Kind::Haremq => number + &row.times(own, rabbitmq),
                Kind::Rabbitmq | Kind::Null => number,
            }
        });
        let cells: Vec<String> = cells.collect();
        let costs = names.iter().map(|name| tables::middle((row.cost)(&figures(name)), 3));
        let costs: Vec<String> = costs.filter(|_| row.scenario.shows != Shows::Start).collect();
        let null = (row.cost)(&figures("null"));
        let shares: Vec<String> = names
            .iter()
            .map(|name| tables::times((row.cost)(&figures(name)), null))
            .filter(|_| null.is_some())
            .collect();
        _ = writeln!(
            page,
            "| `{}` {} | {} | {} | {} |",
            row.scenario.name,
            row.words,
            cells.join(" | "),
            costs.join(", "),
            shares.join(", ")
        );
    }
}

fn chosen(course: &Course, is_shown: impl Fn(&Scenario) -> bool) -> Vec<&'static Scenario> {
    course.scenarios.iter().copied().filter(|scenario| is_shown(scenario)).collect()
}

/// The peers but null that take part in any of these.
fn brokers<'a>(course: &'a Course, scenarios: &[&Scenario]) -> Vec<&'a Peer> {
    let takes_part = |peer: &&Peer| {
        scenarios.iter().any(|scenario| course.peers_of(scenario).any(|other| other.name == peer.name))
    };
    course.peers.iter().filter(|peer| peer.kind != Kind::Null).filter(takes_part).collect()
}

fn confirms(page: &mut String, course: &Course, bouts: &[Bout]) {
    let scenarios = chosen(course, |scenario| scenario.kept);
    let peers = brokers(course, &scenarios);
    let names: Vec<&str> = peers.iter().map(|peer| peer.name.as_str()).collect();
    if scenarios.is_empty() {
        return;
    }
    _ = write!(
        page,
        "\nFrom the publish, or its planned time, to the confirm, us (p50 / p99, and the p50 less that of writing and syncing 4 KiB in the \
         same folder):\n\n| | {} |\n|---|{}\n",
        names.join(" | "),
        "---|".repeat(names.len())
    );
    for scenario in scenarios {
        let cells = peers.iter().map(|peer| {
            let figures = Figures::of(bouts, scenario.name, &peer.name);
            let of = |spread: Option<Spread>| spread.map_or("-".to_owned(), |s| tables::whole(s.median));
            let above =
                figures.above_disk().map_or(String::new(), |above| format!(" ({:+.0})", above.median));
            format!("{} / {}{above}", of(figures.confirms(|c| c.p50)), of(figures.confirms(|c| c.p99)))
        });
        let cells: Vec<String> = cells.collect();
        _ = writeln!(page, "| `{}` {} | {} |", scenario.name, scenario.words, cells.join(" | "));
    }
}

fn latencies(page: &mut String, course: &Course, bouts: &[Bout]) {
    let scenarios = chosen(course, |scenario| scenario.shows == Shows::Latency);
    let peers = brokers(course, &scenarios);
    let names: Vec<&str> = peers.iter().map(|peer| peer.name.as_str()).collect();
    if scenarios.is_empty() {
        return;
    }
    _ = write!(
        page,
        "\nLatency from the planned time, us (p50 / p99 / p99.9):\n\n| | {} |\n",
        names.join(" | ")
    );
    _ = writeln!(page, "|---|{}", "---|".repeat(names.len()));
    for scenario in scenarios {
        let cells = peers.iter().map(|peer| {
            let figures = Figures::of(bouts, scenario.name, &peer.name);
            let of = |spread: Option<Spread>| spread.map_or("-".to_owned(), |s| tables::whole(s.median));
            let (p50, p99) = (figures.latency(|l| l.p50), figures.latency(|l| l.p99));
            format!("{} / {} / {}", of(p50), of(p99), of(figures.latency(|l| l.p999)))
        });
        let scheduler = match (scenario.name.starts_with("9f"), &course.realtime) {
            (true, Ok(())) => ", all under SCHED_RR",
            (true, Err(_)) => ", not under SCHED_RR, which is not permitted here",
            (false, _) => "",
        };
        let cells: Vec<String> = cells.collect();
        _ = writeln!(page, "| `{}` {}{scheduler} | {} |", scenario.name, scenario.words, cells.join(" | "));
    }
}

fn limits(page: &mut String, course: &Course, bouts: &[Bout]) {
    let foreign = Spread::of(bouts.iter().filter_map(Bout::report).map(bout::foreign_cores).collect());
    let disturbed = bouts.iter().filter(|bout| bout.disturbed).count();
    let broken = bouts.iter().filter(|bout| !bout.is_intact()).count();
    page.push_str("\n## What limits it\n\n");
    page.push_str("- Broker and generator share the cores: compare CPU per message before rates.\n");
    if course.has(Kind::Null) {
        page.push_str(
            "- `null` is TCP alone: one process that reads what is published and writes as many ready-made deliveries.\n",
        );
    }
    if let Some(foreign) = foreign {
        _ = writeln!(
            page,
            "- Others used {:.2} cores in the median run, {:.2} at most. Runs above 0.15 were repeated up to {} times; \
             {disturbed} of {} stayed above it (marked \\* in the summary).",
            foreign.median,
            foreign.max,
            course.again,
            bouts.len()
        );
    }
    if let Some(disk) = Spread::of(disks(bouts)) {
        _ = writeln!(
            page,
            "- Writing and syncing 4 KiB took this disk {:.0} us (p50, {:.0}-{:.0} from run to run). A confirm that waits for it cannot be \
             sooner: an undisturbed run where it was is not intact.",
            disk.median, disk.min, disk.max
        );
    }
    if broken > 0 {
        _ = writeln!(page, "- **{broken} runs failed or were not intact**: see the end of the summary.");
    }
    page.push_str(
        "- p50..max of what is not paced measure the queue that builds up, and are left out here.\n",
    );
}

/// The median of each run that asked the disk.
fn disks(bouts: &[Bout]) -> Vec<f64> {
    bouts.iter().filter_map(Bout::report).filter_map(bout::confirm_and_disk).map(|(_, disk)| disk).collect()
}
