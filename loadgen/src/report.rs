//! What a run found out, as numbers to keep.

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use crate::violations::{Kind, Violations};

/// What came out of a `Run`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Report {
    Messages(Box<MessagesReport>),
    Backlog(Box<BacklogReport>),
    Sessions(Box<SessionsReport>),
}

/// Rates and costs are of the measured part; counts and violations of the whole run.
#[derive(Default, Debug, Serialize, Deserialize)]
pub struct MessagesReport {
    pub id: String,
    pub scenario: Option<String>,
    pub broker: String,
    pub setup: Setup,
    pub measured_seconds: f64,
    pub published_per_second: f64,
    pub delivered_per_second: f64,
    pub confirmed_per_second: f64,
    pub published: u64,
    pub delivered: u64,
    pub confirmed: u64,
    pub nacked: u64,
    /// From the planned time, if there was one, else from the publish, to the arrival at the consumer.
    pub latency: Option<Percentiles>,
    /// From the same time to the broker's confirm.
    pub confirm_latency: Option<Percentiles>,
    /// From the planned time to the publish: loadgen's own delay, and what a full window or socket held back.
    pub lag: Option<Percentiles>,
    /// From the time at which a message was to expire to its arrival as a dead letter, over the whole run. `early` among the
    /// violations counts those before it.
    pub lateness: Option<Percentiles>,
    /// Messages that were planned and could not be published in time.
    pub unsent: u64,
    /// Connections times seconds under connection.blocked.
    pub blocked_seconds: f64,
    pub drain_seconds: f64,
    /// Of a broker of ours, if it was to keep what it confirmed.
    pub disk: Option<DiskReport>,
    pub cost: Cost,
    pub violations: Violations,
    /// No violation, if the messages were verified.
    pub intact: bool,
    pub verified: bool,
    pub seconds: Vec<Second>,
}

/// A queue that was filled while nobody took from it, then drained.
#[derive(Debug, Serialize, Deserialize)]
pub struct BacklogReport {
    pub fill: MessagesReport,
    pub drain: MessagesReport,
}

/// A run without messages. A session is a connection with an open channel.
#[derive(Debug, Serialize, Deserialize)]
pub struct SessionsReport {
    pub id: String,
    pub scenario: Option<String>,
    pub broker: String,
    pub what: String,
    pub measured_seconds: f64,
    pub sessions: u64,
    pub sessions_per_second: f64,
    pub latency: Option<Percentiles>,
    /// A publish stands for a session in it.
    pub cost: Cost,
}

/// The load, in short.
#[derive(Clone, Default, Debug, Serialize, Deserialize)]
pub struct Setup {
    pub producers: usize,
    pub consumers: usize,
    pub connections: usize,
    pub queues: usize,
    pub bindings: usize,
    pub exchange_type: Option<String>,
    pub body_bytes: usize,
    pub rate_per_producer: Option<f64>,
    pub burst: u64,
    pub confirm_window: Option<u32>,
    /// 0: automatic acknowledgement.
    pub acked_at_once: u32,
    /// basic.nack in the place of basic.ack.
    pub nack: bool,
    pub requeue: bool,
    pub prefetch: u16,
    pub queue_arguments: Option<String>,
    pub message_properties: Option<String>,
    pub dead_letter_queue: Option<String>,
    pub persistent: bool,
    pub in_flight: Option<u64>,
    pub threads: usize,
    /// SCHED_RR, if loadgen was started so.
    pub realtime: bool,
    /// To declare and bind everything.
    pub declare_seconds: f64,
}

/// The disk below the broker's folder: a write of 4 KiB to a file that is all there, and its fdatasync.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DiskReport {
    pub file_system: String,
    /// Before the load, and after it.
    pub before: Percentiles,
    pub after: Percentiles,
}

/// Of the measured part of the run.
#[derive(Clone, Default, Debug, Serialize, Deserialize)]
pub struct Cost {
    pub broker_pid: Option<u32>,
    pub broker_cores: Option<f64>,
    pub broker_cpu_us_per_publish: Option<f64>,
    pub broker_cpu_us_per_deliver: Option<f64>,
    pub broker_resident_bytes: Option<u64>,
    /// The most that was seen during the run, and the most since the process began.
    pub broker_resident_bytes_max: Option<u64>,
    pub broker_peak_bytes: Option<u64>,
    pub loadgen_cores: f64,
    /// Per delivery, or per publish if nothing was delivered.
    pub loadgen_cpu_us_per_message: Option<f64>,
    /// Cores that were busy with neither the broker nor loadgen.
    pub foreign_cores: Option<f64>,
}

/// Microseconds.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Percentiles {
    pub p50: f64,
    pub p90: f64,
    pub p99: f64,
    pub p999: f64,
    pub p9999: f64,
    pub max: f64,
    pub count: u64,
}

/// One second of the run, warm-up included.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Second {
    pub second: u64,
    pub published: u64,
    pub delivered: u64,
    pub confirmed: u64,
    pub latency: Option<Percentiles>,
    pub confirm_latency: Option<Percentiles>,
}

impl Report {
    /// Whether every message arrived as it should.
    pub fn is_intact(&self) -> bool {
        match self {
            Report::Messages(report) => report.intact,
            Report::Backlog(report) => report.fill.intact && report.drain.intact,
            Report::Sessions(_) => true,
        }
    }

    /// The part of it that confirms are in, if messages were published.
    pub fn of_publishing(&mut self) -> Option<&mut MessagesReport> {
        match self {
            Report::Messages(report) => Some(report),
            Report::Backlog(report) => Some(&mut report.fill),
            Report::Sessions(_) => None,
        }
    }

    /// Those of messages in it.
    pub fn of_messages(&self) -> Vec<&MessagesReport> {
        match self {
            Report::Messages(report) => vec![report],
            Report::Backlog(report) => vec![&report.fill, &report.drain],
            Report::Sessions(_) => Vec::new(),
        }
    }
}

impl MessagesReport {
    /// Takes back that all was well.
    pub fn violate(&mut self, kind: Kind, count: u64, describe: impl FnOnce() -> String) {
        self.violations.add_many(kind, count, describe);
        self.intact = self.violations.total() == 0;
    }
}

impl DiskReport {
    /// Microseconds, as below: the lower of the two medians, since what a load leaves to be written delays the later one.
    pub fn p50(&self) -> f64 {
        self.before.p50.min(self.after.p50)
    }

    /// The higher of the two.
    pub fn p99(&self) -> f64 {
        self.before.p99.max(self.after.p99)
    }
}

impl Percentiles {
    /// None if nothing was recorded.
    pub fn of(histogram: &Histogram<u64>) -> Option<Percentiles> {
        let at = |quantile| histogram.value_at_quantile(quantile) as f64 / 1e3;
        (!histogram.is_empty()).then(|| Percentiles {
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            p9999: at(0.9999),
            max: histogram.max() as f64 / 1e3,
            count: histogram.len(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_in_microseconds() {
        let mut histogram = crate::meter::histogram();
        (1..=1000).for_each(|us| histogram.record(us * 1000).unwrap());
        let percentiles = Percentiles::of(&histogram).unwrap();
        assert!((percentiles.p50 - 500.0).abs() < 1.0 && (percentiles.p999 - 999.0).abs() < 1.0);
        assert!((percentiles.max - 1000.0).abs() < 1.0 && percentiles.count == 1000);
        assert!(Percentiles::of(&crate::meter::histogram()).is_none());
    }
}
