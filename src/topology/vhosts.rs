//! The topologies of all vhosts. Nothing leads from one to another, so each has versions of its own.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::numbers::Numbers;
use super::state::{Effect, Topology};
use crate::ids::{Name, ShardId, root};
use crate::queue_args::Durability;

/// Lives on: the control shard.
pub struct Vhosts {
    pub(super) numbers: Arc<Numbers>,
    pub(super) topologies: BTreeMap<Name, Topology>,
}

impl Vhosts {
    /// The one there is from the start. `shards` is at least 1.
    pub fn new(shards: u16) -> Vhosts {
        let numbers = Arc::new(Numbers::new(shards));
        let topology = Topology::new(root(), numbers.clone(), Durability::default());
        Vhosts { numbers, topologies: BTreeMap::from([(root(), topology)]) }
    }

    pub fn get_mut(&mut self, vhost: &[u8]) -> Option<&mut Topology> {
        self.topologies.get_mut(vhost)
    }

    /// By name.
    pub fn all(&self) -> &BTreeMap<Name, Topology> {
        &self.topologies
    }

    pub fn numbers(&self) -> &Numbers {
        &self.numbers
    }

    /// Whether `work` has something to do.
    pub fn has_work(&self) -> bool {
        self.numbers.unbinds()
    }

    /// Goes on with what is done in pieces, by so many bindings of each vhost at most.
    pub fn work(&mut self, bindings_max: usize, out: &mut Vec<Effect>) {
        let busy = self.topologies.values_mut().filter(|topology| topology.has_work());
        busy.for_each(|topology| topology.work(bindings_max, out));
    }

    /// The same of each vhost, and the queues of each shard are counted. Costs what there is: for tests and the simulator.
    pub fn invariants(&self) {
        self.topologies.values().for_each(Topology::invariants);
        for shard in (0..self.numbers.shards()).map(ShardId) {
            let counted: usize = self.topologies.values().map(|topology| topology.counted_on(shard)).sum();
            assert_eq!(counted, self.numbers.queues_on(shard) as usize);
        }
    }
}
