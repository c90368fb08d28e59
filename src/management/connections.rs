//! `/api/connections`, `/api/channels` and `/api/consumers`.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::slice;
use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::http::HeaderMap;
use serde_json::{Map, Value, json};

use super::answer::{self, Answer, Refusal};
use super::list::{Asked, Row};
use super::login::User;
use super::routes::{Need, Routes};
use super::site::{Api, Site};
use super::watch::{self, Ages, Rates, Subject, message_stats, number_with_rate, time_text};
use super::{table, vhosts};
use crate::amqp::Table;
use crate::connection::HeldBecause;
use crate::connection::handshake::Session;
use crate::ids::ConnectionId;
use crate::queue::ConsumerAt;
use crate::shard::desk::{Done, Order};
use crate::shard::report::{ChannelReport, ConnectionReport, ConnectionState, ConsumerReport, QueueReport};
use crate::text::lossy;

pub fn routes(routes: Routes) -> Routes {
    use Need::{Management, SeeVhost};
    routes
        .get("/api/connections", Management, list)
        .get("/api/connections/{connection}", Management, one)
        .delete("/api/connections/{connection}", Management, close)
        .get("/api/connections/{connection}/channels", Management, channels_of)
        .get("/api/connections/username/{user}", Management, of_user)
        .delete("/api/connections/username/{user}", Management, close_of_user)
        .get("/api/vhosts/{vhost}/connections", SeeVhost, of_vhost)
        .get("/api/vhosts/{vhost}/channels", SeeVhost, channels_of_vhost)
        .get("/api/channels", Management, channels)
        .get("/api/channels/{channel}", Management, channel)
        .get("/api/consumers", Management, consumers)
        .get("/api/consumers/{vhost}", SeeVhost, consumers_of_vhost)
}

/// RabbitMQ's name of a connection: both its ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ConnectionName {
    pub peer: SocketAddr,
    pub local: SocketAddr,
}

impl fmt::Display for ConnectionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = |at: SocketAddr| (at.ip().to_canonical(), at.port());
        let ((peer, peer_port), (local, local_port)) = (end(self.peer), end(self.local));
        let host = |ip: IpAddr| if ip.is_ipv6() { format!("[{ip}]") } else { ip.to_string() };
        write!(f, "{}:{peer_port} -> {}:{local_port}", host(peer), host(local))
    }
}

/// A connection that has opened a vhost.
struct Shown {
    report: ConnectionReport,
    session: Session,
    name: ConnectionName,
    rates: Arc<Rates>,
    site: Arc<Site>,
}

/// A channel in a list.
struct ShownChannel {
    of: Arc<Shown>,
    channel: ChannelReport,
}

/// A consumer in a list.
struct ShownConsumer {
    of: Arc<Shown>,
    consumer: ConsumerReport,
    /// It waits for the single active consumer to go.
    waits: bool,
}

async fn list(user: User, State(api): State<Api>, Query(asked): Query<Asked>) -> Answer {
    asked.list(visible(&api, &user).await?)
}

async fn of_vhost(
    user: User,
    State(api): State<Api>,
    Path(vhost): Path<String>,
    Query(asked): Query<Asked>,
) -> Answer {
    asked.list(visible_in(&api, &user, &vhost).await?)
}

async fn one(
    user: User,
    State(api): State<Api>,
    Path(name): Path<String>,
    Query(asked): Query<Asked>,
    ages: Ages,
) -> Answer {
    let connection = named(&api, &user, &name).await?;
    let mut shown = connection.render();
    ages.add_samples(&api.watch, Subject::Connection(connection.report.id), &mut shown);
    asked.one(shown)
}

/// The client is told why.
async fn close(user: User, State(api): State<Api>, Path(name): Path<String>, headers: HeaderMap) -> Answer {
    let shown = named(&api, &user, &name).await?;
    end(&api, shown.report.id, &headers).await?;
    answer::deleted()
}

async fn of_user(
    user: User,
    State(api): State<Api>,
    Path(name): Path<String>,
    Query(asked): Query<Asked>,
) -> Answer {
    let mut shown = visible(&api, &user).await?;
    shown.retain(|shown| *shown.session.user == *name.as_bytes());
    asked.list(shown)
}

