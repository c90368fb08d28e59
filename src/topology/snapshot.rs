//! A walk over all that is durable, in pieces, while the topology changes: its records make the log before it superfluous.
//!
//! ```text
//! by vhost: exchanges, by name -> queues, by name -> bindings, by source, then destination, key and arguments
//! in the end the next uid
//! ```
//! What changes meanwhile is recorded as ever. Whatever was there when the walk began is recorded by it if it is there
//! still; what is behind it, or comes there, has had a record of its own since. Each record is true in the moment in which
//! it is made, so that to replay it on what its log led to changes nothing, whether the walk came to its end or not.

use std::ops::Bound::{self, Excluded, Included, Unbounded};

use super::bindings::{BindingEnd, End};
use super::catalogue::{access_records, opening};
use super::exchanges::is_reserved;
use super::queues::NamedQueue;
use super::record::{DurableBinding, DurableEnd, DurableExchange, DurableQueue, Record};
use super::state::Topology;
use super::vhosts::Vhosts;
use crate::exchange::Name;
use crate::ids::root;

/// How far the walk has come.
#[derive(Default)]
pub struct Snapshot {
    /// The vhost in hand; none before the first.
    vhost: Option<Name>,
    part: Part,
    is_done: bool,
}

/// How far it has come in a vhost.
#[derive(Default)]
struct Part {
    stage: Stage,
    /// What was looked at last: the name of an exchange or queue, or the source of a binding.
    name: Option<Name>,
    /// The last of its bindings that was looked at.
    end: Option<BindingEnd>,
}

#[derive(Clone, Copy, PartialEq, Eq, Default)]
enum Stage {
    #[default]
    Exchanges,
    Queues,
    Bindings,
    Done,
}

impl Snapshot {
    /// Looks at so many things at most, durable or not, and tells the records with their vhosts. True when it has told all
    /// of them.
    pub fn walk(&mut self, vhosts: &Vhosts, things_max: usize, tell: &mut dyn FnMut(&Name, Record)) -> bool {
        let mut left = things_max;
        while left > 0 && !self.is_done {
            let from = self.vhost.as_deref().map_or(Unbounded, Included);
            let next = vhosts.all().range::<[u8], _>((from, Unbounded)).find(|(name, _)| {
                // One that is done with is passed, and one that is gone meanwhile too.
                self.part.stage != Stage::Done || self.vhost.as_ref() != Some(name)
            });
            let Some((name, topology)) = next else {
                if !vhosts.all().contains_key(&root()) {
                    tell(&root(), Record::VhostDeleted);
                }
                let access = vhosts.said_access();
                access_records(access).for_each(|record| tell(&root(), record));
                let parameters = vhosts.parameters().changes();
                parameters.for_each(|change| tell(&root(), Record::Parameters(change)));
                tell(&root(), Record::NextUid { uid: vhosts.numbers().next_uid() });
                self.is_done = true;
                break;
            };
            if self.vhost.as_ref() != Some(name) {
                (self.vhost, self.part) = (Some(name.clone()), Part::default());
                opening(name, &topology.about).into_iter().for_each(|record| tell(name, record));
            }
            left -= 1;
            self.part.walk(topology, &mut left, &mut |record| tell(name, record));
        }
        self.is_done
    }
}

impl Part {
    fn walk(&mut self, topology: &Topology, left: &mut usize, tell: &mut dyn FnMut(Record)) {
        while *left > 0 && self.stage != Stage::Done {
            let next = match self.stage {
                Stage::Exchanges => self.exchanges(topology, left, tell).then_some(Stage::Queues),
                Stage::Queues => self.queues(topology, left, tell).then_some(Stage::Bindings),
                Stage::Bindings => self.bindings(topology, left, tell).then_some(Stage::Done),
                Stage::Done => None,
            };
            if let Some(next) = next {
                *self = Part { stage: next, ..Part::default() };
            }
        }
    }

    /// True at the end; so do the others.
    fn exchanges(&mut self, topology: &Topology, left: &mut usize, tell: &mut dyn FnMut(Record)) -> bool {
        for (name, exchange) in topology.exchanges.range::<[u8], _>((after(&self.name), Unbounded)) {
            if *left == 0 {
                return false;
            }
            *left -= 1;
            if exchange.spec.durable && !is_reserved(name) {
                tell(Record::ExchangeDeclared(DurableExchange::of(&exchange.spec)));
            }
            self.name = Some(name.clone());
        }
        true
    }

    /// One that is being made has no record yet; one that is dying has that of its end.
    fn queues(&mut self, topology: &Topology, left: &mut usize, tell: &mut dyn FnMut(Record)) -> bool {
        for (name, queue) in topology.queues.range::<[u8], _>((after(&self.name), Unbounded)) {
            if *left == 0 {
                return false;
            }
            *left -= 1;
            if let NamedQueue::Live(live) = queue
                && let Some(uid) = live.spec.uid
            {
                tell(Record::QueueDeclared(DurableQueue::of(uid, &live.spec)));
            }
            self.name = Some(name.clone());
        }
        true
    }

    /// An exchange counts as a thing too: most may have no binding.
    fn bindings(&mut self, topology: &Topology, left: &mut usize, tell: &mut dyn FnMut(Record)) -> bool {
        let from = self.name.clone();
        let from = from.as_deref().map_or(Unbounded, Included);
        for (source, exchange) in topology.exchanges.range::<[u8], _>((from, Unbounded)) {
            if self.name.as_ref() != Some(source) {
                if *left == 0 {
                    return false;
                }
                *left -= 1;
                (self.name, self.end) = (Some(source.clone()), None);
            }
            if !exchange.spec.durable {
                continue;
            }
            let after = self.end.clone().map_or(Unbounded, Excluded);
            for end in exchange.bindings.range((after, Unbounded)) {
                if *left == 0 {
                    return false;
                }
                *left -= 1;
                if let Some(destination) = topology.durable(&end.other) {
                    let (key, arguments) = (end.key.clone(), end.arguments.clone());
                    let source = source.clone();
                    tell(Record::Bound(DurableBinding { source, destination, key, arguments }));
                }
                self.end = Some(end.clone());
            }
        }
        true
    }
}

impl Topology {
    /// A binding's destination, if it is durable and lives.
    pub(super) fn durable(&self, end: &End) -> Option<DurableEnd> {
        match end {
            End::Queue(name) => match self.queues.get(name)? {
                NamedQueue::Live(live) => live.spec.uid.map(DurableEnd::Queue),
                NamedQueue::Creating { .. } | NamedQueue::Dying { .. } => None,
            },
            End::Exchange(name) => {
                let is_durable = self.exchanges.get(name)?.spec.durable;
                is_durable.then(|| DurableEnd::Exchange(name.clone()))
            }
        }
    }
}

fn after(name: &Option<Name>) -> Bound<&[u8]> {
    name.as_deref().map_or(Unbounded, Excluded)
}
