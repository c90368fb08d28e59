//! The counter in front of a shard's desk: threads outside hand in orders there, and wait for the answers.

use crossbeam_queue::ArrayQueue;
use tokio::sync::oneshot;

use super::Common;
use crate::ids::ShardId;
use crate::shard::desk::{Done, Order};

/// Lives on: shared by the shard and the threads that ask.
pub struct Counter {
    pub(super) orders: ArrayQueue<(Order, oneshot::Sender<Done>)>,
}

impl Default for Counter {
    fn default() -> Counter {
        Counter { orders: ArrayQueue::new(ORDERS_MAX) }
    }
}

/// More than one HTTP thread has under way.
const ORDERS_MAX: usize = 1024;

impl Common {
    /// Asks the control shard. None: the server stops, or is overrun with orders.
    pub async fn ask(&self, order: Order) -> Option<Done> {
        self.ask_at(ShardId::CONTROL, order).await
    }

    /// Asks a shard.
    pub async fn ask_at(&self, shard: ShardId, order: Order) -> Option<Done> {
        let (answer, done) = oneshot::channel();
        self.counters[shard.index()].orders.push((order, answer)).ok()?;
        self.bells[shard.index()].ring();
        done.await.ok()
    }

    pub fn shards(&self) -> impl Iterator<Item = ShardId> + use<> {
        (0..self.counters.len() as u16).map(ShardId)
    }
}
