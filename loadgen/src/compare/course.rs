//! The comparison that was asked for: scenarios, peers, repeats, and the command line of each run.

use std::env;
use std::path::PathBuf;
use std::thread;

use super::Scenario;
use super::scenarios::{self, Shows};
use crate::failure::Failure;
use crate::launch::Kind;
use crate::options::{CompareOptions, Entrant};

pub struct Course {
    pub scenarios: Vec<&'static Scenario>,
    pub peers: Vec<Peer>,
    pub repeats: usize,
    pub seconds: f64,
    /// Of a backlog.
    pub messages: u64,
    /// How often a disturbed run is repeated.
    pub again: usize,
    /// Whether 9f runs under SCHED_RR, and if not, why.
    pub realtime: Result<(), String>,
    /// What each peer was started with, for the record.
    pub configurations: String,
}

/// A broker, or the null peer.
#[derive(Clone, PartialEq, Debug)]
pub struct Peer {
    pub name: String,
    pub kind: Kind,
    pub broker_args: String,
    pub haremq: Option<PathBuf>,
    /// A variant that differs only in how it keeps messages.
    pub only_kept: bool,
}

impl Peer {
    /// Whether it confirms a persistent message when the disk has it, as HareMQ does unless it is told otherwise.
    pub fn is_synced(&self) -> bool {
        let words = self.broker_args.replace('=', " ");
        let mut words = words.split_whitespace().skip_while(|&word| word != DURABILITY).skip(1);
        let told = words.next().map(str::to_owned).or_else(|| env::var("HAREMQ_DURABILITY").ok());
        self.kind == Kind::Haremq && told.is_none_or(|class| class == "fsync")
    }
}

impl Course {
    pub fn resolve(options: &CompareOptions) -> Result<Course, Failure> {
        let (repeats, seconds) = if options.quick { (1, 3.0) } else { (3, 5.0) };
        let seconds = options.time.unwrap_or(seconds);
        if !(0.1..=3600.0).contains(&seconds) {
            return Err(Failure::usage("-z must be 0.1 to 3600 seconds".to_owned()));
        }
        Ok(Course {
            scenarios: scenarios::chosen(&options.scenarios).map_err(Failure::usage)?,
            peers: peers(options)?,
            repeats: options.repeats.unwrap_or(repeats).max(1),
            seconds,
            messages: if options.quick { 100_000 } else { 1_000_000 },
            again: options.again,
            realtime: Ok(()),
            configurations: String::new(),
        })
    }

    pub fn has(&self, kind: Kind) -> bool {
        self.peers.iter().any(|peer| peer.kind == kind)
    }

    pub fn peers_of(&self, scenario: &Scenario) -> impl Iterator<Item = &Peer> {
        let (null, kept) = (scenario.null, scenario.kept);
        self.peers.iter().filter(move |peer| (null || peer.kind != Kind::Null) && (kept || !peer.only_kept))
    }

    /// How many runs there are, those apart that will be repeated.
    pub fn bouts(&self) -> usize {
        let each = self.scenarios.iter().map(|scenario| self.peers_of(scenario).count());
        self.repeats * each.sum::<usize>()
    }

    /// What a figure is.
    pub fn measure(&self) -> String {
        match self.repeats {
            1 => format!("One run of {} s", self.seconds),
            repeats => format!("Medians of {repeats} runs of {} s", self.seconds),
        }
    }

    /// Of all runs together, in words.
    pub fn duration(&self) -> String {
        let each = self
            .scenarios
            .iter()
            .flat_map(|scenario| self.peers_of(scenario).map(|peer| self.seconds_of(scenario, peer.kind)));
        let seconds = self.repeats as f64 * each.sum::<f64>();
        format!("about {} min", (seconds / 60.0).ceil())
    }

