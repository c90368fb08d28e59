//! What a seed does: which kinds of things it does often, and one step after the other.

use crate::act::{Act, Arg, Arguments, Flags, How, Pick, Publication, Step, Wild};
use crate::dice::Dice;
use crate::draw_arguments as draw;

/// Each seed has its own habits.
pub struct Plan {
    dice: Dice,
    weights: Vec<u32>,
    /// The usual form of each name: redeclared in another, it costs a channel.
    queues: Vec<Form>,
    exchanges: Vec<Form>,
    /// Whether queues have arguments.
    pub has_arguments: bool,
    channels: u16,
    published: usize,
    consumers: usize,
}

#[derive(Clone)]
struct Form {
    name: String,
    /// Of exchanges.
    type_: &'static str,
    flags: Flags,
    arguments: Arguments,
}

type Draw = fn(&mut Plan) -> Act;

const ACTS: [(u32, Draw); 27] = [
    (10, |_| Act::CloseChannel),
    (2, |_| Act::CloseConnection),
    (30, Plan::declare_exchange),
    (6, Plan::delete_exchange),
    (20, Plan::bind_exchange),
    (5, Plan::unbind_exchange),
    (70, Plan::declare_queue),
    (70, Plan::bind_queue),
    (14, Plan::unbind_queue),
    (10, Plan::purge),
    (14, Plan::delete_queue),
    (320, Plan::publish),
    (90, Plan::get),
    (70, Plan::consume),
    (24, Plan::cancel),
    (160, Plan::settle),
    (4, Plan::settle_stray),
    (22, Plan::qos),
    (14, Plan::recover),
    (16, Plan::confirm),
    (8, |_| Act::Select),
    (40, |plan| Act::Commit { stray: plan.dice.chance(3) }),
    (16, |plan| Act::Rollback { stray: plan.dice.chance(3) }),
    (3, |plan| Act::Flow { flags: plan.flags(&[("active", 90)]) }),
    (1, |_| Act::Access),
    (4, Plan::wild),
    (20, Plan::look),
];

pub const QUEUES: [&str; 6] = ["q0", "q1", "q2", "q3", "dead-0", "dead-1"];
pub const EXCHANGES: [&str; 5] = ["x0", "x1", "x2", "x3", "x4"];
const PREDECLARED: [&str; 5] = ["amq.direct", "amq.fanout", "amq.topic", "amq.headers", "amq.match"];
/// RabbitMQ takes line ends out of names.
const ODD_NAMES: [&str; 5] = ["amq.mine", "missing", "q\r\n9", "ä", "a.very.long.name"];
const KEYS: [&str; 8] = ["", "a", "b", "a.b", "a.b.c", "b.a", "a..b", "q0"];
const PATTERNS: [&str; 8] = ["#", "*", "a.#", "*.b", "#.b.#", "a.*", "*.*", "a.#.c"];

impl Plan {
    /// `has_arguments`: None lets the seed decide.
    pub fn new(seed: u64, has_arguments: Option<bool>) -> Plan {
        let mut dice = Dice::new(seed);
        let drawn = dice.chance(60);
        let has_arguments = has_arguments.unwrap_or(drawn);
        let mood = |dice: &mut Dice| [0, 1, 2, 2, 3, 4][dice.roll(6)];
        let needed = [6, 11];
        let weights = ACTS.iter().enumerate().map(|(at, (weight, _))| {
            let drawn = weight * mood(&mut dice);
            if needed.contains(&at) { drawn.max(*weight) } else { drawn }
        });
        let weights = weights.collect();
        let channels = dice.between(1, 3) as u16;
        let mut plan = Plan {
            dice,
            weights,
            queues: Vec::new(),
            exchanges: Vec::new(),
            has_arguments,
            channels,
            published: 0,
            consumers: 0,
        };
        plan.queues = QUEUES.iter().map(|name| plan.queue_form(name)).collect();
        plan.exchanges = EXCHANGES.iter().map(|name| plan.exchange_form(name)).collect();
        plan
    }

    /// The steps of the seed; at first things are made that the others need.
    pub fn steps(mut self, count: usize) -> Vec<Step> {
        let mut steps = Vec::new();
        for at in 0..count {
            let connection = self.dice.roll(2);
            let channel = self.dice.between(1, usize::from(self.channels)) as u16;
            let act = match at {
                0..6 => self.declare_queue(),
                6..10 => self.declare_exchange(),
                10..16 => self.bind_queue(),
                _ => {
                    let drawn = self.dice.weighted(&self.weights);
                    ACTS[drawn].1(&mut self)
                }
            };
            steps.push(Step { connection, channel, act });
        }
        steps
    }

