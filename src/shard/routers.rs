//! The routers of a shard, one for each vhost, and what control told this shard to change in them.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use ahash::RandomState;

use super::Shard;
use super::command::Command;
use crate::amqp::reply::{ConnectionError, ReplyCode};
use crate::exchange::{Change, Router};
use crate::ids::{ChannelNumber, Name, Requester, ShardId};
use crate::limits::UNLINKS;
use crate::parameters::Parameters;
use crate::slots::Slots;
use crate::stats::Traffic;
use crate::text::lossy;
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
    Parameters(Box<(Parameters, Requester)>),
}

/// Lives on: its shard.
pub struct Routers {
    routers: Slots<Router>,
    slots: HashMap<Name, u32, RandomState>,
    /// Of vhosts that nobody may enter any more.
    closing: Vec<u32>,
    /// Of vhosts that are gone, while some connection still has their number.
    gone: Vec<u32>,
    seed: u64,
    told: VecDeque<Told>,
    /// What its router is applying in pieces.
    applying: Option<Arc<News>>,
    /// Routers that have not done with what was removed.
    sweeping: VecDeque<u32>,
    /// Traffic of channels that are gone, by the slot of their router.
    departed: Vec<Traffic>,
    /// Versions that are applied and control has not been told of, the last of each vhost's.
    applied: Vec<(Name, u64)>,
}

impl Routers {
    pub fn new(seed: u64) -> Routers {
        Routers {
            routers: Slots::default(),
            slots: HashMap::with_hasher(RandomState::with_seeds(seed, !seed, seed.rotate_left(17), 1)),
            closing: Vec::new(),
            gone: Vec::new(),
            seed,
            told: VecDeque::new(),
            applying: None,
            sweeping: VecDeque::new(),
            departed: Vec::new(),
            applied: Vec::new(),
        }
    }

    /// Before the first connection: there is no vhost.
    pub fn clear(&mut self) {
        *self = Routers::new(self.seed);
    }

    /// Makes a router for a vhost that there is none for.
    pub fn add(&mut self, vhost: Name) {
        let seed = self.seed ^ self.routers.len() as u64;
        let slot = self.routers.insert_with(|_, _| Router::new(vhost.clone(), seed));
        let before = self.slots.insert(vhost, slot);
        debug_assert!(before.is_none(), "a vhost is told of once");
    }

    fn slot(&self, vhost: &[u8]) -> Option<u32> {
        self.slots.get(vhost).copied()
    }

    /// The slot of the router that a connection to that vhost asks. None: there is no such vhost.
    pub fn enter(&self, vhost: &[u8]) -> Option<u32> {
        self.slot(vhost).filter(|slot| !self.closing.contains(slot))
    }

    /// The router of a slot that `enter` gave.
    #[inline]
    pub fn at(&self, slot: u32) -> &Router {
        self.routers.get(slot).expect("who asks for a router has a vhost")
    }

    #[inline]
    pub fn at_mut(&mut self, slot: u32) -> &mut Router {
        self.routers.get_mut(slot).expect("who asks for a router has a vhost")
    }

    /// The router of a slot that need not be one's own.
    pub fn find_mut(&mut self, slot: u32) -> Option<&mut Router> {
        self.routers.get_mut(slot)
    }

    /// A channel of a connection to that router is gone.
    pub fn departed(&mut self, slot: u32, traffic: &Traffic) {
        let slot = slot as usize;
        if self.departed.len() <= slot {
            self.departed.resize(slot + 1, Traffic::default());
        }
        self.departed[slot].add(traffic);
    }

    /// Each vhost, with the traffic of its channels that are gone.
    pub fn all_departed(&self) -> impl Iterator<Item = (&Name, Traffic)> {
        let departed = |slot: u32| self.departed.get(slot as usize).copied().unwrap_or_default();
        self.slots.iter().map(move |(vhost, &slot)| (vhost, departed(slot)))
    }

    /// From a slot on.
    pub fn from(&self, slot: u32) -> impl Iterator<Item = (u32, &Router)> {
        self.routers.iter_from(slot)
    }

    pub fn of(&self, vhost: &[u8]) -> Option<&Router> {
        self.routers.get(self.slot(vhost)?)
    }

    pub fn of_mut(&mut self, vhost: &[u8]) -> Option<&mut Router> {
        let slot = self.slot(vhost)?;
        self.routers.get_mut(slot)
    }

    /// Whether vhosts are gone whose routers are not.
    pub fn has_gone(&self) -> bool {
        !self.gone.is_empty()
    }

    pub fn has_work(&self) -> bool {
        !self.told.is_empty() || !self.sweeping.is_empty()
    }

    fn apply(&mut self, news: Arc<News>) {
        match *news.change {
            Change::VhostOpened if self.slot(&news.vhost).is_none() => self.add(news.vhost.clone()),
            Change::VhostClosing => self.closing.extend(self.slot(&news.vhost)),
            Change::VhostGone => self.gone.extend(self.slots.remove(&news.vhost)),
            _ => {}
        }
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
                    if *news.change == Change::VhostClosing {
                        self.close_all_in(&news.vhost);
                    }
                    self.routers.apply(news);
                    self.drop_routers();
                    self.work_on_routes();
                }
                Told::Outcome(outcome) if outcome.0.is_desk() => self.order_done(outcome.0, outcome.1),
                Told::Outcome(outcome) => self.on_outcome(outcome.0, outcome.1),
                Told::Parameters(parameters) => self.go_by(parameters.0, parameters.1),
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

    /// Frees routers of vhosts that are gone, and whose connections are.
    pub(super) fn drop_routers(&mut self) {
        let (memos, connections) = (&self.memos, &self.rooms.outward.connections);
        self.routers.gone.retain(|&gone| {
            let is_used = connections.iter().any(|(slot, _)| memos[slot as usize].router == gone);
            if !is_used {
                self.routers.routers.remove(gone);
                self.routers.departed.get_mut(gone as usize).map(std::mem::take);
                self.routers.closing.retain(|&slot| slot != gone);
                self.routers.sweeping.retain(|&slot| slot != gone);
            }
            is_used
        });
    }

    /// Closes the connections to a vhost that ends.
    fn close_all_in(&mut self, vhost: &[u8]) {
        let Some(router) = self.routers.slot(vhost) else { return };
        let connections = self.rooms.outward.connections.iter();
        let open =
            connections.filter(|(slot, it)| it.is_open() && self.memos[*slot as usize].router == router);
        let slots: Vec<u32> = open.map(|(slot, _)| slot).collect();
        let text = format!("vhost '{}' is deleted", lossy(vhost));
        for slot in slots {
            let error = ConnectionError::new(ReplyCode::ConnectionForced, text.clone(), (0, 0));
            self.fail(slot, ChannelNumber(0), error.into());
        }
    }

    /// The router that a connection asks.
    #[inline]
    pub(super) fn router(&self, slot: u32) -> &Router {
        self.routers.at(self.memos[slot as usize].router)
    }
}