async fn close_of_user(
    user: User,
    State(api): State<Api>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Answer {
    for shown in visible(&api, &user).await? {
        if *shown.session.user == *name.as_bytes() {
            end(&api, shown.report.id, &headers).await?;
        }
    }
    answer::deleted()
}

async fn channels(user: User, State(api): State<Api>, Query(asked): Query<Asked>) -> Answer {
    asked.list(visible_channels(visible(&api, &user).await?))
}

async fn channels_of_vhost(
    user: User,
    State(api): State<Api>,
    Path(vhost): Path<String>,
    Query(asked): Query<Asked>,
) -> Answer {
    asked.list(visible_channels(visible_in(&api, &user, &vhost).await?))
}

async fn channels_of(
    user: User,
    State(api): State<Api>,
    Path(name): Path<String>,
    Query(asked): Query<Asked>,
) -> Answer {
    asked.list(visible_channels(vec![named(&api, &user, &name).await?]))
}

async fn channel(
    user: User,
    State(api): State<Api>,
    Path(name): Path<String>,
    Query(asked): Query<Asked>,
    ages: Ages,
) -> Answer {
    let channels = visible_channels(visible(&api, &user).await?);
    let channel = channels.into_iter().find(|channel| channel.name() == name).ok_or(Refusal::NotFound)?;
    let mut shown = channel.render();
    let subject = Subject::Channel(channel.of.report.id, channel.channel.number);
    ages.add_samples(&api.watch, subject, &mut shown);
    if let Value::Object(shown) = &mut shown {
        let number = channel.channel.number;
        let own = consumers_in(&api, [channel.of.clone()]).await?.into_iter();
        let own = own.filter(|consumer| consumer.consumer.channel == number);
        shown.insert("consumer_details".to_owned(), own.map(|consumer| consumer.render()).collect());
        shown.insert("publishes".to_owned(), json!([]));
        shown.insert("deliveries".to_owned(), json!([]));
    }
    asked.one(shown)
}

async fn consumers(user: User, State(api): State<Api>, Query(asked): Query<Asked>) -> Answer {
    let all = all(&api).await?.into_iter().map(Arc::new);
    let mut consumers = consumers_in(&api, all).await?;
    consumers.retain(|consumer| user.may_see(&consumer.of.session.vhost));
    asked.list(consumers)
}

async fn consumers_of_vhost(
    State(api): State<Api>,
    Path(vhost): Path<String>,
    Query(asked): Query<Asked>,
) -> Answer {
    vhosts::check(&api.common, &vhost).await?;
    let all = all(&api).await?.into_iter().map(Arc::new);
    let mut consumers = consumers_in(&api, all).await?;
    consumers.retain(|consumer| *consumer.of.session.vhost == *vhost.as_bytes());
    asked.list(consumers)
}

/// The consumers of a queue, as they are shown.
pub async fn consumers_of(api: &Api, queue: &QueueReport) -> Result<Value, Refusal> {
    if queue.consumers == 0 {
        return Ok(json!([]));
    }
    let all = all(api).await?.into_iter().map(Arc::new);
    let of_queue = consumers_among(all, slice::from_ref(queue)).into_iter();
    let of_queue = of_queue.filter(|consumer| consumer.consumer.queue == queue.id);
    Ok(of_queue.map(|consumer| consumer.render()).collect())
}

/// A consumer by what clients call it, if the user may see its connection.
pub async fn consumer_named(
    api: &Api,
    user: &User,
    (connection, channel, tag): (&str, u16, &str),
) -> Result<ConsumerReport, Refusal> {
    let consumers = named(api, user, connection).await?.report.consumers;
    let is_wanted = |it: &ConsumerReport| it.channel == channel && *it.tag == *tag.as_bytes();
    consumers.into_iter().find(is_wanted).ok_or(Refusal::NotFound)
}

/// Why a connection has to wait, and since when.
pub async fn held(user: User, State(api): State<Api>, Path(name): Path<String>) -> Answer {
    let held = named(&api, &user, &name).await?.report.held;
    answer::body(json!({
        "held": held.is_some(),
        "held_because": held.map(|(because, _)| held_because(because)),
        "held_since_ms": held.map(|(_, since_ms)| since_ms),
    }))
}

/// A connection, if it is still there.
pub async fn find(api: &Api, id: ConnectionId) -> Result<ConnectionName, Refusal> {
    let shown = all(api).await?.into_iter().find(|shown| shown.report.id == id);
    shown.map(|shown| shown.name).ok_or(Refusal::NotFound)
}

async fn all(api: &Api) -> Result<Vec<Shown>, Refusal> {
    let rates = api.watch.rates();
    let shown = |mut report: ConnectionReport| {
        let session = report.session.take()?;
        let name = ConnectionName { peer: report.peer, local: report.local };
        Some(Shown { report, session, name, rates: rates.clone(), site: api.site.clone() })
    };
    Ok(watch::connections(&api.common).await?.into_iter().filter_map(shown).collect())
}

/// Those of the user, or all for who may see all.
async fn visible(api: &Api, user: &User) -> Result<Vec<Shown>, Refusal> {
    let mut shown = all(api).await?;
    shown.retain(|shown| user.user.tags.may_monitor() || shown.session.user == user.user.name);
    Ok(shown)
}

/// Those of them that are in a vhost.
async fn visible_in(api: &Api, user: &User, vhost: &str) -> Result<Vec<Shown>, Refusal> {
    vhosts::check(&api.common, vhost).await?;
    let mut shown = visible(api, user).await?;
    shown.retain(|shown| *shown.session.vhost == *vhost.as_bytes());
    Ok(shown)
}

async fn named(api: &Api, user: &User, name: &str) -> Result<Shown, Refusal> {
    let shown = all(api).await?.into_iter().find(|shown| shown.name.to_string() == name);
    let shown = shown.ok_or(Refusal::NotFound)?;
    if user.user.tags.may_monitor() || shown.session.user == user.user.name {
        return Ok(shown);
    }
    Err(Refusal::NotAuthorised("User not authorised to access object".to_owned()))
}

async fn end(api: &Api, connection: ConnectionId, headers: &HeaderMap) -> Result<(), Refusal> {
    let reason = headers.get("x-reason").and_then(|reason| reason.to_str().ok());
    let reason = reason.unwrap_or("Closed via management plugin").to_owned();
    let order = Order::CloseConnection { connection, reason };
    match api.common.ask_at(connection.shard, order).await {
        Some(Done::Closed | Done::NotFound) => Ok(()),
        _ => Err(Refusal::Unavailable),
    }
}

fn visible_channels(connections: Vec<Shown>) -> Vec<ShownChannel> {
    let channels = |of: Shown| {
        let of = Arc::new(of);
        let channels = of.report.channels.clone();
        channels.into_iter().map(move |channel| ShownChannel { of: of.clone(), channel })
    };
    connections.into_iter().flat_map(channels).collect()
}

async fn consumers_in(
    api: &Api,
    connections: impl IntoIterator<Item = Arc<Shown>>,
) -> Result<Vec<ShownConsumer>, Refusal> {
    Ok(consumers_among(connections, &watch::queues(&api.common).await?))
}

/// `queues` know which of their consumers wait.
fn consumers_among(
    connections: impl IntoIterator<Item = Arc<Shown>>,
    queues: &[QueueReport],
) -> Vec<ShownConsumer> {
    let waiting: HashSet<(ConnectionId, u32)> = queues
        .iter()
        .flat_map(|queue| &queue.waiting)
        .map(|ConsumerAt { connection, handle }| (*connection, *handle))
        .collect();
    let consumers = |of: Arc<Shown>| {
        let consumers = of.report.consumers.clone();
        consumers.into_iter().map(move |consumer| (of.clone(), consumer))
    };
    let consumers = connections.into_iter().flat_map(consumers);
    consumers
        .map(|(of, consumer)| {
            let waits = waiting.contains(&(consumer.at.connection, consumer.at.handle));
            ShownConsumer { of, consumer, waits }
        })
        .collect()
}

impl Row for Shown {
    fn vhost(&self) -> Cow<'_, str> {
        "".into()
    }

    fn name(&self) -> Cow<'_, str> {
        self.name.to_string().into()
    }

    fn render(&self) -> Value {
        let Shown { report, session, .. } = self;
        let (received, sent) = self.rates.connection(report.id);
        let octets = report.octets;
        let mut row = Map::new();
        let mut put = |name: &str, value: Value| _ = row.insert(name.to_owned(), value);
        put("name", json!(self.name()));
        put("node", json!(self.site.node));
        put("protocol", json!("AMQP 0-9-1"));
        put("type", json!("network"));
        put("user", json!(lossy(&session.user)));
        put("user_who_performed_action", json!(lossy(&session.user)));
        put("vhost", json!(lossy(&session.vhost)));
        put("state", json!(state(report.state)));
        put("connected_at", json!(report.connected_at_ms));
        put("auth_mechanism", json!(session.mechanism));
        put("host", json!(host(self.name.local)));
        put("port", json!(self.name.local.port()));
        put("peer_host", json!(host(self.name.peer)));
        put("peer_port", json!(self.name.peer.port()));
        put("ssl", json!(false));
        for absent in ["ssl_protocol", "ssl_cipher", "ssl_hash", "ssl_key_exchange"] {
            put(absent, Value::Null);
        }
        for absent in ["peer_cert_subject", "peer_cert_issuer", "peer_cert_validity"] {
            put(absent, Value::Null);
        }
        put("channel_max", json!(session.channel_max));
        put("frame_max", json!(session.frame_max));
        put("timeout", json!(session.heartbeat_s));
        put("channels", json!(report.channels.len()));
        put("client_properties", table::shown(Table::from_checked(&session.client_properties)));
        if let Some(name) = &session.connection_name {
            put("user_provided_name", json!(lossy(name)));
        }
        put("recv_cnt", json!(octets.receives));
        put("send_cnt", json!(octets.sends));
        put("send_pend", json!(report.pending_bytes));
        put("shard", json!(report.id.shard.0));
        put("held_because", json!(report.held.map(|(because, _)| held_because(because))));
        put("held_since_ms", json!(report.held.map(|(_, since_ms)| since_ms)));
        number_with_rate(&mut row, "recv_oct", octets.received, received);
        number_with_rate(&mut row, "send_oct", octets.sent, sent);
        Value::Object(row)
    }
}