    /// Each with its chance in percent.
    fn flags(&mut self, flags: &[(&'static str, usize)]) -> Flags {
        let dice = &mut self.dice;
        Flags(flags.iter().filter(|(_, percent)| dice.chance(*percent)).map(|(name, _)| *name).collect())
    }

    fn queue_form(&mut self, name: &str) -> Form {
        let flags = self.flags(&[("durable", 40), ("exclusive", 15), ("auto-delete", 20)]);
        let arguments =
            if self.has_arguments { draw::of_queue(&mut self.dice, name) } else { Arguments::default() };
        Form { name: name.to_owned(), type_: "", flags, arguments }
    }

    fn exchange_form(&mut self, name: &str) -> Form {
        let type_ = ["direct", "fanout", "topic", "headers"][self.dice.roll(4)];
        let flags = self.flags(&[("durable", 40), ("auto-delete", 20), ("internal", 15)]);
        let alternate = self.dice.chance(30).then(|| {
            let to = ["x0", "x1", "x2", "amq.fanout", "missing"][self.dice.roll(5)];
            Arguments::one("alternate-exchange", Arg::Text(to.to_owned()))
        });
        Form { name: name.to_owned(), type_, flags, arguments: alternate.unwrap_or_default() }
    }

    fn of<'a>(&mut self, names: &[&'a str]) -> &'a str {
        names[self.dice.roll(names.len())]
    }

    /// A queue: mostly one that is there.
    fn queue(&mut self) -> String {
        match self.dice.roll(100) {
            0..84 => format!("?{}", self.dice.roll(12)),
            84..90 => format!("${}", self.dice.roll(6)),
            90..96 => self.of(&QUEUES).to_owned(),
            96..98 => String::new(),
            _ => self.of(&ODD_NAMES).to_owned(),
        }
    }

    fn exchange(&mut self) -> String {
        match self.dice.roll(100) {
            0..60 => format!("!{}", self.dice.roll(12)),
            60..92 => self.of(&PREDECLARED).to_owned(),
            92..96 => self.of(&EXCHANGES).to_owned(),
            96..98 => String::new(),
            _ => self.of(&ODD_NAMES).to_owned(),
        }
    }

    fn key(&mut self) -> String {
        if self.dice.chance(30) { self.of(&PATTERNS).to_owned() } else { self.of(&KEYS).to_owned() }
    }

    fn declare_exchange(&mut self) -> Act {
        let mut form = self.exchanges[self.dice.roll(EXCHANGES.len())].clone();
        match self.dice.roll(100) {
            0..80 => {}
            80..86 => form = self.exchange_form(&form.name),
            86..92 => form.flags.0.push("passive"),
            92..95 => form.name = self.of(&PREDECLARED).to_owned(),
            95..97 => form.name = self.of(&["", "amq.mine", "missing", "x\n9"]).to_owned(),
            _ => form.type_ = self.of(&["", "riddle", "x-random", "Direct", "direct "]),
        }
        if self.dice.chance(5) {
            form.flags.0.push("nowait");
        }
        if self.dice.chance(4) {
            form.arguments = draw::of_exchange(&mut self.dice);
        }
        let Form { name: exchange, type_, flags, arguments } = form;
        Act::DeclareExchange { exchange, type_: type_.to_owned(), flags, arguments }
    }

    fn delete_exchange(&mut self) -> Act {
        let flags = self.flags(&[("if-unused", 40), ("nowait", 10)]);
        Act::DeleteExchange { exchange: self.exchange(), flags }
    }

    fn bind_exchange(&mut self) -> Act {
        let (destination, source, key) = (self.exchange(), self.exchange(), self.key());
        let (flags, arguments) = (self.flags(&[("nowait", 5)]), draw::of_binding(&mut self.dice));
        Act::BindExchange { destination, source, key, flags, arguments }
    }

    fn unbind_exchange(&mut self) -> Act {
        let (destination, source, key) = (self.exchange(), self.exchange(), self.key());
        let (flags, arguments) = (self.flags(&[("nowait", 5)]), draw::of_binding(&mut self.dice));
        Act::UnbindExchange { destination, source, key, flags, arguments }
    }

    fn declare_queue(&mut self) -> Act {
        let mut form = self.queues[self.dice.roll(QUEUES.len())].clone();
        match self.dice.roll(100) {
            0..78 => {}
            78..84 => form = self.queue_form(&form.name),
            84..94 => {
                form = self.queue_form("");
                form.flags.0.retain(|flag| *flag != "durable");
            }
            94..97 => form.flags.0.push("passive"),
            _ => form.name = self.of(&ODD_NAMES).to_owned(),
        }
        if self.dice.chance(4) && !form.name.is_empty() {
            form.flags.0.push("nowait");
        }
        if self.has_arguments && self.dice.chance(6) {
            form.arguments = draw::any_of_queue(&mut self.dice);
        }
        Act::DeclareQueue { queue: form.name, flags: form.flags, arguments: form.arguments }
    }

    fn bind_queue(&mut self) -> Act {
        let (queue, exchange, key) = (self.queue(), self.exchange(), self.key());
        let (flags, arguments) = (self.flags(&[("nowait", 5)]), draw::of_binding(&mut self.dice));
        Act::BindQueue { queue, exchange, key, flags, arguments }
    }

    fn unbind_queue(&mut self) -> Act {
        let (queue, exchange, key) = (self.queue(), self.exchange(), self.key());
        let arguments = draw::of_binding(&mut self.dice);
        Act::UnbindQueue { queue, exchange, key, arguments }
    }

    fn purge(&mut self) -> Act {
        Act::Purge { queue: self.queue(), flags: self.flags(&[("nowait", 10)]) }
    }

    fn delete_queue(&mut self) -> Act {
        let flags = self.flags(&[("if-unused", 30), ("if-empty", 40), ("nowait", 10)]);
        Act::DeleteQueue { queue: self.queue(), flags }
    }

    fn publish(&mut self) -> Act {
        let (exchange, key) = match self.dice.roll(100) {
            0..50 => (String::new(), self.queue()),
            50..99 => (self.exchange(), self.key()),
            _ => (String::new(), format!("%{}", self.dice.roll(4))),
        };
        let flags = match self.dice.roll(400) {
            0 => Flags(vec!["immediate"]),
            _ => self.flags(&[("mandatory", 30)]),
        };
        let properties = draw::properties(&mut self.dice, self.has_arguments);
        self.published += 1;
        let padding = [0, 0, 0, 10, 100, 9000][self.dice.roll(6)];
        Act::Publish(Publication { exchange, key, flags, properties, number: self.published, padding })
    }

    fn get(&mut self) -> Act {
        Act::Get { queue: self.queue(), flags: self.flags(&[("no-ack", 30)]) }
    }

    fn consume(&mut self) -> Act {
        if self.dice.chance(4) {
            return draw::consume_replies(&mut self.dice);
        }
        self.consumers += 1;
        let tag = match self.dice.roll(100) {
            0..20 => String::new(),
            20..98 => format!("t{}", self.consumers),
            _ => "t".to_owned(),
        };
        let mut flags = self.flags(&[("no-ack", 30), ("exclusive", 8), ("no-local", 5)]);
        if !tag.is_empty() && self.dice.chance(6) {
            flags.0.push("nowait");
        }
        let arguments =
            if self.has_arguments { draw::of_consumer(&mut self.dice) } else { Arguments::default() };
        Act::Consume { queue: self.queue(), tag, flags, arguments }
    }

    fn cancel(&mut self) -> Act {
        let tag = match self.dice.chance(95) {
            true => Pick::Nth(self.dice.roll(16)),
            false => Pick::This("nobody".to_owned()),
        };
        Act::Cancel { tag, flags: self.flags(&[("nowait", 10)]) }
    }

    fn settle(&mut self) -> Act {
        let how = [How::Ack, How::Ack, How::Nack, How::Reject][self.dice.roll(4)];
        let tag = Pick::Nth(self.dice.roll(40));
        Act::Settle { how, tag, flags: self.flags(&[("multiple", 25), ("requeue", 50)]) }
    }

    /// Of a tag that may not be there. Tag 0 and all that are unacked is no mistake.
    fn settle_stray(&mut self) -> Act {
        let how = [How::Ack, How::Nack, How::Reject][self.dice.roll(3)];
        let tag = [0, 0, 1, 2, 3, 1000, u64::MAX][self.dice.roll(7)];
        Act::Settle { how, tag: Pick::This(tag), flags: self.flags(&[("multiple", 60), ("requeue", 50)]) }
    }

    fn qos(&mut self) -> Act {
        let size = if self.dice.chance(1) { 4096 } else { 0 };
        let count = [0, 0, 1, 1, 2, 3, 10, u16::MAX][self.dice.roll(8)];
        Act::Qos { size, count, flags: self.flags(&[("global", 30)]) }
    }

    fn recover(&mut self) -> Act {
        Act::Recover { flags: self.flags(&[("requeue", 97), ("async", 30)]) }
    }

    fn confirm(&mut self) -> Act {
        Act::Confirm { flags: self.flags(&[("nowait", 10)]) }
    }

    fn look(&mut self) -> Act {
        if self.dice.chance(40) {
            let (exchange, type_) = (self.exchange(), "direct".to_owned());
            let (flags, arguments) = (Flags(vec!["passive"]), Arguments::default());
            return Act::DeclareExchange { exchange, type_, flags, arguments };
        }
        let (queue, flags) = (self.queue(), Flags(vec!["passive"]));
        Act::DeclareQueue { queue, flags, arguments: Arguments::default() }
    }

    fn wild(&mut self) -> Act {
        let unknown = [(60, 99), (61, 10), (0, 0), (10, 90), (60, 73)][self.dice.roll(5)];
        let wilds = [
            Wild::ClosedChannel,
            Wild::SecondOpen,
            Wild::ServersMethod(self.dice.roll(9)),
            Wild::UnknownMethod { class_id: unknown.0, method_id: unknown.1 },
            Wild::StrayHeader,
            Wild::StrayBody,
            Wild::Interrupted,
            Wild::OtherClass,
            Wild::HeartbeatOnChannel,
            Wild::CutShort,
            Wild::SecondConnectionOpen,
        ];
        Act::Wild(wilds[self.dice.roll(wilds.len())])
    }
}
