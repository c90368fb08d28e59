//! From what the threads brought home to the report: seconds, totals, and what is missing.

use std::collections::{BTreeMap, HashMap};

use hdrhistogram::Histogram;

use crate::clock::NS_PER_SECOND;
use crate::engine::{Interval, Lane, Outcome};
use crate::meter;
use crate::observe::Observer;
use crate::plan::{Acks, InFlight, Load, Run, Settlement};
use crate::report::{MessagesReport, Percentiles, Second, Setup};
use crate::run::{Phases, Target};
use crate::violations::{Kind, Violations};

/// Puts the seconds of all threads together.
pub struct Seconds {
    threads: usize,
    /// Else their latencies mean nothing.
    verified: bool,
    open: BTreeMap<u64, (usize, Interval)>,
    pub done: Vec<Second>,
}

impl Seconds {
    pub fn new(threads: usize, verified: bool) -> Seconds {
        Seconds { threads, verified, open: BTreeMap::new(), done: Vec::new() }
    }

    /// Returns the second if this was the last thread's part of it.
    pub fn add(&mut self, interval: Interval) -> Option<Second> {
        let second = interval.second;
        let parts = match self.open.remove(&second) {
            None => (1, interval),
            Some((count, mut sum)) => {
                sum.absorb(&interval);
                (count + 1, sum)
            }
        };
        if parts.0 < self.threads {
            self.open.insert(second, parts);
            return None;
        }
        let done = parts.1.into_second(self.verified);
        self.done.push(done.clone());
        Some(done)
    }
}

impl Interval {
    fn absorb(&mut self, other: &Interval) {
        self.published += other.published;
        self.delivered += other.delivered;
        self.confirmed += other.confirmed;
        add(&mut self.latency, &other.latency);
        add(&mut self.confirm_latency, &other.confirm_latency);
    }

    fn into_second(self, verified: bool) -> Second {
        Second {
            second: self.second,
            published: self.published,
            delivered: self.delivered,
            confirmed: self.confirmed,
            latency: Percentiles::of(&self.latency).filter(|_| verified),
            confirm_latency: Percentiles::of(&self.confirm_latency),
        }
    }
}

/// All that a run found, before it is judged.
pub struct Findings {
    pub outcomes: Vec<Outcome>,
    /// Per thread, the plan's queues in the order of its checks.
    pub queues: Vec<Vec<usize>>,
    pub left_over: u64,
    pub declare_ns: u64,
    pub phases: Phases,
}

impl Findings {
    pub fn report(
        self,
        run: &Run,
        load: &Load,
        target: &Target,
        observer: &Observer,
        seconds: Seconds,
        failed: Option<String>,
    ) -> MessagesReport {
        let violations = self.judge(load, failed);
        let Phases { begin, end, drain_ns, .. } = self.phases;
        let measured_seconds = begin.seconds_until(&end);
        let per_second = |count: u64| count as f64 / measured_seconds.max(f64::MIN_POSITIVE);
        let totals = self.phases.totals;
        let merged =
            |part: fn(&Outcome) -> &Histogram<u64>| Percentiles::of(&merge(self.outcomes.iter().map(part)));
        MessagesReport {
            id: run.id.clone(),
            scenario: run.scenario.clone(),
            broker: target.uri.to_string(),
            setup: setup(run, load, self.declare_ns),
            measured_seconds,
            published_per_second: per_second(end.sent - begin.sent),
            delivered_per_second: per_second(end.received - begin.received),
            confirmed_per_second: per_second(end.confirmed - begin.confirmed),
            published: totals.sent,
            delivered: totals.received,
            confirmed: totals.confirmed,
            nacked: totals.nacked,
            latency: merged(|outcome| &outcome.latency).filter(|_| load.verified),
            confirm_latency: merged(|outcome| &outcome.confirm_latency),
            lag: merged(|outcome| &outcome.lag),
            lateness: merged(|outcome| &outcome.lateness),
            unsent: self.outcomes.iter().map(|outcome| outcome.unsent).sum(),
            blocked_seconds: self.outcomes.iter().map(|o| o.blocked_ns).sum::<u64>() as f64
                / NS_PER_SECOND as f64,
            drain_seconds: drain_ns as f64 / NS_PER_SECOND as f64,
            disk: None,
            cost: observer.cost(&begin, &end),
            intact: violations.total() == 0,
            verified: load.verified,
            violations,
            seconds: seconds.done,
        }
    }

