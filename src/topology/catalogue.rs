//! The durable part of a topology, as a log of records leads to it.
//!
//! Nothing in a log is trusted: what makes no sense is counted and left out. What a log says of things that it did not tell
//! of makes none, but is common: its beginning was removed once a snapshot behind it was complete.

use std::collections::{BTreeMap, BTreeSet};
use std::iter;

use super::exchanges::is_reserved;
use super::record::{DurableBinding, DurableEnd, DurableExchange, DurableQueue, Record};
use crate::access::{self, Access, Algorithm};
use crate::exchange::{Name, predeclared_exchanges};
use crate::ids::{QueueUid, root};
use crate::parameters::Parameters;

/// What is durable, by vhost.
pub struct Catalogue {
    pub(super) vhosts: BTreeMap<Name, Part>,
    /// None: nothing was ever said of users.
    pub(super) access: Option<Access>,
    pub(super) parameters: Parameters,
    /// Greater than every number that was ever given out.
    pub(super) next_uid: QueueUid,
    /// Bytes of the bodies of all records.
    pub(super) log_bytes: u64,
    ignored: u64,
}

/// Queues, exchanges and bindings of a vhost; each binding is known at both its ends.
pub(super) struct Part {
    pub about: Name,
    /// The predeclared ones too, but for the default exchange, which has no bindings.
    pub exchanges: BTreeMap<Name, Exchange>,
    pub queues: BTreeMap<QueueUid, Queue>,
    names: BTreeMap<Name, QueueUid>,
}

pub(super) struct Exchange {
    /// None: it is predeclared.
    pub declared: Option<DurableExchange>,
    /// The destinations' ends of the bindings from it.
    pub bindings: BTreeSet<Outbound>,
    /// The sources' ends of the bindings to it.
    inbound: BTreeSet<Inbound>,
}

pub(super) struct Queue {
    pub declared: DurableQueue,
    inbound: BTreeSet<Inbound>,
}

/// A binding as its source sees it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Outbound {
    pub destination: DurableEnd,
    pub key: Name,
    pub arguments: Name,
}

/// A binding as its destination sees it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Inbound {
    source: Name,
    key: Name,
    arguments: Name,
}

impl Default for Catalogue {
    fn default() -> Catalogue {
        Catalogue {
            vhosts: BTreeMap::from([(root(), Part::new(&root()))]),
            access: None,
            parameters: Parameters::default(),
            next_uid: QueueUid(1),
            log_bytes: 0,
            ignored: 0,
        }
    }
}

impl Catalogue {
    /// Takes the next record of the log.
    pub fn apply(&mut self, kind: u8, body: &[u8]) {
        self.log_bytes += body.len() as u64;
        let applied = Record::decode(kind, body).is_some_and(|(vhost, record)| self.take(&vhost, record));
        self.ignored += u64::from(!applied);
    }

    /// Another journal has something of that queue: if this one does not know it, it was lost, and the number must not be
    /// given out again.
    pub fn saw(&mut self, uid: QueueUid) {
        self.next_uid = self.next_uid.max(QueueUid(uid.0.saturating_add(1)));
    }

    /// How many records made no sense since the last snapshot.
    pub fn ignored(&self) -> u64 {
        self.ignored
    }

    pub fn has_queue(&self, uid: QueueUid) -> bool {
        self.vhosts.values().any(|part| part.queues.contains_key(&uid))
    }

    /// What a log would hold that leads here directly, with the vhost of each.
    pub fn records(&self) -> impl Iterator<Item = (Name, Record)> {
        let parts = self.vhosts.iter();
        let no_root = (!self.vhosts.contains_key(&root())).then(|| (root(), Record::VhostDeleted));
        no_root
            .into_iter()
            .chain(parts.flat_map(|(vhost, part)| {
                let own = opening(vhost, &part.about).into_iter().chain(part.records());
                own.map(|record| (vhost.clone(), record))
            }))
            .chain(access_records(self.access.as_ref()).map(|record| (root(), record)))
            .chain(self.parameters.changes().map(|change| (root(), Record::Parameters(change))))
            .chain([(root(), Record::NextUid { uid: self.next_uid })])
    }

