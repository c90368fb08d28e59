//! Definitions come in.

use std::collections::VecDeque;

use serde_json::{Map, Value};
use tokio::task::JoinSet;

use super::super::answer::{self, Refusal};
use super::super::{parameters, permissions, table, users, vhosts};
use crate::access;
use crate::ids::Name;
use crate::parameters::{Change, POLICY, Parameter};
use crate::shard::desk::{Declaration, Done, End, Order};
use crate::shard::start::Common;

type Item = Map<String, Value>;

/// Takes definitions in; `into` is the vhost that their items lie in if they name none. What was taken stays when something
/// later is refused, as with RabbitMQ.
pub async fn import(common: &Common, definitions: &Value, into: Option<&str>) -> Result<(), Refusal> {
    let definitions = definitions.as_object().ok_or_else(|| bad("not_json"))?;
    let items = |key: &str| items(definitions, key);
    if into.is_none() {
        import_users(common, &items("users")?).await?;
        for vhost in items("vhosts")? {
            vhosts::define(common, text(vhost, "name")?, &Value::Object(vhost.clone())).await?;
        }
        import_permissions(common, &items("permissions")?, &items("topic_permissions")?).await?;
    }
    let mut changes = Vec::new();
    for item in items("parameters")? {
        let value = item.get("value").cloned().unwrap_or_default();
        changes.push(parameter(vhost_of(item, into)?, text(item, "component")?, text(item, "name")?, value)?);
    }
    for item in items("policies")? {
        let component = std::str::from_utf8(POLICY).expect("it is ASCII");
        let value = policy_value(item);
        changes.push(parameter(vhost_of(item, into)?, component, text(item, "name")?, value)?);
    }
    if into.is_none() {
        for item in items("global_parameters")? {
            let value = item.get("value").cloned().unwrap_or_default();
            changes.push(Change::GlobalPut { name: named(text(item, "name")?), value });
        }
    }
    parameters::change(common, changes).await?;
    let mut declared = Vec::new();
    for item in items("queues")? {
        declared.push((vhost_of(item, into)?, queue(item)?));
    }
    for item in items("exchanges")? {
        declared.extend(
            exchange(item)?
                .map(|exchange| Ok::<_, Refusal>((vhost_of(item, into)?, exchange)))
                .transpose()?,
        );
    }
    declare_all(common, declared).await?;
    let mut bound = Vec::new();
    for item in items("bindings")? {
        bound.push((vhost_of(item, into)?, binding(item)?));
    }
    declare_all(common, bound).await
}

fn items<'a>(definitions: &'a Item, key: &str) -> Result<Vec<&'a Item>, Refusal> {
    let Some(items) = definitions.get(key) else { return Ok(Vec::new()) };
    let items = items.as_array().ok_or_else(|| bad(format!("{key} is not a list")))?;
    items
        .iter()
        .map(|item| item.as_object().ok_or_else(|| bad(format!("{key} holds what is no object"))))
        .collect()
}

async fn import_users(common: &Common, items: &[&Item]) -> Result<(), Refusal> {
    if items.is_empty() {
        return Ok(());
    }
    let Some(Done::Access(access)) = common.ask(Order::Access).await else {
        return Err(Refusal::Unavailable);
    };
    let hashing = common.config.users.password_hashing;
    let items: Vec<Item> = items.iter().map(|&item| item.clone()).collect();
    let user = move |item: Item| {
        let name = text(&item, "name")?.to_owned();
        users::defined(&access, &name, Value::Object(item), hashing).map(access::Change::UserPut)
    };
    let users = answer::beside(move || items.into_iter().map(user).collect::<Result<_, Refusal>>());
    answer::changed(common, users.await??).await
}

async fn import_permissions(common: &Common, plain: &[&Item], topics: &[&Item]) -> Result<(), Refusal> {
    let mut changes = Vec::new();
    for item in plain {
        let [configure, write, read] = [text(item, "configure")?, text(item, "write")?, text(item, "read")?];
        changes.push(permissions::defined(
            text(item, "vhost")?,
            text(item, "user")?,
            [configure, write, read],
        )?);
    }
    for item in topics {
        let [exchange, write, read] = [text(item, "exchange")?, text(item, "write")?, text(item, "read")?];
        changes.push(permissions::defined_topic(
            text(item, "vhost")?,
            text(item, "user")?,
            exchange,
            [write, read],
        )?);
    }
    if changes.is_empty() { Ok(()) } else { answer::changed(common, changes).await }
}

fn parameter(vhost: &str, component: &str, name: &str, value: Value) -> Result<Change, Refusal> {
    let parameter = Parameter::new(vhost.as_bytes(), component.as_bytes(), name.as_bytes(), value);
    parameter.map(Change::Put).map_err(Refusal::BadRequest)
}

