//! Makes a step ready: picks what it refers to, and keeps out the few things whose outcome RabbitMQ itself leaves to chance.

use crate::act::{Act, Arg, Arguments, Flags, How, Pick, Publication, Step};
use crate::ledger::{Channel, GENERATED, Held, Ledger, Mode, REPLY, covers};
use crate::speak::Ready;
use std::collections::{BTreeMap, BTreeSet};

/// The step with its references resolved, or None if there is nothing that it could refer to. What there is, RabbitMQ
/// says.
pub fn admit(step: &Step, haremq: &Ledger, rabbitmq: &Ledger) -> Option<Ready> {
    let place = Admission { connection: step.connection, haremq, rabbitmq };
    let mut step = step.clone();
    let mut tags = [0; 2];
    step.act = match step.act.clone() {
        Act::Settle { how, tag: Pick::Nth(at), flags } => {
            let (held, flags, found) = place.held(&mut step, at, how, flags)?;
            tags = found;
            Act::Settle { how, tag: Pick::This(held.tag), flags }
        }
        Act::Settle { how, tag: Pick::This(tag), flags } => {
            tags = [tag; 2];
            Act::Settle { how, tag: Pick::This(tag), flags }
        }
        Act::Cancel { tag: Pick::Nth(at), flags } => {
            Act::Cancel { tag: place.consumer(&mut step, at)?, flags }
        }
        Act::Commit { stray: false } => place.transactional(&mut step, Act::Commit { stray: false })?,
        Act::Rollback { stray: false } => place.transactional(&mut step, Act::Rollback { stray: false })?,
        act => place.named(act)?,
    };
    let (is_overtaken, passes_on) = (rabbitmq.is_overtaken(&step), rabbitmq.passes_on(step.connection));
    place.is_defined(&step).then_some(Ready { step, tags, is_overtaken, passes_on })
}

struct Admission<'a> {
    /// Which of the two connections does it.
    connection: usize,
    haremq: &'a Ledger,
    rabbitmq: &'a Ledger,
}

