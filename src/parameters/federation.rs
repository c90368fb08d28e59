//! Upstreams of federation and sets of them. Nothing is federated here, but what declares a RabbitMQ server often has them: they
//! are checked as rabbit_federation_parameters does, kept, and mean nothing.

use serde_json::{Map, Value};

use super::term::term;
use super::validation::{Errors, Terms, binary, boolean, number, one_of};
use crate::access::Pattern;

pub const UPSTREAM: &[u8] = b"federation-upstream";
pub const UPSTREAM_SET: &[u8] = b"federation-upstream-set";

/// The keys of policies that ask for federation.
pub(super) const POLICY_KEYS: &[&str] =
    &["federation-upstream", "federation-upstream-set", "federation-upstream-pattern"];

pub(super) fn check_upstream(name: &[u8], value: &Value) -> Result<(), Errors> {
    let name = String::from_utf8_lossy(name);
    let mut terms = Terms::new(&name, value)?;
    terms.mandatory("uri", uri);
    check_common(&mut terms);
    terms.finish()
}

/// A list, with what is wrong with its first element first.
pub(super) fn check_set(name: &[u8], value: &Value) -> Result<(), Errors> {
    let name = String::from_utf8_lossy(name);
    let upstreams = match value {
        Value::Array(upstreams) => upstreams.as_slice(),
        Value::Object(none) if none.is_empty() => &[],
        _ => return Err(Errors::one(format!("{name} not a list {}", term(value)))),
    };
    let errors = upstreams.iter().filter_map(|upstream| check_member(&name, upstream).err());
    errors.reduce(Errors::and).map_or(Ok(()), Err)
}

fn check_member(name: &str, upstream: &Value) -> Result<(), Errors> {
    let mut terms = Terms::new(name, upstream)?;
    terms.mandatory("upstream", binary);
    check_common(&mut terms);
    terms.finish()
}

/// What both may say. `queue-type` is RabbitMQ 4's.
fn check_common(terms: &mut Terms<'_>) {
    terms.optional("exchange", binary);
    terms.optional("queue", binary);
    terms.optional("consumer-tag", binary);
    terms.optional("prefetch-count", number);
    terms.optional("reconnect-delay", number);
    terms.optional("max-hops", number);
    terms.optional("expires", number);
    terms.optional("message-ttl", number);
    terms.optional("trust-user-id", boolean);
    terms.optional("ack-mode", one_of(&["no-ack", "on-publish", "on-confirm"]));
    terms.optional("queue-type", one_of(&["classic", "quorum"]));
    terms.optional("resource-cleanup-mode", one_of(&["default", "never"]));
    terms.optional("ha-policy", binary);
    terms.optional("bind-nowait", boolean);
    terms.optional("channel-use-mode", one_of(&["multiple", "single"]));
}

/// One or a list of them.
fn uri(key: &str, value: &Value) -> Result<(), String> {
    match value {
        Value::String(uri) => check_uri(uri),
        Value::Array(uris) => uris.iter().try_for_each(|one| uri(key, one)),
        _ => Err(format!("{key} should be list, actually was {}", term(value))),
    }
}

/// That it is one of AMQP. The rest of it nobody here connects to.
fn check_uri(uri: &str) -> Result<(), String> {
    let wrong = match uri.split_once("://") {
        Some((scheme, _)) if ["amqp", "amqps"].contains(&scheme.to_ascii_lowercase().as_str()) => {
            return Ok(());
        }
        Some((scheme, _)) => format!("{{unexpected_uri_scheme,\"{scheme}\"}}"),
        None => "{unable_to_parse_uri,no_scheme}".to_owned(),
    };
    let shown = if uri.is_empty() { "[]".to_owned() } else { format!("{uri:?}") };
    Err(format!("\"{uri}\" not a valid URI: {{{wrong},{shown}}}"))
}

/// Those of a policy: there may be one of them. The error is RabbitMQ's text.
pub(super) fn check_policy(given: &Map<String, Value>) -> Result<(), String> {
    let mut keys = POLICY_KEYS.iter().filter_map(|key| given.get_key_value(*key));
    match (keys.next(), keys.next()) {
        (Some(_), Some(_)) => Err("cannot specify federation-upstream, federation-upstream-set or \
            federation-upstream-pattern together"
            .to_owned()),
        (Some((key, value)), None) => check_policy_key(key, value),
        (None, _) => Ok(()),
    }
}

fn check_policy_key(key: &str, value: &Value) -> Result<(), String> {
    let what = key.replace('-', " ");
    match value {
        Value::String(pattern) if key == "federation-upstream-pattern" => check_pattern(pattern),
        Value::String(_) => Ok(()),
        _ => Err(format!("{} is not a valid {what} name", term(value))),
    }
}

fn check_pattern(pattern: &str) -> Result<(), String> {
    let text =
        |reason| format!("could not compile pattern {pattern} to a regular expression. Error: {reason}");
    Pattern::of_policy(pattern).map(drop).map_err(text)
}
