//! What a shard tells of what lives on it, to who looks from outside: in pieces, so that no look makes a turn long.
//!
//! ```text
//! desk: Look, where to begin -> some items, and where the next piece begins
//! ```

use std::net::SocketAddr;
use std::sync::Arc;

use super::Shard;
use crate::connection::channel::{Channel, ChannelState};
use crate::connection::handshake::Session;
use crate::connection::{Asked, Connection, HeldBecause, Octets, Phase};
use crate::exchange::{ExchangeSpec, Passed, QueueSpec};
use crate::ids::{ConnectionId, Name, QueueId, ShardId};
use crate::limits::{LOOK_CHANNELS, LOOK_EXCHANGES, LOOK_QUEUES};
use crate::parameters::Applied;
use crate::queue::{Bodies, ConsumerAt, Queue};
use crate::stats::Traffic;

/// What to look at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Look {
    Queues,
    /// With their channels and consumers.
    Connections,
    /// What passed the exchanges on that shard; each shard knows all exchanges.
    Exchanges,
    /// The traffic of channels that are gone, by vhost.
    Departed,
}

/// What a shard knows of a queue's name.
#[derive(Debug)]
pub enum Sought {
    Here(Box<QueueReport>),
    At(ShardId),
    Nowhere,
}

/// A piece of what was looked at.
#[derive(Debug)]
pub enum Report {
    Queues(Vec<QueueReport>),
    Connections(Vec<ConnectionReport>),
    Exchanges(Vec<(Arc<ExchangeSpec>, Passed)>),
    Departed(Vec<(Name, Traffic)>),
}

#[derive(Clone, Debug)]
pub struct QueueReport {
    pub id: QueueId,
    pub spec: Arc<QueueSpec>,
    pub ready: u64,
    pub unacked: u64,
    pub consumers: u64,
    /// An administrator holds it back.
    pub paused: bool,
    /// Consumers that wait for the single active one to go.
    pub waiting: Vec<ConsumerAt>,
    /// Share of the consumers that could be sent something at once.
    pub capacity: f64,
    pub ready_bodies: Bodies,
    pub unacked_bodies: Bodies,
    pub traffic: Traffic,
    pub policies: Applied,
}

#[derive(Clone, Debug)]
pub struct ConnectionReport {
    pub id: ConnectionId,
    pub peer: SocketAddr,
    pub local: SocketAddr,
    /// None: it has not opened a vhost yet.
    pub session: Option<Session>,
    /// ms since 1970.
    pub connected_at_ms: u64,
    pub state: ConnectionState,
    /// Why it has to wait, and since when, ms since 1970.
    pub held: Option<(HeldBecause, u64)>,
    pub octets: Octets,
    /// Bytes that wait to be sent.
    pub pending_bytes: u64,
    pub channels: Vec<ChannelReport>,
    pub consumers: Vec<ConsumerReport>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ConnectionState {
    Starting,
    Running,
    /// Not read, as rings or buffers are full.
    Flow,
    /// Its publishes wait for an alarm to go.
    Blocked,
    Closing,
}

#[derive(Clone, Debug)]
pub struct ChannelReport {
    pub number: u16,
    pub is_open: bool,
    pub confirm: bool,
    pub transactional: bool,
    pub prefetch: u16,
    /// Of the channel; 0 is none.
    pub global_prefetch: u32,
    pub consumers: u64,
    pub unacked: u64,
    pub unconfirmed: u64,
    pub uncommitted: u64,
    pub uncommitted_acks: u64,
    pub traffic: Traffic,
}

#[derive(Clone, Debug)]
pub struct ConsumerReport {
    pub at: ConsumerAt,
    pub queue: QueueId,
    pub channel: u16,
    pub tag: Box<[u8]>,
    pub no_ack: bool,
    pub asked: Asked,
}

impl Shard {
    /// A piece of what lives here; and where the next one begins, if there is more.
    pub(super) fn look(&mut self, look: Look, from: u64) -> (Report, Option<u64>) {
        match look {
            Look::Queues => {
                let (queues, next) = self.look_at_queues(from as u32);
                (Report::Queues(queues), next.map(u64::from))
            }
            Look::Connections => {
                let (connections, next) = self.look_at_connections(from as u32);
                (Report::Connections(connections), next.map(u64::from))
            }
            Look::Exchanges => self.look_at_exchanges(from),
            Look::Departed => {
                let departed = self.routers.all_departed().map(|(vhost, traffic)| (vhost.clone(), traffic));
                (Report::Departed(departed.collect()), None)
            }
        }
    }

    fn look_at_queues(&self, from: u32) -> (Vec<QueueReport>, Option<u32>) {
        let mut queues = self.rooms.queues.iter_from(from);
        let mut reports = Vec::new();
        for (slot, queue) in queues.by_ref() {
            if reports.len() >= LOOK_QUEUES {
                return (reports, Some(slot));
            }
            reports.extend(self.queue_report(queue));
        }
        (reports, None)
    }

