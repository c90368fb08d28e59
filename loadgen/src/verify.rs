//! The command `verify`: short loads over the features of a broker, each with a verdict.

use std::io::Write;

use clap::Parser;

use crate::client::ClientError;
use crate::failure::Failure;
use crate::interrupt;
use crate::launch::{Broker, Recipe};
use crate::options::{Cli, Command, RunOptions, VerifyOptions};
use crate::page::thousands;
use crate::plan::{Run, Workload};
use crate::report::MessagesReport;
use crate::run::{self, Target};
use crate::sessions;
use crate::uri::Uri;

/// Runs all trials, says how each went, and whether all went well.
pub fn run(options: &VerifyOptions) -> Result<bool, Failure> {
    let (target, broker) = broker(options)?;
    let mut intact = true;
    for trial in TRIALS {
        if interrupt::requested() {
            return Err(Failure::internal("interrupted".to_owned()));
        }
        let verdict = verdict(trial, &target);
        intact &= verdict.is_ok();
        let (word, text) = match &verdict {
            Ok(text) => ("intact", text),
            Err(text) => ("FAILED", text),
        };
        // Whoever closed our standard output still gets the exit code.
        _ = writeln!(std::io::stdout(), "{word}  {:<46} {text}", trial.name);
    }
    if let Some(broker) = broker {
        broker.stop().map_err(Failure::internal)?;
    }
    Ok(intact)
}

struct Trial {
    name: &'static str,
    /// Of `loadgen run`.
    options: &'static str,
}

fn broker(options: &VerifyOptions) -> Result<(Target, Option<Broker>), Failure> {
    if let Some(uri) = &options.uri {
        let uri = Uri::parse(uri).map_err(|error| Failure::usage(error.to_string()))?;
        return Ok((Target { uri, pid: None }, None));
    }
    let (haremq, broker_args) = (options.haremq.clone(), options.broker_args.clone());
    let options = RunOptions { haremq, broker_args, ..RunOptions::default() };
    let recipe = Recipe::of(&options).map_err(Failure::unreachable)?;
    let broker = recipe.start().map_err(Failure::unreachable)?;
    Ok((Target { uri: broker.uri(), pid: None }, Some(broker)))
}

/// `Err` says what was wrong.
fn verdict(trial: &Trial, target: &Target) -> Result<String, String> {
    let run = resolve(trial)?;
    let failed = |error: ClientError| error.to_string();
    match &run.workload {
        Workload::Messages(load) => judge(&run::messages(&run, load, target, &mut |_| ()).map_err(failed)?),
        Workload::Churn { concurrency } => {
            let report = sessions::churn(&run, *concurrency, target).map_err(failed)?;
            Ok(format!("{} connections", thousands(report.sessions)))
        }
        Workload::Backlog(_) => Err("a backlog is two runs".to_owned()),
        Workload::Start => Err("a start is no trial of a broker that runs".to_owned()),
    }
}

fn judge(report: &MessagesReport) -> Result<String, String> {
    let (published, delivered) = (report.published, report.delivered);
    let copies =
        if report.setup.exchange_type.as_deref() == Some("fanout") { report.setup.queues } else { 1 };
    let counts = format!("{} published, {} delivered", thousands(published), thousands(delivered));
    match report.intact && published > 0 && delivered >= published * copies as u64 {
        true => Ok(counts),
        false => Err(format!("{counts}\n{}", report.violations_text())),
    }
}

fn resolve(trial: &Trial) -> Result<Run, String> {
    let always = ["loadgen", "run", "--id", "loadgen verify", "--drain-timeout", "10"];
    let words = always.into_iter().chain(trial.options.split_whitespace());
    match Cli::try_parse_from(words).map_err(|error| error.to_string())?.command {
        Some(Command::Run(options)) => Run::resolve(*options),
        _ => Err("not a run".to_owned()),
    }
}