impl Admission<'_> {
    /// The delivery that is `at`-th among all that are not settled, in an order that both brokers share.
    fn held(&self, step: &mut Step, at: usize, how: How, flags: Flags) -> Option<(Held, Flags, [u64; 2])> {
        let mut all: Vec<(usize, u16, &Held)> = Vec::new();
        for (connection, channels) in self.rabbitmq.connections.iter().enumerate() {
            for (number, channel) in channels {
                all.extend(channel.unacked.iter().map(|held| (connection, *number, held)));
            }
        }
        // Some of them may be the same but for the tag.
        all.sort();
        let &(connection, channel, held) = all.get(at % all.len().max(1))?;
        (step.connection, step.channel) = (connection, channel);
        let own = self.rabbitmq.channel(step)?;
        let other = self.haremq.channel(step)?;
        let earlier = own.unacked.iter().filter(|it| it.is_same(held) && it.tag < held.tag).count();
        let twin = other.unacked.iter().filter(|it| it.is_same(held)).nth(earlier)?;
        let multiple = flags.has("multiple") && how != How::Reject;
        let alike = !multiple || covered(own, held.tag) == covered(other, twin.tag);
        let flags = if alike { flags } else { flags.without("multiple") };
        Some((held.clone(), flags, [twin.tag, held.tag]))
    }

    fn consumer(&self, step: &mut Step, at: usize) -> Option<Pick<String>> {
        let mut all = Vec::new();
        for (connection, channels) in self.rabbitmq.connections.iter().enumerate() {
            for (number, channel) in channels {
                all.extend(channel.consumers.keys().map(|tag| (connection, *number, tag)));
            }
        }
        let &(connection, channel, tag) = all.get(at % all.len().max(1))?;
        (step.connection, step.channel) = (connection, channel);
        Some(Pick::This(tag.clone()))
    }

    /// Moves the step to a channel with a transaction.
    fn transactional(&self, step: &mut Step, act: Act) -> Option<Act> {
        let (connections, start) = (&self.rabbitmq.connections, step.connection);
        let find = |connection: usize| {
            let mut channels = connections[connection].iter();
            channels
                .find(|(_, channel)| channel.mode == Mode::Transaction)
                .map(|(&number, _)| (connection, number))
        };
        (step.connection, step.channel) = find(start).or_else(|| find(1 - start))?;
        Some(act)
    }

    fn name(&self, name: String) -> Option<String> {
        let nth = |at: &str, names: Vec<&String>| {
            let at: usize = at.parse().expect("a number follows");
            names.get(at % names.len().max(1)).map(|name| (*name).clone())
        };
        match name.split_at_checked(1) {
            Some(("$", at)) => nth(at, self.rabbitmq.aliases(GENERATED).collect()),
            Some(("?", at)) => {
                let is_open = |owner: &Option<usize>| owner.is_none_or(|owner| owner == self.connection);
                let queues = self.rabbitmq.queues.iter().filter(|(_, owner)| is_open(owner));
                nth(at, queues.map(|(queue, _)| queue).collect())
            }
            Some(("!", at)) => nth(at, self.rabbitmq.exchanges.iter().collect()),
            Some(("%", at)) => nth(at, self.rabbitmq.aliases(REPLY).collect()),
            _ => Some(name),
        }
    }

    fn named(&self, act: Act) -> Option<Act> {
        let name = |name: String| self.name(name);
        Some(match act {
            Act::DeclareExchange { exchange, type_, flags, arguments } => {
                let arguments = self.arguments(arguments)?;
                Act::DeclareExchange { exchange: name(exchange)?, type_, flags, arguments }
            }
            Act::DeleteExchange { exchange, flags } => {
                Act::DeleteExchange { exchange: name(exchange)?, flags }
            }
            Act::BindExchange { destination, source, key, flags, arguments } => Act::BindExchange {
                destination: name(destination)?,
                source: name(source)?,
                key: name(key)?,
                flags,
                arguments,
            },
            Act::UnbindExchange { destination, source, key, flags, arguments } => Act::UnbindExchange {
                destination: name(destination)?,
                source: name(source)?,
                key: name(key)?,
                flags,
                arguments,
            },
            Act::DeclareQueue { queue, flags, arguments } => {
                Act::DeclareQueue { queue: name(queue)?, flags, arguments: self.arguments(arguments)? }
            }
            Act::BindQueue { queue, exchange, key, flags, arguments } => Act::BindQueue {
                queue: name(queue)?,
                exchange: name(exchange)?,
                key: name(key)?,
                flags,
                arguments,
            },
            Act::UnbindQueue { queue, exchange, key, arguments } => Act::UnbindQueue {
                queue: name(queue)?,
                exchange: name(exchange)?,
                key: name(key)?,
                arguments,
            },
            Act::Purge { queue, flags } => Act::Purge { queue: name(queue)?, flags },
            Act::DeleteQueue { queue, flags } => Act::DeleteQueue { queue: name(queue)?, flags },
            Act::Publish(it) => Act::Publish(Publication {
                exchange: name(it.exchange)?,
                key: name(it.key)?,
                properties: self.arguments(it.properties)?,
                ..it
            }),
            Act::Get { queue, flags } => Act::Get { queue: name(queue)?, flags },
            Act::Consume { queue, tag, flags, arguments } => {
                Act::Consume { queue: name(queue)?, tag, flags, arguments }
            }
            act => act,
        })
    }

    fn arguments(&self, arguments: Arguments) -> Option<Arguments> {
        let resolve = |(key, value): (String, Arg)| Some((key, self.argument(value)?));
        arguments.0.into_iter().map(resolve).collect::<Option<_>>().map(Arguments)
    }

    fn argument(&self, value: Arg) -> Option<Arg> {
        Some(match value {
            Arg::Text(text) => Arg::Text(self.name(text)?),
            Arg::Table(table) => Arg::Table(self.arguments(table)?),
            Arg::Array(values) => {
                Arg::Array(values.into_iter().map(|value| self.argument(value)).collect::<Option<_>>()?)
            }
            value => value,
        })
    }

    /// Whether RabbitMQ's answer follows from the step, and both brokers promise the same.
    fn is_defined(&self, step: &Step) -> bool {
        let channel = self.rabbitmq.channel(step).cloned().unwrap_or_default();
        match &step.act {
            Act::Consume { queue, flags, .. } => {
                let queue = self.rabbitmq.named(step, queue);
                let no_ack = flags.has("no-ack");
                let is_limited = |channel: &Channel, no_ack: bool, prefetch: u16| {
                    !no_ack && prefetch > 0 || channel.global_prefetch > 0
                };
                let mut others = self.rabbitmq.consumers_of(&queue).peekable();
                let alone = others.peek().is_none();
                // Which of several consumers is next, once one of them has been full, is nobody's promise.
                let limited = is_limited(&channel, no_ack, channel.prefetch)
                    || others.any(|(channel, other)| is_limited(channel, other.no_ack, other.prefetch));
                let narrow = channel.global_prefetch > 0 && (no_ack || !channel.consumers.is_empty());
                (alone || !limited) && !narrow
            }
            Act::Qos { flags, count, .. } if flags.has("global") && *count > 0 => {
                // docs/compatibility.md: what a channel's limit counts. And of several queues, the fastest would use it up.
                let got = channel.unacked.iter().any(|held| held.consumer.is_empty());
                let mut consumers = channel.consumers.values();
                let sole = |queue: &str| self.rabbitmq.consumers_of(queue).count() == 1;
                // RabbitMQ forgets what was settled in a transaction before there was a limit.
                !got && channel.settled.is_empty()
                    && consumers.len() <= 1
                    && consumers.all(|it| !it.no_ack && sole(&it.queue))
            }
            Act::Get { flags, .. } => channel.global_prefetch == 0 || flags.has("no-ack"),
            Act::Recover { .. } => self.is_ordered(channel.unacked.iter()),
            Act::Commit { .. } => self.is_ordered(channel.settled.iter()),
            Act::Settle { tag: Pick::This(tag), flags, .. }
                if flags.has("multiple") && flags.has("requeue") =>
            {
                self.is_ordered(channel.unacked.iter().filter(|held| covers(*tag, true, held.tag)))
            }
            _ => true,
        }
    }
}

impl Admission<'_> {
    /// RabbitMQ requeues what was delivered to one consumer after what was delivered to another; if somebody consumes
    /// from the queue meanwhile, the order in which it comes back is nobody's promise.
    fn is_ordered<'a>(&self, requeued: impl Iterator<Item = &'a Held>) -> bool {
        let mut from: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for held in requeued {
            from.entry(&held.queue).or_default().insert(&held.consumer);
        }
        let is_consumed = |queue: &str| self.rabbitmq.consumers_of(queue).next().is_some();
        from.iter().all(|(queue, consumers)| consumers.len() <= 1 || !is_consumed(queue))
    }
}

/// What an ack of all up to a tag is about, without the tags.
fn covered(channel: &Channel, tag: u64) -> Vec<Held> {
    let covered = channel.unacked.iter().filter(|held| covers(tag, true, held.tag));
    let mut covered: Vec<Held> = covered.map(|held| Held { tag: 0, ..held.clone() }).collect();
    covered.sort();
    covered
}
