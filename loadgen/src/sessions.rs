//! Runs that carry no messages: connections opened and closed, and a broker's start to the first open connection.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use hdrhistogram::Histogram;

use crate::client::{ClientError, Session};
use crate::clock::{self, NS_PER_SECOND};
use crate::interrupt;
use crate::launch::{Broker, Recipe};
use crate::meter;
use crate::observe::{Observer, Sample};
use crate::plan::{Run, Timing};
use crate::report::{Percentiles, SessionsReport};
use crate::run::Target;

/// Connect, authenticate, open a channel, close: over and over, by `concurrency` threads.
pub fn churn(run: &Run, concurrency: usize, target: &Target) -> Result<SessionsReport, ClientError> {
    // The first one says whether there is a broker at all.
    cycle(target, &run.id)?;
    let shared = Arc::new(Churn::default());
    let threads: Vec<_> = (0..concurrency).map(|_| churner(&shared, target, &run.id)).collect();
    let mut observer = Observer::new(target.pid);
    interrupt::sleep_until(clock::now() + run.timing.warmup_ns);
    shared.measuring.store(true, Ordering::Release);
    let begin = observer.sample_with(|sample| sample.sent = shared.cycles.load(Ordering::Acquire));
    interrupt::sleep_until(begin.at + run.timing.measured_ns);
    let end = observer.sample_with(|sample| sample.sent = shared.cycles.load(Ordering::Acquire));
    shared.stop.store(true, Ordering::Release);
    let latencies = join(threads)?;
    Ok(report(run, "connections opened and closed", target, &latencies, &begin, &end, &observer))
}

/// Starts the broker again and again for the measured time, at least three times.
pub fn starts(run: &Run, recipe: &Recipe) -> Result<SessionsReport, String> {
    let mut latencies = meter::histogram();
    let mut observer = Observer::new(None);
    let begin = observer.sample_with(|_| ());
    let Timing { measured_ns, .. } = run.timing;
    let mut target = None;
    while !interrupt::requested() && (latencies.len() < STARTS_MIN || clock::now() < begin.at + measured_ns) {
        let before = clock::now();
        let broker = recipe.spawn()?;
        let session = first_session(&broker, &run.id, before + START_NS_MAX)?;
        latencies.saturating_record(clock::now() - before);
        session.close().map_err(|error| error.to_string())?;
        interrupt::sleep_until(clock::now() + SETTLE_NS);
        let pid = broker.pid()?;
        observer = Observer::new(Some(pid));
        observer.look();
        target = Some(Target { uri: broker.uri(), pid: Some(pid) });
        broker.stop()?;
    }
    let end = observer.sample_with(|sample| sample.sent = latencies.len());
    let target = target.ok_or("no start was measured")?;
    Ok(report(run, "broker started, connection open", &target, &latencies, &begin, &end, &observer))
}

#[derive(Default)]
struct Churn {
    stop: AtomicBool,
    measuring: AtomicBool,
    cycles: AtomicU64,
}

type Churner = JoinHandle<Result<Histogram<u64>, ClientError>>;

fn churner(shared: &Arc<Churn>, target: &Target, id: &str) -> Churner {
    let (shared, target, id) = (shared.clone(), target.clone(), id.to_owned());
    thread::spawn(move || {
        let mut latencies = meter::histogram();
        while !shared.stop.load(Ordering::Acquire) {
            let measured = shared.measuring.load(Ordering::Acquire);
            let before = clock::now();
            cycle(&target, &id)?;
            if measured {
                latencies.saturating_record(clock::now() - before);
            }
            shared.cycles.fetch_add(1, Ordering::AcqRel);
        }
        Ok(latencies)
    })
}

fn cycle(target: &Target, id: &str) -> Result<(), ClientError> {
    let mut session = Session::open(&target.uri, id)?;
    session.open_channel(1)?;
    session.close()
}

fn join(threads: Vec<Churner>) -> Result<Histogram<u64>, ClientError> {
    let mut all = meter::histogram();
    for thread in threads {
        let latencies =
            thread.join().map_err(|_| ClientError::Protocol("a thread panicked".to_owned()))??;
        all.add(&latencies).expect("all histograms have the same bounds");
    }
    Ok(all)
}

fn first_session(broker: &Broker, id: &str, deadline: u64) -> Result<Session, String> {
    loop {
        match Session::open(&broker.uri(), id) {
            Ok(session) => return Ok(session),
            Err(error) if clock::now() > deadline => return Err(error.to_string()),
            Err(_) => thread::sleep(START_POLL),
        }
    }
}

fn report(
    run: &Run,
    what: &str,
    target: &Target,
    latencies: &Histogram<u64>,
    begin: &Sample,
    end: &Sample,
    observer: &Observer,
) -> SessionsReport {
    let measured_seconds = begin.seconds_until(end);
    let sessions = end.sent - begin.sent;
    SessionsReport {
        id: run.id.clone(),
        scenario: run.scenario.clone(),
        broker: target.uri.to_string(),
        what: what.to_owned(),
        measured_seconds,
        sessions,
        sessions_per_second: sessions as f64 / measured_seconds,
        latency: Percentiles::of(latencies),
        cost: observer.cost(begin, end),
    }
}

const STARTS_MIN: u64 = 3;
const START_POLL: Duration = Duration::from_micros(500);
const START_NS_MAX: u64 = 60 * NS_PER_SECOND;
/// Until the memory that a start took is given back, as far as it is.
const SETTLE_NS: u64 = NS_PER_SECOND / 2;
