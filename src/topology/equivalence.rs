//! Is a declaration the same as the one that made the queue or exchange? RabbitMQ's order of checks and its texts
//! (rabbit_amqqueue:assert_equivalence, rabbit_exchange:assert_equivalence, rabbit_misc:assert_args_equivalence).

use std::fmt::Display;

use super::request::Refusal;
use crate::amqp::ReplyCode;
use crate::amqp::{Table, Value};
use crate::exchange::{ExchangeSpec, QueueSpec, text};

/// Exclusive, durable, auto_delete, then the arguments that mean something.
pub(super) fn check_queue(current: &QueueSpec, received: &QueueSpec) -> Result<(), Refusal> {
    if current.exclusive != received.exclusive {
        return Err(Refusal::locked_queue(&current.name));
    }
    let resource = text::queue(&current.name);
    check_field("durable", &resource, received.durable, current.durable)?;
    check_field("auto_delete", &resource, received.auto_delete, current.auto_delete)?;
    check_arguments(QUEUE_ARGUMENTS, &resource, &received.arguments, &current.arguments)
}

/// Type, durable, auto_delete, internal, then the only argument that RabbitMQ compares.
pub(super) fn check_exchange(current: &ExchangeSpec, received: &ExchangeSpec) -> Result<(), Refusal> {
    let resource = text::exchange(&current.name);
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
            let (received, current) = (shown(&received), shown(&current));
            Err(inequivalent(name, resource, &format!("'{received}'"), &format!("'{current}'")))
        }
    }
}

/// Integers of any width are compared by value, and so are the two kinds of floats; 10 is not 10.0.
fn is_equal(one: &Value<'_>, other: &Value<'_>) -> bool {
    match (one.as_integer(), other.as_integer()) {
        (Some(one), Some(other)) => return one == other,
        (Some(_), None) | (None, Some(_)) => return false,
        (None, None) => {}
    }
    match (as_float(one), as_float(other)) {
        (Some(one), Some(other)) => one == other,
        (Some(_), None) | (None, Some(_)) => false,
        (None, None) => one == other,
    }
}

fn as_float(value: &Value<'_>) -> Option<f64> {
    if let Value::F64(number) = *value {
        return Some(number);
    }
    if let Value::F32(number) = *value { Some(f64::from(number)) } else { None }
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

pub(super) fn shown(value: &Value<'_>) -> String {
    match *value {
        Value::LongString(bytes) | Value::Bytes(bytes) => text::lossy(bytes).into_owned(),
        Value::Bool(value) => value.to_string(),
        Value::I8(number) => number.to_string(),
        Value::U8(number) => number.to_string(),
        Value::I16(number) => number.to_string(),
        Value::U16(number) => number.to_string(),
        Value::I32(number) => number.to_string(),
        Value::U32(number) => number.to_string(),
        Value::I64(number) => number.to_string(),
        Value::Timestamp(seconds) => seconds.to_string(),
        Value::F32(number) => format!("{number:?}"),
        Value::F64(number) => format!("{number:?}"),
        Value::Decimal { scale, value } => format!("{{{scale},{value}}}"),
        Value::Table(_) | Value::Array(_) => "[...]".to_string(),
        Value::Void => "undefined".to_string(),
    }
}

const QUEUE_ARGUMENTS: &[&str] = &[
    "x-expires",
    "x-message-ttl",
    "x-dead-letter-exchange",
    "x-dead-letter-routing-key",
    "x-max-length",
    "x-max-length-bytes",
    "x-max-priority",
    "x-overflow",
    "x-queue-mode",
    "x-single-active-consumer",
    "x-queue-type",
];

const EXCHANGE_ARGUMENTS: &[&str] = &["alternate-exchange"];
