//! From what a log led to back to a topology, and what its shards need before they serve: queues and changes.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use super::bindings::{self, BindingEnd, End};
use super::catalogue::{self, Catalogue, Outbound};
use super::exchanges::{Exchange, alternate};
use super::numbers::Numbers;
use super::queues::{LiveQueue, NamedQueue, parse_rules};
use super::record::{DurableEnd, DurableExchange, DurableQueue};
use super::state::Topology;
use super::vhosts::Vhosts;
use crate::access::Access;
use crate::amqp::Table;
use crate::exchange::{Change, Destination, ExchangeSpec, Name, QueueSpec};
use crate::ids::{QueueId, QueueUid, ShardId};
use crate::parameters::Parameters;
use crate::queue_args::{Durability, QueueArgs};
use crate::text;

/// For all shards, each of which takes its own.
#[derive(Default, Debug)]
pub struct Restored {
    /// By shard: the queues that it makes on its empty slots, in this order, which gives them these ids.
    pub queues: Vec<Vec<(QueueId, Arc<QueueSpec>)>>,
    /// For every router, before it serves and before the first change that is broadcast.
    pub changes: Vec<(Name, Change)>,
    /// Who may do what.
    pub access: Option<Access>,
    /// The log has nothing at all.
    pub is_blank: bool,
    /// The log says who may do what.
    pub knows_users: bool,
    pub parameters: Parameters,
    /// What the log has but no server of this version could have made.
    pub kept_out: Vec<KeptOut>,
    /// Bytes of the log. Who knows how much it takes on disk may say so.
    pub log_bytes: u64,
    /// Bytes that a log would have that leads here directly.
    pub image_bytes: u64,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeptOut {
    /// Of a queue.
    pub uid: Option<QueueUid>,
    /// A queue, exchange or binding in RabbitMQ's words.
    pub what: String,
    pub why: String,
}

/// Queues that do not stand under their names yet: bindings come to them in the order of their numbers, which is quicker.
type Queues = BTreeMap<QueueUid, LiveQueue>;

impl Vhosts {
    /// `access` counts unless the log says otherwise. `homes` says on which shard a queue must live because its messages are there; the others are spread. `durability` is
    /// for queues to come.
    pub fn restore(
        catalogue: Catalogue,
        homes: impl Fn(QueueUid) -> Option<ShardId>,
        shards: u16,
        durability: Durability,
        access: Access,
    ) -> (Vhosts, Restored) {
        let numbers = Arc::new(Numbers::new(shards));
        numbers.go_on_from(catalogue.next_uid);
        let is_said = catalogue.access.is_some();
        let access = catalogue.access.clone().map_or(access.clone(), |known| known.hashing_as(&access));
        let access = catalogue.vhosts.keys().fold(access, |access, vhost| access.open_vhost(vhost));
        let mut restored = Restored {
            queues: vec![Vec::new(); usize::from(shards)],
            log_bytes: catalogue.log_bytes,
            image_bytes: catalogue.image_bytes(),
            access: Some(access.clone()),
            is_blank: catalogue.log_bytes == 0,
            knows_users: is_said,
            parameters: catalogue.parameters.clone(),
            ..Restored::default()
        };
        let queues = catalogue.vhosts.values().flat_map(|part| part.queues.keys());
        // Before others are spread, so that those go where there are fewest in the end.
        queues.filter_map(|&uid| homes(uid)).for_each(|on| numbers.put(on));
        let parts = catalogue.vhosts.into_iter().map(|(vhost, part)| {
            let mut topology = Topology::new(vhost.clone(), numbers.clone(), durability);
            topology.about = part.about.clone();
            topology.policies = catalogue.parameters.policies(&vhost).cloned().unwrap_or_default();
            topology.limits = catalogue.parameters.limits(&vhost);
            restored.changes.push((vhost.clone(), Change::VhostOpened));
            topology.restore(part, &homes, &mut restored);
            (vhost, topology)
        });
        let topologies = parts.collect();
        let parameters = catalogue.parameters;
        (
            Vhosts { numbers, topologies, durability, access, is_said, parameters, changed: VecDeque::new() },
            restored,
        )
    }
}

impl Topology {
    fn restore(
        &mut self,
        part: catalogue::Part,
        homes: &impl Fn(QueueUid) -> Option<ShardId>,
        restored: &mut Restored,
    ) {
        let catalogue::Part { exchanges, queues, .. } = part;
        for declared in exchanges.values().filter_map(|exchange| exchange.declared.as_ref()) {
            self.restore_exchange(declared, restored);
        }
        for name in self.exchanges.keys().cloned().collect::<Vec<_>>() {
            if let Some(spec) = self.rule(&name) {
                self.restored(Change::AlternateChanged { spec }, restored);
            }
        }
        let queues = queues.into_values().map(|queue| queue.declared);
        let mut queues = self.restore_queues(queues, homes, restored);
        self.restore_bindings(exchanges, &mut queues, restored);
        let named = queues.into_values().map(|live| (live.spec.name.clone(), NamedQueue::Live(live)));
        self.queues = named.collect();
    }

    fn restore_exchange(&mut self, declared: &DurableExchange, restored: &mut Restored) {
        match exchange_spec(&self.vhost, declared) {
            Ok(spec) => {
                let spec = Arc::new(spec);
                self.exchanges.insert(spec.name.clone(), Exchange::new(spec.clone()));
                self.restored(Change::ExchangeAdded { spec }, restored);
            }
            Err(why) => {
                let what = self.text().exchange(&declared.name);
                restored.kept_out.push(KeptOut { uid: None, what, why });
            }
        }
    }

