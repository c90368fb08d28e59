//! What a policy says: the keys that RabbitMQ knows, checked with its texts, and what they mean for queues and exchanges.

use serde_json::{Map, Value};

use super::federation;
use super::ha;
use super::term::{pairs, term};
use crate::ids::Name;
use crate::limits::{EXPIRY_MS_MAX, QUORUM_DELIVERY_LIMIT};
use crate::queue_args::{Overflow, QueueArgs, QueueKind};

#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Definition {
    given: Map<String, Value>,
    keys: Keys,
}

/// What of it has an effect here.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub(super) struct Keys {
    pub message_ttl_ms: Option<u64>,
    pub expires_ms: Option<u64>,
    pub length_max: Option<u64>,
    pub length_bytes_max: Option<u64>,
    pub overflow: Option<Overflow>,
    pub dead_letter_exchange: Option<Name>,
    pub dead_letter_routing_key: Option<Name>,
    pub delivery_limit: Option<u32>,
    pub consumer_timeout_ms: Option<u64>,
    /// Of an exchange.
    pub alternate: Option<Name>,
}

impl Definition {
    /// The error is RabbitMQ's, of which there is one: the first.
    pub fn new(value: &Value, of_operator: bool) -> Result<Definition, String> {
        let given = match value {
            Value::Object(map) if !map.is_empty() => map,
            Value::Object(_) => return Err("no policy provided".to_owned()),
            Value::Array(values) if values.is_empty() => return Err("no policy provided".to_owned()),
            value => {
                let validator = if of_operator { "operator_policy_validator" } else { "policy_validator" };
                let text = format!("parse error while reading policy definition: {}", term(value));
                return Err(format!("{text}. Validator: {validator}."));
            }
        };
        let mut unknown = Map::new();
        for (key, value) in given {
            match KNOWN.iter().find(|known| known.key == key && (known.of_operators || !of_operator)) {
                Some(known) if !(known.is_right)(value) => {
                    return Err(format!("{} {}", term(value), known.wrong));
                }
                Some(_) => {}
                None if is_without_effect(key) && !of_operator => {}
                None => drop(unknown.insert(key.clone(), value.clone())),
            }
        }
        ha::check(given)?;
        federation::check_policy(given)?;
        if !unknown.is_empty() {
            return Err(format!("{} are not recognised policy settings", pairs(&unknown)));
        }
        Ok(Definition { given: given.clone(), keys: Keys::of(given) })
    }

    pub fn given(&self) -> &Map<String, Value> {
        &self.given
    }

    pub fn asks_for_federation(&self) -> bool {
        federation::POLICY_KEYS.iter().any(|key| self.given.contains_key(*key))
    }

    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// Whether queues of this type know all of its keys (rabbit_queue_type:is_policy_applicable).
    pub fn suits(&self, kind: QueueKind) -> bool {
        let foreign = match kind {
            QueueKind::Classic => NOT_OF_CLASSIC_QUEUES,
            QueueKind::Quorum => NOT_OF_QUORUM_QUEUES,
        };
        !self.given.keys().any(|key| foreign.contains(&key.as_str()))
    }
}

fn is_without_effect(key: &str) -> bool {
    ha::KEYS.contains(&key) || federation::POLICY_KEYS.contains(&key)
}

impl Keys {
    fn of(given: &Map<String, Value>) -> Keys {
        let number = |key| given.get(key).and_then(Value::as_u64);
        let ms = |key| number(key).map(|ms| ms.min(EXPIRY_MS_MAX));
        let name = |key| given.get(key).and_then(Value::as_str).map(|name| Name::from(name.as_bytes()));
        let overflow = given.get("overflow").and_then(Value::as_str);
        Keys {
            message_ttl_ms: ms("message-ttl"),
            expires_ms: ms("expires"),
            length_max: number("max-length"),
            length_bytes_max: number("max-length-bytes"),
            overflow: overflow.and_then(|name| Overflow::parse(name.as_bytes())),
            dead_letter_exchange: name("dead-letter-exchange"),
            dead_letter_routing_key: name("dead-letter-routing-key"),
            // Nothing returns that often.
            delivery_limit: number("delivery-limit").map(|limit| u32::try_from(limit).unwrap_or(u32::MAX)),
            consumer_timeout_ms: ms("consumer-timeout"),
            alternate: name("alternate-exchange"),
        }
    }

    /// With an operator's: of two numbers the lesser, and of the rest the operator's.
    pub fn merged(self, operators: Keys) -> Keys {
        Keys {
            message_ttl_ms: least(self.message_ttl_ms, operators.message_ttl_ms),
            expires_ms: least(self.expires_ms, operators.expires_ms),
            length_max: least(self.length_max, operators.length_max),
            length_bytes_max: least(self.length_bytes_max, operators.length_bytes_max),
            overflow: operators.overflow.or(self.overflow),
            delivery_limit: least(self.delivery_limit, operators.delivery_limit),
            ..self
        }
    }

