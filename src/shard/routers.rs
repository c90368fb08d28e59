//! The routers of a shard, one for each vhost, and what control told this shard to change in them.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use ahash::RandomState;

use super::Shard;
use super::command::Command;
use crate::exchange::{Change, Router};
use crate::ids::{Name, Requester, ShardId};
use crate::limits::UNLINKS;
use crate::slots::Slots;
use crate::topology::Outcome;

/// A change of a vhost's topology, as every shard is told of it.
#[derive(Clone)]
pub struct News {
    pub vhost: Name,
    pub version: u64,
    pub change: Arc<Change>,
}

/// What control told this shard and is not taken yet: it was told behind a change that takes several pieces.
pub(super) enum Told {
    News(Arc<News>),
    Outcome(Box<(Requester, Outcome)>),
}

/// Lives on: its shard.
pub struct Routers {
    routers: Slots<Router>,
    slots: HashMap<Name, u32, RandomState>,
    seed: u64,
    told: VecDeque<Told>,
    /// What its router is applying in pieces.
    applying: Option<Arc<News>>,
    /// Routers that have not done with what was removed.
    sweeping: VecDeque<u32>,
    /// Versions that are applied and control has not been told of, the last of each vhost's.
    applied: Vec<(Name, u64)>,
}

impl Routers {
    pub fn new(seed: u64) -> Routers {
        Routers {
            routers: Slots::default(),
            slots: HashMap::with_hasher(RandomState::with_seeds(seed, !seed, seed.rotate_left(17), 1)),
            seed,
            told: VecDeque::new(),
            applying: None,
            sweeping: VecDeque::new(),
            applied: Vec::new(),
        }
    }

    /// Makes a router for a vhost that there is none for.
    pub fn add(&mut self, vhost: Name) {
        let seed = self.seed ^ self.routers.len() as u64;
        let slot = self.routers.insert_with(|_, _| Router::new(vhost.clone(), seed));
        let before = self.slots.insert(vhost, slot);
        debug_assert!(before.is_none(), "a vhost is told of once");
    }

    pub fn slot(&self, vhost: &[u8]) -> Option<u32> {
        self.slots.get(vhost).copied()
    }

    /// The router of a slot that `slot` gave.
    #[inline]
    pub fn at(&self, slot: u32) -> &Router {
        self.routers.get(slot).expect("who asks for a router has a vhost")
    }

    #[inline]
    pub fn at_mut(&mut self, slot: u32) -> &mut Router {
        self.routers.get_mut(slot).expect("who asks for a router has a vhost")
    }

    pub fn of(&self, vhost: &[u8]) -> Option<&Router> {
        self.routers.get(self.slot(vhost)?)
    }

    pub fn of_mut(&mut self, vhost: &[u8]) -> Option<&mut Router> {
        let slot = self.slot(vhost)?;
        self.routers.get_mut(slot)
    }

    pub fn has_work(&self) -> bool {
        !self.told.is_empty() || !self.sweeping.is_empty()
    }

    fn apply(&mut self, news: Arc<News>) {
        if let Some(slot) = self.slot(&news.vhost)
            && let Some(router) = self.routers.get_mut(slot)
        {
            router.apply(&news.change);
            if router.has_work() && !self.sweeping.contains(&slot) {
                self.sweeping.push_back(slot);
            }
        }
        self.applying = Some(news);
    }

    /// A piece of what is left to do.
    fn work(&mut self) {
        if let Some(&slot) = self.sweeping.front()
            && let Some(router) = self.routers.get_mut(slot)
        {
            router.work(UNLINKS);
            if !router.has_work() {
                self.sweeping.pop_front();
            }
        }
        let is_applied = |news: &Arc<News>| self.of(&news.vhost).is_none_or(|router| !router.is_applying());
        if !self.applying.as_ref().is_some_and(is_applied) {
            return;
        }
        let Some(News { vhost, version, .. }) = self.applying.take().as_deref().cloned() else { return };
        match self.applied.iter_mut().find(|(known, _)| *known == vhost) {
            Some((_, last)) => *last = version,
            None => self.applied.push((vhost, version)),
        }
    }
}

impl Shard {
    pub(super) fn told(&mut self, told: Told) {
        self.routers.told.push_back(told);
        self.take_told();
    }

    /// Applies changes, and takes replies that speak of them, in their order. A change that removes much is applied in
    /// pieces, and what is behind it waits.
    pub(super) fn take_told(&mut self) {
        while self.routers.applying.is_none()
            && let Some(told) = self.routers.told.pop_front()
        {
            match told {
                Told::News(news) => {
                    self.routers.apply(news);
                    self.work_on_routes();
                }
                Told::Outcome(outcome) => self.on_outcome(outcome.0, outcome.1),
            }
        }
    }

    /// A piece of what the routers, and on the control shard the topology, have left to do.
    pub(super) fn work_on_routes(&mut self) {
        self.routers.work();
        if self.id == ShardId::CONTROL {
            self.tell_applied();
        }
    }

    /// Tells control how far the routers have come: once for all the changes of a batch.
    pub(super) fn tell_applied(&mut self) {
        for applied in std::mem::take(&mut self.routers.applied) {
            self.send(ShardId::CONTROL, Command::Applied(Box::new(applied)));
        }
    }

    /// The router that a connection asks.
    #[inline]
    pub(super) fn router(&self, slot: u32) -> &Router {
        self.routers.at(self.memos[slot as usize].router)
    }
}
