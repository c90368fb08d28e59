//! The topologies of all vhosts. Nothing leads from one to another, so each has versions of its own.
//!
//! ```text
//! declare -> VhostOpened -> every shard has a router -> Ok          connections enter
//! delete  -> VhostClosing -> connections leave, queues end, each by its shard -> VhostGone -> routers go -> Ok
//! ```

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::numbers::Numbers;
use super::queues::NamedQueue;
use super::record::Record;
use super::request::Outcome;
use super::state::{Effect, Topology};
use crate::access::{self, Access};
use crate::exchange::Change;
use crate::ids::{Name, Requester, ShardId, root};
use crate::parameters::Parameters;
use crate::queue_args::Durability;

/// Lives on: the control shard.
pub struct Vhosts {
    pub(super) numbers: Arc<Numbers>,
    pub(super) topologies: BTreeMap<Name, Topology>,
    /// Of queues to come.
    pub(super) durability: Durability,
    pub(super) access: Access,
    /// It is in the log; else it is what every server begins with.
    pub(super) is_said: bool,
    pub(super) parameters: Parameters,
    /// Who has changed them, until all exchanges go by them.
    pub(super) changed: VecDeque<Requester>,
}

impl Vhosts {
    /// The one there is from the start. `shards` is at least 1.
    pub fn new(shards: u16, access: Access) -> Vhosts {
        let (numbers, durability) = (Arc::new(Numbers::new(shards)), Durability::default());
        let topology = Topology::new(root(), numbers.clone(), durability);
        Vhosts {
            numbers,
            topologies: BTreeMap::from([(root(), topology)]),
            durability,
            access,
            is_said: false,
            parameters: Parameters::default(),
            changed: VecDeque::new(),
        }
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

    /// Makes a vhost, or changes what is told `about` it. `Outcome::Ok` comes when every shard knows it.
    pub fn declare(&mut self, vhost: &Name, about: Name, to: Requester, out: &mut Vec<Effect>) {
        let record = Record::VhostDeclared { about: about.clone() };
        match self.topologies.get_mut(vhost) {
            Some(topology) if topology.closing.is_some() => {
                out.push(Effect::Reply { to, outcome: Outcome::NameTaken });
            }
            Some(topology) => {
                topology.about = about;
                out.push(Effect::Record { vhost: vhost.clone(), record });
                topology.reply(to, Outcome::Ok, out);
            }
            None => {
                let mut topology = Topology::new(vhost.clone(), self.numbers.clone(), self.durability);
                topology.about = about;
                self.access = self.access.clone().open_vhost(vhost);
                out.push(Effect::Access { access: self.access.clone(), to });
                topology.broadcast(Change::VhostOpened, Some(record), out);
                topology.reply(to, Outcome::Ok, out);
                self.topologies.insert(vhost.clone(), topology);
            }
        }
    }

    /// Ends a vhost with all that lies in it. `Outcome::Ok` comes when no shard knows it any more, `NameTaken` if it ends
    /// already. False: there is none of that name.
    pub fn delete(&mut self, vhost: &[u8], to: Requester, out: &mut Vec<Effect>) -> bool {
        let Some(topology) = self.topologies.get_mut(vhost) else { return false };
        if topology.closing.is_some() {
            out.push(Effect::Reply { to, outcome: Outcome::NameTaken });
            return true;
        }
        topology.closing = Some(to);
        self.access = self.access.clone().forget_vhost(vhost);
        out.push(Effect::Access { access: self.access.clone(), to });
        self.parameters = std::mem::take(&mut self.parameters).forget_vhost(vhost);
        out.push(Effect::Parameters { parameters: self.parameters.clone(), to });
        topology.broadcast(Change::VhostClosing, None, out);
        let live = topology.queues.values().filter_map(|queue| match queue {
            NamedQueue::Live(live) => Some(live.id),
            NamedQueue::Creating { .. } | NamedQueue::Dying { .. } => None,
        });
        out.extend(live.map(|id| Effect::EndQueue { id }));
        topology.end_if_empty(out);
        true
    }

    pub fn access(&self) -> &Access {
        &self.access
    }

    pub(super) fn said_access(&self) -> Option<&Access> {
        self.is_said.then_some(&self.access)
    }

    /// Changes users and permissions. `Outcome::Ok` comes when every shard goes by that.
    pub fn change_access(&mut self, changes: Vec<access::Change>, to: Requester, out: &mut Vec<Effect>) {
        let mut record = |change| out.push(Effect::Record { vhost: root(), record: Record::Access(change) });
        if !std::mem::replace(&mut self.is_said, true) {
            self.access.changes().for_each(&mut record);
        }
        for change in changes {
            record(change.clone());
            self.access = self.access.clone().apply(change);
        }
        out.push(Effect::Access { access: self.access.clone(), to });
    }

    /// Lets go of a vhost that is gone, and that every shard knows to be.
    pub fn forget_if_gone(&mut self, vhost: &[u8]) {
        if self.topologies.get(vhost).is_some_and(|topology| topology.is_gone && topology.is_told()) {
            self.topologies.remove(vhost);
        }
    }

    /// Whether `work` has something to do.
    pub fn has_work(&self) -> bool {
        self.numbers.unbinds() || !self.changed.is_empty()
    }

    /// Goes on with what is done in pieces, by so many bindings of each vhost at most.
    pub fn work(&mut self, bindings_max: usize, out: &mut Vec<Effect>) {
        let busy = self.topologies.values_mut().filter(|topology| topology.has_work());
        busy.for_each(|topology| topology.work(bindings_max, out));
        self.rule_exchanges(out);
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

impl Topology {
    /// What the API tells of the vhost.
    pub fn about(&self) -> &Name {
        &self.about
    }

    /// Whether it is there for the API: not while it ends.
    pub fn is_open(&self) -> bool {
        self.closing.is_none()
    }

    /// The vhost that ends is gone when its last queue is.
    pub(super) fn end_if_empty(&mut self, out: &mut Vec<Effect>) {
        if let Some(to) = self.closing
            && self.queues.is_empty()
            && !self.is_gone
        {
            self.is_gone = true;
            self.broadcast(Change::VhostGone, Some(Record::VhostDeleted), out);
            self.reply(to, Outcome::Ok, out);
        }
    }
}