    /// None: it is not known by its name, not yet or no more.
    fn queue_report(&self, queue: &Queue) -> Option<QueueReport> {
        let route = self.routers.of(&queue.vhost)?.queue(&queue.name)?;
        (route.id == queue.id && !queue.dying).then(|| QueueReport {
            id: queue.id,
            spec: route.spec.clone(),
            ready: queue.ready_count() as u64,
            unacked: queue.unacked_count() as u64,
            consumers: queue.consumer_count() as u64,
            paused: queue.is_paused(),
            waiting: queue.waiting().collect(),
            capacity: queue.capacity(),
            ready_bodies: queue.ready_bodies(),
            unacked_bodies: queue.unacked_bodies(),
            traffic: queue.traffic,
            policies: queue.applied().clone(),
        })
    }

    pub(super) fn seek(&self, vhost: &[u8], name: &[u8]) -> Sought {
        let Some(route) = self.routers.of(vhost).and_then(|router| router.queue(name)) else {
            return Sought::Nowhere;
        };
        if route.id.shard != self.id {
            return Sought::At(route.id.shard);
        }
        let queue = self.rooms.queues.live(route.id.slot, route.id.generation);
        let report = queue.and_then(|queue| self.queue_report(queue));
        report.map_or(Sought::Nowhere, |report| Sought::Here(Box::new(report)))
    }

    fn look_at_connections(&self, from: u32) -> (Vec<ConnectionReport>, Option<u32>) {
        let (mut reports, mut channels) = (Vec::new(), 0);
        for (slot, connection) in self.rooms.outward.connections.iter_from(from) {
            if channels >= LOOK_CHANNELS {
                return (reports, Some(slot));
            }
            if connection.internal {
                continue;
            }
            let report = self.connection_report(connection);
            channels += 1 + report.channels.len() + report.consumers.len();
            reports.push(report);
        }
        (reports, None)
    }

    fn connection_report(&self, connection: &Connection) -> ConnectionReport {
        let at = |handle| ConsumerAt { connection: connection.id, handle };
        let consumers = connection.consumers.iter().filter(|(_, end)| end.consumer.is_some());
        ConnectionReport {
            id: connection.id,
            peer: connection.address,
            local: connection.local,
            session: connection.session.as_deref().cloned(),
            connected_at_ms: (self.wall_offset_ns + connection.opened_at) / 1_000_000,
            state: state(connection),
            held: connection
                .held_back()
                .map(|hold| (hold.because, (self.wall_offset_ns + hold.since) / 1_000_000)),
            octets: connection.octets,
            pending_bytes: connection.outbox.len() as u64,
            channels: connection.channels.iter().flatten().map(|channel| channel_report(channel)).collect(),
            consumers: consumers
                .map(|(handle, end)| ConsumerReport {
                    at: at(handle),
                    queue: end.queue,
                    channel: end.channel.0,
                    tag: end.tag.clone(),
                    no_ack: end.no_ack,
                    asked: end.asked.clone(),
                })
                .collect(),
        }
    }

    /// Has an exchange count what went the way that a connection remembers.
    pub(super) fn tell_memo(&mut self, slot: u32) {
        let memo = &mut self.memos[slot as usize];
        // Who has not entered a vhost remembers nothing, and no router need have the number that stands there.
        if let Some(router) = self.routers.find_mut(memo.router) {
            memo.tell(router);
        }
    }

    /// `from` has the slot of the router above that of the exchange.
    fn look_at_exchanges(&mut self, from: u64) -> (Report, Option<u64>) {
        if from == 0 {
            for slot in 0..self.memos.len() {
                self.tell_memo(slot as u32);
            }
        }
        let mut reports = Vec::new();
        let (router, exchange) = ((from >> 32) as u32, from as u32);
        for (slot, router) in self.routers.from(router) {
            let first = if u64::from(slot) == from >> 32 { exchange } else { 0 };
            for (at, spec, passed) in router.exchanges(first) {
                if reports.len() >= LOOK_EXCHANGES {
                    return (Report::Exchanges(reports), Some(u64::from(slot) << 32 | u64::from(at)));
                }
                reports.push((spec.clone(), passed));
            }
        }
        (Report::Exchanges(reports), None)
    }
}

fn state(connection: &Connection) -> ConnectionState {
    match connection.phase {
        Phase::Header | Phase::Handshake(_) => ConnectionState::Starting,
        Phase::Closing(_) | Phase::Refused { .. } => ConnectionState::Closing,
        Phase::Open if connection.blocked => ConnectionState::Blocked,
        Phase::Open if connection.held => ConnectionState::Flow,
        Phase::Open => ConnectionState::Running,
    }
}

fn channel_report(channel: &Channel) -> ChannelReport {
    ChannelReport {
        number: channel.number.0,
        is_open: channel.state == ChannelState::Open,
        confirm: channel.confirms.is_some(),
        transactional: channel.transaction.is_some(),
        prefetch: channel.prefetch,
        global_prefetch: channel.limit.as_ref().map_or(0, |limit| limit.count()),
        consumers: channel.consumers.len() as u64,
        unacked: channel.unacked.len() as u64,
        unconfirmed: channel.confirms.as_ref().map_or(0, |confirms| confirms.unconfirmed()),
        uncommitted: channel.transaction.as_ref().map_or(0, |it| it.publish_count() as u64),
        uncommitted_acks: channel.transaction.as_ref().map_or(0, |it| it.settlement_count() as u64),
        traffic: channel.traffic,
    }
}
