//! Which scenarios are compared, and what of them is shown.

use crate::launch::Kind;

/// A row of the comparison.
#[derive(Debug, PartialEq)]
pub struct Scenario {
    /// In file names and tables.
    pub name: &'static str,
    pub words: &'static str,
    pub shows: Shows,
    /// Whether the null peer can take part: one producer with one routing key.
    pub null: bool,
    /// Whether messages are persistent, and confirmed.
    pub kept: bool,
}

/// What it is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Shows {
    Rate,
    Latency,
    /// Two rates: into a queue, and out of it.
    Backlog,
    Connections,
    Start,
}

impl Scenario {
    /// The options of `loadgen run`. Without SCHED_RR, the same paced load under the usual scheduler.
    pub fn options(&self, peer: Kind, realtime: bool) -> Vec<&'static str> {
        match (self.name, realtime) {
            ("9f", false) => vec!["--scenario", "9"],
            ("9f1k", false) => vec!["--scenario", "9", "-r", "1000"],
            ("9fc", false) => vec!["--scenario", "9p"],
            // RabbitMQ looks at all 10,000 bindings, which takes it some 10 ms a message: the scenario's 20,000 in
            // flight would take it minutes to deliver, and keep it no busier than these do.
            ("6u", _) if peer == Kind::Rabbitmq => vec!["--scenario", "6u", "--in-flight", "300"],
            (name, _) => vec!["--scenario", name],
        }
    }

    /// Seconds to declare and bind before the load, on a slow broker.
    pub fn seconds_to_bind(&self) -> f64 {
        if matches!(self.name, "5" | "5u" | "6u" | "7") { 3.0 } else { 0.0 }
    }
}

/// Those that were asked for, in the order of the table; all if none was. `9f` is both of its rates.
pub fn chosen(names: &[String]) -> Result<Vec<&'static Scenario>, String> {
    let asks =
        |name: &str, scenario: &Scenario| name == scenario.name || (name == "9f" && scenario.name == "9f1k");
    if let Some(name) = names.iter().find(|name| !SCENARIOS.iter().any(|scenario| asks(name, scenario))) {
        return Err(format!("no scenario that is compared is called {name}"));
    }
    let all = SCENARIOS.iter();
    Ok(all.filter(|scenario| names.is_empty() || names.iter().any(|name| asks(name, scenario))).collect())
}

const fn rate(name: &'static str, words: &'static str) -> Scenario {
    Scenario { name, words, shows: Shows::Rate, null: false, kept: false }
}

const fn beside_null(scenario: Scenario) -> Scenario {
    Scenario { null: true, ..scenario }
}

const fn latency(name: &'static str, words: &'static str) -> Scenario {
    Scenario { shows: Shows::Latency, ..rate(name, words) }
}

const fn kept(scenario: Scenario) -> Scenario {
    Scenario { kept: true, ..scenario }
}

const SCENARIOS: &[Scenario] = &[
    beside_null(rate("1", "16 B, one producer, one consumer")),
    beside_null(rate("2", "1 KB")),
    beside_null(rate("4", "fanout to 10 queues, deliveries")),
    rate("5", "topic exchange, 10,000 bindings, 10,000 routing keys in turn"),
    rate("5u", "topic exchange, 10,000 bindings, no routing key twice"),
    rate("6", "headers exchange, 100 bindings"),
    rate("6u", "headers exchange, 10,000 bindings, no headers twice (RabbitMQ: at most 300 in flight)"),
    rate("7", "direct exchange, 10,000 bindings"),
    rate("10", "500 connections with a queue each"),
    beside_null(rate("11", "16 KB")),
    rate("14", "8 producers, 8 consumers, 8 queues"),
    kept(rate("3", "1 KB, persistent, confirm window 1000, ack of 100")),
    kept(rate("3w1", "1 KB, persistent, confirm window 1, ack each")),
    kept(Scenario {
        shows: Shows::Backlog,
        ..rate("8", "1,000,000 x 1 KB, persistent, confirm window 1000, ack of 100")
    }),
    latency("9f", "20,000/s at planned times"),
    latency("9f1k", "1,000/s at planned times"),
    kept(latency("9fc", "20,000/s at planned times, 1 KB, persistent, confirm window 1000, ack of 100")),
    latency("10r", "500 connections at 40/s each"),
    Scenario { shows: Shows::Connections, ..rate("12", "connect, open a channel, close") },
    Scenario { shows: Shows::Start, ..rate("13", "start to the first open connection") },
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::RunOptions;
    use crate::plan::{Run, Workload};

    fn names(asked: &[&str]) -> Vec<&'static str> {
        let asked: Vec<String> = asked.iter().map(|name| (*name).to_owned()).collect();
        chosen(&asked).unwrap().iter().map(|scenario| scenario.name).collect()
    }

    #[test]
    fn some_can_be_chosen_and_9f_is_both_rates() {
        assert_eq!(names(&["9f", "2"]), ["2", "9f", "9f1k"]);
        assert_eq!(names(&["9f1k", "5"]), ["5", "9f1k"]);
        assert_eq!(names(&["9fc", "3"]), ["3", "9fc"]);
        assert_eq!(names(&[]).len(), SCENARIOS.len());
        assert!(chosen(&["3x".to_owned()]).is_err());
    }

    #[test]
    fn each_is_a_scenario_of_run_and_the_null_peer_knows_the_length_of_its_messages() {
        for scenario in SCENARIOS {
            let options = RunOptions { scenario: Some(scenario.name.to_owned()), ..RunOptions::default() };
            let run = Run::resolve(options).unwrap();
            assert_eq!(run.realtime, scenario.name.starts_with("9f"));
            assert_eq!(run.keeps(), scenario.kept, "{}", scenario.name);
            if let (true, Workload::Messages(load)) = (scenario.null, &run.workload) {
                assert_eq!((load.producers.len(), load.producers[0].keys.len()), (1, 1), "{}", scenario.name);
            }
        }
    }
}
