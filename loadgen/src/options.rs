//! The command line, with PerfTest's letters where PerfTest has one.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::launch::Kind;

/// Drives any AMQP 0-9-1 broker, measures it, and verifies every message.
///
/// Without a command, starts the haremq binary beside this one on free ports and shows what it does in five seconds.
#[derive(Parser, Debug)]
#[command(version, about)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Option<Command>,
}

#[derive(Subcommand, Debug)]
pub enum Command {
    /// One load on one broker.
    Run(Box<RunOptions>),
    /// HareMQ beside RabbitMQ and beside TCP alone, in the scenarios of the reference measurements.
    Compare(Box<CompareOptions>),
    /// Short loads over all features, strictly checked; exits 0 only if every message arrived as it should.
    Verify(VerifyOptions),
    /// The peer that is no broker (run --broker null starts one).
    #[command(hide = true)]
    NullPeer {
        #[arg(long)]
        port: u16,
    },
}

/// What is left out comes from the scenario, then from the defaults in plan.rs.
#[derive(Args, Clone, Default, Debug)]
pub struct RunOptions {
    /// The broker; without it, one is started for this run.
    #[arg(long, value_name = "amqp://USER:PASSWORD@HOST:PORT/VHOST", help_heading = "Broker")]
    pub uri: Option<String>,
    /// Process whose CPU and memory count as the broker's (found by the port if on this machine).
    #[arg(long, value_name = "PID", help_heading = "Broker")]
    pub broker_pid: Option<u32>,
    /// Which one is started if none is given.
    #[arg(long, value_enum, default_value_t, conflicts_with = "uri", help_heading = "Broker")]
    pub broker: Kind,
    /// The binary of haremq (default: the one beside loadgen).
    #[arg(long, value_name = "PATH", help_heading = "Broker")]
    pub haremq: Option<PathBuf>,
    /// Arguments for the haremq that is started.
    #[arg(long, value_name = "ARGS", allow_hyphen_values = true, help_heading = "Broker")]
    pub broker_args: Option<String>,

    /// A set-up of reference measurements: 1 1b 2 2b 3 3w1 4 5 5u 6 6u 7 8 9 9f 9f1k 9fc 9p 10 10r 11 12 13 14; other
    /// options override it. 8 is two runs: -C messages of each producer into a queue, then out of it, each in -z seconds at
    /// most.
    #[arg(long, value_name = "NAME", help_heading = "Load")]
    pub scenario: Option<String>,
    /// Connections that publish (default: 1).
    #[arg(short = 'x', long, value_name = "N", help_heading = "Load")]
    pub producers: Option<u32>,
    /// Connections that consume (default: 1).
    #[arg(short = 'y', long, value_name = "N", help_heading = "Load")]
    pub consumers: Option<u32>,
    /// Channels, each a producer, per publishing connection (default: 1).
    #[arg(short = 'X', long, value_name = "N", help_heading = "Load")]
    pub producer_channels: Option<u32>,
    /// Channels, each a consumer, per consuming connection (default: 1).
    #[arg(short = 'Y', long, value_name = "N", help_heading = "Load")]
    pub consumer_channels: Option<u32>,
    /// Producer i and consumer i share a connection.
    #[arg(long, help_heading = "Load")]
    pub duplex: bool,
    /// Body bytes, at least 16 (default: 16).
    #[arg(short = 's', long, value_name = "BYTES", help_heading = "Load")]
    pub size: Option<usize>,
    /// Messages per second of each producer, at planned times; without it, as fast as it goes.
    #[arg(short = 'r', long, value_name = "RATE", help_heading = "Load")]
    pub rate: Option<f64>,
    /// With -r, N messages at a time, as much more rarely.
    #[arg(long, value_name = "N", requires = "rate", help_heading = "Load")]
    pub burst: Option<u64>,
    /// Messages per second that each consumer takes.
    #[arg(short = 'R', long, value_name = "RATE", help_heading = "Load")]
    pub consumer_rate: Option<f64>,
    /// Publisher confirms with at most N outstanding per producer.
    #[arg(short = 'c', long, value_name = "N", help_heading = "Load")]
    pub confirm: Option<u32>,
    /// Acknowledge N messages at once (default: 1).
    #[arg(short = 'A', long, value_name = "N", help_heading = "Load")]
    pub multi_ack: Option<u32>,
    /// Consume without acknowledgements.
    #[arg(short = 'a', long, help_heading = "Load")]
    pub autoack: bool,
    /// Nack where -A and the like would acknowledge (also -na).
    #[arg(long, conflicts_with = "autoack", help_heading = "Load")]
    pub nack: bool,
    /// Whether what is nacked returns to its queue (default: true; also -re).
    #[arg(long, value_name = "true|false", requires = "nack", help_heading = "Load")]
    pub requeue: Option<bool>,
    /// Prefetch count per consumer (default: no limit).
    #[arg(short = 'q', long, visible_alias = "prefetch", value_name = "N", help_heading = "Load")]
    pub qos: Option<u16>,
    /// How messages are marked; persistent also makes the queues durable. May be repeated.
    #[arg(short = 'f', long, value_enum, help_heading = "Load")]
    pub flag: Vec<Flag>,
    /// expiration (ms) and priority of the messages, each a number, or FROM-TO to be drawn for each message, such as
    /// expiration=50-1000,priority=5 (also -mp).
    #[arg(long, value_name = "KEY=VALUE,...", help_heading = "Load")]
    pub message_properties: Option<String>,
    /// Messages in flight between producers and consumers, at most.
    #[arg(long, value_name = "N", help_heading = "Load")]
    pub in_flight: Option<u64>,

