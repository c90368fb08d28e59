//! Metrics of each object: the families of `/metrics/detailed`.

use std::collections::BTreeMap;

use super::super::answer::Refusal;
use super::super::connections::ConnectionName;
use super::super::site::Api;
use super::super::watch;
use super::text::{Kind, Text};
use crate::shard::report::{ConnectionReport, QueueReport};
use crate::stats::Traffic;
use crate::text::lossy;

/// Which families, of which vhosts.
pub struct Wanted {
    families: Option<Vec<String>>,
    /// Empty: of all.
    vhosts: Vec<String>,
}

impl Wanted {
    pub fn all() -> Wanted {
        Wanted { families: None, vhosts: Vec::new() }
    }

    pub fn of(families: Vec<String>, vhosts: Vec<String>) -> Wanted {
        Wanted { families: Some(families), vhosts }
    }

    fn wants(&self, family: &str) -> bool {
        self.families.as_ref().is_none_or(|families| families.iter().any(|wanted| wanted == family))
    }

    fn any(&self, families: &[&str]) -> bool {
        families.iter().any(|family| self.wants(family))
    }

    fn of_vhost(&self, vhost: &[u8]) -> bool {
        self.vhosts.is_empty() || self.vhosts.iter().any(|wanted| wanted.as_bytes() == vhost)
    }
}

pub async fn write(api: &Api, wanted: &Wanted, text: &mut Text) -> Result<(), Refusal> {
    if wanted.any(&QUEUE_FAMILIES) {
        let mut queues = watch::queues(&api.common).await?;
        queues.retain(|queue| wanted.of_vhost(&queue.spec.vhost));
        write_queues(wanted, &queues, text);
    }
    if wanted.any(&CONNECTION_FAMILIES) {
        let mut connections = watch::connections(&api.common).await?;
        connections.retain(|it| it.session.as_ref().is_some_and(|session| wanted.of_vhost(&session.vhost)));
        write_connections(wanted, &connections, text);
        write_channels(wanted, &connections, text);
    }
    if wanted.any(&["exchange_metrics", "exchange_names"]) {
        write_exchanges(api, wanted, text).await?;
    }
    if wanted.wants("connection_churn_metrics") {
        for (name, count) in api.common.churn() {
            text.one(&format!("{name}_total"), Kind::Counter, &format!("Total of {name}"), count);
        }
    }
    Ok(())
}

const QUEUE_FAMILIES: [&str; 4] =
    ["queue_coarse_metrics", "queue_consumer_count", "queue_metrics", "queue_delivery_metrics"];
const CONNECTION_FAMILIES: [&str; 4] =
    ["connection_coarse_metrics", "connection_metrics", "channel_metrics", "channel_exchange_metrics"];

type Column<T> = (&'static str, Kind, &'static str, fn(&T) -> u64);

fn write_queues(wanted: &Wanted, queues: &[QueueReport], text: &mut Text) {
    let mut put = |columns: &[Column<QueueReport>]| {
        for (name, kind, help, read) in columns {
            let mut family = text.family(name, *kind, help);
            for queue in queues {
                let labels = [("vhost", &*lossy(&queue.spec.vhost)), ("queue", &*lossy(&queue.spec.name))];
                family.put(&labels, read(queue));
            }
        }
    };
    if wanted.wants("queue_coarse_metrics") {
        put(&[
            ("queue_messages_ready", Kind::Gauge, "Messages ready to be delivered to consumers", |it| {
                it.ready
            }),
            (
                "queue_messages_unacked",
                Kind::Gauge,
                "Messages delivered to consumers but not yet acknowledged",
                |it| it.unacked,
            ),
            ("queue_messages", Kind::Gauge, "Sum of ready and unacknowledged messages", |it| {
                it.ready + it.unacked
            }),
        ]);
    }
    if wanted.any(&["queue_consumer_count", "queue_metrics"]) {
        put(&[("queue_consumers", Kind::Gauge, "Consumers on a queue", |it| it.consumers)]);
    }
    if wanted.wants("queue_metrics") {
        put(&[
            (
                "queue_messages_bytes",
                Kind::Gauge,
                "Size in bytes of ready and unacknowledged messages",
                |it| it.ready_bodies.bytes + it.unacked_bodies.bytes,
            ),
            ("queue_messages_ready_bytes", Kind::Gauge, "Size in bytes of ready messages", |it| {
                it.ready_bodies.bytes
            }),
            (
                "queue_messages_unacked_bytes",
                Kind::Gauge,
                "Size in bytes of all unacknowledged messages",
                |it| it.unacked_bodies.bytes,
            ),
            ("queue_messages_persistent", Kind::Gauge, "Persistent messages", |it| {
                it.ready_bodies.kept + it.unacked_bodies.kept
            }),
            ("queue_messages_persistent_bytes", Kind::Gauge, "Size in bytes of persistent messages", |it| {
                it.ready_bodies.kept_bytes + it.unacked_bodies.kept_bytes
            }),
            (
                "queue_messages_published_total",
                Kind::Counter,
                "Total number of messages published to queues",
                |it| it.traffic.publish,
            ),
        ]);
    }
    if wanted.wants("queue_delivery_metrics") {
        put(&[
            (
                "queue_get_total",
                Kind::Counter,
                "Messages fetched with basic.get in manual acknowledgement mode",
                |it| it.traffic.get,
            ),
            (
                "queue_get_ack_total",
                Kind::Counter,
                "Messages fetched with basic.get in automatic acknowledgement mode",
                |it| it.traffic.get_no_ack,
            ),
            (
                "queue_messages_delivered_total",
                Kind::Counter,
                "Messages delivered in automatic acknowledgement mode",
                |it| it.traffic.deliver_no_ack,
            ),
            (
                "queue_messages_delivered_ack_total",
                Kind::Counter,
                "Messages delivered in manual acknowledgement mode",
                |it| it.traffic.deliver,
            ),
            ("queue_messages_redelivered_total", Kind::Counter, "Messages redelivered", |it| {
                it.traffic.redeliver
            }),
            ("queue_messages_acked_total", Kind::Counter, "Messages acknowledged", |it| it.traffic.ack),
            ("queue_get_empty_total", Kind::Counter, "Times that basic.get found no message", |it| {
                it.traffic.get_empty
            }),
        ]);
    }
}

