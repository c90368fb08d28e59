//! The arguments of queue.declare.

use super::check::{self, Arguments};
use super::{Durability, Overflow, QueueArgs, QueueKind};
use crate::amqp::{ShortStr, Table, Value};
use crate::ids::Name;
use crate::text;

/// What a declaration says, as far as its arguments depend on it.
#[derive(Clone, Copy, Debug)]
pub struct Declaration<'a> {
    pub vhost: text::Vhost<'a>,
    pub name: &'a [u8],
    /// The name was made by the server.
    pub server_named: bool,
    pub durable: bool,
    pub exclusive: bool,
    pub auto_delete: bool,
    pub arguments: Table<'a>,
}

impl QueueArgs {
    /// The rules of a queue that is not there yet. The error is the text of a 406.
    pub fn parse(declared: &Declaration<'_>) -> Result<QueueArgs, String> {
        let from = Arguments { vhost: declared.vhost, queue: declared.name, table: declared.arguments };
        if declared.server_named
            && from.table.find(QUEUE_TYPE.as_bytes()) == Some(Value::LongString(b"quorum"))
        {
            let kind = check::module(QueueKind::Quorum);
            return Err(format!("Cannot declare a server-named queue for type {kind}"));
        }
        check_exchange_type(&from)?;
        let rules = match from.read(QUEUE_TYPE, queue_kind)?.unwrap_or_default() {
            QueueKind::Classic => classic(&from)?,
            QueueKind::Quorum => quorum(&from)?,
        };
        if rules.kind == QueueKind::Quorum {
            check_quorum_properties(declared)?;
        }
        Ok(rules)
    }
}

/// RabbitMQ's channel looks at this one, for permissions, before the other arguments are checked.
fn check_exchange_type(from: &Arguments<'_>) -> Result<(), String> {
    match from.table.find(DEAD_LETTER_EXCHANGE.as_bytes()) {
        None | Some(Value::LongString(_)) => Ok(()),
        Some(other) => {
            let (kind, queue) = (other.type_name(), from.vhost.queue(from.queue));
            Err(format!("invalid type '{kind}' for arg '{DEAD_LETTER_EXCHANGE}' in {queue}"))
        }
    }
}

/// The first check that fails is the one that is told, so they stand in RabbitMQ's order, here and below.
fn classic(from: &Arguments<'_>) -> Result<QueueArgs, String> {
    let mut rules = QueueArgs { kind: QueueKind::Classic, ..QueueArgs::default() };
    read_lives(from, &mut rules)?;
    read_lengths(from, &mut rules)?;
    rules.priority_max = from.read("x-max-priority", check::priority_max)?;
    rules.overflow = from.read("x-overflow", overflow)?;
    from.read("x-queue-mode", queue_mode)?;
    from.read("x-queue-version", queue_version)?;
    read_consuming(from, &mut rules)?;
    // RabbitMQ does not check this one: it dies of a value that it does not know.
    from.read("x-queue-master-locator", check::one_of(MASTER_LOCATORS, INVALID_LOCATOR))?;
    from.refuse(NOT_OF_CLASSIC_QUEUES, QueueKind::Classic)?;
    Ok(rules)
}

fn quorum(from: &Arguments<'_>) -> Result<QueueArgs, String> {
    let mut rules = QueueArgs { kind: QueueKind::Quorum, ..QueueArgs::default() };
    read_lives(from, &mut rules)?;
    from.read("x-dead-letter-strategy", check::one_of(DEAD_LETTER_STRATEGIES, "invalid_dlx_strategy"))?;
    read_lengths(from, &mut rules)?;
    from.read("x-max-in-memory-length", check::count)?;
    from.read("x-max-in-memory-bytes", check::count)?;
    rules.overflow = from.read("x-overflow", quorum_overflow)?;
    read_consuming(from, &mut rules)?;
    from.read("x-quorum-initial-group-size", check::count_above_zero)?;
    from.read("x-queue-leader-locator", check::one_of(LEADER_LOCATORS, INVALID_LOCATOR))?;
    from.refuse(NOT_OF_QUORUM_QUEUES, QueueKind::Quorum)?;
    Ok(rules)
}

/// How long the queue and its messages live, and where the messages go then.
fn read_lives(from: &Arguments<'_>, rules: &mut QueueArgs) -> Result<(), String> {
    rules.expires_ms = from.read("x-expires", check::expiry_above_zero)?;
    rules.message_ttl_ms = from.read("x-message-ttl", check::expiry)?;
    rules.dead_letter_exchange = from.read(DEAD_LETTER_EXCHANGE, check::text)?.map(Name::from);
    let has_exchange = rules.dead_letter_exchange.is_some();
    let key = from.read("x-dead-letter-routing-key", |value| routing_key(value, has_exchange))?;
    rules.dead_letter_routing_key = key.map(Name::from);
    Ok(())
}

