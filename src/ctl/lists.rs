//! What there is: queues, exchanges, bindings, connections, channels and consumers, by RabbitMQ's columns.

use clap::{Args, Subcommand};
use serde_json::Value;

use super::permissions::no_vhost;
use super::print::Table;
use super::server::path;
use super::{Ctl, Failure, USAGE};

#[derive(Subcommand, Clone, Debug)]
#[command(rename_all = "snake_case")]
#[allow(clippy::enum_variant_names, reason = "they are RabbitMQ's names")]
pub enum Command {
    /// Lists the queues of the vhost: their names and lengths, or these columns
    ListQueues {
        columns: Vec<String>,
        #[command(flatten)]
        which: Which,
    },
    /// Lists the exchanges of the vhost: their names and types, or these columns
    ListExchanges { columns: Vec<String> },
    /// Lists the bindings of the vhost, or these columns of them
    ListBindings { columns: Vec<String> },
    /// Lists the connections of all vhosts, or these columns of them
    ListConnections { columns: Vec<String> },
    /// Lists the channels of all vhosts, or these columns of them
    ListChannels { columns: Vec<String> },
    /// Lists the consumers of the vhost, or these columns of them
    ListConsumers { columns: Vec<String> },
}

/// Of one server, either all or none.
#[derive(Args, Clone, Default, Debug)]
pub struct Which {
    /// All are
    #[arg(long)]
    online: bool,
    /// None is
    #[arg(long)]
    offline: bool,
    /// All are
    #[arg(long)]
    local: bool,
}

/// A kind of list: what it may show, and what it shows if nobody says.
struct List {
    path: String,
    banner: String,
    known: &'static [Column],
    shown: &'static [&'static str],
}

/// RabbitMQ's name, and where the API has it.
type Column = (&'static str, &'static str);

impl Command {
    pub async fn run(self, ctl: &Ctl) -> Result<(), Failure> {
        let vhost = ctl.vhost();
        let of = |kind: &str| path(&[kind, vhost]);
        let list = |path, banner: String, known, shown| List { path, banner, known, shown };
        let (list, columns) = match self {
            Command::ListQueues { columns, which } => {
                let banner = format!(
                    "Timeout: {}.0 seconds ...\nListing queues for vhost {vhost} ...",
                    ctl.options.timeout.unwrap_or(60)
                );
                let list = list(of("queues"), banner, QUEUES, &["name", "messages"]);
                if which.offline {
                    return list.show(ctl, &columns, Vec::new());
                }
                (list, columns)
            }
            Command::ListExchanges { columns } => {
                let banner = format!("Listing exchanges for vhost {vhost} ...");
                (list(of("exchanges"), banner, EXCHANGES, &["name", "type"]), columns)
            }
            Command::ListBindings { columns } => {
                let banner = format!("Listing bindings for vhost {vhost}...");
                (list(of("bindings"), banner, BINDINGS, SHOWN_OF_BINDINGS), columns)
            }
            Command::ListConnections { columns } => {
                let banner = "Listing connections ...".to_owned();
                let shown = &["user", "peer_host", "peer_port", "state"];
                (list("/api/connections".to_owned(), banner, CONNECTIONS, shown), columns)
            }
            Command::ListChannels { columns } => {
                let banner = "Listing channels ...".to_owned();
                let shown = &["pid", "user", "consumer_count", "messages_unacknowledged"];
                (list("/api/channels".to_owned(), banner, CHANNELS, shown), columns)
            }
            Command::ListConsumers { columns } => {
                let banner = format!("Listing consumers in vhost {vhost} ...");
                (list(of("consumers"), banner, CONSUMERS, SHOWN_OF_CONSUMERS), columns)
            }
        };
        let found = ctl.server.find(&list.path).await?.ok_or_else(|| no_vhost(vhost))?;
        let Value::Array(mut found) = found else { return list.show(ctl, &columns, Vec::new()) };
        for binding in found.iter_mut().filter(|item| item.get("destination_type").is_some()) {
            // There are no other sources, and so the API does not say it.
            binding[SOURCE_KIND] = "exchange".into();
        }
        list.show(ctl, &columns, found)
    }
}

impl List {
    fn show(&self, ctl: &Ctl, columns: &[String], found: Vec<Value>) -> Result<(), Failure> {
        let columns = self.columns(columns)?;
        ctl.say(&self.banner);
        ctl.print(&Table::of(&columns, &found));
        Ok(())
    }

    fn columns(&self, asked: &[String]) -> Result<Vec<Column>, Failure> {
        let asked: Vec<&str> =
            if asked.is_empty() { self.shown.to_vec() } else { asked.iter().map(String::as_str).collect() };
        let find = |name: &str| self.known.iter().find(|(known, _)| *known == name);
        let unknown: Vec<_> = asked.iter().filter(|name| find(name).is_none()).copied().collect();
        if !unknown.is_empty() {
            let text = format!("(argument validation): Info key(s) {} are not supported", unknown.join(","));
            return Err(Failure { code: USAGE, text });
        }
        Ok(asked.iter().filter_map(|name| find(name)).copied().collect())
    }
}

const SOURCE_KIND: &str = "source_kind";

const SHOWN_OF_BINDINGS: &[&str] =
    &["source_name", "source_kind", "destination_name", "destination_kind", "routing_key", "arguments"];
