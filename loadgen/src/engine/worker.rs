//! One thread of the load: an epoll loop over its connections.
//!
//! A turn visits every connection that something happened to (readable, writable, due, woken): reads once, parses,
//! fills one batch, sends it. What has more to do is visited again in the next turn, so that none starves the others.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::num::NonZeroU64;
use std::sync::atomic::Ordering;

use hdrhistogram::Histogram;

use super::connection::{Connection, Input, Stage};
use super::flight::WorkerState;
use super::job::{Event, Interval, Job, Outcome};
use super::pace::Schedule;
use super::poller::{Events, Poller, Wake};
use super::producer::Turn;
use super::receiver::{Receiver, Tally};
use crate::clock::{self, NS_PER_SECOND};
use crate::meter::{self, Meter};
use crate::violations::{Kind, Violations};

pub struct Worker {
    job: Job,
    poller: Poller,
    buffer: Vec<u8>,
    /// Connections to visit in this turn, and those for the next.
    visits: Vec<usize>,
    next_visits: Vec<usize>,
    timers: BinaryHeap<Reverse<(u64, usize)>>,
    latency: Meter,
    confirm_latency: Meter,
    lag: Meter,
    lateness: Histogram<u64>,
    tally: Tally,
    /// The tally at the end of the last second.
    told: Tally,
    violations: Violations,
    /// When the load begins; `u64::MAX` until the conductor said.
    start_at: u64,
    started: bool,
    stop_at: u64,
    next_interval_at: u64,
    seconds: u64,
    closing_since: Option<u64>,
}

impl Worker {
    pub fn new(job: Job) -> io::Result<Worker> {
        let poller = Poller::new(job.shared.workers[job.index].bell.fd())?;
        for (index, connection) in job.connections.iter().enumerate() {
            poller.add(index, &connection.socket)?;
        }
        let count = job.connections.len();
        Ok(Worker {
            poller,
            buffer: vec![0; READ_BYTES_MAX],
            visits: Vec::with_capacity(count),
            next_visits: Vec::with_capacity(count),
            timers: BinaryHeap::new(),
            latency: Meter::new(),
            confirm_latency: Meter::new(),
            lag: Meter::new(),
            lateness: meter::histogram(),
            tally: Tally::default(),
            told: Tally::default(),
            violations: Violations::default(),
            start_at: u64::MAX,
            started: false,
            stop_at: u64::MAX,
            next_interval_at: u64::MAX,
            seconds: 0,
            closing_since: None,
            job,
        })
    }

    /// Works until the conductor closes the run.
    pub fn run(mut self) -> Outcome {
        // Timers shall not be late on purpose; the default slack is 50 us.
        _ = rustix::thread::set_current_timer_slack(NonZeroU64::new(1));
        self.visit_all_soon();
        let mut events = Events::new();
        loop {
            self.look_at_conductor();
            let now = clock::now();
            self.release_due(now);
            self.end_interval(now);
            self.visit_all();
            self.tell(now);
            if self.is_closed() {
                return self.outcome();
            }
            self.wait(&mut events);
        }
    }

    fn visit_all(&mut self) {
        std::mem::swap(&mut self.visits, &mut self.next_visits);
        let mut visits = std::mem::take(&mut self.visits);
        for index in visits.drain(..) {
            self.job.connections[index].queued = false;
            if let Err(reason) = self.visit(index) {
                self.fail(index, reason);
            }
        }
        self.visits = visits;
    }

    /// Reads, sends what was left, fills a batch and sends it. `Err` says why the connection is of no more use.
    fn visit(&mut self, index: usize) -> Result<(), String> {
        if self.job.connections[index].stage == Stage::Closed {
            return Ok(());
        }
        self.read(index)?;
        // The rest first: a batch is only filled when nothing is pending.
        self.send(index)?;
        let now = clock::now();
        if self.job.connections[index].writable && self.started {
            self.publish(index, now);
            self.send(index)?;
        }
        self.set_timer(index, now);
        Ok(())
    }

    fn publish(&mut self, index: usize, now: u64) {
        let shared = &*self.job.shared;
        let mut turn = Turn { now, stop_at: self.stop_at, shared, lag: &mut self.lag, starved: false };
        let connection = &mut self.job.connections[index];
        let published = connection.fill(&mut turn);
        turn.lag.settle(now);
        let starved = turn.starved;
        self.tally.sent += published;
        if (published > 0 && connection.wants_more(now)) || (starved && self.has_room()) {
            self.visit_soon(index);
        }
    }

    fn send(&mut self, index: usize) -> Result<(), String> {
        let sent = self.job.connections[index].send().map_err(|error| error.to_string())?;
        self.tally.bytes_sent += sent as u64;
        Ok(())
    }

