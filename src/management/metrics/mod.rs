//! `/metrics` and its like, for Prometheus, under the names that RabbitMQ's dashboards ask for.
//!
//! `/metrics` costs the same for any number of queues: it tells of the last sample, which is at most some seconds old.

mod objects;
mod text;

use axum::extract::{Query, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};

use super::answer::Refusal;
use super::own;
use super::process::Process;
use super::routes::{Need, Routes};
use super::site::{Api, Site};
use crate::latency::{Latency, QueueLatency};
use crate::shard::start::{Common, Snapshot};
use objects::Wanted;
use text::{Kind, Text};

pub fn routes(routes: Routes) -> Routes {
    use Need::Nothing;
    routes.get("/metrics", Nothing, aggregated).get("/metrics/per-object", Nothing, per_object).get(
        "/metrics/detailed",
        Nothing,
        detailed,
    )
}

/// Of the server as a whole.
async fn aggregated(State(api): State<Api>) -> Result<Response, Refusal> {
    let mut text = Text::new("rabbitmq_");
    identity(&api.site, "aggregated", &mut text);
    totals(&api, &mut text);
    global(&api, &mut text);
    machine(&api, &mut text);
    sizes(&api.common, &mut text);
    let mut own = Text::new("haremq_");
    shards(&api.common, &mut own);
    latencies(&own::latencies(&api.common).await?, &mut own);
    Ok(answered(text.finish() + &own.finish()))
}

/// Of each queue, connection and channel too.
async fn per_object(State(api): State<Api>) -> Result<Response, Refusal> {
    let mut text = Text::new("rabbitmq_");
    identity(&api.site, "per-object", &mut text);
    global(&api, &mut text);
    machine(&api, &mut text);
    objects::write(&api, &Wanted::all(), &mut text).await?;
    Ok(answered(text.finish()))
}

/// Of the families that were asked for.
pub async fn detailed(
    State(api): State<Api>,
    Query(asked): Query<Vec<(String, String)>>,
) -> Result<Response, Refusal> {
    let values = |name: &str| {
        asked.iter().filter(|(key, _)| key == name).map(|(_, value)| value.clone()).collect::<Vec<_>>()
    };
    let wanted = Wanted::of(values("family"), values("vhost"));
    let mut text = Text::new("rabbitmq_detailed_");
    objects::write(&api, &wanted, &mut text).await?;
    let mut about = Text::new("rabbitmq_");
    identity(&api.site, "detailed", &mut about);
    Ok(answered(about.finish() + &text.finish()))
}

fn answered(text: String) -> Response {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
}

fn identity(site: &Site, endpoint: &str, text: &mut Text) {
    text.family("build_info", Kind::Gauge, "RabbitMQ & Erlang/OTP version info").put(
        &[
            ("rabbitmq_version", &site.product_version),
            ("prometheus_plugin_version", &site.product_version),
            ("prometheus_client_version", env!("CARGO_PKG_VERSION")),
            ("erlang_version", ""),
            ("product_name", "HareMQ"),
            ("product_version", env!("CARGO_PKG_VERSION")),
        ],
        1,
    );
    text.family("identity_info", Kind::Gauge, "RabbitMQ node & cluster identity info").put(
        &[
            ("rabbitmq_node", &site.node),
            ("rabbitmq_cluster", &site.cluster),
            ("rabbitmq_cluster_permanent_id", &site.cluster),
            ("rabbitmq_endpoint", endpoint),
        ],
        1,
    );
}

fn totals(api: &Api, text: &mut Text) {
    let now = api.watch.rates().totals(None).now;
    text.one("connections", Kind::Gauge, "Connections currently open", now.connections);
    text.one("channels", Kind::Gauge, "Channels currently open", now.channels);
    text.one("consumers", Kind::Gauge, "Consumers currently connected", now.consumers);
    text.one("queues", Kind::Gauge, "Queues available", now.queues);
    text.one(
        "queue_messages",
        Kind::Gauge,
        "Sum of ready and unacknowledged messages - total queue depth",
        now.ready + now.unacked,
    );
    text.one("queue_messages_ready", Kind::Gauge, "Messages ready to be delivered to consumers", now.ready);
    text.one(
        "queue_messages_unacked",
        Kind::Gauge,
        "Messages delivered to consumers but not yet acknowledged",
        now.unacked,
    );
}

