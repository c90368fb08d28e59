//! What differs on purpose, or because Debian's RabbitMQ is older than the one we follow; each with its reason and as
//! narrow as it can be said.

use crate::act::{Act, Step};
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

const KNOWN: &[Known] = &[Known {
    why: "an unknown exchange type costs the channel in 4.x, which we follow, and the connection in 3.10",
    is: |step, differences| {
        let Act::DeclareExchange { type_, .. } = &step.act else { return false };
        let haremq =
            format!("channel.close 406 PRECONDITION_FAILED - unknown exchange type '{type_}' (40,10)");
        let rabbitmq = ["unknown", "invalid"].map(|what| {
            format!("connection.close 503 COMMAND_INVALID - {what} exchange type '{type_}' (40,10)")
        });
        let said = |side: usize, channel: u16, text: &String| {
            let place = Place::Replies(step.connection, channel);
            let there = differences.iter().find(|it| it.place == place);
            there.is_some_and(|it| it.lines[side].contains(text) && it.lines[1 - side].is_empty())
        };
        said(0, step.channel, &haremq) && rabbitmq.iter().any(|text| said(1, 0, text))
    },
    ends: false,
}];
