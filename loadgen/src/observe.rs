//! Looks at the clock, the counters and /proc at the same moment.

use std::sync::atomic::Ordering;

use crate::clock::{self, NS_PER_SECOND};
use crate::engine::Shared;
use crate::process::{self, Memory};
use crate::report::Cost;

/// Everything that is measured as a difference of two moments.
#[derive(Clone, Copy, Default, Debug)]
pub struct Sample {
    pub at: u64,
    pub sent: u64,
    pub received: u64,
    pub confirmed: u64,
    pub nacked: u64,
    own_cpu: u64,
    broker_cpu: Option<u64>,
    machine_busy: Option<u64>,
}

/// Watches the broker's process, if it is known.
pub struct Observer {
    pid: Option<u32>,
    memory: Option<Memory>,
    resident_bytes_max: u64,
}

impl Observer {
    pub fn new(pid: Option<u32>) -> Observer {
        Observer { pid, memory: None, resident_bytes_max: 0 }
    }

    pub fn sample(&mut self, shared: &Shared) -> Sample {
        self.sample_with(|sample| {
            for worker in &shared.workers {
                sample.sent += worker.counters.sent.load(Ordering::Acquire);
                sample.received += worker.counters.received.load(Ordering::Acquire);
                sample.confirmed += worker.counters.confirmed.load(Ordering::Acquire);
                sample.nacked += worker.counters.nacked.load(Ordering::Acquire);
            }
        })
    }

    /// For runs that count something else.
    pub fn sample_with(&mut self, count: impl FnOnce(&mut Sample)) -> Sample {
        self.look();
        let mut sample = Sample {
            at: clock::now(),
            own_cpu: clock::own_cpu(),
            broker_cpu: self.pid.and_then(|pid| process::cpu_ns(pid).ok()),
            machine_busy: process::machine_busy_ns().ok(),
            ..Sample::default()
        };
        count(&mut sample);
        sample
    }

    /// Notes the broker's memory.
    pub fn look(&mut self) {
        if let Some(memory) = self.pid.and_then(|pid| process::memory(pid).ok()) {
            self.memory = Some(memory);
            self.resident_bytes_max = self.resident_bytes_max.max(memory.resident_bytes);
        }
    }

    /// What the time between two samples cost.
    pub fn cost(&self, begin: &Sample, end: &Sample) -> Cost {
        let wall = end.at.saturating_sub(begin.at).max(1) as f64;
        // /proc counts in ticks of 10 ms: a shorter span tells nothing.
        let (begin, end) = (begin.unless(wall < SPAN_NS_MIN), end.unless(wall < SPAN_NS_MIN));
        let own = (end.own_cpu - begin.own_cpu) as f64;
        let broker = difference(begin.broker_cpu, end.broker_cpu);
        let per = |cpu: f64, count: u64| (count > 0).then(|| cpu / 1e3 / count as f64);
        let (sent, received) = (end.sent - begin.sent, end.received - begin.received);
        let foreign = difference(begin.machine_busy, end.machine_busy)
            .map(|busy| ((busy - own - broker.unwrap_or(0.0)) / wall).max(0.0));
        Cost {
            broker_pid: self.pid.filter(|_| broker.is_some()),
            broker_cores: broker.map(|cpu| cpu / wall),
            broker_cpu_us_per_publish: broker.and_then(|cpu| per(cpu, sent)),
            broker_cpu_us_per_deliver: broker.and_then(|cpu| per(cpu, received)),
            broker_resident_bytes: self.memory.map(|memory| memory.resident_bytes),
            broker_resident_bytes_max: self.memory.map(|_| self.resident_bytes_max),
            broker_peak_bytes: self.memory.map(|memory| memory.peak_bytes),
            loadgen_cores: own / wall,
            loadgen_cpu_us_per_message: per(own, if received > 0 { received } else { sent }),
            foreign_cores: foreign,
        }
    }
}

impl Sample {
    /// Without what /proc told, if so.
    fn unless(&self, without: bool) -> Sample {
        match without {
            true => Sample { broker_cpu: None, machine_busy: None, ..*self },
            false => *self,
        }
    }

    /// The same, as if nothing had happened until `at`.
    pub fn moved_to(self, at: u64) -> Sample {
        Sample { at, ..self }
    }

    /// 0 if a run ended before it was to begin.
    pub fn seconds_until(&self, end: &Sample) -> f64 {
        end.at.saturating_sub(self.at) as f64 / NS_PER_SECOND as f64
    }
}

fn difference(begin: Option<u64>, end: Option<u64>) -> Option<f64> {
    Some(end?.checked_sub(begin?)? as f64)
}

const SPAN_NS_MIN: f64 = 2e8;
