//! What a broker has told so far: which queues and exchanges are there, who consumes, which deliveries are not settled,
//! which publishes not confirmed. It decides what a step refers to, and what may be asked of both brokers.

use crate::act::{Act, Arguments, Flags, How, Step};
use crate::link::Heard;
use haremq::amqp::Method;
use std::collections::{BTreeMap, BTreeSet};

#[derive(Default)]
pub struct Ledger {
    /// Queues that are thought to be there, with the connection that they are exclusive to.
    pub queues: BTreeMap<String, Option<usize>>,
    pub exchanges: BTreeSet<String>,
    /// Queues with a limit in bytes.
    pub limited: BTreeSet<String>,
    /// How often a queue has come or gone.
    changes: u64,
    /// The broker's own words, and what they are called here.
    aliases: Vec<(String, String)>,
    pub connections: [BTreeMap<u16, Channel>; 2],
}

#[derive(Clone, Default)]
pub struct Channel {
    pub mode: Mode,
    /// For the next consumers.
    pub prefetch: u16,
    pub global_prefetch: u16,
    pub published: u64,
    pub unconfirmed: BTreeSet<u64>,
    pub delivered: u64,
    /// The last delivery was a direct reply.
    pub has_reply: bool,
    pub last_queue: Option<String>,
    pub consumers: BTreeMap<String, Consumer>,
    pub unacked: Vec<Held>,
    /// Settled in a transaction that is not committed.
    pub settled: Vec<Held>,
    /// Which change of queues was the last before the first publish of the transaction.
    begun: Option<u64>,
}

#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Mode {
    #[default]
    Plain,
    Confirm,
    Transaction,
}

#[derive(Clone, Debug)]
pub struct Consumer {
    pub queue: String,
    pub no_ack: bool,
    pub prefetch: u16,
}

/// A delivery that waits to be settled. All but the tag is the same on both brokers.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Held {
    pub queue: String,
    /// The consumer's tag; nothing for basic.get.
    pub consumer: String,
    pub body: Vec<u8>,
    pub tag: u64,
}

impl Held {
    pub fn is_same(&self, other: &Held) -> bool {
        (&self.queue, &self.consumer, &self.body) == (&other.queue, &other.consumer, &other.body)
    }
}

impl Ledger {
    pub fn channel(&self, step: &Step) -> Option<&Channel> {
        self.connections[step.connection].get(&step.channel)
    }

    fn channel_mut(&mut self, step: &Step) -> Option<&mut Channel> {
        self.connections[step.connection].get_mut(&step.channel)
    }

    pub fn opened(&mut self, connection: usize, channel: u16) {
        self.connections[connection].insert(channel, Channel::default());
    }

    pub fn connection_gone(&mut self, connection: usize) {
        self.connections[connection].clear();
        let before = self.queues.len();
        self.queues.retain(|_, owner| *owner != Some(connection));
        self.changes += (before - self.queues.len()) as u64;
    }

    pub fn queue_gone(&mut self, queue: &str) {
        self.changes += u64::from(self.queues.remove(queue).is_some());
    }

    /// Whether a queue has come or gone since something was published in the transaction of the step's channel.
    pub fn is_overtaken(&self, step: &Step) -> bool {
        self.channel(step).and_then(|channel| channel.begun).is_some_and(|begun| begun != self.changes)
    }

    /// Whether a channel holds what came from a queue that another channel of the same connection consumes.
    pub fn passes_on(&self, connection: usize) -> bool {
        let channels = &self.connections[connection];
        let is_consumed = |queue: &str, but: u16| {
            let mut others = channels.iter().filter(|(number, _)| **number != but);
            others.any(|(_, channel)| channel.consumers.values().any(|consumer| consumer.queue == queue))
        };
        let mut all = channels.iter().flat_map(|(number, channel)| {
            channel.unacked.iter().chain(&channel.settled).map(move |held| (*number, held))
        });
        all.any(|(number, held)| is_consumed(&held.queue, number))
    }

