//! What differs on purpose, or because Debian's RabbitMQ is older than the one we follow; each with its reason and as
//! narrow as it can be said.

use crate::act::{Act, Step, Wild};
use crate::render::Place;
use crate::run::Difference;

pub struct Known {
    pub why: &'static str,
    is: fn(&Step, &[Difference]) -> bool,
    /// The brokers are in different states afterwards, so that the run cannot go on.
    pub ends: bool,
}

/// The reason for all differences of a step, if there is one.
pub fn explain(step: &Step, differences: &[Difference]) -> Option<&'static Known> {
    KNOWN.iter().find(|known| (known.is)(step, differences))
}

const KNOWN: &[Known] = &[
    Known {
        why: "an unknown exchange type costs the channel in 4.x, which we follow, and the connection in 3.10",
        is: |step, differences| {
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
        is: |step, differences| {
            let Act::Wild(Wild::UnknownMethod { class_id, method_id }) = step.act else { return false };
            let ids = format!("unknown method {class_id}/{method_id} ({class_id},{method_id})");
            let said = Said { step, differences };
            said.only(0, &format!("connection.close 503 COMMAND_INVALID - {ids}"), "the socket closed")
        },
        ends: false,
    },
    Known {
        why: "open: the exchange is looked for before the properties are checked",
        is: |step, differences| {
            let Act::Publish(publication) = &step.act else { return false };
            let [difference] = differences else { return false };
            let exchange = &publication.exchange;
            let no_exchange = [
                format!("channel.close 404 NOT_FOUND - no exchange '{exchange}' in vhost '/' (60,40)"),
                format!(
                    "channel.close 403 ACCESS_REFUSED - cannot publish to internal exchange '{exchange}' in vhost '/' (60,40)"
                ),
            ];
            let [[haremq], [rabbitmq]] = difference.lines.each_ref().map(|lines| &lines[..]) else {
                return false;
            };
            no_exchange.contains(rabbitmq) && haremq.starts_with("channel.close 406 PRECONDITION_FAILED - ")
        },
        ends: false,
    },
    Known {
        why: "open: line ends are taken out of names where things are declared, bound and deleted, and nowhere else",
        is: |step, differences| {
            let (Act::Get { queue, .. } | Act::Consume { queue, .. } | Act::Purge { queue, .. }) = &step.act
            else {
                return false;
            };
            let not_found = format!("channel.close 404 NOT_FOUND - no queue '{queue}' in vhost '/'");
            let place = Place::Replies(step.connection, step.channel);
            let said = differences.iter().find(|it| it.place == place);
            queue.contains(['\r', '\n']) && said.is_some_and(|it| it.lines[1][0].starts_with(&not_found))
        },
        ends: true,
    },
    Known {
        why: "open: the type of alternate-exchange counts where an exchange is made, not where it is there",
        is: |step, differences| {
            let Act::DeclareExchange { .. } = &step.act else { return false };
            let [difference] = differences else { return false };
            let [[haremq], [rabbitmq]] = difference.lines.each_ref().map(|lines| &lines[..]) else {
                return false;
            };
            haremq.starts_with("channel.close 406 PRECONDITION_FAILED - invalid type '")
                && haremq.contains("for arg 'alternate-exchange' in exchange")
                && rabbitmq.starts_with("channel.close 406 PRECONDITION_FAILED - inequivalent arg '")
        },
        ends: false,
    },
];

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