    fn read(&mut self, index: usize) -> Result<(), String> {
        let connection = &mut self.job.connections[index];
        if !connection.readable || (connection.hold_until > 0 && connection.hold_until > clock::now()) {
            return Ok(());
        }
        let bytes_max = if self.job.consumer_rate.is_some() { READ_BYTES_PACED } else { READ_BYTES_MAX };
        let (len, more) = match connection.read(&mut self.buffer, bytes_max) {
            Input::Bytes { len, more } => (len, more),
            Input::Nothing => return Ok(()),
            Input::Ended(reason) => return Err(reason),
        };
        self.tally.bytes_received += (len - connection.tail.len()) as u64;
        let before = self.tally;
        self.parse(index, len)?;
        let arrived = self.tally.received - before.received;
        self.came_home(index, arrived);
        let lost_sight = self.tally.nacked + self.tally.returned - before.nacked - before.returned;
        self.job.shared.arrived(arrived, lost_sight);
        if more {
            self.visit_soon(index);
        }
        Ok(())
    }

    fn parse(&mut self, index: usize, len: usize) -> Result<(), String> {
        let connection = &mut self.job.connections[index];
        let mut receiver = Receiver {
            now: clock::now(),
            roles: &connection.roles,
            producers: &mut connection.producers,
            consumers: &mut connection.consumers,
            output: &mut connection.outbox.bytes,
            queues: &mut self.job.queues,
            fill: &self.job.fill,
            variants: &self.job.variants,
            lateness: self.job.awaits_expired.then_some(&mut self.lateness),
            latency: &mut self.latency,
            confirm_latency: &mut self.confirm_latency,
            tally: &mut self.tally,
            violations: &mut self.violations,
            news: Default::default(),
        };
        let taken = connection.parser.parse(&self.buffer[..len], &mut receiver);
        let news = receiver.settle();
        connection.tail.clear();
        connection.tail.extend_from_slice(&self.buffer[taken?..len]);
        if news.closed {
            connection.stage = Stage::Closed;
        }
        if let Some(blocked) = news.blocked {
            connection.set_blocked(blocked);
        }
        let consuming = &self.state().consuming;
        consuming.fetch_add(news.consumers_ready, Ordering::Release);
        Ok(())
    }

    /// Frees what producers and consumers of this connection wait for after `arrived` deliveries.
    fn came_home(&mut self, index: usize, arrived: u64) {
        let connection = &mut self.job.connections[index];
        if let [producer] = &mut connection.producers[..] {
            producer.came_home(arrived);
        }
        if let Some(rate) = self.job.consumer_rate {
            let interval_ns = NS_PER_SECOND as f64 / (rate * connection.consumers.len().max(1) as f64);
            let from = connection.hold_until.max(clock::now());
            connection.hold_until = from + (arrived as f64 * interval_ns) as u64;
        }
    }

    /// Whether the common limit has room again; if not, the bell will ring when it has.
    fn has_room(&self) -> bool {
        self.job.shared.flight.as_ref().is_some_and(|flight| !flight.wait(&self.state().bell))
    }

    fn visit_all_soon(&mut self) {
        (0..self.job.connections.len()).for_each(|index| self.visit_soon(index));
    }

    fn visit_soon(&mut self, index: usize) {
        let connection = &mut self.job.connections[index];
        if !std::mem::replace(&mut connection.queued, true) {
            self.next_visits.push(index);
        }
    }

    /// For what only waits for a time to come. What is due already waits for something else, which will be an event.
    fn set_timer(&mut self, index: usize, now: u64) {
        let connection = &mut self.job.connections[index];
        let held = Some(connection.hold_until).filter(|&until| connection.readable && until > 0);
        let due = connection.due_after(now);
        let Some(at) = held.into_iter().chain(due).min() else { return };
        if at < connection.timer {
            connection.timer = at;
            self.timers.push(Reverse((at, index)));
        }
    }

    fn release_due(&mut self, now: u64) {
        while let Some(&Reverse((at, index))) = self.timers.peek() {
            if at > now {
                break;
            }
            self.timers.pop();
            if self.job.connections[index].timer == at {
                self.job.connections[index].timer = u64::MAX;
                self.visit_soon(index);
            }
        }
    }

    /// Sleeps until something happens or is due.
    fn wait(&mut self, events: &mut Events) {
        let timeout_ns = self.timeout_ns();
        for wake in self.poller.wait(timeout_ns, events) {
            match wake {
                Wake::Bell => self.visit_all_soon(),
                Wake::Socket { index, readable, writable } => {
                    let connection = &mut self.job.connections[index];
                    connection.readable |= readable;
                    connection.writable |= writable;
                    self.visit_soon(index);
                }
            }
        }
    }

    fn timeout_ns(&self) -> u64 {
        if !self.next_visits.is_empty() {
            return 0;
        }
        let due =
            self.timers.peek().map_or(u64::MAX, |&Reverse((at, _))| at.saturating_sub(self.job.spin_ns));
        let stopped = self.state().stopped.load(Ordering::Relaxed);
        let start_at = if self.started { u64::MAX } else { self.start_at };
        let stop_at = if stopped { u64::MAX } else { self.stop_at };
        let at = due.min(self.next_interval_at).min(start_at).min(stop_at);
        at.saturating_sub(clock::now()).min(WAIT_NS_MAX)
    }

