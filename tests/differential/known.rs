//! What differs on purpose, or because Debian's RabbitMQ is older than the one we follow; each with its reason and as
//! narrow as it can be said.

use crate::act::{Act, Arg, Step, Wild};
use crate::ledger::{Channel, Ledger};
use crate::render::Place;
use crate::run::Difference;
use crate::speak::Ready;

pub struct Known {
    pub why: &'static str,
    is: fn(&Scene) -> bool,
    /// The brokers are in different states afterwards, so that the run cannot go on.
    pub ends: bool,
}

/// A step that has made differences.
pub struct Scene<'a> {
    pub ready: &'a Ready,
    pub differences: &'a [Difference],
    /// RabbitMQ's, after it.
    pub ledger: &'a Ledger,
    /// Its connection is gone on both sides.
    pub has_ended: bool,
}

impl Scene<'_> {
    /// The channel of the step, if it is still there.
    fn channel(&self) -> Option<&Channel> {
        self.ledger.channel(&self.ready.step)
    }
}

/// The reason for all differences of a step, if there is one.
pub fn explain(scene: &Scene) -> Option<&'static Known> {
    KNOWN.iter().find(|known| (known.is)(scene))
}

const KNOWN: &[Known] = &[
    Known {
        why: "an unknown exchange type costs the channel in 4.x, which we follow, and the connection in 3.10",
        is: |Scene { ready: Ready { step, .. }, differences, .. }| {
            let Act::DeclareExchange { type_, .. } = &step.act else { return false };
            let haremq =
                format!("channel.close 406 PRECONDITION_FAILED - unknown exchange type '{type_}' (40,10)");
            let rabbitmq = |what| {
                format!("connection.close 503 COMMAND_INVALID - {what} exchange type '{type_}' (40,10)")
            };
            let said = Said { step, differences };
            said.by_haremq(step.channel, &haremq)
                && (said.by_rabbitmq(0, &rabbitmq("unknown")) || said.by_rabbitmq(0, &rabbitmq("invalid")))
        },
        ends: false,
    },
    Known {
        why: "RabbitMQ's reader crashes at a method that it does not know, where its answer would be 503",
        is: |Scene { ready: Ready { step, .. }, differences, .. }| {
            let Act::Wild(Wild::UnknownMethod { class_id, method_id }) = step.act else { return false };
            let ids = format!("unknown method {class_id}/{method_id} ({class_id},{method_id})");
            let said = Said { step, differences };
            said.only(0, &format!("connection.close 503 COMMAND_INVALID - {ids}"), "the socket closed")
        },
        ends: false,
    },
    Known {
        why: "3.10 crashes at an x-queue-type that it does not know, and then takes its time to forget the connection",
        is: |Scene { ready: Ready { step, .. }, differences, .. }| {
            let Act::DeclareQueue { arguments, .. } = &step.act else { return false };
            let said = Said { step, differences };
            let is_known =
                |value: &Arg| matches!(value, Arg::Text(text) if KINDS_OF_QUEUES.contains(&&text[..]));
            arguments.find("x-queue-type").is_some_and(|value| !is_known(value))
                && said.by_rabbitmq(0, "connection.close 541 INTERNAL_ERROR (0,0)")
        },
        ends: true,
    },
    Known {
        why: "what several channels give back at the end of their connection comes in any order to a consumer that takes it \
              meanwhile",
        is: |Scene { ready: Ready { step, .. }, differences, .. }| {
            let ends = matches!(step.act, Act::CloseConnection | Act::Wild(_));
            let is_again = |line: &String| line.ends_with(" again");
            ends && differences.iter().all(|difference| {
                matches!(difference.place, Place::Deliveries(..))
                    && difference.only_reordered()
                    && difference.lines[0].iter().all(is_again)
            })
        },
        ends: true,
    },
    Known {
        why: "RabbitMQ ends the channels of a connection one after the other: what one gives back goes to the consumers of \
              those that are left, and is gone if they need not ack",
        is: |scene| scene.has_ended && scene.ready.passes_on,
        ends: true,
    },
    Known {
        why: "a limit in bytes holds for each message that comes back, and in RabbitMQ for all that come back together",
        is: |scene| {
            let is_limited = |difference: &Difference| match &difference.place {
                Place::Queue(queue) | Place::Rest(queue) => scene.ledger.limited.contains(queue),
                place => matches!(place, Place::Deliveries(..)),
            };
            let gives_back = !matches!(scene.ready.step.act, Act::Publish(_)) || scene.channel().is_none();
            gives_back && scene.differences.iter().all(is_limited)
        },
        ends: true,
    },
    Known {
        why: "3.10 closes a channel and goes on to send what its consumers get meanwhile",
        is: |scene| {
            let Step { connection, channel, .. } = scene.ready.step;
            let is_behind = |difference: &Difference| {
                matches!(&difference.place, Place::Deliveries(of, number, _) if (*of, *number) == (connection, channel))
                    && difference.lines[0].is_empty()
            };
            scene.channel().is_none() && scene.differences.iter().all(is_behind)
        },
        ends: true,
    },
    Known {
        why: "a dead letter that goes back to the queue it died in comes there before or after the next message went to a \
              consumer whose channel has a limit",
        is: |scene| {
            let is_state =
                |difference: &Difference| matches!(difference.place, Place::Queue(_) | Place::Deliveries(..));
            matches!(scene.ready.step.act, Act::Settle { .. })
                && scene.channel().is_some_and(|channel| channel.global_prefetch > 0)
                && scene.differences.iter().all(is_state)
        },
        ends: true,
    },
    Known {
        why: "dead letters of several queues come in any order to the queue that they all go to",
        is: |Scene { differences, .. }| {
            let is_letter = |line: &&String| line.contains("x-death: [{");
            differences.iter().all(|difference| {
                let [one, other] = &difference.lines;
                let moved =
                    one.iter().zip(other).filter(|(one, other)| without_count(one) != without_count(other));
                difference.only_reordered() && moved.map(|(one, _)| one).all(|line| is_letter(&line))
            })
        },
        ends: true,
    },
    Known {
        why: "a transaction finds its queues at the publish, as in 4.x; in 3.x it finds their names, and who has them at \
              the commit",
        is: |Scene { ready, .. }| matches!(ready.step.act, Act::Commit { .. }) && ready.is_overtaken,
        ends: true,
    },
];

