//! A report as text for people.

use std::fmt::Write;

use crate::report::{
    BacklogReport, Cost, DiskReport, MessagesReport, Percentiles, Report, Second, SessionsReport, Setup,
};

impl Report {
    pub fn text(&self) -> String {
        match self {
            Report::Messages(report) => report.text(),
            Report::Backlog(report) => report.text(),
            Report::Sessions(report) => report.text(),
        }
    }
}

impl SessionsReport {
    fn text(&self) -> String {
        let scenario = self.scenario.as_ref().map_or(String::new(), |name| format!(", scenario {name}"));
        let mut page = format!("\n{}{scenario}: {}\n", self.id, self.broker);
        let rate = self.sessions_per_second;
        _ = writeln!(page, "  {}: {}, {rate:.1}/s", self.what, thousands(self.sessions));
        write_percentiles(&mut page, "time", &self.latency);
        self.cost.write(&mut page);
        page
    }
}

impl BacklogReport {
    fn text(&self) -> String {
        format!(
            "{}{}\n  backlog     filled at {}/s confirmed, drained at {}/s\n",
            self.fill.text(),
            self.drain.text(),
            thousands(self.fill.confirmed_per_second as u64),
            thousands(self.drain.delivered_per_second as u64)
        )
    }
}

impl Second {
    pub fn line(&self, id: &str) -> String {
        let mut line = format!(
            "{id}, time {:.1} s, sent {} msg/s, received {} msg/s",
            (self.second + 1) as f64,
            thousands(self.published),
            thousands(self.delivered)
        );
        if self.confirmed > 0 {
            _ = write!(line, ", confirmed {} msg/s", thousands(self.confirmed));
        }
        for (name, percentiles) in [("latency", &self.latency), ("confirm latency", &self.confirm_latency)] {
            if let Some(p) = percentiles {
                _ = write!(
                    line,
                    ", {name} p50/p99/max {}/{}/{} us",
                    micros(p.p50),
                    micros(p.p99),
                    micros(p.max)
                );
            }
        }
        line
    }
}

impl MessagesReport {
    fn text(&self) -> String {
        let mut page = String::new();
        let scenario = self.scenario.as_ref().map_or(String::new(), |name| format!(", scenario {name}"));
        _ = writeln!(page, "\n{}{scenario}: {}", self.id, self.broker);
        _ = writeln!(page, "  load        {}", self.setup.line());
        _ = writeln!(
            page,
            "  rate        published {}/s, delivered {}/s{} over {:.1} s",
            thousands(self.published_per_second as u64),
            thousands(self.delivered_per_second as u64),
            if self.confirmed > 0 {
                format!(", confirmed {}/s", thousands(self.confirmed_per_second as u64))
            } else {
                String::new()
            },
            self.measured_seconds
        );
        self.write_latencies(&mut page);
        self.cost.write(&mut page);
        if self.cost.loadgen_cores > BOUND_SHARE * self.setup.threads as f64 {
            page.push_str(
                "              (loadgen was nearly as busy as it can be: it may have been the limit)\n",
            );
        }
        self.write_verdict(&mut page);
        page
    }

    fn write_latencies(&self, page: &mut String) {
        write_percentiles(page, "latency", &self.latency);
        write_percentiles(page, "confirm", &self.confirm_latency);
        write_percentiles(page, "lag", &self.lag);
        write_percentiles(page, "lateness", &self.lateness);
        if let Some(disk) = &self.disk {
            disk.write(page, self.confirm_latency.as_ref());
        }
        if self.setup.rate_per_producer.is_none() && self.latency.is_some() {
            _ = writeln!(
                page,
                "              (no planned rate: this is the queue that built up, not service time)"
            );
        }
        if self.unsent > 0 {
            _ = writeln!(
                page,
                "  unsent      {} messages were planned and not published",
                thousands(self.unsent)
            );
        }
        if self.blocked_seconds > 0.0 {
            _ = writeln!(page, "  blocked     {:.1} connection seconds", self.blocked_seconds);
        }
    }

    fn write_verdict(&self, page: &mut String) {
        let counts = format!(
            "{} published, {} delivered{}{}",
            thousands(self.published),
            thousands(self.delivered),
            if self.nacked > 0 { format!(", {} nacked", thousands(self.nacked)) } else { String::new() },
            if self.violations.redelivered > 0 {
                format!(", {} redelivered", thousands(self.violations.redelivered))
            } else {
                String::new()
            }
        );
        match self.intact {
            true if !self.verified => _ = writeln!(page, "  unverified  {counts}"),
            true => _ = writeln!(page, "  intact      {counts}, drained in {:.2} s", self.drain_seconds),
            false => {
                _ = writeln!(page, "  NOT INTACT  {counts}");
                page.push_str(&self.violations_text());
            }
        }
    }

    /// The violations, a line each.
    pub fn violations_text(&self) -> String {
        let v = &self.violations;
        let mut text = format!(
            "  violations  lost {}, duplicated {}, reordered {}, corrupted {}, returned {}, early {}, left over {}, unconfirmed {}, unsynced {}, protocol {}\n",
            v.lost,
            v.duplicated,
            v.reordered,
            v.corrupted,
            v.returned,
            v.early,
            v.left_over,
            v.unconfirmed,
            v.unsynced,
            v.protocol
        );
        for example in &v.examples {
            _ = writeln!(text, "    {example}");
        }
        text
    }
}

