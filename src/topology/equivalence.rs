//! Is a declaration the same as the one that made the queue or exchange? RabbitMQ's order of checks and its texts
//! (rabbit_amqqueue:assert_equivalence, rabbit_exchange:assert_equivalence, rabbit_misc:assert_args_equivalence).

use std::fmt::Display;

use super::request::Refusal;
use super::term::shown;
use crate::amqp::{ReplyCode, Table, Value};
use crate::exchange::{ExchangeSpec, QueueSpec};
use crate::queue_args::QueueKind;
use crate::text;

/// Exclusive, durable, auto_delete, then the arguments that mean something.
pub(super) fn check_queue(current: &QueueSpec, received: &QueueSpec) -> Result<(), Refusal> {
    if current.exclusive != received.exclusive {
        return Err(Refusal::locked_queue(&current.vhost, &current.name));
    }
    let resource = text::Vhost(&current.vhost).queue(&current.name);
    check_field("durable", &resource, received.durable, current.durable)?;
    check_field("auto_delete", &resource, received.auto_delete, current.auto_delete)?;
    let names = match current.rules.kind {
        QueueKind::Classic => CLASSIC_QUEUE_ARGUMENTS,
        QueueKind::Quorum => QUORUM_QUEUE_ARGUMENTS,
    };
    check_arguments(names, &resource, &received.arguments, &current.arguments)
}

/// Type, durable, auto_delete, internal, then the only argument that RabbitMQ compares.
pub(super) fn check_exchange(current: &ExchangeSpec, received: &ExchangeSpec) -> Result<(), Refusal> {
    let resource = text::Vhost(&current.vhost).exchange(&current.name);
    check_field("type", &resource, received.kind.name(), current.kind.name())?;
    check_field("durable", &resource, received.durable, current.durable)?;
    check_field("auto_delete", &resource, received.auto_delete, current.auto_delete)?;
    check_field("internal", &resource, received.internal, current.internal)?;
    check_arguments(EXCHANGE_ARGUMENTS, &resource, &received.arguments, &current.arguments)
}

fn check_field<T: PartialEq + Display>(
    name: &str,
    resource: &str,
    received: T,
    current: T,
) -> Result<(), Refusal> {
    if received == current {
        return Ok(());
    }
    Err(inequivalent(name, resource, &format!("'{received}'"), &format!("'{current}'")))
}

/// Arguments not named here are accepted and ignored.
fn check_arguments(names: &[&str], resource: &str, received: &[u8], current: &[u8]) -> Result<(), Refusal> {
    if received == current {
        return Ok(());
    }
    let (received, current) = (Table::from_checked(received), Table::from_checked(current));
    for name in names {
        check_argument(name, resource, received.find(name.as_bytes()), current.find(name.as_bytes()))?;
    }
    Ok(())
}

/// With a value on both sides the types are left out of the text, as RabbitMQ does.
fn check_argument(
    name: &str,
    resource: &str,
    received: Option<Value<'_>>,
    current: Option<Value<'_>>,
) -> Result<(), Refusal> {
    let classic = |value: &Value<'_>| name == "x-queue-type" && is_classic(value);
    match (received, current) {
        (None, None) => Ok(()),
        (Some(one), None) | (None, Some(one)) if classic(&one) => Ok(()),
        (Some(received), None) => Err(inequivalent(name, resource, &typed(&received), "none")),
        (None, Some(current)) => Err(inequivalent(name, resource, "none", &typed(&current))),
        (Some(received), Some(current)) if is_equal(&received, &current) => Ok(()),
        (Some(received), Some(current)) => {
            Err(inequivalent(name, resource, &untyped(&received), &untyped(&current)))
        }
    }
}

/// Values are compared and types are not: integers of any width and timestamps, the two kinds of floats, the two kinds
/// of strings. 10 is not 10.0.
fn is_equal(one: &Value<'_>, other: &Value<'_>) -> bool {
    if let (Some(one), Some(other)) = (as_number(one), as_number(other)) {
        return one == other;
    }
    if let (Some(one), Some(other)) = (as_float(one), as_float(other)) {
        return one == other;
    }
    match (as_octets(one), as_octets(other)) {
        (Some(one), Some(other)) => one == other,
        _ => one == other,
    }
}

fn as_number(value: &Value<'_>) -> Option<i128> {
    if let Value::Timestamp(seconds) = *value {
        return Some(i128::from(seconds));
    }
    value.as_integer().map(i128::from)
}

fn as_float(value: &Value<'_>) -> Option<f64> {
    if let Value::F64(number) = *value {
        return Some(number);
    }
    if let Value::F32(number) = *value { Some(f64::from(number)) } else { None }
}

fn as_octets<'a>(value: &Value<'a>) -> Option<&'a [u8]> {
    if let Value::LongString(octets) | Value::Bytes(octets) = *value { Some(octets) } else { None }
}

fn is_classic(value: &Value<'_>) -> bool {
    matches!(value, Value::LongString(b"classic"))
}

fn inequivalent(name: &str, resource: &str, received: &str, current: &str) -> Refusal {
    let text =
        format!("inequivalent arg '{name}' for {resource}: received {received} but current is {current}");
    Refusal::new(ReplyCode::PreconditionFailed, text)
}

fn typed(value: &Value<'_>) -> String {
    format!("the value '{}' of type '{}'", shown(value), value.type_name())
}

/// Nothing is what RabbitMQ calls the value of a void.
fn untyped(value: &Value<'_>) -> String {
    if *value == Value::Void { "none".to_owned() } else { format!("'{}'", shown(value)) }
}

/// What RabbitMQ compares of classic queues, in its order (rabbit_classic_queue:capabilities); the last three are ours.
const CLASSIC_QUEUE_ARGUMENTS: &[&str] = &[
    "x-expires",
    "x-message-ttl",
    "x-dead-letter-exchange",
    "x-dead-letter-routing-key",
    "x-max-length",
    "x-max-length-bytes",
    "x-max-priority",
    "x-overflow",
    "x-queue-mode",
    "x-queue-version",
    "x-single-active-consumer",
    "x-queue-type",
    "x-queue-master-locator",
    "x-delivery-limit",
    "x-consumer-timeout",
    "x-durability",
];

/// The same of quorum queues (rabbit_quorum_queue:capabilities); the last two are ours.
const QUORUM_QUEUE_ARGUMENTS: &[&str] = &[
    "x-dead-letter-exchange",
    "x-dead-letter-routing-key",
    "x-dead-letter-strategy",
    "x-expires",
    "x-max-length",
    "x-max-length-bytes",
    "x-max-in-memory-length",
    "x-max-in-memory-bytes",
    "x-overflow",
    "x-single-active-consumer",
    "x-queue-type",
    "x-quorum-initial-group-size",
    "x-delivery-limit",
    "x-message-ttl",
    "x-queue-leader-locator",
    "x-consumer-timeout",
    "x-durability",
];

const EXCHANGE_ARGUMENTS: &[&str] = &["alternate-exchange"];