    /// The consumers of a queue.
    pub fn consumers_of<'a>(&'a self, queue: &'a str) -> impl Iterator<Item = (&'a Channel, &'a Consumer)> {
        let channels = self.connections.iter().flat_map(BTreeMap::values);
        let all =
            channels.flat_map(|channel| channel.consumers.values().map(move |consumer| (channel, consumer)));
        all.filter(move |(_, consumer)| consumer.queue == queue)
    }

    /// All words of the broker's own replaced by ours.
    pub fn canonical(&self, text: &str) -> String {
        let known = self.aliases.iter().filter(|(own, _)| text.contains(own.as_str()));
        without_generated(known.fold(text.to_owned(), |text, (own, ours)| text.replace(own, ours)))
    }

    /// The broker's word for a name of ours.
    pub fn own(&self, name: &str) -> String {
        let found = self.aliases.iter().find(|(_, ours)| ours == name);
        found.map_or_else(|| name.to_owned(), |(own, _)| own.clone())
    }

    pub fn aliases(&self, kind: &str) -> impl Iterator<Item = &String> {
        self.aliases.iter().map(|(_, ours)| ours).filter(move |ours| ours.starts_with(kind))
    }

    fn learn(&mut self, own: &str, kind: &str) {
        if !self.aliases.iter().any(|(known, _)| known == own) {
            let number = self.aliases(kind).count();
            self.aliases.push((own.to_owned(), format!("{kind}{number}")));
        }
    }

    /// Learns the names that the broker has made up.
    pub fn learn_from(&mut self, heard: &Heard) {
        let own = match heard.method() {
            Method::QueueDeclareOk { queue, .. } => queue.to_string(),
            Method::BasicConsumeOk { consumer_tag } => consumer_tag.to_string(),
            Method::BasicDeliver { .. } | Method::BasicGetOk { .. } | Method::BasicReturn { .. } => {
                let properties = heard.content.as_ref().expect("a delivery has content");
                let properties =
                    haremq::amqp::Properties::decode(&properties.0).expect("they were decoded before");
                properties.reply_to().map(|name| name.to_string()).unwrap_or_default()
            }
            _ => return,
        };
        let kinds = [("amq.gen-", GENERATED), ("amq.ctag-", TAG), ("amq.rabbitmq.reply-to.", REPLY)];
        if let Some((_, kind)) = kinds.into_iter().find(|(prefix, _)| own.starts_with(prefix)) {
            self.learn(&own, kind);
        }
    }

    /// What is so from the moment on in which the step is said.
    pub fn said(&mut self, step: &Step, tag: u64) {
        let changes = self.changes;
        let Some(channel) = self.channel_mut(step) else { return };
        match &step.act {
            Act::Publish(_) if channel.mode == Mode::Transaction => {
                channel.begun.get_or_insert(changes);
            }
            Act::Publish(_) if channel.mode == Mode::Confirm => {
                channel.published += 1;
                channel.unconfirmed.insert(channel.published);
            }
            Act::Settle { how, flags, .. } => {
                let multiple = flags.has("multiple") && *how != How::Reject;
                let covered = |held: &Held| covers(tag, multiple, held.tag);
                let (gone, left) = std::mem::take(&mut channel.unacked).into_iter().partition(covered);
                channel.unacked = left;
                if channel.mode == Mode::Transaction {
                    let gone: Vec<Held> = gone;
                    channel.settled.extend(gone);
                }
            }
            Act::Recover { .. } => channel.unacked.clear(),
            _ => {}
        }
    }

    /// What is so once the step has been done, as no answer says so.
    pub fn done(&mut self, step: &Step) {
        let nowait = |flags: &Flags| flags.has("nowait");
        if self.channel(step).is_none() {
            return;
        }
        match &step.act {
            Act::DeclareQueue { queue, flags, arguments } if nowait(flags) => {
                self.declared(step, queue, flags, arguments);
            }
            Act::DeclareExchange { exchange, flags, .. } if nowait(flags) => {
                self.exchanges.insert(exchange.clone());
            }
            Act::DeleteExchange { exchange, flags } if nowait(flags) => {
                self.exchanges.remove(exchange);
            }
            Act::Consume { queue, tag, flags, .. } if nowait(flags) => self.consumes(step, queue, tag, flags),
            Act::Cancel { tag: crate::act::Pick::This(tag), flags } if nowait(flags) => {
                let tag = tag.clone();
                self.channel_mut(step).map(|channel| channel.consumers.remove(&tag));
            }
            Act::Confirm { flags } if nowait(flags) => {
                if let Some(channel) = self.channel_mut(step) {
                    channel.mode = Mode::Confirm;
                }
            }
            _ => {}
        }
    }

    /// What an answer to the step says.
    pub fn answered(&mut self, step: &Step, heard: &Heard) {
        match (heard.method(), &step.act) {
            (Method::QueueDeclareOk { queue, .. }, Act::DeclareQueue { flags, arguments, .. }) => {
                let queue = self.canonical(&queue.to_string());
                self.declared(step, &queue, flags, arguments);
            }
            (Method::QueueDeleteOk { .. }, Act::DeleteQueue { queue, .. }) => {
                let queue = self.named(step, queue);
                self.queue_gone(&queue);
            }
            (Method::ExchangeDeclareOk, Act::DeclareExchange { exchange, .. }) => {
                self.exchanges.insert(exchange.clone());
            }
            (Method::ExchangeDeleteOk, Act::DeleteExchange { exchange, .. }) => {
                self.exchanges.remove(exchange);
            }
            (Method::BasicConsumeOk { consumer_tag }, Act::Consume { queue, flags, .. }) => {
                let tag = self.canonical(&consumer_tag.to_string());
                self.consumes(step, queue, &tag, flags);
            }
            (method, act) => {
                if let Some(channel) = self.channel_mut(step) {
                    channel.answered(method, act);
                }
            }
        }
    }

    fn declared(&mut self, step: &Step, queue: &str, flags: &Flags, arguments: &Arguments) {
        let owner = (flags.has("exclusive") && !flags.has("passive")).then_some(step.connection);
        if !self.queues.contains_key(queue) {
            self.queues.insert(queue.to_owned(), owner);
            self.changes += 1;
            self.limited.remove(queue);
        }
        if arguments.find("x-max-length-bytes").is_some() {
            self.limited.insert(queue.to_owned());
        }
        if let Some(channel) = self.channel_mut(step) {
            channel.last_queue = Some(queue.to_owned());
        }
    }

    fn consumes(&mut self, step: &Step, queue: &str, tag: &str, flags: &Flags) {
        let queue = self.named(step, queue);
        let no_ack = flags.has("no-ack");
        if let Some(channel) = self.channel_mut(step) {
            let prefetch = channel.prefetch;
            channel.consumers.insert(tag.to_owned(), Consumer { queue, no_ack, prefetch });
        }
    }

    /// The queue that a step names; without a name it is the last that its channel declared.
    pub fn named(&self, step: &Step, queue: &str) -> String {
        let last = self.channel(step).and_then(|channel| channel.last_queue.clone());
        if queue.is_empty() { last.unwrap_or_default() } else { queue.to_owned() }
    }
}