impl DiskReport {
    /// What it takes to sync, and what a confirm takes beyond that if it waits for one.
    fn write(&self, page: &mut String, confirm: Option<&Percentiles>) {
        let Percentiles { p50, p99, .. } = &self.before;
        let after = &self.after;
        _ = write!(
            page,
            "  disk        4 KiB and fdatasync on {}: p50 {}  p99 {} us before, p50 {}  p99 {} us after",
            self.file_system,
            micros(*p50),
            micros(*p99),
            micros(after.p50),
            micros(after.p99)
        );
        if let Some(confirm) = confirm {
            _ = write!(page, "; confirm p50 {:+.1} us", confirm.p50 - self.p50());
        }
        page.push('\n');
    }
}

impl Setup {
    fn line(&self) -> String {
        let mut line = format!(
            "{} producers, {} consumers on {} connections, {} queues, {} bytes",
            self.producers, self.consumers, self.connections, self.queues, self.body_bytes
        );
        if let Some(kind) = &self.exchange_type {
            _ = write!(line, ", {kind} exchange with {} bindings", thousands(self.bindings as u64));
        }
        if let Some(rate) = self.rate_per_producer {
            _ = write!(line, ", {rate} msg/s each");
            if self.burst > 1 {
                _ = write!(line, " in bursts of {}", self.burst);
            }
        }
        if self.realtime {
            line.push_str(", SCHED_RR");
        }
        if self.persistent {
            line.push_str(", persistent");
        }
        if let Some(window) = self.confirm_window {
            _ = write!(line, ", confirm window {window}");
        }
        match self.acked_at_once {
            0 => line.push_str(", auto-ack"),
            count => {
                let settled = match (self.nack, self.requeue) {
                    (false, _) => "ack",
                    (true, true) => "nack and requeue",
                    (true, false) => "nack",
                };
                _ = write!(line, ", {settled} of {count}, prefetch {}", self.prefetch);
            }
        }
        for (name, given) in [
            ("queue arguments", &self.queue_arguments),
            ("properties", &self.message_properties),
            ("dead letters to", &self.dead_letter_queue),
        ] {
            if let Some(given) = given {
                _ = write!(line, ", {name} {given}");
            }
        }
        if let Some(limit) = self.in_flight {
            _ = write!(line, ", at most {} in flight", thousands(limit));
        }
        line
    }
}

impl Cost {
    fn write(&self, page: &mut String) {
        if let (Some(pid), Some(cores)) = (self.broker_pid, self.broker_cores) {
            _ = write!(page, "  broker      pid {pid}, {cores:.2} cores");
            if let (Some(publish), Some(deliver)) =
                (self.broker_cpu_us_per_publish, self.broker_cpu_us_per_deliver)
            {
                _ = write!(page, ", CPU {deliver:.3} us per delivery, {publish:.3} us per publish");
            } else if let Some(publish) = self.broker_cpu_us_per_publish {
                _ = write!(page, ", CPU {publish:.3} us per publish");
            } else if let Some(deliver) = self.broker_cpu_us_per_deliver {
                _ = write!(page, ", CPU {deliver:.3} us per delivery");
            }
            if let (Some(now), Some(max)) = (self.broker_resident_bytes, self.broker_resident_bytes_max) {
                _ = write!(page, ", RSS {} MiB, at most {} MiB", now >> 20, max >> 20);
            }
            page.push('\n');
        }
        _ = write!(page, "  loadgen     {:.2} cores", self.loadgen_cores);
        if let Some(us) = self.loadgen_cpu_us_per_message {
            _ = write!(page, ", CPU {us:.3} us per message");
        }
        if let Some(foreign) = self.foreign_cores {
            _ = write!(page, "; others used {foreign:.2} cores");
        }
        page.push('\n');
    }
}

fn write_percentiles(page: &mut String, name: &str, percentiles: &Option<Percentiles>) {
    let Some(p) = percentiles else { return };
    _ = writeln!(
        page,
        "  {name:<11} p50 {}  p90 {}  p99 {}  p99.9 {}  p99.99 {}  max {} us",
        micros(p.p50),
        micros(p.p90),
        micros(p.p99),
        micros(p.p999),
        micros(p.p9999),
        micros(p.max)
    );
}

/// 1234567 as 1,234,567.
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let groups =
        digits.as_bytes().rchunks(3).rev().map(|group| std::str::from_utf8(group).unwrap_or_default());
    groups.collect::<Vec<_>>().join(",")
}

/// Microseconds with three digits of precision.
fn micros(us: f64) -> String {
    if us < 100.0 { format!("{us:.1}") } else { thousands(us.round() as u64) }
}

/// Of its threads' time; above it, a faster broker would hardly show.
const BOUND_SHARE: f64 = 0.85;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_grouped() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(thousands), ["0", "999", "1,000", "1,234,567"]);
    }

    #[test]
    fn small_numbers_keep_a_decimal() {
        assert_eq!([12.34, 99.96, 1234.4].map(micros), ["12.3", "100.0", "1,234"]);
    }
}