const SHOWN_OF_CONSUMERS: &[&str] =
    &["queue_name", "channel_pid", "consumer_tag", "ack_required", "prefetch_count", "active", "arguments"];

/// What has no place in the API is empty: Erlang's processes, and other nodes.
const NOWHERE: &str = "";

const QUEUES: &[Column] = &[
    ("name", "name"),
    ("vhost", "vhost"),
    ("type", "type"),
    ("durable", "durable"),
    ("auto_delete", "auto_delete"),
    ("exclusive", "exclusive"),
    ("arguments", "arguments"),
    ("policy", "policy"),
    ("operator_policy", "operator_policy"),
    ("effective_policy_definition", "effective_policy_definition"),
    ("pid", NOWHERE),
    ("owner_pid", NOWHERE),
    ("exclusive_consumer_pid", NOWHERE),
    ("exclusive_consumer_tag", NOWHERE),
    ("single_active_consumer_pid", NOWHERE),
    ("single_active_consumer_tag", NOWHERE),
    ("messages", "messages"),
    ("messages_ready", "messages_ready"),
    ("messages_unacknowledged", "messages_unacknowledged"),
    ("messages_ram", "messages_ram"),
    ("messages_ready_ram", "messages_ready_ram"),
    ("messages_unacknowledged_ram", "messages_unacknowledged_ram"),
    ("messages_persistent", "messages_persistent"),
    ("messages_paged_out", "messages_paged_out"),
    ("message_bytes", "message_bytes"),
    ("message_bytes_ready", "message_bytes_ready"),
    ("message_bytes_unacknowledged", "message_bytes_unacknowledged"),
    ("message_bytes_ram", "message_bytes_ram"),
    ("message_bytes_persistent", "message_bytes_persistent"),
    ("head_message_timestamp", NOWHERE),
    ("consumers", "consumers"),
    ("consumer_utilisation", "consumer_utilisation"),
    ("consumer_capacity", "consumer_capacity"),
    ("memory", "memory"),
    ("state", "state"),
    ("leader", "node"),
    ("members", NOWHERE),
    ("online", NOWHERE),
    ("slave_pids", NOWHERE),
    ("synchronised_slave_pids", NOWHERE),
    ("mirror_pids", NOWHERE),
    ("synchronised_mirror_pids", NOWHERE),
];

const EXCHANGES: &[Column] = &[
    ("name", "name"),
    ("vhost", "vhost"),
    ("type", "type"),
    ("durable", "durable"),
    ("auto_delete", "auto_delete"),
    ("internal", "internal"),
    ("arguments", "arguments"),
    ("policy", "policy"),
];

const BINDINGS: &[Column] = &[
    ("source_name", "source"),
    ("source_kind", SOURCE_KIND),
    ("destination_name", "destination"),
    ("destination_kind", "destination_type"),
    ("routing_key", "routing_key"),
    ("arguments", "arguments"),
    ("vhost", "vhost"),
];

const CONNECTIONS: &[Column] = &[
    // What close_connection takes.
    ("pid", "name"),
    ("name", "name"),
    ("user_provided_name", "user_provided_name"),
    ("user", "user"),
    ("vhost", "vhost"),
    ("host", "host"),
    ("port", "port"),
    ("peer_host", "peer_host"),
    ("peer_port", "peer_port"),
    ("ssl", "ssl"),
    ("ssl_protocol", "ssl_protocol"),
    ("ssl_key_exchange", "ssl_key_exchange"),
    ("ssl_cipher", "ssl_cipher"),
    ("ssl_hash", "ssl_hash"),
    ("peer_cert_subject", "peer_cert_subject"),
    ("peer_cert_issuer", "peer_cert_issuer"),
    ("peer_cert_validity", "peer_cert_validity"),
    ("state", "state"),
    ("channels", "channels"),
    ("protocol", "protocol"),
    ("auth_mechanism", "auth_mechanism"),
    ("timeout", "timeout"),
    ("frame_max", "frame_max"),
    ("channel_max", "channel_max"),
    ("client_properties", "client_properties"),
    ("recv_oct", "recv_oct"),
    ("recv_cnt", "recv_cnt"),
    ("send_oct", "send_oct"),
    ("send_cnt", "send_cnt"),
    ("send_pend", "send_pend"),
    ("connected_at", "connected_at"),
    ("node", "node"),
];

const CHANNELS: &[Column] = &[
    ("pid", "name"),
    ("connection", "connection_details.name"),
    ("name", "name"),
    ("number", "number"),
    ("user", "user"),
    ("vhost", "vhost"),
    ("transactional", "transactional"),
    ("confirm", "confirm"),
    ("consumer_count", "consumer_count"),
    ("messages_unacknowledged", "messages_unacknowledged"),
    ("messages_uncommitted", "messages_uncommitted"),
    ("acks_uncommitted", "acks_uncommitted"),
    ("messages_unconfirmed", "messages_unconfirmed"),
    ("prefetch_count", "prefetch_count"),
    ("global_prefetch_count", "global_prefetch_count"),
];

const CONSUMERS: &[Column] = &[
    ("queue_name", "queue.name"),
    ("channel_pid", "channel_details.name"),
    ("consumer_tag", "consumer_tag"),
    ("ack_required", "ack_required"),
    ("prefetch_count", "prefetch_count"),
    ("active", "active"),
    ("activity_status", "activity_status"),
    ("arguments", "arguments"),
    ("exclusive", "exclusive"),
];
