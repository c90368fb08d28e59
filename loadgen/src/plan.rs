//! A run, resolved from the options: which connections exist, what each publishes and consumes, and for how long.

use std::sync::Arc;

use crate::launch::Kind;
use crate::options::{Flag, RunOptions};
use crate::properties::Variants;
use crate::routing::{Key, Topology};
use crate::stamp::BODY_BYTES_MIN;
use crate::{pinning, routing, scenario};

/// One load on one broker: what goes in; a `Report` comes out.
#[derive(Debug)]
pub struct Run {
    pub id: String,
    pub scenario: Option<String>,
    pub workload: Workload,
    pub timing: Timing,
    pub threads: Threads,
    /// Under SCHED_RR, with the broker that is started for it.
    pub realtime: bool,
}

#[derive(Debug)]
pub enum Workload {
    Messages(Box<Load>),
    /// A queue is filled while nobody takes from it, then drained.
    Backlog(Box<Backlog>),
    /// Connect, open a channel, close; `concurrency` at a time.
    Churn {
        concurrency: usize,
    },
    /// Start the broker's process and open a connection.
    Start,
}

#[derive(Clone, Copy, Debug)]
pub struct Timing {
    pub warmup_ns: u64,
    pub measured_ns: u64,
    pub drain_timeout_ns: u64,
    /// Busy-waited before a planned time.
    pub spin_ns: u64,
}

#[derive(Debug)]
pub struct Threads {
    pub count: usize,
    /// Cores to pin them to, in turn; empty for no pinning.
    pub cores: Vec<usize>,
}

/// Two loads on one queue, the second as long as the first.
#[derive(Debug)]
pub struct Backlog {
    pub fill: Load,
    pub drain: Load,
}

/// Messages from producers through queues to consumers.
#[derive(Clone, Debug)]
pub struct Load {
    pub body_bytes: usize,
    /// Whether what arrives is judged; the null peer delivers one message again and again.
    pub verified: bool,
    pub topology: Topology,
    pub producers: Vec<ProducerPlan>,
    pub consumers: Vec<ConsumerPlan>,
    pub connections: Vec<ConnectionPlan>,
    pub persistent: bool,
    pub mandatory: bool,
    pub variants: Variants,
    pub given: Given,
    /// Messages per second of each producer; none: as fast as it goes.
    pub rate: Option<f64>,
    /// How many of them are due together.
    pub burst: u64,
    pub consumer_rate: Option<f64>,
    pub confirm_window: Option<u32>,
    pub acks: Acks,
    pub settlement: Settlement,
    pub prefetch: u16,
    pub in_flight: Option<InFlight>,
    pub messages_per_producer: Option<u64>,
    pub messages_per_consumer: Option<u64>,
}

/// Of the command line, as it was given, for the report.
#[derive(Clone, Debug)]
pub struct Given {
    pub queue_arguments: Option<String>,
    pub message_properties: Option<String>,
}

/// A channel that publishes. Its index in the plan is its number in the stamps.
#[derive(Clone, Debug)]
pub struct ProducerPlan {
    pub keys: Arc<[Key]>,
}

#[derive(Clone, Copy, Debug)]
pub struct ConsumerPlan {
    pub queue: usize,
    /// Counts from 0 among the consumers of that queue.
    pub rank: usize,
}

/// One socket: indexes of the producers and consumers that have a channel on it.
#[derive(Clone, Default, Debug)]
pub struct ConnectionPlan {
    pub producers: Vec<usize>,
    pub consumers: Vec<usize>,
    pub thread: usize,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Acks {
    Automatic,
    /// One basic.ack, or basic.nack, for so many deliveries.
    Every(u32),
}

/// What consumers say of what they got.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Settlement {
    Ack,
    Nack { requeue: bool },
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum InFlight {
    /// Over all producers together.
    Total(u64),
    /// For each producer, whose messages all come back on its own connection.
    PerProducer(u64),
}

impl Run {
    /// `Err` is a sentence for the user.
    pub fn resolve(mut options: RunOptions) -> Result<Run, String> {
        if let Some(name) = options.scenario.clone()
            && !scenario::apply(&name, &mut options)
        {
            return Err(format!("no scenario is called {name}"));
        }
        let workload = match options.scenario.as_deref() {
            Some(scenario::CHURN) => Workload::Churn { concurrency: count(options.producers)?.max(1) },
            Some(scenario::START) => Workload::Start,
            Some(scenario::BACKLOG) => Workload::Backlog(Box::new(Backlog::resolve(&options)?)),
            _ => Workload::Messages(Box::new(Load::resolve(&options)?)),
        };
        let mut run = Run {
            id: options.id.clone().unwrap_or_else(|| "loadgen".to_owned()),
            workload,
            timing: timing(&options)?,
            threads: threads(&options)?,
            realtime: options.realtime,
            scenario: options.scenario,
        };
        let threads = &mut run.threads.count;
        *threads = match &mut run.workload {
            Workload::Messages(load) => load.assign_threads(*threads),
            Workload::Backlog(backlog) => {
                backlog.fill.assign_threads(*threads).max(backlog.drain.assign_threads(*threads))
            }
            Workload::Churn { .. } | Workload::Start => *threads,
        };
        Ok(run)
    }

