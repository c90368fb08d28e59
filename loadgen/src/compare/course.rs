//! The comparison that was asked for: scenarios, peers, repeats, and the command line of each run.

use std::path::PathBuf;
use std::thread;

use super::Scenario;
use super::scenarios::{self, Shows};
use crate::failure::Failure;
use crate::launch::Kind;
use crate::options::CompareOptions;

pub struct Course {
    pub scenarios: Vec<&'static Scenario>,
    pub peers: Vec<Peer>,
    pub repeats: usize,
    pub seconds: f64,
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
            again: options.again,
            realtime: Ok(()),
            configurations: String::new(),
        })
    }

    pub fn has(&self, kind: Kind) -> bool {
        self.peers.iter().any(|peer| peer.kind == kind)
    }

    pub fn peers_of(&self, scenario: &Scenario) -> impl Iterator<Item = &Peer> {
        let null = scenario.null;
        self.peers.iter().filter(move |peer| null || peer.kind != Kind::Null)
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
        arguments.extend(["-z".to_owned(), self.seconds.to_string()]);
        arguments
    }

    fn seconds_of(&self, scenario: &Scenario, kind: Kind) -> f64 {
        let to_start_and_stop = if kind == Kind::Rabbitmq { RABBITMQ_SECONDS } else { OTHER_SECONDS };
        match scenario.shows {
            Shows::Start => (STARTS_MIN * to_start_and_stop).max(self.seconds),
            Shows::Rate | Shows::Latency | Shows::Connections => {
                to_start_and_stop + scenario.seconds_to_bind() + 1.0 + self.seconds
            }
        }
    }
}

fn peers(options: &CompareOptions) -> Result<Vec<Peer>, Failure> {
    let plain =
        |name: &str, kind| Peer { name: name.to_owned(), kind, broker_args: String::new(), haremq: None };
    let mut peers = Vec::new();
    for kind in [Kind::Rabbitmq, Kind::Haremq, Kind::Null] {
        if !options.peers.contains(&kind) {
            continue;
        }
        match kind {
            Kind::Rabbitmq => peers.push(plain("rabbitmq", kind)),
            Kind::Null => peers.push(plain("null", kind)),
            Kind::Haremq => {
                let binary = super::haremq(options)?;
                peers.extend(shards(options).into_iter().map(|shards| Peer {
                    name: format!("haremq-{shards}"),
                    kind,
                    broker_args: format!("--shards {shards} {}", options.haremq_args).trim().to_owned(),
                    haremq: Some(binary.clone()),
                }));
            }
        }
    }
    Ok(peers)
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
        let course = course("--quick --scenarios 1,5 --shards 1,2");
        let names = |at: usize| -> Vec<&str> {
            course.peers_of(course.scenarios[at]).map(|peer| peer.name.as_str()).collect()
        };
        assert_eq!(names(0), ["rabbitmq", "haremq-1", "haremq-2", "null"]);
        assert_eq!(names(1), ["rabbitmq", "haremq-1", "haremq-2"]);
        assert_eq!((course.bouts(), course.repeats, course.seconds), (7, 1, 3.0));
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
                    assert_eq!((options.broker, options.time), (peer.kind, Some(0.5)));
                    let haremq = peer.kind == Kind::Haremq;
                    assert_eq!(options.broker_args.as_deref(), haremq.then_some("--shards 2 --pin=off"));
                    let run = crate::plan::Run::resolve(*options).unwrap();
                    assert!(!run.realtime || course.realtime.is_ok());
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