impl Shown {
    fn channel_name(&self, number: u16) -> String {
        format!("{} ({number})", self.name)
    }
}

impl Row for ShownChannel {
    fn vhost(&self) -> Cow<'_, str> {
        "".into()
    }

    fn name(&self) -> Cow<'_, str> {
        self.of.channel_name(self.channel.number).into()
    }

    fn render(&self) -> Value {
        let ShownChannel { of, channel } = self;
        let rates = of.rates.channel(of.report.id, channel.number);
        let mut shown = json!({
            "name": self.name(),
            "number": channel.number,
            "node": of.site.node,
            "user": lossy(&of.session.user),
            "user_who_performed_action": lossy(&of.session.user),
            "vhost": lossy(&of.session.vhost),
            "state": if channel.is_open { "running" } else { "closing" },
            "confirm": channel.confirm,
            "transactional": channel.transactional,
            "prefetch_count": channel.prefetch,
            "global_prefetch_count": channel.global_prefetch,
            "consumer_count": channel.consumers,
            "messages_unacknowledged": channel.unacked,
            "messages_unconfirmed": channel.unconfirmed,
            "messages_uncommitted": channel.uncommitted,
            "acks_uncommitted": channel.uncommitted_acks,
            "pending_raft_commands": 0,
            "message_stats": message_stats(&channel.traffic, rates),
            "connection_details": {
                "name": of.name.to_string(),
                "peer_host": host(of.name.peer),
                "peer_port": of.name.peer.port(),
            },
        });
        if let Some(since) = of.rates.channel_idle_since(of.report.id, channel) {
            shown["idle_since"] = json!(time_text(since));
        }
        shown
    }
}