impl Channel {
    /// Counts a delivery; says so if its tag is not the next one.
    pub fn count(&mut self, tag: u64) -> String {
        // RabbitMQ does not count a direct reply: the next delivery has the same tag.
        self.delivered += u64::from(!(self.has_reply && self.delivered == tag));
        if self.delivered == tag {
            String::new()
        } else {
            format!(" with tag {tag} instead of {}", self.delivered)
        }
    }

    fn answered(&mut self, method: Method<'_>, act: &Act) {
        match (method, act) {
            (Method::BasicCancelOk { .. }, Act::Cancel { tag: crate::act::Pick::This(tag), .. }) => {
                self.consumers.remove(tag);
            }
            (Method::ConfirmSelectOk, _) => self.mode = Mode::Confirm,
            (Method::TxSelectOk, _) => self.mode = Mode::Transaction,
            (Method::TxCommitOk, _) => {
                self.settled.clear();
                self.begun = None;
            }
            (Method::TxRollbackOk, _) => {
                self.begun = None;
                self.unacked.append(&mut self.settled);
                self.unacked.sort_by_key(|held| held.tag);
            }
            (Method::BasicQosOk, Act::Qos { count, flags, .. }) if flags.has("global") => {
                self.global_prefetch = *count;
            }
            // A limit for consumers lifts the one for the channel.
            (Method::BasicQosOk, Act::Qos { count, .. }) => {
                (self.prefetch, self.global_prefetch) = (*count, 0)
            }
            _ => {}
        }
    }

    /// The publishes that a confirm is about.
    pub fn confirmed(&mut self, tag: u64, multiple: bool) -> Vec<u64> {
        let covered = |seqno: &u64| covers(tag, multiple, *seqno);
        let gone: Vec<u64> = self.unconfirmed.iter().copied().filter(covered).collect();
        gone.iter().for_each(|seqno| {
            self.unconfirmed.remove(seqno);
        });
        gone
    }
}

/// Names that the broker has made up for what it then refused.
fn without_generated(text: String) -> String {
    let Some((before, rest)) = text.split_once("amq.gen-") else { return text };
    let is_of_name = |letter: char| letter.is_ascii_alphanumeric() || letter == '-' || letter == '_';
    let after = rest.trim_start_matches(is_of_name);
    without_generated(format!("{before}a generated name{after}"))
}

/// Whether an ack of `tag` is about the delivery `held`.
pub fn covers(tag: u64, multiple: bool, held: u64) -> bool {
    if multiple { tag == 0 || held <= tag } else { held == tag }
}

/// What the broker's own names are called here, before their number.
pub const GENERATED: &str = "generated-";
pub const TAG: &str = "tag-";
pub const REPLY: &str = "reply-";
