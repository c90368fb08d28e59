//! How long messages took, as it was counted on the shards.

use axum::extract::{Path, State};
use hdrhistogram::Histogram;
use serde_json::{Value, json};

use super::super::answer::{self, Answer, Refusal};
use super::super::login::User;
use super::{order, queue};
use crate::access::Operation;
use crate::latency::{Latency, QueueLatency};
use crate::shard::desk::{Done, Order};
use crate::shard::queue_orders::{QueueDone, QueueOrder};
use crate::shard::start::Common;

/// Of one queue, since it is there or the server runs.
pub async fn of_queue(
    user: User,
    State(common): State<Common>,
    Path((vhost, name)): Path<(String, String)>,
) -> Answer {
    let id = queue(&common, &user, (&vhost, &name), Operation::Read).await?;
    match order(&common, id, QueueOrder::Latency).await? {
        QueueDone::Latency { of, oldest_ready_ns } => {
            let mut shown = shown(&of);
            shown["oldest_ready_us"] = json!(oldest_ready_ns.map(|ns| ns / 1000));
            answer::body(shown)
        }
        _ => Err(Refusal::Unavailable),
    }
}

/// Of the queues and the publishers of each shard.
pub async fn of_shards(State(common): State<Common>) -> Answer {
    let mut shards = Vec::new();
    for (queues, confirmed) in all(&common).await? {
        let mut shown = shown(&queues);
        shown["publish_to_confirm"] = distribution(&confirmed);
        shards.push(shown);
    }
    answer::body(shards)
}

pub async fn all(common: &Common) -> Result<Vec<(QueueLatency, Latency)>, Refusal> {
    let mut all = Vec::new();
    for shard in common.shards() {
        match common.ask_at(shard, Order::Latency).await {
            Some(Done::Latency { queues, confirmed }) => all.push((*queues, confirmed)),
            _ => return Err(Refusal::Unavailable),
        }
    }
    Ok(all)
}

fn shown(latency: &QueueLatency) -> Value {
    json!({
        "time_in_queue": distribution(&latency.waited),
        "arrival_to_safe": distribution(&latency.kept),
        "deliver_to_ack": distribution(&latency.acked),
    })
}

/// Percentiles, and the counts that they are made of: how many took at most so long and more than the line before.
fn distribution(latency: &Latency) -> Value {
    let histogram = latency.histogram();
    let at = |quantile| histogram.value_at_quantile(quantile);
    json!({
        "count": histogram.len(),
        "mean_us": histogram.mean(),
        "p50_us": at(0.5),
        "p90_us": at(0.9),
        "p99_us": at(0.99),
        "p99_9_us": at(0.999),
        "max_us": histogram.max(),
        "counts": counts(&histogram),
    })
}

fn counts(histogram: &Histogram<u64>) -> Vec<Value> {
    let recorded = histogram.iter_recorded();
    recorded.map(|step| json!([step.value_iterated_to(), step.count_since_last_iteration()])).collect()
}
