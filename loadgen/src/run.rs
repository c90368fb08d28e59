//! Conducts a run of messages: topology, connections, threads, the clock of its phases, the end, the report.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::client::{self, ClientError, Session};
use crate::clock::{self, NS_PER_SECOND};
use crate::engine::{Event, Outcome, Shared, Worker};
use crate::interrupt;
use crate::observe::{Observer, Sample};
use crate::pinning;
use crate::plan::{Load, Run};
use crate::report::{MessagesReport, Second};
use crate::setup::{self, Crew};
use crate::summary::{self, Findings};
use crate::uri::Uri;

/// A broker to be loaded.
#[derive(Clone, Debug)]
pub struct Target {
    pub uri: Uri,
    pub pid: Option<u32>,
}

/// One run of messages. `each_second` is told what happened in every second of it.
pub fn messages(
    run: &Run,
    load: &Load,
    target: &Target,
    each_second: &mut dyn FnMut(&Second),
) -> Result<MessagesReport, ClientError> {
    let mut control = Session::open(&target.uri, &run.id)?;
    let before = clock::now();
    client::declare(&mut control, &load.topology)?;
    let declare_ns = clock::now() - before;
    let (events_in, events) = mpsc::channel();
    let Crew { shared, jobs, queues } = setup::crew(run, load, &target.uri, &events_in)?;
    drop(events_in);
    let mut threads = Vec::new();
    for job in jobs {
        let core = run.threads.cores.get(job.index % run.threads.cores.len().max(1)).copied();
        let worker = Worker::new(job)?;
        threads.push(std::thread::Builder::new().name("load".to_owned()).spawn(move || {
            core.map(pinning::pin);
            worker.run()
        })?);
    }
    let seconds = summary::Seconds::new(run.threads.count, load.verified);
    let observer = Observer::new(target.pid);
    let mut conductor = Conductor { run, load, shared, events, seconds, observer, failed: None, each_second };
    let phases = conductor.conduct();
    let outcomes = conductor.close(threads);
    let left_over = conductor.clean_up(control);
    let Conductor { seconds, observer, failed, .. } = conductor;
    let findings = Findings { outcomes, queues, left_over, declare_ns, phases };
    Ok(findings.report(run, load, target, &observer, seconds, failed))
}

/// The samples between which a run is measured, and how long the rest took to arrive.
pub struct Phases {
    pub begin: Sample,
    pub end: Sample,
    /// After the drain.
    pub totals: Sample,
    pub drain_ns: u64,
}

struct Conductor<'a> {
    run: &'a Run,
    load: &'a Load,
    shared: Arc<Shared>,
    events: Receiver<Event>,
    seconds: summary::Seconds,
    observer: Observer,
    failed: Option<String>,
    each_second: &'a mut dyn FnMut(&Second),
}

