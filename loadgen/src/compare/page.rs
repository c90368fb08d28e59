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
         each with a fresh broker, every message verified; in parentheses the ratio to RabbitMQ. `command` repeats it, `versions` and \
         `configurations` say what was measured, `raw/` holds every run as `loadgen` wrote it, [summary.md](summary.md) all figures.\n",
        names.join(", "),
        course.measure()
    );
    rates(&mut page, course, bouts);
    latencies(&mut page, course, bouts);
    limits(&mut page, course, bouts);
    page
}

fn rates(page: &mut String, course: &Course, bouts: &[Bout]) {
    let peers: Vec<&Peer> = course.peers.iter().filter(|peer| peer.kind != Kind::Null).collect();
    let names: Vec<&str> = peers.iter().map(|peer| peer.name.as_str()).collect();
    let scenarios: Vec<&&Scenario> =
        course.scenarios.iter().filter(|scenario| scenario.shows != Shows::Latency).collect();
    if scenarios.is_empty() {
        return;
    }
    let heads = names.join(" | ");
    _ = write!(page, "\n| | {heads} | CPU us each: {} | times null |\n", names.join(", "));
    _ = writeln!(page, "|---|{}---|---|", "---|".repeat(peers.len()));
    for scenario in scenarios {
        let figures = |peer: &str| Figures::of(bouts, scenario.name, peer);
        let rabbitmq = answer(scenario, &figures("rabbitmq"));
        let cells = peers.iter().map(|peer| {
            let own = answer(scenario, &figures(&peer.name));
            let number = own.map_or("-".to_owned(), |own| number(scenario, own.median));
            match peer.kind {
                Kind::Haremq => number + &times(scenario, own, rabbitmq),
                Kind::Rabbitmq | Kind::Null => number,
            }
        });
        let cells: Vec<String> = cells.collect();
        let costs = names.iter().map(|name| tables::middle(figures(name).cpu_us(), 3));
        let costs: Vec<String> = costs.filter(|_| scenario.shows != Shows::Start).collect();
        let null = figures("null").cpu_us();
        let shares: Vec<String> = names
            .iter()
            .map(|name| tables::times(figures(name).cpu_us(), null))
            .filter(|_| null.is_some())
            .collect();
        _ = writeln!(
            page,
            "| `{}` {} | {} | {} | {} |",
            scenario.name,
            scenario.words,
            cells.join(" | "),
            costs.join(", "),
            shares.join(", ")
        );
    }
}

/// The figure of the first table: messages or connections per second, or milliseconds until ready.
fn answer(scenario: &Scenario, figures: &Figures<'_>) -> Option<Spread> {
    match scenario.shows {
        Shows::Start => figures.latency(|latency| latency.p50 / 1e3),
        Shows::Rate | Shows::Latency | Shows::Connections => figures.rate(),
    }
}

fn number(scenario: &Scenario, median: f64) -> String {
    match scenario.shows {
        Shows::Start => format!("{median:.1} ms"),
        Shows::Rate | Shows::Latency | Shows::Connections => format!("{}/s", tables::whole(median)),
    }
}

/// In parentheses, how many times better, if both are known; less time is better.
fn times(scenario: &Scenario, own: Option<Spread>, base: Option<Spread>) -> String {
    let (own, base) = if scenario.shows == Shows::Start { (base, own) } else { (own, base) };
    match (own, base) {
        (Some(_), Some(_)) => format!(" ({}x)", tables::times(own, base)),
        _ => String::new(),
    }
}

fn latencies(page: &mut String, course: &Course, bouts: &[Bout]) {
    let scenarios: Vec<&&Scenario> =
        course.scenarios.iter().filter(|scenario| scenario.shows == Shows::Latency).collect();
    if scenarios.is_empty() {
        return;
    }
    let peers = || course.peers.iter().filter(|peer| peer.kind != Kind::Null);
    let names: Vec<&str> = peers().map(|peer| peer.name.as_str()).collect();
    _ = write!(
        page,
        "\nLatency from the planned time, us (p50 / p99 / p99.9):\n\n| | {} |\n",
        names.join(" | ")
    );
    _ = writeln!(page, "|---|{}", "---|".repeat(names.len()));
    for scenario in scenarios {
        let cells = peers().map(|peer| {
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
    if broken > 0 {
        _ = writeln!(page, "- **{broken} runs failed or were not intact**: see the end of the summary.");
    }
    page.push_str(
        "- p50..max of what is not paced measure the queue that builds up, and are left out here.\n",
    );
}