fn read_lengths(from: &Arguments<'_>, rules: &mut QueueArgs) -> Result<(), String> {
    rules.length_max = from.read("x-max-length", check::count)?;
    rules.length_bytes_max = from.read("x-max-length-bytes", check::count)?;
    Ok(())
}

/// All but the first are ours: RabbitMQ has a delivery limit for quorum queues alone, and checks none of them.
fn read_consuming(from: &Arguments<'_>, rules: &mut QueueArgs) -> Result<(), String> {
    rules.single_active_consumer = from.read("x-single-active-consumer", check::boolean)?.unwrap_or_default();
    let limit = from.read("x-delivery-limit", check::count)?;
    // Nothing returns that often.
    rules.delivery_limit = limit.map(|limit| u32::try_from(limit).unwrap_or(u32::MAX));
    rules.consumer_timeout_ms = from.read("x-consumer-timeout", check::expiry_above_zero)?;
    rules.durability = from.read("x-durability", durability)?;
    Ok(())
}

/// Streams are not known here.
fn queue_kind(value: Value<'_>) -> Result<QueueKind, String> {
    match check::text(value)? {
        b"classic" => Ok(QueueKind::Classic),
        b"quorum" => Ok(QueueKind::Quorum),
        other => Err(check::unsupported("type", other)),
    }
}

/// RabbitMQ takes a key of any length, and dies of the first message that it should deliver with a long one.
fn routing_key(value: Value<'_>, has_exchange: bool) -> Result<&[u8], String> {
    let key = check::text(value)?;
    if !has_exchange {
        return Err("routing_key_but_no_dlx_defined".to_owned());
    }
    if ShortStr::new(key).is_none() {
        return Err(format!("{{value_too_large,{}}}", key.len()));
    }
    Ok(key)
}

fn overflow(value: Value<'_>) -> Result<Overflow, String> {
    Overflow::parse(check::text(value)?).ok_or_else(|| "invalid_overflow".to_owned())
}

/// RabbitMQ's quorum queues have no reject-publish-dlx: they log that it is invalid and drop the head instead, which
/// loses messages that their publisher would rather keep.
fn quorum_overflow(value: Value<'_>) -> Result<Overflow, String> {
    match overflow(value)? {
        Overflow::RejectPublishDlx => Err("invalid_overflow".to_owned()),
        known @ (Overflow::DropHead | Overflow::RejectPublish) => Ok(known),
    }
}

fn durability(value: Value<'_>) -> Result<Durability, String> {
    Durability::parse(check::text(value)?).ok_or_else(|| "invalid_durability".to_owned())
}

/// There is only one mode and only one version; what RabbitMQ knows is accepted.
fn queue_mode(value: Value<'_>) -> Result<(), String> {
    match check::text(value)? {
        b"default" | b"lazy" => Ok(()),
        other => Err(check::unsupported("mode", other)),
    }
}

fn queue_version(value: Value<'_>) -> Result<(), String> {
    match check::count(value)? {
        1 | 2 => Ok(()),
        other => Err(check::unsupported("version", other.to_string().as_bytes())),
    }
}

/// rabbit_queue_type_util
fn check_quorum_properties(declared: &Declaration<'_>) -> Result<(), String> {
    let property = if declared.auto_delete {
        "auto-delete"
    } else if declared.exclusive {
        "exclusive-owner"
    } else if !declared.durable {
        "non-durable"
    } else {
        return Ok(());
    };
    Err(format!("invalid property '{property}' for {}", declared.vhost.queue(declared.name)))
}

const QUEUE_TYPE: &str = "x-queue-type";
const DEAD_LETTER_EXCHANGE: &str = "x-dead-letter-exchange";
const INVALID_LOCATOR: &str = "invalid_queue_locator_arg";

const DEAD_LETTER_STRATEGIES: &[&str] = &["at-most-once", "at-least-once"];
const MASTER_LOCATORS: &[&str] = &["min-masters", "client-local", "random"];
const LEADER_LOCATORS: &[&str] = &["client-local", "balanced", "random", "least-leaders"];

/// What RabbitMQ knows of the other types: an argument that no type has is ignored.
const NOT_OF_CLASSIC_QUEUES: &[&str] = &[
    "x-dead-letter-strategy",
    "x-initial-cluster-size",
    "x-max-age",
    "x-max-in-memory-bytes",
    "x-max-in-memory-length",
    "x-queue-leader-locator",
    "x-quorum-initial-group-size",
    "x-stream-filter-size-bytes",
    "x-stream-max-segment-size-bytes",
];
const NOT_OF_QUORUM_QUEUES: &[&str] = &[
    "x-initial-cluster-size",
    "x-max-age",
    "x-max-priority",
    "x-queue-master-locator",
    "x-queue-mode",
    "x-queue-version",
    "x-stream-filter-size-bytes",
    "x-stream-max-segment-size-bytes",
];