/// Together under 20 s on two cores, against RabbitMQ as well. Names of queues and exchanges are their own, so that one
/// run never meets what another left.
const TRIALS: &[Trial] = &[
    Trial { name: "default exchange, automatic acks", options: "-u verify.default -a -C 50000" },
    Trial {
        name: "confirms, acks, prefetch",
        options: "-u verify.confirms -x 2 -C 10000 -c 100 -A 10 -q 100",
    },
    Trial { name: "four consumers of one queue", options: "-u verify.shared -x 3 -y 4 -C 5000 -A 1 -q 10" },
    Trial {
        name: "many channels on one connection",
        options: "-u verify.channels -X 20 -Y 20 -C 1000 -q 10",
    },
    Trial {
        name: "persistent messages in durable queues, mandatory",
        options: "-u verify.durable -s 1024 -f persistent -f mandatory -C 3000 -c 200 -A 20 -q 200",
    },
    Trial {
        name: "direct exchange, 1,000 bindings",
        options: "-e verify.direct -t direct -k key-%d --bindings 1000 -y 5 -a -C 20000 --queue-pattern verify.direct.%d \
                  --queue-pattern-to 5",
    },
    Trial {
        name: "fanout to 5 queues",
        options: "-e verify.fanout -t fanout -y 5 -A 10 -q 100 -C 5000 --queue-pattern verify.fanout.%d \
                  --queue-pattern-to 5",
    },
    Trial {
        name: "topic exchange, 1,000 bindings",
        options: "-e verify.topic -t topic -k a.%d.b --bindings 1000 -y 5 -a -C 10000 --queue-pattern verify.topic.%d \
                  --queue-pattern-to 5",
    },
    Trial {
        name: "topic exchange, no routing key twice",
        options: "-e verify.topic -t topic -k a.%d --bindings 100 --unique -y 5 -c 100 -C 5000 \
                  --queue-pattern verify.unique.%d --queue-pattern-to 5",
    },
    Trial {
        name: "headers exchange, 100 bindings",
        options: "-e verify.headers -t headers -k %d --bindings 100 -y 5 -a -C 5000 --queue-pattern verify.headers.%d \
                  --queue-pattern-to 5",
    },
    Trial {
        name: "headers exchange, no headers twice",
        options: "-e verify.headers -t headers -k %d --bindings 100 --unique -y 5 -c 100 -C 3000 \
                  --queue-pattern verify.others.%d --queue-pattern-to 5",
    },
    Trial {
        name: "priorities, some above the queue's highest",
        options: "-u verify.priorities --queue-args x-max-priority=10 --message-properties priority=0-12 -C 10000 -c 500 -A 10 -q 100",
    },
    Trial {
        name: "messages that expire, at the dead letters",
        options: "-u verify.expiring --dead-letter-queue verify.dead --message-properties expiration=20-200 -a -C 2000",
    },
    Trial {
        name: "nacked and not requeued",
        options: "-u verify.nacked --nack --requeue false -A 10 -q 100 -C 5000",
    },
    Trial { name: "bodies of 1 MiB", options: "-u verify.large -s 1048576 -C 100 -c 10 -A 1 -q 5" },
    Trial {
        name: "200 connections with a queue each",
        options: "-x 200 -y 200 --duplex -A 1 -q 10 -C 100 --queue-pattern verify.many.%d --queue-pattern-to 200",
    },
    Trial { name: "1,000 messages/s at planned times", options: "-u verify.paced -r 1000 -C 1000 -a" },
    Trial { name: "connections opened and closed", options: "--scenario 12 --warmup 0 -z 1" },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_trial_is_a_run_whose_messages_are_all_expected() {
        for trial in TRIALS {
            let run = resolve(trial).unwrap_or_else(|error| panic!("{}: {error}", trial.name));
            if let Workload::Messages(load) = run.workload {
                assert!(load.verified && crate::summary::expects_everything(&load), "{}", trial.name);
                assert!(load.messages_per_producer.is_some(), "{}", trial.name);
            }
        }
    }
}