    /// With a queue's arguments: of two numbers the lesser, and of the rest the argument.
    pub fn rules(self, declared: &QueueArgs) -> QueueArgs {
        let declared = declared.clone();
        let is_quorum = declared.kind == QueueKind::Quorum;
        let overflow = declared.overflow.or(self.overflow).filter(|overflow| *overflow != Overflow::DropHead);
        let delivery_limit = least(declared.delivery_limit, self.delivery_limit);
        QueueArgs {
            message_ttl_ms: least(declared.message_ttl_ms, self.message_ttl_ms),
            expires_ms: least(declared.expires_ms, self.expires_ms),
            length_max: least(declared.length_max, self.length_max),
            length_bytes_max: least(declared.length_bytes_max, self.length_bytes_max),
            // Quorum queues cannot dead-letter what they refuse: what is refused its publisher still has.
            overflow: overflow.map(|overflow| if is_quorum { Overflow::RejectPublish } else { overflow }),
            dead_letter_exchange: declared.dead_letter_exchange.or(self.dead_letter_exchange),
            dead_letter_routing_key: declared.dead_letter_routing_key.or(self.dead_letter_routing_key),
            delivery_limit: delivery_limit.or(is_quorum.then_some(QUORUM_DELIVERY_LIMIT)),
            consumer_timeout_ms: least(declared.consumer_timeout_ms, self.consumer_timeout_ms),
            ..declared
        }
    }
}

fn least<T: Ord>(one: Option<T>, other: Option<T>) -> Option<T> {
    one.into_iter().chain(other).min()
}

/// A key, what its value must be, and what RabbitMQ says behind one that is not.
struct Known {
    key: &'static str,
    is_right: fn(&Value) -> bool,
    wrong: &'static str,
    of_operators: bool,
}

const fn known(key: &'static str, is_right: fn(&Value) -> bool, wrong: &'static str) -> Known {
    Known { key, is_right, wrong, of_operators: false }
}

/// One that operators may set too.
const fn common(key: &'static str, is_right: fn(&Value) -> bool, wrong: &'static str) -> Known {
    Known { of_operators: true, ..known(key, is_right, wrong) }
}

/// rabbit_policies, of RabbitMQ 3.13. What has no effect here is checked all the same.
const KNOWN: &[Known] = &[
    common("message-ttl", is_count, "is not a valid message TTL"),
    common("expires", is_above_zero, "is not a valid queue expiry"),
    common("max-length", is_count, "is not a valid maximum length"),
    common("max-length-bytes", is_count, "is not a valid maximum length in bytes"),
    common("max-in-memory-length", is_count, "is not a valid maximum memory in bytes"),
    common("max-in-memory-bytes", is_count, "is not a valid maximum memory in bytes"),
    common("delivery-limit", is_count, "is not a valid delivery limit"),
    common("overflow", is_overflow, "is not a valid overflow value"),
    known("dead-letter-exchange", Value::is_string, "is not a valid dead letter exchange name"),
    known("dead-letter-routing-key", Value::is_string, "is not a valid dead letter routing key"),
    known("dead-letter-strategy", is_strategy, "is not a valid dead letter strategy"),
    known("alternate-exchange", Value::is_string, "is not a valid alternate exchange name"),
    known("consumer-timeout", is_count, "is not a valid consumer timeout"),
    known("queue-mode", is_mode, "is not a valid queue-mode value"),
    known("queue-version", is_version, "is not a valid queue-version value"),
    known("queue-master-locator", is_master_locator, "invalid queue-master-locator value"),
    known("queue-leader-locator", is_leader_locator, "is not a valid queue leader locator value"),
    known("initial-cluster-size", is_count, "is not a valid cluster size"),
    known("max-age", is_age, "is not a valid max age"),
    known("stream-max-segment-size-bytes", is_count, "is not a valid segment size"),
    known("stream-filter-size-bytes", is_filter_size, "is not a valid filter size"),
];

const NOT_OF_CLASSIC_QUEUES: &[&str] = &[
    "max-age",
    "stream-max-segment-size-bytes",
    "stream-filter-size-bytes",
    "queue-leader-locator",
    "initial-cluster-size",
    "delivery-limit",
    "dead-letter-strategy",
];
const NOT_OF_QUORUM_QUEUES: &[&str] = &[
    "queue-mode",
    "queue-master-locator",
    "max-age",
    "stream-max-segment-size-bytes",
    "stream-filter-size-bytes",
    "initial-cluster-size",
    "ha-mode",
    "ha-params",
    "ha-sync-mode",
    "ha-promote-on-shutdown",
    "ha-promote-on-failure",
];

fn is_count(value: &Value) -> bool {
    value.is_u64()
}

fn is_above_zero(value: &Value) -> bool {
    value.as_u64().is_some_and(|number| number > 0)
}

fn is_overflow(value: &Value) -> bool {
    value.as_str().is_some_and(|name| Overflow::parse(name.as_bytes()).is_some())
}

fn is_strategy(value: &Value) -> bool {
    is_one_of(value, &["at-most-once", "at-least-once"])
}

fn is_mode(value: &Value) -> bool {
    is_one_of(value, &["default", "lazy"])
}

fn is_version(value: &Value) -> bool {
    matches!(value.as_u64(), Some(1 | 2))
}

fn is_master_locator(value: &Value) -> bool {
    is_one_of(value, &["min-masters", "client-local", "random"])
}

fn is_leader_locator(value: &Value) -> bool {
    is_one_of(value, &["client-local", "balanced", "random", "least-leaders"])
}

fn is_filter_size(value: &Value) -> bool {
    value.as_u64().is_some_and(|bytes| (16..=255).contains(&bytes))
}

/// `7D`: a number, and a unit of year, month, day, hour, minute or second.
fn is_age(value: &Value) -> bool {
    let Some((unit, number)) = value.as_str().and_then(|age| age.as_bytes().split_last()) else {
        return false;
    };
    b"YMDhms".contains(unit) && !number.is_empty() && number.iter().all(u8::is_ascii_digit)
}

fn is_one_of(value: &Value, known: &[&str]) -> bool {
    value.as_str().is_some_and(|name| known.contains(&name))
}