/// What came and went, and what passed, since the start.
fn global(api: &Api, text: &mut Text) {
    let churn = api.common.churn();
    let names = [
        "connections_opened_total",
        "connections_closed_total",
        "channels_opened_total",
        "channels_closed_total",
        "queues_declared_total",
        "queues_created_total",
        "queues_deleted_total",
    ];
    for (name, (of, count)) in names.into_iter().zip(churn) {
        text.one(name, Kind::Counter, &format!("Total of {of}"), count);
    }
    let now = api.watch.rates().totals(None).now;
    let (passed, counter) = (now.traffic, |name| api.common.counter(name));
    let protocol = [("protocol", "amqp091")];
    for (name, help, value) in [
        ("received", "Total number of messages received from publishers", passed.publish),
        (
            "received_confirm",
            "Total number of messages received from publishers using publisher confirms",
            counter("published_confirm"),
        ),
        ("confirmed", "Total number of messages confirmed to publishers", passed.confirm),
        ("routed", "Total number of messages routed to queues", counter("queued")),
        (
            "unroutable_dropped",
            "Total number of messages published as non-mandatory into an exchange and dropped as unroutable",
            passed.drop_unroutable,
        ),
        (
            "unroutable_returned",
            "Total number of messages published as mandatory into an exchange and returned to the publisher as unroutable",
            passed.return_unroutable,
        ),
    ] {
        text.family(&format!("global_messages_{name}_total"), Kind::Counter, help).put(&protocol, value);
    }
    text.family("global_publishers", Kind::Gauge, "Publishers currently connected")
        .put(&protocol, now.publishers);
    text.family("global_consumers", Kind::Gauge, "Consumers currently connected")
        .put(&protocol, now.consumers);
    // All queues are of one make here.
    let of_queue = [("protocol", "amqp091"), ("queue_type", "rabbit_classic_queue")];
    for (name, help, value) in [
        ("delivered", "Total number of messages delivered to consumers", passed.delivered()),
        (
            "delivered_consume_auto_ack",
            "Total number of messages delivered to consumers using basic.consume with automatic acknowledgment",
            passed.deliver_no_ack,
        ),
        (
            "delivered_consume_manual_ack",
            "Total number of messages delivered to consumers using basic.consume with manual acknowledgment",
            passed.deliver,
        ),
        (
            "delivered_get_auto_ack",
            "Total number of messages delivered to consumers using basic.get with automatic acknowledgment",
            passed.get_no_ack,
        ),
        (
            "delivered_get_manual_ack",
            "Total number of messages delivered to consumers using basic.get with manual acknowledgment",
            passed.get,
        ),
        ("get_empty", "Total number of times basic.get operations fetched no message", passed.get_empty),
        ("redelivered", "Total number of messages redelivered to consumers", passed.redeliver),
        ("acknowledged", "Total number of messages acknowledged by consumers", passed.ack),
    ] {
        text.family(&format!("global_messages_{name}_total"), Kind::Counter, help).put(&of_queue, value);
    }
    let strategy = [("queue_type", "rabbit_classic_queue"), ("dead_letter_strategy", "at_most_once")];
    for (name, counted) in [
        ("delivery_limit", "dead_lettered_delivery_limit"),
        ("expired", "dead_lettered_expired"),
        ("maxlen", "dead_lettered_maxlen"),
        ("rejected", "dead_lettered_rejected"),
    ] {
        let family = format!("global_messages_dead_lettered_{name}_total");
        let help = format!("Total number of messages dead-lettered: {name}");
        text.family(&family, Kind::Counter, &help).put(&strategy, counter(counted));
    }
}

