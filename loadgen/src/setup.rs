//! From the plan to open connections: handshakes, channels, producers and consumers, sorted by thread.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::mpsc::Sender;

use haremq::amqp::Method;

use crate::check::QueueCheck;
use crate::client::{ClientError, Session};
use crate::engine::{Connection, Consumer, Event, Flight, Job, Orders, Producer, Role, Shared, Template};
use crate::plan::{ConnectionPlan, InFlight, Load, Run};
use crate::stamp::Fill;
use crate::uri::Uri;

/// What the threads of a run begin with, and where each queue's check ends up.
pub struct Crew {
    pub shared: Arc<Shared>,
    pub jobs: Vec<Job>,
    /// Per thread, the plan's queues in the order of its checks.
    pub queues: Vec<Vec<usize>>,
}

/// Opens all connections of the plan.
pub fn crew(run: &Run, load: &Load, uri: &Uri, events: &Sender<Event>) -> Result<Crew, ClientError> {
    let flight = match load.in_flight {
        Some(InFlight::Total(limit)) => Some(Flight::new(limit, load.topology.queues_per_message())),
        Some(InFlight::PerProducer(_)) | None => None,
    };
    let shared = Arc::new(Shared::new(run.threads.count, flight)?);
    let fill = Arc::new(Fill::new(load.body_bytes));
    let mut crew = Crew { shared, jobs: Vec::new(), queues: Vec::new() };
    for index in 0..run.threads.count {
        let mut checks = Checks::default();
        let mut connections = Vec::new();
        for plan in load.connections.iter().filter(|plan| plan.thread == index) {
            connections.push(connect(run, load, plan, uri, &fill, &mut checks)?);
        }
        crew.jobs.push(Job {
            index,
            shared: crew.shared.clone(),
            events: events.clone(),
            connections,
            queues: checks.checks,
            fill: fill.clone(),
            variants: load.variants.clone(),
            awaits_expired: load.awaits_expired(),
            producers_in_run: load.producers.len(),
            rate: load.rate,
            burst: load.burst,
            consumer_rate: load.consumer_rate,
            spin_ns: run.timing.spin_ns,
        });
        crew.queues.push(checks.queues);
    }
    Ok(crew)
}

/// The queue checks of one thread, made as its consumers ask for them.
#[derive(Default)]
struct Checks {
    checks: Vec<QueueCheck>,
    queues: Vec<usize>,
    index_of: HashMap<usize, usize>,
}

impl Checks {
    fn index(&mut self, load: &Load, queue: usize) -> usize {
        *self.index_of.entry(queue).or_insert_with(|| {
            let consumers = load.consumers_of(queue);
            self.checks.push(match (load.verified, load.producers.is_empty()) {
                (false, _) => QueueCheck::blind(),
                (true, true) => QueueCheck::of_unknown(consumers, load.variants.count()),
                (true, false) => QueueCheck::new(load.feeding(queue), consumers, load.variants.count()),
            });
            self.queues.push(queue);
            self.checks.len() - 1
        })
    }
}

fn connect(
    run: &Run,
    load: &Load,
    plan: &ConnectionPlan,
    uri: &Uri,
    fill: &Arc<Fill>,
    checks: &mut Checks,
) -> Result<Connection, ClientError> {
    let mut session = Session::open(uri, &run.id)?;
    let mut roles = vec![Role::Unused];
    let (mut producers, mut consumers) = (Vec::new(), Vec::new());
    for &number in &plan.producers {
        let channel = roles.len() as u16;
        open_for_publishing(&mut session, channel, load)?;
        producers.push(producer(load, number, channel, session.frame_max(), fill));
        roles.push(Role::Producer(producers.len() - 1));
    }
    for &number in &plan.consumers {
        open_for_consuming(&mut session, roles.len() as u16, load)?;
        consumers.push(consumer(load, number, checks));
        roles.push(Role::Consumer(consumers.len() - 1));
    }
    let (socket, rest) = session.into_parts();
    let mut connection = Connection::new(socket, rest, roles, producers, consumers)?;
    connection.consume(|check| load.topology.consumed(checks.queues[check]).to_owned());
    Ok(connection)
}

fn producer(load: &Load, number: usize, channel: u16, frame_max: u32, fill: &Arc<Fill>) -> Producer {
    let keys = &load.producers[number].keys;
    let (own_flight, share) = match load.in_flight {
        Some(InFlight::PerProducer(limit)) => (Some(limit), u64::MAX),
        Some(InFlight::Total(limit)) => (None, limit / load.producers.len() as u64),
        None => (None, u64::MAX),
    };
    let orders = Orders {
        number: number as u16,
        confirm_window: load.confirm_window,
        own_flight,
        limit: load.messages_per_producer,
        share,
    };
    let template = Template::new(load, keys, channel, frame_max, fill.clone());
    Producer::new(&orders, template, keys.iter().map(|key| key.lane))
}

fn consumer(load: &Load, number: usize, checks: &mut Checks) -> Consumer {
    let plan = load.consumers[number];
    let queue = checks.index(load, plan.queue);
    Consumer {
        queue,
        rank: plan.rank,
        acks: load.acks,
        settlement: load.settlement,
        unacked: 0,
        last_tag: 0,
        received: 0,
    }
}

fn open_for_publishing(session: &mut Session, channel: u16, load: &Load) -> Result<(), ClientError> {
    session.open_channel(channel)?;
    if load.confirm_window.is_none() {
        return Ok(());
    }
    let select = Method::ConfirmSelect { nowait: false };
    session.call(channel, &select, |method| matches!(method, Method::ConfirmSelectOk {}).then_some(()))
}

fn open_for_consuming(session: &mut Session, channel: u16, load: &Load) -> Result<(), ClientError> {
    session.open_channel(channel)?;
    if load.prefetch == 0 {
        return Ok(());
    }
    let qos = Method::BasicQos { prefetch_size: 0, prefetch_count: load.prefetch, global: false };
    session.call(channel, &qos, |method| matches!(method, Method::BasicQosOk {}).then_some(()))
}