    /// Takes over what the conductor decided since the last turn.
    fn look_at_conductor(&mut self) {
        let shared = self.job.shared.clone();
        self.stop_at = shared.stop_at.load(Ordering::Acquire);
        if self.start_at == u64::MAX {
            self.prepare(
                shared.start_at.load(Ordering::Acquire),
                shared.measure_from.load(Ordering::Acquire),
            );
        }
        if !self.started && clock::now() >= self.start_at {
            self.started = true;
            self.visit_all_soon();
        }
        if shared.closing.load(Ordering::Acquire) && self.closing_since.is_none() {
            self.closing_since = Some(clock::now());
            for index in 0..self.job.connections.len() {
                self.job.connections[index].begin_close();
                self.visit_soon(index);
            }
        }
    }

    fn prepare(&mut self, start_at: u64, measure_from: u64) {
        if start_at == u64::MAX {
            return;
        }
        (self.start_at, self.next_interval_at) = (start_at, start_at + NS_PER_SECOND);
        for meter in [&mut self.latency, &mut self.confirm_latency, &mut self.lag] {
            meter.measure(measure_from, self.stop_at);
        }
        for index in 0..self.job.connections.len() {
            for producer in &mut self.job.connections[index].producers {
                if let Some(rate) = self.job.rate {
                    let phase = f64::from(producer.number) / self.job.producers_in_run as f64;
                    producer.follow(Schedule::new(start_at, rate, self.job.burst, phase));
                }
            }
        }
    }

    fn end_interval(&mut self, now: u64) {
        while now >= self.next_interval_at {
            let latency = self.latency.take_interval();
            let confirm_latency = self.confirm_latency.take_interval();
            let (tally, told) = (self.tally, std::mem::replace(&mut self.told, self.tally));
            let interval = Interval {
                second: self.seconds,
                published: tally.sent - told.sent,
                delivered: tally.received - told.received,
                confirmed: tally.confirmed - told.confirmed,
                latency,
                confirm_latency,
            };
            // Nobody listens any more once the report is made.
            _ = self.job.events.send(Event::Interval(Box::new(interval)));
            self.seconds += 1;
            self.next_interval_at += NS_PER_SECOND;
        }
    }

    /// Publishes the counters, and that the producers are done if they are.
    fn tell(&mut self, now: u64) {
        self.tally.publish(self.state());
        let state = self.state();
        if state.stopped.load(Ordering::Relaxed) || !self.started {
            return;
        }
        let mut producers = self.job.connections.iter().flat_map(|connection| &connection.producers);
        if now >= self.stop_at || producers.all(|producer| producer.is_done()) {
            self.state().stopped.store(true, Ordering::Release);
        }
    }

    fn fail(&mut self, index: usize, reason: String) {
        let connection = &mut self.job.connections[index];
        let expected = connection.stage == Stage::Closing;
        connection.stage = Stage::Closed;
        // The edge would come again and again for a socket in error.
        self.poller.remove(&connection.socket);
        if !expected {
            self.violations.add(Kind::Protocol, || reason.clone());
            _ = self.job.events.send(Event::Failed(reason));
        }
    }

    fn is_closed(&self) -> bool {
        let Some(since) = self.closing_since else { return false };
        let all_closed = self.job.connections.iter().all(|connection| connection.stage == Stage::Closed);
        all_closed || clock::now() > since + CLOSE_NS_MAX
    }

    fn state(&self) -> &WorkerState {
        &self.job.shared.workers[self.job.index]
    }

    fn outcome(mut self) -> Outcome {
        let future = self.latency.implausible() + self.confirm_latency.implausible();
        self.violations
            .add_many(Kind::Corrupted, future, || "messages planned for a time to come".to_owned());
        let producers = || self.job.connections.iter().flat_map(|connection| &connection.producers);
        Outcome {
            published: producers().map(|producer| (producer.number, producer.lanes().to_vec())).collect(),
            unconfirmed: producers().map(|producer| producer.unconfirmed()).sum(),
            unsent: producers().map(|producer| producer.unsent(self.stop_at)).sum(),
            latency: self.latency.into_measured(),
            confirm_latency: self.confirm_latency.into_measured(),
            lag: self.lag.into_measured(),
            lateness: self.lateness,
            violations: self.violations,
            queues: self.job.queues,
            blocked_ns: self.job.connections.iter().map(Connection::blocked_ns).sum(),
        }
    }
}

const READ_BYTES_MAX: usize = 256 * 1024;
/// A consumer that keeps a rate takes little at a time.
const READ_BYTES_PACED: usize = 4 * 1024;
/// A safety net below which nothing depends on a wake-up that was missed.
const WAIT_NS_MAX: u64 = NS_PER_SECOND;
const CLOSE_NS_MAX: u64 = 5 * NS_PER_SECOND;
