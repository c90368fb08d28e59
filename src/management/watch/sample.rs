//! What all shards told at one time.

use std::collections::HashMap;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use super::super::answer::Refusal;
use super::history::Point;
use super::{Subject, connections, departed, exchanges, queues};
use crate::connection::Octets;
use crate::exchange::Passed;
use crate::ids::{ConnectionId, Name, QueueId};
use crate::shard::report::{ChannelReport, QueueReport};
use crate::shard::start::{Common, Published};
use crate::stats::Traffic;

pub struct Sample {
    pub at: Instant,
    /// ms since 1970.
    pub at_ms: u64,
    pub queues: HashMap<QueueId, Steady<QueueCounts>>,
    pub channels: HashMap<(ConnectionId, u16), Steady<ChannelCounts>>,
    pub connections: HashMap<ConnectionId, Octets>,
    pub exchanges: HashMap<(Name, Name), Passed>,
    pub vhosts: HashMap<Name, VhostTotals>,
    pub total: VhostTotals,
    /// What came and went.
    pub churn: [(&'static str, u64); 7],
    /// Processor time of each shard, us.
    pub processor_us: Vec<u64>,
}

/// What was counted, and which sample was the first to find it so, ms since 1970.
#[derive(Clone, Copy, Debug)]
pub struct Steady<T> {
    pub counts: T,
    pub since_ms: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct QueueCounts {
    pub ready: u64,
    pub unacked: u64,
    pub consumers: u64,
    pub traffic: Traffic,
}

#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct ChannelCounts {
    pub unacked: u64,
    pub consumers: u64,
    pub traffic: Traffic,
}

/// Of a vhost, or of all.
#[derive(Clone, Copy, Default, Debug)]
pub struct VhostTotals {
    pub ready: u64,
    pub unacked: u64,
    pub queues: u64,
    pub consumers: u64,
    /// Channels that have published.
    pub publishers: u64,
    pub connections: u64,
    pub channels: u64,
    pub exchanges: u64,
    pub received_octets: u64,
    pub sent_octets: u64,
    pub traffic: Traffic,
}

impl VhostTotals {
    pub fn point(&self, at_ms: u64) -> Point {
        let VhostTotals { ready, unacked, traffic, .. } = *self;
        Point { at_ms, ready, unacked, traffic, ..Point::default() }
    }

    pub fn add(&mut self, other: &VhostTotals) {
        self.ready += other.ready;
        self.unacked += other.unacked;
        self.queues += other.queues;
        self.consumers += other.consumers;
        self.publishers += other.publishers;
        self.connections += other.connections;
        self.channels += other.channels;
        self.exchanges += other.exchanges;
        self.received_octets += other.received_octets;
        self.sent_octets += other.sent_octets;
        self.traffic.add(&other.traffic);
    }
}

impl From<&QueueReport> for QueueCounts {
    fn from(queue: &QueueReport) -> QueueCounts {
        let QueueReport { ready, unacked, consumers, traffic, .. } = *queue;
        QueueCounts { ready, unacked, consumers, traffic }
    }
}

impl From<&ChannelReport> for ChannelCounts {
    fn from(channel: &ChannelReport) -> ChannelCounts {
        let ChannelReport { unacked, consumers, traffic, .. } = *channel;
        ChannelCounts { unacked, consumers, traffic }
    }
}

impl Sample {
    /// What one thing counts, if it was there.
    pub fn point(&self, of: &Subject) -> Option<Point> {
        let nothing = Point { at_ms: self.at_ms, ..Point::default() };
        Some(match of {
            Subject::Queue(id) => {
                let QueueCounts { ready, unacked, traffic, .. } = self.queues.get(id)?.counts;
                Point { ready, unacked, traffic, ..nothing }
            }
            Subject::Channel(connection, number) => {
                Point { traffic: self.channels.get(&(*connection, *number))?.counts.traffic, ..nothing }
            }
            Subject::Connection(id) => {
                let Octets { received, sent, .. } = *self.connections.get(id)?;
                Point { received_octets: received, sent_octets: sent, ..nothing }
            }
            Subject::Exchange(vhost, name) => {
                Point { passed: *self.exchanges.get(&(vhost.clone(), name.clone()))?, ..nothing }
            }
            Subject::Vhost(name) => self.vhosts.get(name)?.point(self.at_ms),
        })
    }

    pub fn empty(at: Instant, at_ms: u64) -> Sample {
        Sample {
            at,
            at_ms,
            queues: HashMap::new(),
            channels: HashMap::new(),
            connections: HashMap::new(),
            exchanges: HashMap::new(),
            vhosts: HashMap::new(),
            total: VhostTotals::default(),
            churn: [("", 0); 7],
            processor_us: Vec::new(),
        }
    }

    pub async fn take(common: &Common) -> Result<Sample, Refusal> {
        let processor_us = common.published.iter().map(Published::processor_us).collect();
        let mut sample =
            Sample { churn: common.churn(), processor_us, ..Sample::empty(Instant::now(), now_ms()) };
        for (vhost, traffic) in departed(common).await? {
            sample.count(&vhost, |totals| totals.traffic.add(&traffic));
        }
        sample.take_queues(common).await?;
        sample.take_connections(common).await?;
        for (spec, passed) in exchanges(common).await? {
            sample.exchanges.insert((spec.vhost.clone(), spec.name.clone()), passed);
            sample.count(&spec.vhost, |totals| totals.exchanges += 1);
        }
        Ok(sample)
    }

    async fn take_queues(&mut self, common: &Common) -> Result<(), Refusal> {
        for queue in queues(common).await? {
            let counts = QueueCounts::from(&queue);
            self.queues.insert(queue.id, Steady { counts, since_ms: self.at_ms });
            self.count(&queue.spec.vhost, |totals| {
                totals.ready += counts.ready;
                totals.unacked += counts.unacked;
                totals.queues += 1;
                totals.consumers += counts.consumers;
            });
        }
        Ok(())
    }

    async fn take_connections(&mut self, common: &Common) -> Result<(), Refusal> {
        for connection in connections(common).await? {
            let Some(session) = &connection.session else { continue };
            self.connections.insert(connection.id, connection.octets);
            let (mut traffic, mut publishers) = (Traffic::default(), 0);
            for channel in &connection.channels {
                publishers += u64::from(channel.traffic.publish > 0);
                let counts = Steady { counts: ChannelCounts::from(channel), since_ms: self.at_ms };
                self.channels.insert((connection.id, channel.number), counts);
                traffic.add(&channel.traffic);
            }
            self.count(&Name::from(&*session.vhost), |totals| {
                totals.publishers += publishers;
                totals.connections += 1;
                totals.channels += connection.channels.len() as u64;
                totals.received_octets += connection.octets.received;
                totals.sent_octets += connection.octets.sent;
                totals.traffic.add(&traffic);
            });
        }
        Ok(())
    }

    fn count(&mut self, vhost: &Name, add: impl Fn(&mut VhostTotals)) {
        add(&mut self.total);
        add(self.vhosts.entry(vhost.clone()).or_default());
    }
}

pub fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis() as u64)
}
