//! What the API knows of the shards: it looks every few seconds, so that there are rates, and again when somebody asks.
//!
//! ```text
//! every 5 s: Look at all shards -> Sample -> (the one before, the last) -> rates, history of the totals and of what is
//!                                                                             asked for
//! ```
//! Lives on: the HTTP thread.

#![allow(clippy::disallowed_types, reason = "it is the HTTP thread's own: no shard waits for it")]

mod ages;
mod followed;
mod history;
mod idle;
mod rates;
mod sample;

pub use ages::Ages;
pub use followed::Subject;
pub use idle::time_text;
pub use rates::{Rates, message_stats, number_with_rate};
pub use sample::{Sample, VhostTotals};

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::answer::Refusal;
use crate::exchange::{ExchangeSpec, Passed};
use crate::ids::{Name, ShardId};
use crate::shard::desk::{Done, Order};
use crate::shard::report::{ConnectionReport, Look, QueueReport, Report, Sought};
use crate::shard::start::Common;
use crate::stats::Traffic;
use followed::Followed;
use history::History;

#[derive(Default)]
pub struct Watch {
    /// Handlers may run on other threads some day: the compiler wants to be sure. Nobody waits for it.
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    /// The last sample and the one before it.
    rates: Arc<Rates>,
    history: History,
    followed: Followed,
}

impl Watch {
    /// What was seen last, and how it has changed.
    pub fn rates(&self) -> Arc<Rates> {
        self.lock().rates.clone()
    }

    /// How the totals changed over time.
    pub fn over_time<T>(&self, read: impl FnOnce(&History) -> T) -> T {
        read(&self.lock().history)
    }

    /// The same of a single object, which is followed from now on.
    pub fn of_one<T>(&self, of: Subject, read: impl FnOnce(&History) -> T) -> T {
        let mut seen = self.lock();
        let rates = seen.rates.clone();
        read(seen.followed.ask(of, &rates, Instant::now()))
    }

    /// Forgets what was.
    pub fn reset(&self) {
        *self.lock() = Seen::default();
    }

    /// Looks for ever.
    pub async fn keep_looking(&self, common: &Common) {
        let mut clock = tokio::time::interval(INTERVAL);
        clock.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            clock.tick().await;
            if let Ok(sample) = Sample::take(common).await {
                let mut seen = self.lock();
                seen.history.add(sample.total.point(sample.at_ms));
                seen.followed.add(&sample, Instant::now());
                seen.rates = Arc::new(seen.rates.followed_by(sample));
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub async fn queues(common: &Common) -> Result<Vec<QueueReport>, Refusal> {
    let mut all = Vec::new();
    look(common, Look::Queues, |report| {
        if let Report::Queues(queues) = report {
            all.extend(queues);
        }
    })
    .await?;
    Ok(all)
}

/// One by its name. Any shard knows where it lives.
pub async fn queue(common: &Common, vhost: &[u8], name: &[u8]) -> Result<Option<QueueReport>, Refusal> {
    let mut shard = ShardId::CONTROL;
    // It may be deleted and be declared elsewhere meanwhile.
    for _ in 0..SEEK_MAX {
        let order = Order::Seek { vhost: vhost.into(), name: name.into() };
        match common.ask_at(shard, order).await {
            Some(Done::Sought(Sought::Here(report))) => return Ok(Some(*report)),
            Some(Done::Sought(Sought::At(elsewhere))) => shard = elsewhere,
            Some(Done::Sought(Sought::Nowhere)) => return Ok(None),
            _ => return Err(Refusal::Unavailable),
        }
    }
    Ok(None)
}

/// Those that have opened a vhost.
pub async fn connections(common: &Common) -> Result<Vec<ConnectionReport>, Refusal> {
    let mut all = Vec::new();
    look(common, Look::Connections, |report| {
        if let Report::Connections(connections) = report {
            all.extend(connections.into_iter().filter(|connection| connection.session.is_some()));
        }
    })
    .await?;
    Ok(all)
}

/// What passed is summed over the shards.
pub async fn exchanges(common: &Common) -> Result<Vec<(Arc<ExchangeSpec>, Passed)>, Refusal> {
    let mut all: std::collections::BTreeMap<(Name, Name), (Arc<ExchangeSpec>, Passed)> = Default::default();
    look(common, Look::Exchanges, |report| {
        let Report::Exchanges(exchanges) = report else { return };
        for (spec, passed) in exchanges {
            let key = (spec.vhost.clone(), spec.name.clone());
            let (_, sum) = all.entry(key).or_insert_with(|| (spec, Passed::default()));
            sum.published += passed.published;
            sum.routed += passed.routed;
        }
    })
    .await?;
    Ok(all.into_values().collect())
}

/// The traffic of channels that are gone, by vhost.
pub async fn departed(common: &Common) -> Result<Vec<(Name, Traffic)>, Refusal> {
    let mut all = Vec::new();
    look(common, Look::Departed, |report| {
        if let Report::Departed(departed) = report {
            all.extend(departed);
        }
    })
    .await?;
    Ok(all)
}

/// Shows `take` all pieces of all shards.
async fn look(common: &Common, look: Look, mut take: impl FnMut(Report)) -> Result<(), Refusal> {
    for shard in common.shards() {
        look_at(common, shard, look, &mut take).await?;
    }
    Ok(())
}

async fn look_at(
    common: &Common,
    shard: ShardId,
    look: Look,
    take: &mut impl FnMut(Report),
) -> Result<(), Refusal> {
    let mut from = 0;
    loop {
        let Some(Done::Looked { report, next }) = common.ask_at(shard, Order::Look { look, from }).await
        else {
            return Err(Refusal::Unavailable);
        };
        take(report);
        match next {
            Some(next) => from = next,
            None => return Ok(()),
        }
    }
}

const SEEK_MAX: usize = 4;
/// RabbitMQ's collect_statistics_interval.
const INTERVAL: Duration = Duration::from_secs(5);