    /// Whether the broker is to keep what it confirms.
    pub fn keeps(&self) -> bool {
        match &self.workload {
            Workload::Messages(load) => load.persistent && load.confirm_window.is_some(),
            Workload::Backlog(_) => true,
            Workload::Churn { .. } | Workload::Start => false,
        }
    }
}

impl Backlog {
    pub fn resolve(options: &RunOptions) -> Result<Backlog, String> {
        let load = |producers, consumers| {
            Load::resolve(&RunOptions { producers, consumers: Some(consumers), ..options.clone() })
        };
        let (mut fill, mut drain) = (load(options.producers, 0)?, load(Some(0), 1)?);
        if options.consumers.is_some_and(|count| count != 1) || fill.topology.queues.len() != 1 {
            return Err("a backlog lies in one queue and is drained by one consumer".to_owned());
        }
        (fill.topology.deletes, drain.topology.declares) = (false, false);
        Ok(Backlog { fill, drain })
    }
}

impl Load {
    pub fn resolve(options: &RunOptions) -> Result<Load, String> {
        let body_bytes = options.size.unwrap_or(BODY_BYTES_MIN);
        if body_bytes < BODY_BYTES_MIN {
            return Err(format!("a body needs {BODY_BYTES_MIN} bytes for its producer, sequence and time"));
        }
        let topology = Topology::resolve(options)?;
        let producers = producers(options, &topology)?;
        let consumers = consumers(options, &topology)?;
        let mut load = Load {
            body_bytes,
            verified: options.uri.is_some() || options.broker != Kind::Null,
            connections: connections(options, producers.len(), consumers.len()),
            persistent: options.has_flag(Flag::Persistent),
            mandatory: options.has_flag(Flag::Mandatory),
            variants: Variants::resolve(options.message_properties.as_deref())?,
            given: Given {
                queue_arguments: options.queue_args.clone(),
                message_properties: options.message_properties.clone(),
            },
            rate: rate(options.rate, "-r")?,
            burst: options.burst.unwrap_or(1).max(1),
            consumer_rate: rate(options.consumer_rate, "-R")?,
            confirm_window: options.confirm.filter(|&window| window > 0),
            acks: acks(options),
            settlement: match options.nack {
                true => Settlement::Nack { requeue: options.requeue.unwrap_or(true) },
                false => Settlement::Ack,
            },
            prefetch: options.qos.unwrap_or(0),
            in_flight: options.in_flight.filter(|&limit| limit > 0).map(InFlight::Total),
            messages_per_producer: options.pmessages.filter(|&limit| limit > 0),
            messages_per_consumer: options.cmessages.filter(|&limit| limit > 0),
            topology,
            producers,
            consumers,
        };
        let heads =
            load.variants.count() * load.producers.iter().map(|plan| plan.keys.len()).max().unwrap_or(0);
        if heads > HEADS_MAX {
            return Err(format!("at most {HEADS_MAX} combinations of keys and properties"));
        }
        if options.unique && options.message_properties.is_some() {
            return Err("--unique goes with no --message-properties".to_owned());
        }
        load.divide_in_flight();
        Ok(load)
    }

    /// Whether what is taken from a queue comes back to it.
    pub fn requeues(&self) -> bool {
        self.settlement == Settlement::Nack { requeue: true }
    }

    /// Whether what arrives comes from the queue's dead letters and says when it should have come.
    pub fn awaits_expired(&self) -> bool {
        self.variants.expire() && self.topology.dead_letters.is_some()
    }

    /// Which producers feed a queue.
    pub fn feeding(&self, queue: usize) -> Vec<u16> {
        let lane = self.topology.lane_of(queue);
        let feeds = |plan: &ProducerPlan| plan.keys.iter().any(|key| key.lane == lane);
        (0..).zip(&self.producers).filter(|(_, plan)| feeds(plan)).map(|(number, _)| number).collect()
    }

    pub fn consumers_of(&self, queue: usize) -> usize {
        self.consumers.iter().filter(|consumer| consumer.queue == queue).count()
    }