    /// Bytes of the bodies of those records.
    pub fn image_bytes(&self) -> u64 {
        let mut body = Vec::new();
        let bytes = self.records().map(|(vhost, record)| {
            body.clear();
            record.encode(&vhost, &mut body);
            body.len() as u64
        });
        bytes.sum()
    }

    /// False if it makes no sense.
    fn take(&mut self, vhost: &Name, record: Record) -> bool {
        match record {
            Record::NextUid { uid } => {
                self.next_uid = self.next_uid.max(uid);
                true
            }
            Record::SnapshotBegin => true,
            Record::SnapshotEnd => {
                // The records in front of a snapshot may have lost what they are about: it was freed for it.
                self.ignored = 0;
                true
            }
            Record::VhostDeclared { about } => {
                self.vhosts.entry(vhost.clone()).or_insert_with(|| Part::new(vhost)).about = about;
                true
            }
            Record::VhostDeleted => {
                self.access = self.access.take().map(|access| access.forget_vhost(vhost));
                self.parameters = std::mem::take(&mut self.parameters).forget_vhost(vhost);
                self.vhosts.remove(vhost).is_some()
            }
            Record::Access(change) => {
                let access = self.access.take().unwrap_or_else(|| Access::new(Algorithm::default()));
                self.access = Some(access.apply(change));
                true
            }
            Record::Parameters(change) => {
                let is_known = change.vhost().is_none_or(|vhost| self.vhosts.contains_key(vhost));
                if is_known {
                    self.parameters = std::mem::take(&mut self.parameters).apply(change);
                }
                is_known
            }
            record => {
                if let Record::QueueDeclared(queue) = &record {
                    self.saw(queue.uid);
                }
                self.vhosts.get_mut(vhost).is_some_and(|part| part.take(record))
            }
        }
    }
}

/// Users and permissions, if anything was ever said of them; then at least that nobody is not there.
pub(super) fn access_records(access: Option<&Access>) -> impl Iterator<Item = Record> {
    let nobody = || access::Change::UserDeleted { user: Name::from([]) };
    let said = access.map(|access| iter::once(nobody()).chain(access.changes()));
    said.into_iter().flatten().map(Record::Access)
}

/// A log begins with the root as it is without a record.
pub(super) fn opening(vhost: &Name, about: &Name) -> Option<Record> {
    (*vhost != root() || !about.is_empty()).then(|| Record::VhostDeclared { about: about.clone() })
}

impl Part {
    fn new(vhost: &Name) -> Part {
        let named = predeclared_exchanges(vhost).filter(|spec| !spec.name.is_empty());
        Part {
            about: Name::from([]),
            exchanges: named.map(|spec| (spec.name.clone(), Exchange::new(None))).collect(),
            queues: BTreeMap::new(),
            names: BTreeMap::new(),
        }
    }

    fn records(&self) -> impl Iterator<Item = Record> {
        let exchanges = self.exchanges.values().filter_map(|exchange| exchange.declared.clone());
        let queues = self.queues.values().map(|queue| queue.declared.clone());
        let bindings = self.exchanges.iter().flat_map(|(source, exchange)| {
            exchange.bindings.iter().map(|to| Record::Bound(to.clone().from(source.clone())))
        });
        exchanges.map(Record::ExchangeDeclared).chain(queues.map(Record::QueueDeclared)).chain(bindings)
    }

    fn take(&mut self, record: Record) -> bool {
        match record {
            Record::QueueDeclared(queue) => self.declare_queue(queue),
            Record::QueueDeleted { uid } => self.delete_queue(uid),
            Record::ExchangeDeclared(exchange) => self.declare_exchange(exchange),
            Record::ExchangeDeleted { name } => self.delete_exchange(&name),
            Record::Bound(binding) => self.bind(binding),
            Record::Unbound(binding) => self.unbind(&binding),
            Record::VhostDeclared { .. }
            | Record::VhostDeleted
            | Record::Access(_)
            | Record::Parameters(_)
            | Record::NextUid { .. }
            | Record::SnapshotBegin
            | Record::SnapshotEnd => false,
        }
    }

    /// The same again stays as it is, with its bindings. Another under the same name or number means that the end of the
    /// former was lost.
    fn declare_queue(&mut self, declared: DurableQueue) -> bool {
        let uid = declared.uid;
        if self.queues.get(&uid).is_some_and(|queue| queue.declared == declared) {
            return true;
        }
        self.delete_queue(uid);
        if let Some(&former) = self.names.get(&declared.name) {
            self.delete_queue(former);
        }
        self.names.insert(declared.name.clone(), uid);
        self.queues.insert(uid, Queue { declared, inbound: BTreeSet::new() });
        true
    }

