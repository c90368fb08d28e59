//! What is there, as definitions.

use std::collections::HashSet;

use serde_json::{Map, Value, json};

use super::super::answer::Refusal;
use super::super::site::Api;
use super::super::{bindings, parameters, permissions, policies, table, users, vhosts, watch};
use crate::amqp::Table;
use crate::exchange::{ExchangeSpec, QueueSpec};
use crate::parameters::{POLICY, Parameters};
use crate::shard::desk::{Done, Order};
use crate::text::lossy;

pub async fn all(api: &Api) -> Result<Value, Refusal> {
    let Some(Done::Access(access)) = api.common.ask(Order::Access).await else {
        return Err(Refusal::Unavailable);
    };
    let parameters = parameters::read(&api.common).await?;
    let mut all = heading(api, "cluster").await?;
    let vhosts = vhosts::all(&api.common).await?;
    all.insert("users".to_owned(), access.users().map(|user| users::shown(user)).collect());
    all.insert("vhosts".to_owned(), vhosts.iter().map(vhost).collect());
    all.insert("permissions".to_owned(), json!(permissions::shown_permissions(&access, |_, _| true)));
    all.insert("topic_permissions".to_owned(), json!(permissions::shown_topics(&access, |_| true)));
    all.insert("global_parameters".to_owned(), json!(parameters::shown_globals(&parameters)));
    all.extend(set(&parameters, None));
    all.extend(declared(api, None).await?);
    Ok(Value::Object(all))
}

pub async fn of_vhost(api: &Api, vhost: &str) -> Result<Value, Refusal> {
    let parameters = parameters::read(&api.common).await?;
    let mut all = heading(api, "single_virtual_host").await?;
    all.insert("original_vhost_name".to_owned(), json!(vhost));
    all.extend(set(&parameters, Some(vhost)));
    all.extend(declared(api, Some(vhost)).await?);
    for items in all.values_mut().filter_map(Value::as_array_mut) {
        items.iter_mut().filter_map(Value::as_object_mut).for_each(|item| _ = item.remove("vhost"));
    }
    Ok(Value::Object(all))
}

async fn heading(api: &Api, format: &str) -> Result<Map<String, Value>, Refusal> {
    let heading = json!({
        "rabbit_version": api.site.product_version,
        "rabbitmq_version": api.site.product_version,
        "product_name": "HareMQ",
        "product_version": env!("CARGO_PKG_VERSION"),
        "rabbitmq_definition_format": format,
        "original_cluster_name": parameters::cluster_name_of(api).await?,
    });
    match heading {
        Value::Object(heading) => Ok(heading),
        _ => unreachable!("written as an object"),
    }
}

/// A vhost without what is known of it by itself. A queue type that is not set is left out: RabbitMQ 3.10 says that it has
/// taken a vhost with one, and has not.
fn vhost(shown: &Value) -> Value {
    let mut vhost = Map::new();
    for key in ["name", "description", "tags", "default_queue_type", "metadata"] {
        if let Some(value) = shown.get(key) {
            vhost.insert(key.to_owned(), value.clone());
        }
    }
    let is_set = |of: &Map<String, Value>| of.get(QUEUE_TYPE).is_some_and(|kind| kind != "undefined");
    if let Some(Value::Object(metadata)) = vhost.get_mut("metadata")
        && !is_set(metadata)
    {
        metadata.remove(QUEUE_TYPE);
    }
    if !is_set(&vhost) {
        vhost.remove(QUEUE_TYPE);
    }
    Value::Object(vhost)
}

const QUEUE_TYPE: &str = "default_queue_type";

/// Policies, and all other parameters.
fn set(parameters: &Parameters, of: Option<&str>) -> [(String, Value); 2] {
    let wanted = |vhost: &[u8]| of.is_none_or(|of| of.as_bytes() == vhost);
    let shown = parameters::shown_all(parameters, |it| wanted(&it.vhost) && *it.component != *POLICY);
    let policies = policies::shown_all(parameters, |it| wanted(&it.vhost));
    [("parameters".to_owned(), json!(shown)), ("policies".to_owned(), json!(policies))]
}

/// Durable or not, but for what ends with a connection and what is there from the start.
async fn declared(api: &Api, of: Option<&str>) -> Result<[(String, Value); 3], Refusal> {
    let wanted = |vhost: &[u8]| of.is_none_or(|of| of.as_bytes() == vhost);
    let mut queues = watch::queues(&api.common).await?;
    queues.retain(|queue| wanted(&queue.spec.vhost) && queue.spec.exclusive.is_none());
    queues
        .sort_by(|one, other| (&one.spec.vhost, &one.spec.name).cmp(&(&other.spec.vhost, &other.spec.name)));
    let mut exchanges = watch::exchanges(&api.common).await?;
    exchanges
        .retain(|(spec, _)| wanted(&spec.vhost) && !spec.name.is_empty() && !spec.name.starts_with(b"amq."));
    let bindings = bindings::definitions(&api.common, of).await?;
    let kept: HashSet<(String, String)> = queues
        .iter()
        .map(|queue| (lossy(&queue.spec.vhost).into_owned(), lossy(&queue.spec.name).into_owned()))
        .collect();
    let is_kept = |binding: &Value| {
        let name = |key: &str| binding[key].as_str().unwrap_or_default().to_owned();
        binding["destination_type"] != "queue" || kept.contains(&(name("vhost"), name("destination")))
    };
    Ok([
        ("queues".to_owned(), queues.iter().map(|queue| queue_item(&queue.spec)).collect()),
        ("exchanges".to_owned(), exchanges.iter().map(|(spec, _)| exchange_item(spec)).collect()),
        ("bindings".to_owned(), bindings.into_iter().filter(is_kept).collect()),
    ])
}

fn queue_item(spec: &QueueSpec) -> Value {
    json!({
        "name": lossy(&spec.name),
        "vhost": lossy(&spec.vhost),
        "durable": spec.durable,
        "auto_delete": spec.auto_delete,
        "arguments": table::shown(Table::from_checked(&spec.arguments)),
    })
}

fn exchange_item(spec: &ExchangeSpec) -> Value {
    json!({
        "name": lossy(&spec.name),
        "vhost": lossy(&spec.vhost),
        "type": spec.kind.name(),
        "durable": spec.durable,
        "auto_delete": spec.auto_delete,
        "internal": spec.internal,
        "arguments": table::shown(Table::from_checked(&spec.arguments)),
    })
}