    /// What the threads saw, and what nobody saw.
    fn judge(&self, load: &Load, failed: Option<String>) -> Violations {
        let mut violations = Violations::default();
        for outcome in &self.outcomes {
            violations.merge(outcome.violations.clone());
        }
        if let Some(reason) = failed {
            // A thread that saw the connection fail has counted it.
            let known = u64::from(violations.protocol == 0);
            violations.add_many(Kind::Protocol, known, || reason);
            return violations;
        }
        self.count_lost(load, &mut violations);
        violations.add_many(Kind::LeftOver, self.left_over, || {
            "messages in queues that all were taken from".to_owned()
        });
        let unconfirmed = self.outcomes.iter().map(|outcome| outcome.unconfirmed).sum();
        violations.add_many(Kind::Unconfirmed, unconfirmed, || "publishes without an answer".to_owned());
        violations
    }

    fn count_lost(&self, load: &Load, violations: &mut Violations) {
        let published = self.published();
        for (outcome, queues) in self.outcomes.iter().zip(&self.queues) {
            for (check, &queue) in outcome.queues.iter().zip(queues) {
                let lane = load.topology.lane_of(queue);
                let of = |producer| published.get(&(producer, lane)).copied().unwrap_or_default();
                let expected = |producer| if expects_everything(load) { of(producer).published } else { 0 };
                for missing in check.missing(expected) {
                    // The broker said of these that it does not take them.
                    let lost = missing.count.saturating_sub(of(missing.producer).nacked);
                    violations.add_many(Kind::Lost, lost, || {
                        let name = &load.topology.queues[queue];
                        format!(
                            "queue {name}: {lost} of producer {}, first {}",
                            missing.producer, missing.first
                        )
                    });
                }
            }
        }
    }

    /// By producer and lane.
    fn published(&self) -> HashMap<(u16, usize), Lane> {
        let producers = self.outcomes.iter().flat_map(|outcome| &outcome.published);
        producers
            .flat_map(|(number, lanes)| lanes.iter().map(|lane| ((*number, lane.number), *lane)))
            .collect()
    }
}

/// Whether each published message should arrive: all queues are consumed from, and not only up to a count.
pub fn expects_everything(load: &Load) -> bool {
    let consumed = (0..load.topology.queues.len()).all(|queue| load.consumers_of(queue) > 0);
    consumed && !load.producers.is_empty() && load.messages_per_consumer.is_none()
}

fn setup(run: &Run, load: &Load, declare_ns: u64) -> Setup {
    Setup {
        producers: load.producers.len(),
        consumers: load.consumers.len(),
        connections: load.connections.len(),
        queues: load.topology.queues.len(),
        bindings: load.topology.bindings.len(),
        exchange_type: load.topology.exchange.as_ref().map(|exchange| exchange.kind.clone()),
        body_bytes: load.body_bytes,
        rate_per_producer: load.rate,
        burst: load.burst,
        confirm_window: load.confirm_window,
        acked_at_once: match load.acks {
            Acks::Automatic => 0,
            Acks::Every(count) => count,
        },
        nack: load.settlement != Settlement::Ack,
        requeue: load.requeues(),
        prefetch: load.prefetch,
        queue_arguments: load.given.queue_arguments.clone(),
        message_properties: load.given.message_properties.clone(),
        dead_letter_queue: load.topology.dead_letters.clone(),
        persistent: load.persistent,
        in_flight: load.in_flight.map(|limit| match limit {
            InFlight::Total(limit) => limit,
            InFlight::PerProducer(limit) => limit * load.producers.len() as u64,
        }),
        threads: run.threads.count,
        realtime: run.realtime,
        declare_seconds: declare_ns as f64 / NS_PER_SECOND as f64,
    }
}

fn merge<'a>(parts: impl Iterator<Item = &'a Histogram<u64>>) -> Histogram<u64> {
    parts.fold(meter::histogram(), |mut sum, part| {
        add(&mut sum, part);
        sum
    })
}

fn add(sum: &mut Histogram<u64>, part: &Histogram<u64>) {
    sum.add(part).expect("all histograms have the same bounds");
}