    fn delete_queue(&mut self, uid: QueueUid) -> bool {
        let Some(queue) = self.queues.remove(&uid) else { return false };
        self.names.remove(&queue.declared.name);
        self.forget_at_sources(&DurableEnd::Queue(uid), queue.inbound);
        true
    }

    fn declare_exchange(&mut self, declared: DurableExchange) -> bool {
        if is_reserved(&declared.name) {
            return false;
        }
        if let Some(Exchange { declared: Some(known), .. }) = self.exchanges.get(&declared.name) {
            if *known == declared {
                return true;
            }
            self.delete_exchange(&declared.name);
        }
        self.exchanges.insert(declared.name.clone(), Exchange::new(Some(declared)));
        true
    }

    fn delete_exchange(&mut self, name: &[u8]) -> bool {
        if self.exchanges.get(name).is_none_or(|exchange| exchange.declared.is_none()) {
            return false;
        }
        let Some((name, exchange)) = self.exchanges.remove_entry(name) else { return false };
        for Outbound { destination, key, arguments } in exchange.bindings {
            if let Some(inbound) = self.inbound_mut(&destination) {
                inbound.remove(&Inbound { source: name.clone(), key, arguments });
            }
        }
        self.forget_at_sources(&DurableEnd::Exchange(name), exchange.inbound);
        true
    }

    fn forget_at_sources(&mut self, destination: &DurableEnd, inbound: BTreeSet<Inbound>) {
        for Inbound { source, key, arguments } in inbound {
            if let Some(exchange) = self.exchanges.get_mut(&source) {
                exchange.bindings.remove(&Outbound { destination: destination.clone(), key, arguments });
            }
        }
    }

    fn bind(&mut self, binding: DurableBinding) -> bool {
        let DurableBinding { source, destination, key, arguments } = binding;
        // A name is in memory once, however many bindings have it.
        let Some(source) = self.exchange_name(&source) else { return false };
        let destination = match destination {
            DurableEnd::Queue(uid) => DurableEnd::Queue(uid),
            DurableEnd::Exchange(name) => match self.exchange_name(&name) {
                Some(name) => DurableEnd::Exchange(name),
                None => return false,
            },
        };
        let from = Inbound { source: source.clone(), key: key.clone(), arguments: arguments.clone() };
        let Some(inbound) = self.inbound_mut(&destination) else { return false };
        inbound.insert(from);
        if let Some(exchange) = self.exchanges.get_mut(&source) {
            exchange.bindings.insert(Outbound { destination, key, arguments });
        }
        true
    }

    fn unbind(&mut self, binding: &DurableBinding) -> bool {
        let DurableBinding { source, destination, key, arguments } = binding.clone();
        let to = Outbound { destination, key: key.clone(), arguments: arguments.clone() };
        let was_bound = self.exchanges.get_mut(&source).is_some_and(|exchange| exchange.bindings.remove(&to));
        if let Some(inbound) = self.inbound_mut(&to.destination) {
            inbound.remove(&Inbound { source, key, arguments });
        }
        was_bound
    }

    fn exchange_name(&self, name: &[u8]) -> Option<Name> {
        self.exchanges.get_key_value(name).map(|(name, _)| name.clone())
    }

    fn inbound_mut(&mut self, destination: &DurableEnd) -> Option<&mut BTreeSet<Inbound>> {
        match destination {
            DurableEnd::Queue(uid) => self.queues.get_mut(uid).map(|queue| &mut queue.inbound),
            DurableEnd::Exchange(name) => self.exchanges.get_mut(name).map(|exchange| &mut exchange.inbound),
        }
    }
}

impl Exchange {
    fn new(declared: Option<DurableExchange>) -> Exchange {
        Exchange { declared, bindings: BTreeSet::new(), inbound: BTreeSet::new() }
    }
}

impl Outbound {
    pub fn from(self, source: Name) -> DurableBinding {
        let Outbound { destination, key, arguments } = self;
        DurableBinding { source, destination, key, arguments }
    }
}