    /// The options of `loadgen run`.
    pub fn arguments(&self, scenario: &Scenario, peer: &Peer) -> Vec<String> {
        let mut arguments: Vec<String> = vec!["--id".to_owned(), peer.name.clone(), "--broker".to_owned()];
        match peer.kind {
            Kind::Rabbitmq => arguments.push("rabbitmq".to_owned()),
            Kind::Null => arguments.push("null".to_owned()),
            Kind::Haremq => {
                arguments.extend(["haremq".to_owned(), format!("--broker-args={}", peer.broker_args)]);
                if let Some(binary) = &peer.haremq {
                    arguments.push(format!("--haremq={}", binary.display()));
                }
            }
        }
        arguments
            .extend(scenario.options(peer.kind, self.realtime.is_ok()).iter().map(|&word| word.to_owned()));
        let (option, value) = match scenario.shows {
            Shows::Backlog => ("-C", self.messages.to_string()),
            Shows::Rate | Shows::Latency | Shows::Connections | Shows::Start => {
                ("-z", self.seconds.to_string())
            }
        };
        arguments.extend([option.to_owned(), value]);
        arguments
    }

    fn seconds_of(&self, scenario: &Scenario, kind: Kind) -> f64 {
        let to_start_and_stop = if kind == Kind::Rabbitmq { RABBITMQ_SECONDS } else { OTHER_SECONDS };
        match scenario.shows {
            Shows::Backlog => {
                let seconds_each = if kind == Kind::Rabbitmq { RABBITMQ_KEEP_SECONDS } else { KEEP_SECONDS };
                to_start_and_stop + self.messages as f64 * seconds_each
            }
            Shows::Start => (STARTS_MIN * to_start_and_stop).max(self.seconds),
            Shows::Rate | Shows::Latency | Shows::Connections => {
                to_start_and_stop + scenario.seconds_to_bind() + 1.0 + self.seconds
            }
        }
    }
}

fn peers(options: &CompareOptions) -> Result<Vec<Peer>, Failure> {
    let plain = |name: &str, kind| Peer { kind, ..haremq(name.to_owned(), String::new(), None) };
    let mut peers = Vec::new();
    for entrant in [Entrant::Rabbitmq, Entrant::Haremq, Entrant::HaremqOs, Entrant::Null] {
        if !options.peers.contains(&entrant) {
            continue;
        }
        match entrant {
            Entrant::Rabbitmq => peers.push(plain("rabbitmq", Kind::Rabbitmq)),
            Entrant::Null => peers.push(plain("null", Kind::Null)),
            Entrant::Haremq => {
                let binary = super::haremq(options)?;
                peers.extend(shards(options).into_iter().map(|shards| {
                    let arguments = format!("--shards {shards} {}", options.haremq_args);
                    haremq(format!("haremq-{shards}"), arguments, Some(binary.clone()))
                }));
            }
            // Whoever says how all of them keep messages has no use for a variant.
            Entrant::HaremqOs if options.haremq_args.contains(DURABILITY) => {}
            Entrant::HaremqOs => {
                let binary = super::haremq(options)?;
                peers.extend(shards(options).into_iter().map(|shards| {
                    let arguments = format!("--shards {shards} {DURABILITY} os {}", options.haremq_args);
                    let name = format!("haremq-{shards}-os");
                    Peer { only_kept: true, ..haremq(name, arguments, Some(binary.clone())) }
                }));
            }
        }
    }
    Ok(peers)
}

fn haremq(name: String, arguments: String, binary: Option<PathBuf>) -> Peer {
    let broker_args = arguments.trim().to_owned();
    Peer { name, kind: Kind::Haremq, broker_args, haremq: binary, only_kept: false }
}

fn shards(options: &CompareOptions) -> Vec<usize> {
    if !options.shards.is_empty() {
        return options.shards.clone();
    }
    let cores = thread::available_parallelism().map_or(1, usize::from);
    if cores > 1 { vec![1, cores] } else { vec![1] }
}