impl Row for ShownConsumer {
    fn vhost(&self) -> Cow<'_, str> {
        lossy(&self.of.session.vhost)
    }

    fn name(&self) -> Cow<'_, str> {
        lossy(&self.consumer.tag)
    }

    fn render(&self) -> Value {
        let ShownConsumer { of, consumer, waits } = self;
        let asked = &consumer.asked;
        let arguments = Table::from_checked(&asked.arguments);
        json!({
            "consumer_tag": lossy(&consumer.tag),
            "active": !waits,
            "activity_status": if *waits { "waiting" } else { "up" },
            "ack_required": !consumer.no_ack,
            "prefetch_count": asked.prefetch,
            "exclusive": asked.exclusive,
            "arguments": table::shown(arguments),
            "consumer_timeout": asked.timeout_ms,
            "queue": {"name": lossy(&asked.queue), "vhost": lossy(&of.session.vhost)},
            "channel_details": {
                "name": of.channel_name(consumer.channel),
                "number": consumer.channel,
                "connection_name": of.name.to_string(),
                "node": of.site.node,
                "peer_host": host(of.name.peer),
                "peer_port": of.name.peer.port(),
                "user": lossy(&of.session.user),
            },
        })
    }
}

fn state(state: ConnectionState) -> &'static str {
    match state {
        ConnectionState::Starting => "starting",
        ConnectionState::Running => "running",
        ConnectionState::Flow => "flow",
        ConnectionState::Blocked => "blocked",
        ConnectionState::Closing => "closing",
    }
}

fn held_because(because: HeldBecause) -> &'static str {
    match because {
        HeldBecause::LowOnMemory => "low on memory",
        HeldBecause::LowOnDisk => "low on disk",
        HeldBecause::LowOnMemoryAndDisk => "low on memory and disk",
        HeldBecause::ClientDoesNotRead => "the client does not read",
        HeldBecause::ChannelWaits => "a channel waits for an answer",
        HeldBecause::RingsFull => "rings between shards are full",
        HeldBecause::JournalBehind => "the journal is behind",
    }
}

fn host(at: SocketAddr) -> String {
    at.ip().to_canonical().to_string()
}
