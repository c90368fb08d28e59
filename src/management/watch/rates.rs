//! How fast things change: the difference of the last two samples.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::Subject;
use super::history::Point;
use super::idle::{idle_since, keep_since};
use super::sample::{ChannelCounts, QueueCounts, Sample, VhostTotals};
use crate::connection::Octets;
use crate::exchange::Passed;
use crate::ids::{ConnectionId, Name, QueueId};
use crate::shard::report::{ChannelReport, QueueReport};
use crate::stats::Traffic;

/// The last two samples.
#[derive(Default)]
pub struct Rates {
    before: Option<Arc<Sample>>,
    last: Option<Arc<Sample>>,
}

/// Per second, of what was counted twice.
pub type PerSecond<T> = (T, f64);

impl Rates {
    pub fn followed_by(&self, mut sample: Sample) -> Rates {
        if let Some(last) = &self.last {
            keep_since(&mut sample.queues, &last.queues);
            keep_since(&mut sample.channels, &last.channels);
        }
        Rates { before: self.last.clone(), last: Some(Arc::new(sample)) }
    }

    pub fn last(&self) -> Option<&Sample> {
        self.last.as_deref()
    }

    /// What one thing counted, first and last.
    pub fn points(&self, of: &Subject) -> impl Iterator<Item = Point> {
        [&self.before, &self.last].into_iter().flatten().filter_map(move |sample| sample.point(of))
    }

    /// What one thing counted in both samples, and the seconds between them. A thing that is new began at nothing.
    fn both<T: Copy + Default>(&self, find: impl Fn(&Sample) -> Option<T>) -> Option<(T, T, f64)> {
        let (before, last) = (self.before.as_ref()?, self.last.as_ref()?);
        let seconds = last.at.duration_since(before.at).as_secs_f64();
        Some((find(before).unwrap_or_default(), find(last)?, seconds))
    }

    /// How busy a shard was between the samples, as a share of a core. None: it is not known yet.
    pub fn busy_share(&self, shard: usize) -> Option<f64> {
        let (before, last, seconds) = self.both(|sample| sample.processor_us.get(shard).copied())?;
        Some(last.saturating_sub(before) as f64 / 1e6 / seconds)
    }

    /// Of the messages of a queue: ready, unacked, and what passed.
    pub fn queue(&self, id: QueueId) -> QueueRates {
        let both = self.both(|sample| Some(sample.queues.get(&id)?.counts));
        let Some((before, last, seconds)) = both else { return QueueRates::default() };
        let per_second = |before: u64, last: u64| (last as f64 - before as f64) / seconds;
        let QueueCounts { ready, unacked, traffic, .. } = last;
        QueueRates {
            ready: per_second(before.ready, ready),
            unacked: per_second(before.unacked, unacked),
            traffic: (traffic.since(&before.traffic), seconds),
        }
    }

    pub fn channel(&self, connection: ConnectionId, channel: u16) -> PerSecond<Traffic> {
        let both = self.both(|sample| Some(sample.channels.get(&(connection, channel))?.counts.traffic));
        both.map_or((Traffic::default(), 1.0), |(before, last, seconds)| (last.since(&before), seconds))
    }

    /// Since when a queue counts what it counts now, ms since 1970; none if it has just changed.
    pub fn queue_idle_since(&self, queue: &QueueReport) -> Option<u64> {
        let last = self.last()?;
        idle_since(last.queues.get(&queue.id)?, &QueueCounts::from(queue), last.at_ms)
    }

    /// The same of a channel.
    pub fn channel_idle_since(&self, connection: ConnectionId, channel: &ChannelReport) -> Option<u64> {
        let last = self.last()?;
        let seen = last.channels.get(&(connection, channel.number))?;
        idle_since(seen, &ChannelCounts::from(channel), last.at_ms)
    }