/// What a policy is besides its name and its vhost.
fn policy_value(item: &Item) -> Value {
    let value = item.iter().filter(|(key, _)| !["name", "vhost"].contains(&key.as_str()));
    Value::Object(value.map(|(key, value)| (key.clone(), value.clone())).collect())
}

fn queue(item: &Item) -> Result<Declaration, Refusal> {
    let mut arguments = arguments_of(item)?;
    // Some tools write the type beside the arguments.
    if let Some(kind) = item.get("type").filter(|kind| **kind != "classic")
        && !arguments.contains_key("x-queue-type")
    {
        arguments.insert("x-queue-type".to_owned(), kind.clone());
    }
    Ok(Declaration::Queue {
        name: named(text(item, "name")?),
        durable: flag(item, "durable"),
        auto_delete: flag(item, "auto_delete"),
        arguments: written(arguments)?,
    })
}

/// None: it is there from the start.
fn exchange(item: &Item) -> Result<Option<Declaration>, Refusal> {
    let name = text(item, "name")?;
    if name.is_empty() || name.starts_with("amq.") {
        return Ok(None);
    }
    Ok(Some(Declaration::Exchange {
        name: named(name),
        kind: named(text(item, "type")?),
        durable: flag(item, "durable"),
        auto_delete: flag(item, "auto_delete"),
        internal: flag(item, "internal"),
        arguments: written(arguments_of(item)?)?,
    }))
}

fn binding(item: &Item) -> Result<Declaration, Refusal> {
    let destination = named(text(item, "destination")?);
    let destination = match text(item, "destination_type")? {
        "queue" => End::Queue(destination),
        "exchange" => End::Exchange(destination),
        other => return Err(bad(format!("a binding leads to a queue or an exchange, not to a {other}"))),
    };
    Ok(Declaration::Binding {
        source: named(text(item, "source")?),
        destination,
        key: named(text(item, "routing_key")?),
        arguments: written(arguments_of(item)?)?,
    })
}

/// Many at a time: each waits for the disk.
async fn declare_all(common: &Common, declared: Vec<(&str, Declaration)>) -> Result<(), Refusal> {
    let mut waiting: VecDeque<_> = declared.into();
    let mut under_way: JoinSet<Result<(), Refusal>> = JoinSet::new();
    while !waiting.is_empty() || !under_way.is_empty() {
        while under_way.len() < DECLARED_AT_ONCE
            && let Some((vhost, declaration)) = waiting.pop_front()
        {
            let (common, vhost) = (common.clone(), named(vhost));
            under_way.spawn(async move { declare(&common, vhost, declaration).await });
        }
        match under_way.join_next().await {
            Some(Ok(declared)) => declared?,
            Some(Err(_)) => return Err(Refusal::Unavailable),
            None => {}
        }
    }
    Ok(())
}

async fn declare(common: &Common, vhost: Name, declaration: Declaration) -> Result<(), Refusal> {
    match common.ask(Order::Declare { vhost, declaration }).await {
        Some(Done::Declared(declared)) => declared.map_err(Refusal::BadRequest),
        Some(Done::NotFound) => Err(bad("vhost_not_found")),
        _ => Err(Refusal::Unavailable),
    }
}

/// Fewer than a shard's desk has room for.
const DECLARED_AT_ONCE: usize = 256;

fn vhost_of<'a>(item: &'a Item, into: Option<&'a str>) -> Result<&'a str, Refusal> {
    into.map_or_else(|| text(item, "vhost"), Ok)
}

fn arguments_of(item: &Item) -> Result<Item, Refusal> {
    match item.get("arguments") {
        None | Some(Value::Null) => Ok(Item::new()),
        Some(Value::Object(arguments)) => Ok(arguments.clone()),
        // RabbitMQ's empty table.
        Some(Value::Array(none)) if none.is_empty() => Ok(Item::new()),
        Some(_) => Err(bad("arguments are an object")),
    }
}

fn written(arguments: Item) -> Result<Name, Refusal> {
    table::written(&Value::Object(arguments)).map(Name::from).map_err(Refusal::BadRequest)
}

fn text<'a>(item: &'a Item, key: &str) -> Result<&'a str, Refusal> {
    item.get(key).and_then(Value::as_str).ok_or_else(|| bad(format!("[{{key_missing,{key}}}]")))
}

fn flag(item: &Item, key: &str) -> bool {
    item.get(key).and_then(Value::as_bool).unwrap_or(false)
}

fn named(text: &str) -> Name {
    Name::from(text.as_bytes())
}

fn bad(reason: impl Into<String>) -> Refusal {
    Refusal::BadRequest(reason.into())
}
