//! What the last process left: queues, and routes to them, are there before the shard serves anybody.

use super::Shard;
use super::ledger::Ledger;
use crate::exchange::Change;
use crate::ids::ShardId;
use crate::journal::Journal;
use crate::topology::{Restored, Vhosts};

impl Shard {
    /// Takes this shard's part of what was restored. Only the control shard has the topology, and the journal that it goes
    /// on with.
    pub fn restore(&mut self, restored: &Restored, control: Option<(Vhosts, Journal)>) {
        assert!(self.rooms.queues.is_empty() && self.rooms.outward.connections.is_empty());
        assert_eq!(control.is_some(), self.id == ShardId::CONTROL);
        self.routers.clear();
        if let Some(access) = &restored.access {
            self.access = access.clone();
        }
        self.parameters = restored.parameters.clone();
        for (id, spec) in &restored.queues[self.id.index()] {
            let made = self.make_queue(spec);
            assert_eq!(made, *id, "empty slots are given out in their order");
        }
        for (vhost, change) in &restored.changes {
            if *change == Change::VhostOpened {
                self.routers.add(vhost.clone());
            }
            let router = self.routers.of_mut(vhost).expect("vhosts come before what lies in them");
            router.apply(change);
            debug_assert!(!router.has_work(), "nothing is removed");
        }
        if let Some((vhosts, journal)) = control {
            self.vhosts = Some(Box::new(vhosts));
            self.ledger = Some(Box::new(Ledger::new(journal, restored)));
        }
    }

    /// Sees what of the topology has come to be on disk, and lets out what waited for it.
    pub fn topology_durable(&mut self) {
        if let Some(ledger) = &mut self.ledger {
            ledger.look();
        }
        while let Some(effect) = self.ledger.as_mut().and_then(|ledger| ledger.next()) {
            self.carry_out(effect);
        }
    }

    /// Whether nothing of the topology waits for the disk.
    pub fn is_topology_durable(&mut self) -> bool {
        self.ledger.as_mut().is_none_or(|ledger| ledger.is_done())
    }
}