    /// Where each producer's messages come back on its own connection, each has its share of the limit to itself. A common
    /// one would go to whoever looks first, in a few large batches instead of many small ones.
    fn divide_in_flight(&mut self) {
        let Some(InFlight::Total(limit)) = self.in_flight else { return };
        let alone = |connection: &ConnectionPlan| match (&connection.producers[..], &connection.consumers[..])
        {
            (&[producer], &[consumer]) => {
                let queue = self.consumers[consumer].queue;
                let lane = self.topology.lane_of(queue);
                self.topology.queues_per_message() == 1
                    && self.producers[producer].keys.iter().all(|key| key.lane == lane)
                    && self.consumers_of(queue) == 1
                    && self.feeding(queue) == [producer as u16]
            }
            _ => false,
        };
        if self.connections.len() > 1 && self.connections.iter().all(alone) {
            self.in_flight = Some(InFlight::PerProducer((limit / self.producers.len() as u64).max(1)));
        }
    }
}

fn producers(options: &RunOptions, topology: &Topology) -> Result<Vec<ProducerPlan>, String> {
    let total = count(options.producers)? * count(options.producer_channels)?;
    if total > PRODUCERS_MAX {
        return Err(format!("at most {PRODUCERS_MAX} producers fit in a stamp"));
    }
    let keys = routing::keys(options, topology)?;
    Ok((0..total).map(|number| ProducerPlan { keys: keys.of_producer(number) }).collect())
}

fn consumers(options: &RunOptions, topology: &Topology) -> Result<Vec<ConsumerPlan>, String> {
    let total = count(options.consumers)? * count(options.consumer_channels)?;
    let queues = topology.queues.len();
    Ok((0..total).map(|number| ConsumerPlan { queue: number % queues, rank: number / queues }).collect())
}

fn connections(options: &RunOptions, producers: usize, consumers: usize) -> Vec<ConnectionPlan> {
    let split = |total: usize, channels: Option<u32>| {
        let channels = channels.unwrap_or(1).max(1) as usize;
        (0..total)
            .step_by(channels)
            .map(move |first| (first..(first + channels).min(total)).collect::<Vec<_>>())
    };
    let publishing = split(producers, options.producer_channels);
    let consuming = split(consumers, options.consumer_channels);
    if !options.duplex {
        let publishing = publishing.map(|producers| ConnectionPlan { producers, ..Default::default() });
        let consuming = consuming.map(|consumers| ConnectionPlan { consumers, ..Default::default() });
        return consuming.chain(publishing).collect();
    }
    let mut connections: Vec<ConnectionPlan> = Vec::new();
    connections.extend(publishing.map(|producers| ConnectionPlan { producers, ..Default::default() }));
    for (at, consumers) in consuming.enumerate() {
        match connections.get_mut(at) {
            Some(connection) => connection.consumers = consumers,
            None => connections.push(ConnectionPlan { consumers, ..Default::default() }),
        }
    }
    connections
}

/// An ack that waits for more deliveries than the prefetch allows would wait for ever.
fn acks(options: &RunOptions) -> Acks {
    let prefetch = options.qos.filter(|&prefetch| prefetch > 0).map_or(u32::MAX, u32::from);
    match options.autoack {
        true => Acks::Automatic,
        false => Acks::Every(options.multi_ack.unwrap_or(1).clamp(1, prefetch)),
    }
}

fn timing(options: &RunOptions) -> Result<Timing, String> {
    let nanoseconds = |seconds: Option<f64>, default: f64, name: &str| {
        let seconds = seconds.unwrap_or(default);
        let valid = (0.0..=SECONDS_MAX).contains(&seconds);
        valid
            .then_some((seconds * 1e9) as u64)
            .ok_or_else(|| format!("{name} must be 0 to {SECONDS_MAX} seconds"))
    };
    // A run that ends by a count of messages has no other end.
    let by_count = options.pmessages.or(options.cmessages).is_some_and(|limit| limit > 0);
    let (warmup, measured) = if by_count { (0.0, SECONDS_MAX) } else { (1.0, 5.0) };
    Ok(Timing {
        warmup_ns: nanoseconds(options.warmup, warmup, "--warmup")?,
        measured_ns: nanoseconds(options.time.filter(|&time| time > 0.0), measured, "-z")?,
        drain_timeout_ns: nanoseconds(options.drain_timeout, 30.0, "--drain-timeout")?,
        spin_ns: options.spin.unwrap_or(0) * 1000,
    })
}

fn threads(options: &RunOptions) -> Result<Threads, String> {
    let cores = options.cpus.as_deref().map_or(Ok(Vec::new()), pinning::parse_cores)?;
    let available = std::thread::available_parallelism().map_or(1, usize::from);
    let count = options.threads.unwrap_or(available.min(THREADS_DEFAULT));
    if count == 0 || count > THREADS_MAX {
        return Err(format!("--threads must be 1 to {THREADS_MAX}"));
    }
    Ok(Threads { count, cores })
}

fn rate(rate: Option<f64>, name: &str) -> Result<Option<f64>, String> {
    match rate {
        Some(rate) if !(rate.is_finite() && rate >= 0.0) => {
            Err(format!("{name} must be a number of messages per second"))
        }
        // PerfTest's word for no limit is a negative rate, ours is none or zero.
        Some(0.0) | None => Ok(None),
        Some(rate) => Ok(Some(rate)),
    }
}

fn count(option: Option<u32>) -> Result<usize, String> {
    let count = option.unwrap_or(1) as usize;
    if count > PRODUCERS_MAX { Err(format!("at most {PRODUCERS_MAX} of a kind")) } else { Ok(count) }
}

/// Producer numbers are u16 in the stamp.
const PRODUCERS_MAX: usize = 1 << 16;
/// What a producer writes from: some 90 bytes each.
const HEADS_MAX: usize = 1 << 18;
const THREADS_MAX: usize = 256;
/// One that mostly publishes and one that mostly consumes; more only compete with the broker.
const THREADS_DEFAULT: usize = 2;
const SECONDS_MAX: f64 = 1e7;

#[cfg(test)]
pub mod tests {
    use super::*;