/// Seconds that a broker takes to start and to stop.
const RABBITMQ_SECONDS: f64 = 9.0;
const OTHER_SECONDS: f64 = 0.7;
/// That a message takes into a queue and out of it.
const RABBITMQ_KEEP_SECONDS: f64 = 60e-6;
const KEEP_SECONDS: f64 = 5e-6;
const DURABILITY: &str = "--durability";
/// Of the scenario that only starts (sessions.rs).
const STARTS_MIN: f64 = 3.0;

#[cfg(test)]
pub mod tests {
    use super::*;

    pub fn options(line: &str) -> CompareOptions {
        use clap::Parser;
        let always = ["loadgen", "compare", "--haremq", "/bin/haremq"];
        let words = always.into_iter().chain(line.split_whitespace());
        match crate::options::Cli::parse_from(words).command {
            Some(crate::options::Command::Compare(options)) => *options,
            _ => panic!("not a comparison"),
        }
    }

    pub fn course(line: &str) -> Course {
        Course::resolve(&options(line)).unwrap()
    }

    #[test]
    fn the_null_peer_takes_part_where_it_can() {
        let course = course("--quick --scenarios 1,3,5 --shards 1,2");
        let names = |at: usize| -> Vec<&str> {
            course.peers_of(course.scenarios[at]).map(|peer| peer.name.as_str()).collect()
        };
        assert_eq!(names(0), ["rabbitmq", "haremq-1", "haremq-2", "null"]);
        assert_eq!(names(1), ["rabbitmq", "haremq-1", "haremq-2"]);
        assert_eq!(names(2), ["rabbitmq", "haremq-1", "haremq-2", "haremq-1-os", "haremq-2-os"]);
        assert_eq!((course.bouts(), course.repeats, course.seconds), (12, 1, 3.0));
    }

    #[test]
    fn only_haremq_as_it_comes_promises_to_sync() {
        let synced = |line: &str| -> Vec<String> {
            let course = course(&format!("--scenarios 3 --shards 1 {line}"));
            course.peers.iter().filter(|peer| peer.is_synced()).map(|peer| peer.name.clone()).collect()
        };
        assert_eq!(synced(""), ["haremq-1"]);
        assert_eq!(synced("--haremq-args=--durability=fsync"), ["haremq-1"]);
        assert_eq!(synced("--haremq-args=--durability=none"), [""; 0]);
        assert_eq!(course("--scenarios 3 --shards 1 --haremq-args=--durability=os").peers.len(), 3);
    }

    #[test]
    fn a_run_is_a_command_line_that_run_understands() {
        use clap::Parser;
        let mut course = course("--shards 2 --haremq-args=--pin=off --repeats 2 -z 0.5");
        for realtime in [Ok(()), Err("not permitted".to_owned())] {
            course.realtime = realtime;
            for scenario in &course.scenarios {
                for peer in course.peers_of(scenario) {
                    let words = ["loadgen".to_owned(), "run".to_owned()].into_iter();
                    let words = words.chain(course.arguments(scenario, peer));
                    let cli = crate::options::Cli::try_parse_from(words).unwrap();
                    let Some(crate::options::Command::Run(options)) = cli.command else { panic!() };
                    let backlog = scenario.shows == Shows::Backlog;
                    assert_eq!((options.broker, options.time), (peer.kind, (!backlog).then_some(0.5)));
                    assert_eq!(options.pmessages, backlog.then_some(1_000_000));
                    let told = match (peer.kind, peer.only_kept) {
                        (Kind::Haremq, false) => Some("--shards 2 --pin=off"),
                        (Kind::Haremq, true) => Some("--shards 2 --durability os --pin=off"),
                        (Kind::Rabbitmq | Kind::Null, _) => None,
                    };
                    assert_eq!(options.broker_args.as_deref(), told);
                    let run = crate::plan::Run::resolve(*options).unwrap();
                    assert!(!run.realtime || course.realtime.is_ok());
                    assert_eq!(run.keeps(), scenario.kept);
                }
            }
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for line in ["--scenarios 99", "-z 0"] {
            assert!(Course::resolve(&options(line)).is_err(), "{line}");
        }
    }
}