    /// The queue (default: loadgen).
    #[arg(short = 'u', long, value_name = "NAME", help_heading = "Topology")]
    pub queue: Option<String>,
    /// Several queues: %d runs through the numbers below. Producers and consumers take them in turn.
    #[arg(long, value_name = "PATTERN", help_heading = "Topology")]
    pub queue_pattern: Option<String>,
    #[arg(long, value_name = "N", help_heading = "Topology")]
    pub queue_pattern_from: Option<u32>,
    #[arg(long, value_name = "N", help_heading = "Topology")]
    pub queue_pattern_to: Option<u32>,
    /// The exchange; without -e or -t, the default exchange.
    #[arg(short = 'e', long, value_name = "NAME", help_heading = "Topology")]
    pub exchange: Option<String>,
    /// Its type (default: direct).
    #[arg(short = 't', long = "type", value_name = "TYPE", help_heading = "Topology")]
    pub exchange_type: Option<String>,
    /// The routing key, or with a headers exchange the value of the header `id`; with %d it rotates through
    /// --routing-keys numbers.
    #[arg(short = 'k', long, value_name = "KEY", help_heading = "Topology")]
    pub routing_key: Option<String>,
    /// How many keys each producer rotates through (default: as many as are bound).
    #[arg(long, value_name = "N", help_heading = "Topology")]
    pub routing_keys: Option<u32>,
    /// Arguments of the queues, such as x-max-priority=10,x-single-active-consumer=true (also -qa, as PerfTest has it).
    #[arg(long, value_name = "KEY=VALUE,...", help_heading = "Topology")]
    pub queue_args: Option<String>,
    /// Consume not from the queue but from this one, where the queue's dead letters go.
    #[arg(long, value_name = "NAME", help_heading = "Topology")]
    pub dead_letter_queue: Option<String>,
    /// How many keys are bound, key i to queue i modulo the queues (default: as many as are used).
    #[arg(long, value_name = "N", help_heading = "Topology")]
    pub bindings: Option<u32>,
    /// No two messages with the same routing key (topic: a word more, bound as *) or headers (a header more).
    #[arg(long, help_heading = "Topology")]
    pub unique: bool,
    /// Declare, bind, purge and delete nothing: all is there.
    #[arg(short = 'p', long, help_heading = "Topology")]
    pub predeclared: bool,

    /// Seconds that are measured (default: 5).
    #[arg(short = 'z', long, value_name = "SECONDS", help_heading = "Run")]
    pub time: Option<f64>,
    /// Seconds before, which are not (default: 1).
    #[arg(long, value_name = "SECONDS", help_heading = "Run")]
    pub warmup: Option<f64>,
    /// Each producer stops after N messages.
    #[arg(short = 'C', long, value_name = "N", help_heading = "Run")]
    pub pmessages: Option<u64>,
    /// The run ends when N messages per consumer arrived.
    #[arg(short = 'D', long, value_name = "N", help_heading = "Run")]
    pub cmessages: Option<u64>,
    /// Seconds to wait for the rest after the producers stopped (default: 30).
    #[arg(long, value_name = "SECONDS", help_heading = "Run")]
    pub drain_timeout: Option<f64>,
    /// Name of the run in lines and reports (default: loadgen).
    #[arg(long, value_name = "NAME", help_heading = "Run")]
    pub id: Option<String>,
    /// Threads that drive the load (default: 2, or 1 if nothing could run beside).
    #[arg(long, value_name = "N", help_heading = "Run")]
    pub threads: Option<usize>,
    /// Cores for these threads, such as 0,2-3.
    #[arg(long, value_name = "LIST", help_heading = "Run")]
    pub cpus: Option<String>,
    /// Run under SCHED_RR, loadgen and the broker it starts; needs chrt, and root or CAP_SYS_NICE.
    #[arg(long, help_heading = "Run")]
    pub realtime: bool,
    /// Busy-wait the last microseconds before each planned time instead of sleeping them.
    #[arg(long, value_name = "MICROSECONDS", help_heading = "Run")]
    pub spin: Option<u64>,
    /// What standard output shows.
    #[arg(long, value_enum, default_value_t, help_heading = "Run")]
    pub format: Format,
    /// The report as JSON, into this file.
    #[arg(long, value_name = "FILE", help_heading = "Run")]
    pub json: Option<PathBuf>,
}