    pub fn load(line: &str) -> Load {
        let run = Run::resolve(options(line)).unwrap();
        match run.workload {
            Workload::Messages(load) => *load,
            Workload::Backlog(_) | Workload::Churn { .. } | Workload::Start => panic!("not messages"),
        }
    }

    fn options(line: &str) -> RunOptions {
        use clap::Parser;
        let words = ["loadgen", "run"].into_iter().chain(line.split_whitespace());
        match crate::options::Cli::parse_from(words).command {
            Some(crate::options::Command::Run(options)) => *options,
            _ => panic!("not a run"),
        }
    }

    #[test]
    fn producers_and_consumers_take_the_queues_in_turn() {
        let load = load("-x 4 -y 4 --queue-pattern q-%d --queue-pattern-from 1 --queue-pattern-to 2");
        assert_eq!(load.feeding(0), [0, 2]);
        assert_eq!(load.feeding(1), [1, 3]);
        let consumers: Vec<_> = load.consumers.iter().map(|plan| (plan.queue, plan.rank)).collect();
        assert_eq!(consumers, [(0, 0), (1, 0), (0, 1), (1, 1)]);
    }

    #[test]
    fn duplex_connections_divide_the_limit_in_flight() {
        let load = load("--scenario 10");
        assert_eq!(load.connections.len(), 500);
        assert!(load.connections.iter().all(|connection| connection.producers == connection.consumers));
        assert_eq!(load.in_flight, Some(InFlight::PerProducer(40)));
    }

    #[test]
    fn a_common_limit_stays_common_where_messages_cross_connections() {
        assert_eq!(load("--scenario 1b").in_flight, Some(InFlight::Total(20_000)));
    }

    #[test]
    fn an_ack_never_waits_for_more_than_the_prefetch() {
        assert_eq!(load("-A 100 -q 10").acks, Acks::Every(10));
        assert_eq!(load("-a").acks, Acks::Automatic);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for line in [
            "-s 15",
            "--scenario 99",
            "--scenario 8 -y 2",
            "--scenario 8 --queue-pattern q-%d --queue-pattern-to 2",
            "--threads 0",
            "-r nan",
            "-z 1e99",
            "-x 300 -X 300",
            "--cpus x",
        ] {
            assert!(Run::resolve(options(line)).is_err(), "{line}");
        }
        for line in [
            "--scenario 5u --message-properties priority=1",
            "--scenario 7 --message-properties priority=0-255",
            "--message-properties colour=1",
            "--queue-args x-max-priority",
            "--dead-letter-queue loadgen",
            "--dead-letter-queue d --queue-pattern q-%d --queue-pattern-to 2",
        ] {
            assert!(Run::resolve(options(line)).is_err(), "{line}");
        }
    }

    #[test]
    fn a_backlog_is_filled_without_a_consumer_and_drained_without_a_producer() {
        let run = Run::resolve(options("--scenario 8 -C 1000 -x 2")).unwrap();
        assert!(run.keeps());
        let Workload::Backlog(backlog) = run.workload else { panic!("no backlog") };
        let Backlog { fill, drain } = *backlog;
        assert_eq!((fill.producers.len(), fill.consumers.len()), (2, 0));
        assert_eq!((drain.producers.len(), drain.consumers.len()), (0, 1));
        assert_eq!((fill.topology.declares, fill.topology.deletes), (true, false));
        assert_eq!((drain.topology.declares, drain.topology.deletes), (false, true));
        assert_eq!((fill.messages_per_producer, drain.acks), (Some(1000), Acks::Every(100)));
    }

    #[test]
    fn only_expired_dead_letters_say_when_they_should_have_come() {
        assert!(load("--dead-letter-queue d --message-properties expiration=5-9").awaits_expired());
        assert!(!load("--message-properties expiration=5-9").awaits_expired());
        assert!(!load("--dead-letter-queue d").awaits_expired());
    }
}
