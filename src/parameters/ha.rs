//! The keys of mirrored queues. There is no second server for a copy, but policies that ask for one are common: they are
//! checked as rabbit_mirror_queue_misc does, and mean nothing.

use serde_json::{Map, Value};

use super::term::term;

pub(super) const KEYS: &[&str] =
    &[MODE, PARAMS, SYNC_MODE, "ha-sync-batch-size", "ha-promote-on-shutdown", "ha-promote-on-failure"];

/// The error is RabbitMQ's text.
pub(super) fn check(given: &Map<String, Value>) -> Result<(), String> {
    if !KEYS.iter().any(|key| given.contains_key(*key)) {
        return Ok(());
    }
    let Some(mode) = given.get(MODE) else {
        return Err("ha-mode must be specified to specify ha-params, ha-sync-mode or ha-promote-on-shutdown"
            .to_owned());
    };
    check_params(mode, given.get(PARAMS))?;
    check_one_of(given, SYNC_MODE, ["manual", "automatic"])?;
    match given.get("ha-sync-batch-size") {
        Some(size) if size.as_u64().is_none_or(|size| size == 0) => {
            return Err(format!("ha-sync-batch-size takes an integer greater than 0, {} given", term(size)));
        }
        _ => {}
    }
    check_one_of(given, "ha-promote-on-shutdown", ["always", "when-synced"])?;
    check_one_of(given, "ha-promote-on-failure", ["always", "when-synced"])
}

fn check_params(mode: &Value, params: Option<&Value>) -> Result<(), String> {
    let shown = || params.map_or_else(|| "none".to_owned(), term);
    let is_count = params.is_some_and(|count| count.as_u64().is_some_and(|count| count > 0));
    match mode.as_str() {
        Some("all") if params.is_none() => Ok(()),
        Some("all") => Err("ha-mode=\"all\" does not take parameters".to_owned()),
        Some("exactly") if is_count => Ok(()),
        Some("exactly") => Err(format!("ha-mode=\"exactly\" takes an integer, {} given", shown())),
        Some("nodes") => match params {
            Some(Value::Array(nodes)) => check_nodes(nodes),
            _ => Err(format!("ha-mode=\"nodes\" takes a list, {} given", shown())),
        },
        _ => Err(format!("{} is not a valid ha-mode value", term(mode))),
    }
}

fn check_nodes(nodes: &[Value]) -> Result<(), String> {
    if nodes.is_empty() {
        return Err("ha-mode=\"nodes\" list must be non-empty".to_owned());
    }
    let others: Vec<Value> = nodes.iter().filter(|node| !node.is_string()).cloned().collect();
    if others.is_empty() {
        return Ok(());
    }
    let shown = term(&Value::Array(others));
    Err(format!("ha-mode=\"nodes\" takes a list of strings, {shown} was not a string"))
}

fn check_one_of(given: &Map<String, Value>, key: &str, known: [&str; 2]) -> Result<(), String> {
    match given.get(key) {
        Some(value) if !value.as_str().is_some_and(|name| known.contains(&name)) => {
            Err(format!("{key} must be \"{}\" or \"{}\", got {}", known[0], known[1], term(value)))
        }
        _ => Ok(()),
    }
}

const MODE: &str = "ha-mode";
const PARAMS: &str = "ha-params";
const SYNC_MODE: &str = "ha-sync-mode";