#[derive(Args, Clone, Debug)]
pub struct CompareOptions {
    /// Some of the scenarios, such as 1,5,5u,9f (default: all).
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    pub scenarios: Vec<String>,
    /// Some of the peers; haremq-os is HareMQ with --durability os, where messages are persistent; null is TCP alone.
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_enum,
          default_values_t = [Entrant::Rabbitmq, Entrant::Haremq, Entrant::HaremqOs, Entrant::Null])]
    pub peers: Vec<Entrant>,
    /// Numbers of shards that HareMQ is measured with (default: 1, and one per core).
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    pub shards: Vec<usize>,
    /// The binary of haremq (default: the one beside loadgen).
    #[arg(long, value_name = "PATH")]
    pub haremq: Option<PathBuf>,
    /// Further arguments for haremq.
    #[arg(long, value_name = "ARGS", allow_hyphen_values = true, default_value = "")]
    pub haremq_args: String,
    /// How often each is measured, peers in turn (default: 3).
    #[arg(long, value_name = "N")]
    pub repeats: Option<usize>,
    /// Seconds that are measured each time, after one that is not (default: 5); 8 takes as long as it takes.
    #[arg(short = 'z', long, value_name = "SECONDS")]
    pub time: Option<f64>,
    /// Once for 3 seconds, 8 with a tenth of its messages.
    #[arg(long)]
    pub quick: bool,
    /// How often a run that others disturbed (more than 0.15 cores) is repeated.
    #[arg(long, value_name = "N", default_value_t = 2)]
    pub again: usize,
    /// Where the results go (default: results/DATE-MACHINE).
    #[arg(long, value_name = "FOLDER")]
    pub out: Option<PathBuf>,
    /// The machine in a word or two, for the folder's name (default: from its processor).
    #[arg(long, value_name = "NAME")]
    pub machine: Option<String>,
}

#[derive(Args, Clone, Debug)]
pub struct VerifyOptions {
    /// The broker; without it, haremq is started.
    #[arg(long, value_name = "amqp://USER:PASSWORD@HOST:PORT/VHOST")]
    pub uri: Option<String>,
    /// The binary of haremq (default: the one beside loadgen).
    #[arg(long, value_name = "PATH")]
    pub haremq: Option<PathBuf>,
    /// Arguments for the haremq that is started.
    #[arg(long, value_name = "ARGS", allow_hyphen_values = true)]
    pub broker_args: Option<String>,
}

/// Whom `compare` lets run.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum Entrant {
    Rabbitmq,
    Haremq,
    HaremqOs,
    Null,
}

#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum Flag {
    Persistent,
    Mandatory,
}

#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Format {
    /// A line per second, then the report.
    #[default]
    Live,
    /// The report as one JSON object.
    Json,
    /// Nothing but violations.
    Quiet,
}

impl RunOptions {
    pub fn has_flag(&self, flag: Flag) -> bool {
        self.flag.contains(&flag)
    }
}

/// The command line with PerfTest's options of two letters as the long ones that they stand for: nothing else could be meant
/// by these words.
pub fn perftest_words(words: impl Iterator<Item = String>) -> impl Iterator<Item = String> {
    let long = |word: String| match word.as_str() {
        "-qa" => "--queue-args".to_owned(),
        "-mp" => "--message-properties".to_owned(),
        "-na" => "--nack".to_owned(),
        "-re" => "--requeue".to_owned(),
        _ => word,
    };
    words.map(long)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn run_options(line: &str) -> RunOptions {
        let words = perftest_words(line.split_whitespace().map(str::to_owned));
        let Some(Command::Run(options)) = Cli::parse_from(words).command else { panic!("not a run") };
        *options
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn perftests_letters_mean_what_they_mean_there() {
        let line = "loadgen run -x 2 -y 3 -X 4 -Y 5 -s 100 -r 1000 -R 10 -c 100 -A 10 -q 50 -f persistent -f mandatory \
                    -u q -e x -t fanout -k key -p -z 30 -C 7 -D 8";
        let options = run_options(line);
        assert_eq!((options.producers, options.consumers), (Some(2), Some(3)));
        assert_eq!((options.producer_channels, options.consumer_channels), (Some(4), Some(5)));
        assert_eq!((options.confirm, options.multi_ack, options.qos), (Some(100), Some(10), Some(50)));
        assert!(
            options.has_flag(Flag::Persistent) && options.has_flag(Flag::Mandatory) && options.predeclared
        );
        assert_eq!((options.time, options.pmessages, options.cmessages), (Some(30.0), Some(7), Some(8)));
    }

    #[test]
    fn perftests_pairs_of_letters_mean_what_they_mean_there() {
        let options = run_options("loadgen run -qa x-max-priority=9 -mp priority=5 -na -re false");
        assert_eq!(options.queue_args.as_deref(), Some("x-max-priority=9"));
        assert_eq!(options.message_properties.as_deref(), Some("priority=5"));
        assert_eq!((options.nack, options.requeue), (true, Some(false)));
    }
}