    fn restore_queues(
        &mut self,
        declared: impl Iterator<Item = DurableQueue>,
        homes: &impl Fn(QueueUid) -> Option<ShardId>,
        restored: &mut Restored,
    ) -> Queues {
        let mut queues = Queues::new();
        for declared in declared {
            let (uid, home) = (declared.uid, homes(declared.uid));
            let spec = match queue_spec(&self.vhost, &declared) {
                Ok(spec) => Arc::new(spec),
                Err(why) => {
                    home.into_iter().for_each(|on| self.numbers.remove(on));
                    let (uid, what) = (Some(uid), self.text().queue(&declared.name));
                    restored.kept_out.push(KeptOut { uid, what, why });
                    continue;
                }
            };
            let on = home.unwrap_or_else(|| self.numbers.place(ShardId::CONTROL));
            let here = &mut restored.queues[on.index()];
            let id = QueueId { shard: on, slot: here.len() as u32, generation: FIRST_GENERATION };
            here.push((id, spec.clone()));
            self.restored(Change::QueueAdded { id, spec: spec.clone() }, restored);
            queues.insert(uid, LiveQueue { id, spec, bindings: BTreeSet::new() });
        }
        queues
    }

    fn restored(&self, change: Change, restored: &mut Restored) {
        restored.changes.push((self.vhost.clone(), change));
    }

    /// Bindings between exchanges come last: until then a change is felt by the exchange alone that it is about.
    fn restore_bindings(
        &mut self,
        exchanges: BTreeMap<Name, catalogue::Exchange>,
        queues: &mut Queues,
        restored: &mut Restored,
    ) {
        let mut between = Vec::new();
        for (name, exchange) in exchanges {
            let Some(source) = self.exchanges.get(&name).map(|source| source.spec.clone()) else { continue };
            let mut ends = Vec::with_capacity(exchange.bindings.len());
            for Outbound { destination, key, arguments } in exchange.bindings {
                let Some((other, destination, sources)) = self.led_to(destination, queues) else { continue };
                if let Err(why) = check_binding(&source, &arguments) {
                    let what = binding_text(&source, &other, &key);
                    restored.kept_out.push(KeptOut { uid: None, what, why });
                    continue;
                }
                let at = |other| BindingEnd { other, key: key.clone(), arguments: arguments.clone() };
                sources.insert(at(End::Exchange(source.name.clone())));
                ends.push(at(other));
                let changes = match destination {
                    Destination::Queue(_) => &mut restored.changes,
                    Destination::Exchange(_) => &mut between,
                };
                let bound = Change::Bound { source: source.name.clone(), destination, key, arguments };
                changes.push((source.vhost.clone(), bound));
            }
            if let Some(source) = self.exchanges.get_mut(&name) {
                // All at once: a set is built from a list in a fraction of the time.
                source.bindings = ends.into_iter().collect();
            }
        }
        restored.changes.append(&mut between);
    }

    /// The destination by its names, and where it keeps its sources. None: it was kept out, and is named for that.
    fn led_to<'a>(
        &'a mut self,
        destination: DurableEnd,
        queues: &'a mut Queues,
    ) -> Option<(End, Destination, &'a mut BTreeSet<BindingEnd>)> {
        match destination {
            DurableEnd::Queue(uid) => {
                let live = queues.get_mut(&uid)?;
                Some((End::Queue(live.spec.name.clone()), Destination::Queue(live.id), &mut live.bindings))
            }
            DurableEnd::Exchange(name) => {
                let Exchange { spec, inbound, .. } = self.exchanges.get_mut(&name)?;
                let name = spec.name.clone();
                Some((End::Exchange(name.clone()), Destination::Exchange(name), inbound))
            }
        }
    }
}

fn exchange_spec(vhost: &Name, declared: &DurableExchange) -> Result<ExchangeSpec, String> {
    check_table(&declared.arguments)?;
    let alternate = alternate(text::Vhost(vhost), &declared.name, &declared.arguments);
    let alternate = alternate.map_err(|refusal| refusal.text)?;
    let DurableExchange { kind, auto_delete, internal, .. } = *declared;
    let (name, arguments) = (declared.name.clone(), declared.arguments.clone());
    let vhost = vhost.clone();
    Ok(ExchangeSpec { vhost, name, kind, durable: true, auto_delete, internal, alternate, arguments })
}

fn queue_spec(vhost: &Name, declared: &DurableQueue) -> Result<QueueSpec, String> {
    check_table(&declared.arguments)?;
    let mut spec = QueueSpec {
        vhost: vhost.clone(),
        name: declared.name.clone(),
        durable: true,
        auto_delete: declared.auto_delete,
        exclusive: None,
        arguments: declared.arguments.clone(),
        rules: QueueArgs::default(),
        uid: Some(declared.uid),
        durability: declared.durability,
    };
    spec.rules = parse_rules(&spec, false).map_err(|refusal| refusal.text)?;
    Ok(spec)
}

fn check_binding(source: &ExchangeSpec, arguments: &[u8]) -> Result<(), String> {
    check_table(arguments)?;
    bindings::check_arguments(source.kind, arguments).map_err(|refusal| refusal.text)
}

fn check_table(arguments: &[u8]) -> Result<(), String> {
    let checked = Table::decode(arguments);
    checked.map(|_| ()).map_err(|error| format!("its arguments are no table: {error:?}"))
}

fn binding_text(source: &ExchangeSpec, destination: &End, key: &[u8]) -> String {
    let vhost = text::Vhost(&source.vhost);
    let to = match destination {
        End::Queue(name) => vhost.queue(name),
        End::Exchange(name) => vhost.exchange(name),
    };
    format!("binding from {} to {to} with key '{}'", vhost.exchange(&source.name), text::lossy(key))
}

/// What `Slots` give to who comes first.
const FIRST_GENERATION: u32 = 1;