const KINDS_OF_QUEUES: [&str; 3] = ["classic", "quorum", "stream"];

impl Difference {
    /// Both have the same lines, but for how many were left behind each.
    fn only_reordered(&self) -> bool {
        let [haremq, rabbitmq] = self.lines.each_ref().map(|lines| {
            let mut lines: Vec<String> = lines.iter().map(|line| as_of_3_10(without_count(line))).collect();
            lines.sort();
            lines
        });
        !haremq.is_empty() && haremq == rabbitmq
    }
}

/// The answer to a get without how many were left.
fn without_count(line: &str) -> &str {
    match line.rsplit_once(", ") {
        Some((before, count)) if count.ends_with(" left") => before,
        _ => line,
    }
}

/// A line, whoever wrote it, as RabbitMQ 3.10 would have, with the fields of its deaths sorted.
fn as_of_3_10(line: &str) -> String {
    let as_rabbitmq = |line: String| TEXTS.iter().find_map(|text| (text.as_rabbitmq)(&line));
    let mut line = line.to_owned();
    while let Some(changed) = as_rabbitmq(line.clone()) {
        line = changed;
    }
    sorted_deaths(&line)
}

/// What HareMQ writes otherwise, as RabbitMQ 3.10 would.
struct Text {
    why: &'static str,
    /// A line of HareMQ's; None if there is nothing of the kind in it.
    as_rabbitmq: fn(&str) -> Option<String>,
}

const TEXTS: &[Text] = &[Text {
    why: "x-last-death headers are those of 4.x",
    as_rabbitmq: |line| {
        let (before, rest) = line.split_once(", x-last-death-exchange: \"")?;
        let (_, rest) = rest.split_once("\", x-last-death-queue: \"")?;
        let (queue, rest) = rest.split_once("\", x-last-death-reason: \"")?;
        let (reason, after) = rest.split_once('"')?;
        // The last death is the first of the list.
        let (_, deaths) = before.split_once("x-death: [{")?;
        let (death, _) = deaths.split_once('}')?;
        let of = [("reason", reason), ("queue", queue)];
        let is_last = of.iter().all(|(name, value)| death.contains(&format!("{name}: \"{value}\"")));
        is_last.then(|| format!("{before}{after}"))
    },
}];

/// The reasons why a line of HareMQ's differs from RabbitMQ's, if that is all the difference.
pub fn explain_line(haremq: &str, rabbitmq: &str) -> Option<Vec<&'static str>> {
    let mut line = haremq.to_owned();
    let mut reasons = Vec::new();
    for text in TEXTS {
        while let Some(changed) = (text.as_rabbitmq)(&line) {
            line = changed;
            reasons.push(text.why);
        }
    }
    if line != rabbitmq {
        reasons.push(
            "the fields of a death have another order in 3.10, which sorts them once it has counted further",
        );
        (sorted_deaths(&line) == sorted_deaths(rabbitmq)).then_some(reasons)
    } else {
        Some(reasons)
    }
}

/// The line with the fields of each death sorted.
fn sorted_deaths(line: &str) -> String {
    let Some((before, rest)) = line.split_once("x-death: [{") else { return line.to_owned() };
    let Some((deaths, after)) = rest.split_once("}]") else { return line.to_owned() };
    let sorted = deaths.split("}, {").map(|death| {
        // Routing keys are the only list.
        let (keys, others) = match death.split_once("routing-keys: [") {
            Some((start, rest)) => {
                let (keys, end) = rest.split_once(']').unwrap_or((rest, ""));
                (keys, format!("{start}{end}"))
            }
            None => ("", death.to_owned()),
        };
        let mut fields: Vec<&str> = others.split(", ").filter(|field| !field.is_empty()).collect();
        fields.sort();
        format!("{}, routing-keys: [{keys}]", fields.join(", "))
    });
    format!("{before}x-death: [{{{}}}]{after}", sorted.collect::<Vec<_>>().join("}, {"))
}

/// What was said on the connection of a step.
struct Said<'a> {
    step: &'a Step,
    differences: &'a [Difference],
}

impl Said<'_> {
    fn by(&self, side: usize, channel: u16, text: &str) -> bool {
        let place = Place::Replies(self.step.connection, channel);
        let there = self.differences.iter().find(|it| it.place == place);
        there.is_some_and(|it| it.lines[side].iter().any(|line| line == text))
    }

    fn by_haremq(&self, channel: u16, text: &str) -> bool {
        self.by(0, channel, text)
    }

    fn by_rabbitmq(&self, channel: u16, text: &str) -> bool {
        self.by(1, channel, text)
    }

    /// Each has said one thing, and there is no other difference.
    fn only(&self, channel: u16, haremq: &str, rabbitmq: &str) -> bool {
        let [only] = self.differences else { return false };
        only.place == Place::Replies(self.step.connection, channel)
            && only.lines.each_ref().map(|lines| lines.join("\n")) == [haremq, rabbitmq]
    }
}
