//! `/api/haremq/`: what there is here and not with RabbitMQ.

mod act;
mod explain;
mod latency;
mod messages;
mod peek;

pub use latency::all as latencies;

use axum::extract::State;
use serde_json::{Value, json};

use super::answer::{self, Answer, Refusal};
use super::connections;
use super::login::User;
use super::routes::{Need, Routes};
use super::site::Api;
use super::{vhosts, watch};
use crate::access::{Operation, Resource};
use crate::ids::QueueId;
use crate::shard::desk::{Done, Order};
use crate::shard::queue_orders::{QueueDone, QueueOrder};
use crate::shard::start::Common;
use crate::text::Vhost;

pub fn routes(routes: Routes) -> Routes {
    use Need::{EnterVhost, Management, Monitoring};
    routes
        .get("/api/haremq/shards", Monitoring, shards)
        .get("/api/haremq/latency", Monitoring, latency::of_shards)
        .get("/api/haremq/queues/{vhost}/{queue}/latency", EnterVhost, latency::of_queue)
        .post("/api/haremq/explain/{vhost}", EnterVhost, explain::explain)
        .get("/api/haremq/queues/{vhost}/{queue}/messages", EnterVhost, peek::show)
        .delete("/api/haremq/queues/{vhost}/{queue}/messages", EnterVhost, messages::delete)
        .post("/api/haremq/queues/{vhost}/{queue}/messages/move", EnterVhost, messages::carry)
        .put("/api/haremq/queues/{vhost}/{queue}/pause", EnterVhost, act::pause)
        .put("/api/haremq/queues/{vhost}/{queue}/resume", EnterVhost, act::resume)
        .delete("/api/haremq/consumers/{connection}/{channel}/{tag}", Management, act::cancel)
        .get("/api/haremq/connections/{connection}/held", Management, connections::held)
}

/// What each shard publishes once a turn, and what lives there.
async fn shards(State(Api { common, watch, .. }): State<Api>) -> Answer {
    let rates = watch.rates();
    let shown = |(shard, snapshot)| {
        let mut shown = json!(snapshot);
        shown["busy_share"] = json!(rates.busy_share(shard));
        let queues = shown["counters"]["queues"].take();
        shown["queues"] = queues;
        if let Some(counters) = shown["counters"].as_object_mut() {
            counters.remove("queues");
        }
        shown
    };
    answer::body(common.snapshots().iter().enumerate().map(shown).collect::<Vec<Value>>())
}

/// Of a queue that the user may do that to. The refusals are those of `basic.get` over HTTP.
async fn queue(
    common: &Common,
    user: &User,
    (vhost, name): (&str, &str),
    operation: Operation,
) -> Result<QueueId, Refusal> {
    vhosts::check(common, vhost).await?;
    let (vhost, name) = (vhost.as_bytes(), name.as_bytes());
    let permitted = user.access.check(&user.user.name, vhost, Resource::Queue(name), operation);
    permitted.map_err(|text| Refusal::NotAuthorised(format!("ACCESS_REFUSED - {text}")))?;
    let report = watch::queue(common, vhost, name).await?.ok_or(Refusal::NotFound)?;
    if report.spec.exclusive.is_some() {
        let text = Vhost(vhost).locked_queue(name);
        return Err(Refusal::BadRequest(format!("405 RESOURCE_LOCKED - {text}")));
    }
    Ok(report.id)
}

async fn order(common: &Common, queue: QueueId, order: QueueOrder) -> Result<QueueDone, Refusal> {
    match common.ask_at(queue.shard, Order::OfQueue(queue, order)).await {
        Some(Done::OfQueue(done)) => Ok(done),
        Some(Done::NotFound) => Err(Refusal::NotFound),
        _ => Err(Refusal::Unavailable),
    }
}