fn machine(Api { common, site, .. }: &Api, text: &mut Text) {
    let process = Process::look();
    text.one("process_open_fds", Kind::Gauge, "Open file descriptors", process.files);
    text.one("process_max_fds", Kind::Gauge, "Open file descriptors limit", process.files_max);
    text.one("process_open_tcp_sockets", Kind::Gauge, "Open TCP sockets", common.counter("connections"));
    text.one("process_resident_memory_bytes", Kind::Gauge, "Memory used in bytes", process.resident_bytes);
    text.one(
        "resident_memory_limit_bytes",
        Kind::Gauge,
        "Memory high watermark in bytes",
        site.budget.limit_bytes(),
    );
    text.one(
        "disk_space_available_bytes",
        Kind::Gauge,
        "Disk space available in bytes",
        site.disk_free().unwrap_or(0),
    );
    text.one(
        "disk_space_available_limit_bytes",
        Kind::Gauge,
        "Free disk space low watermark in bytes",
        site.disk_free_min.bytes(),
    );
    text.one(
        "alarms_memory_used_watermark",
        Kind::Gauge,
        "is 1 if VM memory watermark alarm is in effect",
        u8::from(site.budget.alarm()),
    );
    text.one(
        "alarms_free_disk_space_watermark",
        Kind::Gauge,
        "is 1 if free disk space watermark alarm is in effect",
        u8::from(site.is_low_on_disk()),
    );
    text.one("erlang_uptime_seconds", Kind::Gauge, "Node uptime", site.started.elapsed().as_secs_f64());
}

/// RabbitMQ's bounds, as its Prometheus client writes them.
const SIZE_BOUNDS: [&str; 8] = ["100.0", "1.0e3", "1.0e4", "1.0e5", "1.0e6", "1.0e7", "5.0e7", "1.0e8"];

fn sizes(common: &Common, text: &mut Text) {
    let counts = crate::stats::SIZES.map(|name| common.counter(name));
    let mut family =
        text.family("message_size_bytes", Kind::Histogram, "Size of messages received from publishers");
    family.put_histogram(&[("protocol", "amqp091")], &SIZE_BOUNDS, &counts, common.counter("size_sum"));
}

/// What each shard counts, under its own name.
fn shards(common: &Common, text: &mut Text) {
    let snapshots = common.snapshots();
    let numbers: Vec<_> = snapshots.iter().map(Snapshot::numbers).collect();
    let Some(first) = numbers.first() else { return };
    for (at, (name, _)) in first.iter().enumerate() {
        let help = format!("Of each shard: {}", name.replace('_', " "));
        // What ends in _sum is a part of a histogram.
        let name = format!("shard_{}", if *name == "size_sum" { "size_octets" } else { name });
        let mut family = text.family(&name, Kind::Gauge, &help);
        for (shard, numbers) in numbers.iter().enumerate() {
            family.put(&[("shard", &shard.to_string())], numbers[at].1);
        }
    }
}

/// Of each shard, how long messages took.
fn latencies(shards: &[(QueueLatency, Latency)], text: &mut Text) {
    type Of = fn(&(QueueLatency, Latency)) -> &Latency;
    let families: [(&str, &str, Of); 4] = [
        ("queue_wait", "From the arrival of a message at its queue to its first delivery", |it| &it.0.waited),
        ("queue_safe", "From the arrival of a message to when it was as safe as its queue promises", |it| {
            &it.0.kept
        }),
        ("ack", "From the delivery of a message to its ack", |it| &it.0.acked),
        ("confirm", "From the publish of a message to its confirm", |it| &it.1),
    ];
    let bounds = LATENCY_BOUNDS.map(|(_, text)| text);
    for (name, help, of) in families {
        let name = format!("shard_{name}_seconds");
        let mut family = text.family(&name, Kind::Histogram, help);
        for (shard, latency) in shards.iter().map(of).enumerate() {
            let histogram = latency.histogram();
            let sum = histogram.mean() * histogram.len() as f64 / 1e6;
            let below = LATENCY_BOUNDS.map(|(us, _)| histogram.count_between(0, us));
            let ends = below.into_iter().chain([histogram.len()]);
            let counts: Vec<u64> =
                ends.clone().zip([0].into_iter().chain(ends)).map(|(to, from)| to - from).collect();
            family.put_histogram(&[("shard", &shard.to_string())], &bounds, &counts, sum);
        }
    }
}

/// Microseconds, and the same as Prometheus is told; true within the sixteenth that a histogram tells apart.
const LATENCY_BOUNDS: [(u64, &str); 14] = [
    (50, "5.0e-5"),
    (100, "1.0e-4"),
    (250, "2.5e-4"),
    (500, "5.0e-4"),
    (1_000, "0.001"),
    (2_500, "0.0025"),
    (5_000, "0.005"),
    (10_000, "0.01"),
    (25_000, "0.025"),
    (100_000, "0.1"),
    (500_000, "0.5"),
    (1_000_000, "1.0"),
    (10_000_000, "10.0"),
    (60_000_000, "60.0"),
];