fn write_connections(wanted: &Wanted, connections: &[ConnectionReport], text: &mut Text) {
    if !wanted.any(&["connection_coarse_metrics", "connection_metrics"]) {
        return;
    }
    let columns: [Column<ConnectionReport>; 6] = [
        (
            "connection_incoming_bytes_total",
            Kind::Counter,
            "Total number of bytes received on a connection",
            |it| it.octets.received,
        ),
        (
            "connection_outgoing_bytes_total",
            Kind::Counter,
            "Total number of bytes sent on a connection",
            |it| it.octets.sent,
        ),
        (
            "connection_incoming_packets_total",
            Kind::Counter,
            "Total number of packets received on a connection",
            |it| it.octets.receives,
        ),
        (
            "connection_outgoing_packets_total",
            Kind::Counter,
            "Total number of packets sent on a connection",
            |it| it.octets.sends,
        ),
        ("connection_pending_packets", Kind::Gauge, "Bytes waiting to be sent on a connection", |it| {
            it.pending_bytes
        }),
        ("connection_channels", Kind::Gauge, "Channels on a connection", |it| it.channels.len() as u64),
    ];
    for (name, kind, help, read) in columns {
        let mut family = text.family(name, kind, help);
        for connection in connections {
            family.put(&[("connection", &name_of(connection))], read(connection));
        }
    }
}

fn write_channels(wanted: &Wanted, connections: &[ConnectionReport], text: &mut Text) {
    if !wanted.any(&["channel_metrics", "channel_exchange_metrics"]) {
        return;
    }
    let mut of_channels: BTreeMap<&str, Vec<(String, u64)>> = BTreeMap::new();
    for connection in connections {
        for channel in &connection.channels {
            let name = format!("{} ({})", name_of(connection), channel.number);
            for (column, value) in [
                ("channel_consumers", channel.consumers),
                ("channel_messages_unacked", channel.unacked),
                ("channel_messages_unconfirmed", channel.unconfirmed),
                ("channel_messages_uncommitted", channel.uncommitted),
                ("channel_acks_uncommitted", channel.uncommitted_acks),
                ("channel_prefetch", u64::from(channel.prefetch)),
            ] {
                of_channels.entry(column).or_default().push((name.clone(), value));
            }
            for (column, value) in Traffic::NAMES.iter().zip(channel.traffic.values()) {
                of_channels.entry(column).or_default().push((name.clone(), value));
            }
        }
    }
    for (column, values) in of_channels {
        let counts = Traffic::NAMES.contains(&column);
        let name = if counts { format!("channel_messages_{column}_total") } else { column.to_owned() };
        let kind = if counts { Kind::Counter } else { Kind::Gauge };
        let mut family = text.family(&name, kind, "Of each channel");
        values.iter().for_each(|(channel, value)| family.put(&[("channel", channel)], value));
    }
}

async fn write_exchanges(api: &Api, wanted: &Wanted, text: &mut Text) -> Result<(), Refusal> {
    let mut exchanges = watch::exchanges(&api.common).await?;
    exchanges.retain(|(spec, _)| wanted.of_vhost(&spec.vhost));
    for (name, help, of) in [
        ("exchange_messages_published_total", "Messages published into an exchange", 0),
        ("exchange_messages_routed_total", "Messages that an exchange brought to queues", 1),
    ] {
        let mut family = text.family(name, Kind::Counter, help);
        for (spec, passed) in &exchanges {
            let labels = [("vhost", &*lossy(&spec.vhost)), ("exchange", &*lossy(&spec.name))];
            family.put(&labels, [passed.published, passed.routed][of]);
        }
    }
    Ok(())
}

fn name_of(connection: &ConnectionReport) -> String {
    ConnectionName { peer: connection.peer, local: connection.local }.to_string()
}