impl Conductor<'_> {
    fn conduct(&mut self) -> Phases {
        let opened = self.observer.sample(&self.shared);
        self.wait_for_consumers();
        let timing = self.run.timing;
        let before = self.observer.sample(&self.shared);
        let start_at = clock::now() + LEAD_NS;
        let measure_from = start_at + timing.warmup_ns;
        let stop_at = measure_from + timing.measured_ns;
        self.shared.stop_at.store(stop_at, Ordering::Release);
        self.shared.measure_from.store(measure_from, Ordering::Release);
        self.shared.start_at.store(start_at, Ordering::Release);
        self.shared.ring_all();
        self.wait_until(measure_from, |_| interrupt::requested());
        // Thousands of messages are on their way before a sample at the very start is taken.
        let begin = match (timing.warmup_ns, self.load.producers.is_empty()) {
            (0, false) => before.moved_to(start_at),
            // What lies in the queues comes as soon as it is asked for.
            (0, true) => opened,
            _ => self.observer.sample(&self.shared),
        };
        self.wait_until(stop_at, Conductor::is_over);
        let at_stop = self.observer.sample(&self.shared);
        self.shared.stop_at.fetch_min(clock::now(), Ordering::AcqRel);
        self.shared.ring_all();
        self.drain();
        let totals = self.observer.sample(&self.shared);
        let drain_ns = totals.at - at_stop.at;
        if self.failed.is_none() && !self.load.consumers.is_empty() {
            // A second copy of the last message would come right behind it.
            self.wait_until(clock::now() + AFTERMATH_NS, |_| false);
        }
        // A run that ends by count is measured to the last message, which arrives while draining.
        let end = if self.ends_by_count() { totals } else { at_stop };
        Phases { begin, end, totals, drain_ns }
    }

    fn wait_for_consumers(&mut self) {
        let wanted = self.load.consumers.len() as u64;
        let deadline = clock::now() + CONSUME_OK_NS_MAX;
        self.wait_until(deadline, move |conductor| conductor.sum(|worker| &worker.consuming) >= wanted);
        if self.failed.is_none() && self.sum(|worker| &worker.consuming) < wanted {
            self.failed = Some("basic.consume was not answered".to_owned());
        }
    }

    /// Takes events until `deadline`, a failure, or `over`, which is asked every few milliseconds.
    fn wait_until(&mut self, deadline: u64, over: impl Fn(&Self) -> bool) {
        while self.failed.is_none() && !over(self) {
            let Some(left) = deadline.checked_sub(clock::now()).filter(|&left| left > 0) else { return };
            match self.events.recv_timeout(Duration::from_nanos(left.min(POLL_NS))) {
                Ok(event) => self.take(event),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    self.failed = Some("a thread of the load ended".to_owned())
                }
            }
        }
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::Failed(reason) => {
                self.failed.get_or_insert(reason);
            }
            Event::Interval(interval) => {
                if let Some(second) = self.seconds.add(*interval) {
                    self.observer.look();
                    (self.each_second)(&second);
                }
            }
        }
    }

    /// Whether a run by count has published, or received, its messages, or the user ends any run.
    fn is_over(&self) -> bool {
        let counted = self.load.messages_per_consumer.is_some_and(|limit| {
            self.sum(|worker| &worker.counters.received) >= limit * self.load.consumers.len() as u64
        });
        counted || interrupt::requested() || (!self.load.producers.is_empty() && self.all_stopped())
    }

    fn ends_by_count(&self) -> bool {
        self.load.messages_per_producer.is_some() || self.load.messages_per_consumer.is_some()
    }

    fn all_stopped(&self) -> bool {
        self.shared.workers.iter().all(|worker| worker.stopped.load(Ordering::Acquire))
    }

    /// Waits until everything published has arrived.
    fn drain(&mut self) {
        let deadline = clock::now() + self.run.timing.drain_timeout_ns;
        self.wait_until(deadline, Conductor::all_arrived);
    }

    fn all_arrived(&self) -> bool {
        if !self.all_stopped() {
            return false;
        }
        let sent = self.sum(|worker| &worker.counters.sent);
        let nacked = self.sum(|worker| &worker.counters.nacked);
        let returned = self.sum(|worker| &worker.counters.returned);
        let settled = nacked + self.sum(|worker| &worker.counters.confirmed);
        let routed = sent.saturating_sub(nacked + returned);
        let expected = match self.expects_everything() {
            true => routed * self.consumed_copies(),
            false => 0,
        };
        self.sum(|worker| &worker.counters.distinct) >= expected
            && (self.load.confirm_window.is_none() || settled >= sent)
    }

    /// Whether each published message should arrive: every queue is consumed, and not only up to a count.
    fn expects_everything(&self) -> bool {
        summary::expects_everything(self.load)
    }

    fn consumed_copies(&self) -> u64 {
        self.load.topology.queues_per_message() as u64
    }

    fn close(&mut self, threads: Vec<JoinHandle<Outcome>>) -> Vec<Outcome> {
        self.shared.stop_at.fetch_min(clock::now(), Ordering::AcqRel);
        self.shared.closing.store(true, Ordering::Release);
        self.shared.ring_all();
        let mut outcomes = Vec::new();
        for thread in threads {
            match thread.join() {
                Ok(outcome) => outcomes.push(outcome),
                Err(_) => self.failed = Some("a thread of the load panicked".to_owned()),
            }
        }
        outcomes
    }

    /// Counts what is left in the queues, if nothing should be, and deletes them.
    fn clean_up(&mut self, mut control: Session) -> u64 {
        let expect_empty = self.expects_everything() && !self.load.requeues() && self.failed.is_none();
        let left = match expect_empty {
            true => client::left_over(&mut control, &self.load.topology),
            false => Ok(0),
        };
        let done = left.and_then(|left| {
            client::delete(&mut control, &self.load.topology)?;
            control.close()?;
            Ok(left)
        });
        done.unwrap_or_else(|error| {
            self.failed.get_or_insert(error.to_string());
            0
        })
    }

    fn sum(&self, counter: impl Fn(&crate::engine::WorkerState) -> &AtomicU64) -> u64 {
        self.shared.workers.iter().map(|worker| counter(worker).load(Ordering::Acquire)).sum()
    }
}

/// Between the decision to start and the first planned message, for all threads to hear of it.
const LEAD_NS: u64 = NS_PER_SECOND / 50;
const POLL_NS: u64 = NS_PER_SECOND / 200;
const AFTERMATH_NS: u64 = NS_PER_SECOND / 20;
const CONSUME_OK_NS_MAX: u64 = 60 * NS_PER_SECOND;