    /// Octets received and sent, per second.
    pub fn connection(&self, id: ConnectionId) -> (f64, f64) {
        let both = self.both(|sample| sample.connections.get(&id).copied());
        let per_second = |before: Octets, last: Octets, seconds: f64| {
            let received = last.received.saturating_sub(before.received) as f64 / seconds;
            (received, last.sent.saturating_sub(before.sent) as f64 / seconds)
        };
        both.map_or((0.0, 0.0), |(before, last, seconds)| per_second(before, last, seconds))
    }

    /// Messages in and out, per second.
    pub fn exchange(&self, vhost: &Name, name: &Name) -> (f64, f64) {
        let key = (vhost.clone(), name.clone());
        let both = self.both(|sample| sample.exchanges.get(&key).copied());
        let per_second = |before: Passed, last: Passed, seconds: f64| {
            let published = last.published.saturating_sub(before.published) as f64 / seconds;
            (published, last.routed.saturating_sub(before.routed) as f64 / seconds)
        };
        both.map_or((0.0, 0.0), |(before, last, seconds)| per_second(before, last, seconds))
    }

    /// Of what came and went, by its name.
    pub fn churn(&self, name: &str) -> f64 {
        let find = |sample: &Sample| Some(sample.churn.iter().find(|(known, _)| *known == name)?.1);
        let both = self.both(find);
        both.map_or(0.0, |(before, last, seconds)| last.saturating_sub(before) as f64 / seconds)
    }

    /// Of a vhost, or of all.
    pub fn totals(&self, vhost: Option<&[u8]>) -> TotalRates {
        let both = self.both(|sample| match vhost {
            Some(vhost) => sample.vhosts.get(vhost).copied(),
            None => Some(sample.total),
        });
        let Some((before, last, seconds)) = both else {
            let now = self.last().and_then(|sample| match vhost {
                Some(vhost) => sample.vhosts.get(vhost).copied(),
                None => Some(sample.total),
            });
            return TotalRates { now: now.unwrap_or_default(), ..TotalRates::default() };
        };
        let per_second = |before: u64, last: u64| (last as f64 - before as f64) / seconds;
        TotalRates {
            ready: per_second(before.ready, last.ready),
            unacked: per_second(before.unacked, last.unacked),
            received: per_second(before.received_octets, last.received_octets),
            sent: per_second(before.sent_octets, last.sent_octets),
            traffic: (last.traffic.since(&before.traffic), seconds),
            now: last,
        }
    }
}

pub struct QueueRates {
    pub ready: f64,
    pub unacked: f64,
    pub traffic: PerSecond<Traffic>,
}

impl Default for QueueRates {
    fn default() -> QueueRates {
        QueueRates { ready: 0.0, unacked: 0.0, traffic: (Traffic::default(), 1.0) }
    }
}

pub struct TotalRates {
    pub now: VhostTotals,
    pub ready: f64,
    pub unacked: f64,
    pub received: f64,
    pub sent: f64,
    pub traffic: PerSecond<Traffic>,
}

impl Default for TotalRates {
    fn default() -> TotalRates {
        TotalRates {
            now: VhostTotals::default(),
            ready: 0.0,
            unacked: 0.0,
            received: 0.0,
            sent: 0.0,
            traffic: (Traffic::default(), 1.0),
        }
    }
}

/// `message_stats`: what passed, with rates.
pub fn message_stats(traffic: &Traffic, (change, seconds): PerSecond<Traffic>) -> Value {
    let mut stats = Map::new();
    for ((name, value), changed) in Traffic::NAMES.iter().zip(traffic.values()).zip(change.values()) {
        number_with_rate(&mut stats, name, value, changed as f64 / seconds);
    }
    number_with_rate(&mut stats, "deliver_get", traffic.delivered(), change.delivered() as f64 / seconds);
    Value::Object(stats)
}

/// `name` and `name_details`.
pub fn number_with_rate(into: &mut Map<String, Value>, name: &str, value: u64, rate: f64) {
    into.insert(name.to_owned(), json!(value));
    into.insert(format!("{name}_details"), json!({"rate": rate}));
}
