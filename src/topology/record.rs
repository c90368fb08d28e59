//! The records of the topology's journal: each durable change, in the order in which they were made.
//!
//! ```text
//! kind                    body, little-endian; a name is a u8 and so many bytes, arguments are a u32 and so many bytes
//! 32  queue declared      uid u64 | auto-delete u8 | durability u8 | name | arguments
//! 33  queue deleted       uid u64
//! 34  exchange declared   type u8 | auto-delete u8 | internal u8 | name | arguments
//! 35  exchange deleted    name
//! 36  bound               source: name | 0, uid u64 of a queue, or 1, name of an exchange | key: name | arguments
//! 37  unbound             the same
//! 38  next uid            uid u64
//! 39  snapshot begins
//! 40  snapshot ends
//! 41  vhost declared      what is told of it: a u32 and so many bytes, which are the API's
//! 42  vhost deleted
//! 64  and on: users and permissions (crate::access)
//! 80  and on: parameters (crate::parameters)
//! ```
//! Behind each stands the name of its vhost, unless that is `/`.
//!
//! With a queue or exchange its bindings end, and with a vhost all that lies in it, without records of their own. To declare or to bind what is there already
//! changes nothing, so that a snapshot is made of the same records.

use crate::access;
use crate::exchange::{ExchangeKind, ExchangeSpec, Name, QueueSpec};
use crate::ids::{QueueUid, root};
use crate::parameters;
use crate::queue_args::Durability;

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Record {
    QueueDeclared(DurableQueue),
    QueueDeleted {
        uid: QueueUid,
    },
    ExchangeDeclared(DurableExchange),
    ExchangeDeleted {
        name: Name,
    },
    Bound(DurableBinding),
    Unbound(DurableBinding),
    /// Lower numbers may have been given out.
    NextUid {
        uid: QueueUid,
    },
    /// From here to the end, each thing that is there is recorded again, among what changes meanwhile.
    SnapshotBegin,
    SnapshotEnd,
    VhostDeclared {
        about: Name,
    },
    VhostDeleted,
    Access(access::Change),
    Parameters(parameters::Change),
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DurableQueue {
    pub uid: QueueUid,
    pub name: Name,
    pub auto_delete: bool,
    pub durability: Durability,
    /// An encoded field table without its length; so are all `arguments`.
    pub arguments: Name,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DurableExchange {
    pub name: Name,
    pub kind: ExchangeKind,
    pub auto_delete: bool,
    pub internal: bool,
    pub arguments: Name,
}

/// Both its ends are durable.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DurableBinding {
    pub source: Name,
    pub destination: DurableEnd,
    pub key: Name,
    pub arguments: Name,
}

/// Where a durable binding leads.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum DurableEnd {
    Queue(QueueUid),
    Exchange(Name),
}

impl Record {
    /// The vhost and the record of a body that `encode` wrote; none if it is anything else.
    pub fn decode(kind: u8, body: &[u8]) -> Option<(Name, Record)> {
        if let Some(change) = access::Change::decode(kind, body) {
            return Some((root(), Record::Access(change)));
        }
        if let Some(change) = parameters::Change::decode(kind, body) {
            return Some((root(), Record::Parameters(change)));
        }
        let mut fields = Fields(body);
        let record = fields.record(kind)?;
        Some((fields.vhost()?, record))
    }

    pub fn kind(&self) -> u8 {
        match self {
            Record::QueueDeclared(_) => QUEUE_DECLARED,
            Record::QueueDeleted { .. } => QUEUE_DELETED,
            Record::ExchangeDeclared(_) => EXCHANGE_DECLARED,
            Record::ExchangeDeleted { .. } => EXCHANGE_DELETED,
            Record::Bound(_) => BOUND,
            Record::Unbound(_) => UNBOUND,
            Record::NextUid { .. } => NEXT_UID,
            Record::SnapshotBegin => SNAPSHOT_BEGIN,
            Record::SnapshotEnd => SNAPSHOT_END,
            Record::VhostDeclared { .. } => VHOST_DECLARED,
            Record::VhostDeleted => VHOST_DELETED,
            Record::Access(change) => change.kind(),
            Record::Parameters(change) => change.kind(),
        }
    }

    /// Appends the body.
    pub fn encode(&self, vhost: &[u8], out: &mut Vec<u8>) {
        match self {
            Record::QueueDeclared(queue) => queue.encode(out),
            Record::ExchangeDeclared(exchange) => exchange.encode(out),
            Record::ExchangeDeleted { name } => put_name(out, name),
            Record::Bound(binding) | Record::Unbound(binding) => binding.encode(out),
            Record::QueueDeleted { uid } | Record::NextUid { uid } => put_uid(out, *uid),
            Record::VhostDeclared { about } => put_arguments(out, about),
            Record::SnapshotBegin | Record::SnapshotEnd | Record::VhostDeleted => {}
            Record::Access(change) => return change.encode(out),
            Record::Parameters(change) => return change.encode(out),
        }
        if vhost != ROOT {
            put_name(out, vhost);
        }
    }
}

impl DurableQueue {
    pub fn of(uid: QueueUid, spec: &QueueSpec) -> DurableQueue {
        let QueueSpec { auto_delete, durability, .. } = *spec;
        let (name, arguments) = (spec.name.clone(), spec.arguments.clone());
        DurableQueue { uid, name, auto_delete, durability, arguments }
    }

    fn encode(&self, out: &mut Vec<u8>) {
        put_uid(out, self.uid);
        let durability = match self.durability {
            Durability::Fsync => 0,
            Durability::Os => 1,
            Durability::None => 2,
        };
        out.extend_from_slice(&[self.auto_delete.into(), durability]);
        put_name(out, &self.name);
        put_arguments(out, &self.arguments);
    }
}

impl DurableExchange {
    pub fn of(spec: &ExchangeSpec) -> DurableExchange {
        let ExchangeSpec { kind, auto_delete, internal, .. } = *spec;
        let (name, arguments) = (spec.name.clone(), spec.arguments.clone());
        DurableExchange { name, kind, auto_delete, internal, arguments }
    }

    fn encode(&self, out: &mut Vec<u8>) {
        let kind = match self.kind {
            ExchangeKind::Direct => 0,
            ExchangeKind::Fanout => 1,
            ExchangeKind::Topic => 2,
            ExchangeKind::Headers => 3,
        };
        out.extend_from_slice(&[kind, self.auto_delete.into(), self.internal.into()]);
        put_name(out, &self.name);
        put_arguments(out, &self.arguments);
    }
}

impl DurableBinding {
    fn encode(&self, out: &mut Vec<u8>) {
        put_name(out, &self.source);
        match &self.destination {
            DurableEnd::Queue(uid) => {
                out.push(TO_QUEUE);
                put_uid(out, *uid);
            }
            DurableEnd::Exchange(name) => {
                out.push(TO_EXCHANGE);
                put_name(out, name);
            }
        }
        put_name(out, &self.key);
        put_arguments(out, &self.arguments);
    }
}

/// What is left of a body.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn record(&mut self, kind: u8) -> Option<Record> {
        Some(match kind {
            QUEUE_DECLARED => Record::QueueDeclared(self.queue()?),
            QUEUE_DELETED => Record::QueueDeleted { uid: self.uid()? },
            EXCHANGE_DECLARED => Record::ExchangeDeclared(self.exchange()?),
            EXCHANGE_DELETED => Record::ExchangeDeleted { name: self.name()? },
            BOUND => Record::Bound(self.binding()?),
            UNBOUND => Record::Unbound(self.binding()?),
            NEXT_UID => Record::NextUid { uid: self.uid()? },
            SNAPSHOT_BEGIN => Record::SnapshotBegin,
            SNAPSHOT_END => Record::SnapshotEnd,
            VHOST_DECLARED => Record::VhostDeclared { about: self.arguments()? },
            VHOST_DELETED => Record::VhostDeleted,
            _ => return None,
        })
    }

    /// The last there is.
    fn vhost(&mut self) -> Option<Name> {
        if self.0.is_empty() {
            return Some(root());
        }
        let vhost = self.name()?;
        (self.0.is_empty() && !vhost.is_empty() && *vhost != *ROOT).then_some(vhost)
    }

    fn queue(&mut self) -> Option<DurableQueue> {
        let (uid, auto_delete) = (self.uid()?, self.flag()?);
        let durability = match self.byte()? {
            0 => Durability::Fsync,
            1 => Durability::Os,
            2 => Durability::None,
            _ => return None,
        };
        Some(DurableQueue { uid, auto_delete, durability, name: self.name()?, arguments: self.arguments()? })
    }

    fn exchange(&mut self) -> Option<DurableExchange> {
        let kind = match self.byte()? {
            0 => ExchangeKind::Direct,
            1 => ExchangeKind::Fanout,
            2 => ExchangeKind::Topic,
            3 => ExchangeKind::Headers,
            _ => return None,
        };
        let (auto_delete, internal) = (self.flag()?, self.flag()?);
        Some(DurableExchange {
            kind,
            auto_delete,
            internal,
            name: self.name()?,
            arguments: self.arguments()?,
        })
    }

    fn binding(&mut self) -> Option<DurableBinding> {
        let source = self.name()?;
        let destination = match self.byte()? {
            TO_QUEUE => DurableEnd::Queue(self.uid()?),
            TO_EXCHANGE => DurableEnd::Exchange(self.name()?),
            _ => return None,
        };
        Some(DurableBinding { source, destination, key: self.name()?, arguments: self.arguments()? })
    }

    fn uid(&mut self) -> Option<QueueUid> {
        let bytes = self.bytes(8)?.try_into().ok()?;
        let uid = u64::from_le_bytes(bytes);
        (uid <= UID_MAX).then_some(QueueUid(uid))
    }

    fn name(&mut self) -> Option<Name> {
        let len = self.byte()?;
        self.bytes(usize::from(len)).map(Name::from)
    }

    fn arguments(&mut self) -> Option<Name> {
        let len = u32::from_le_bytes(self.bytes(4)?.try_into().ok()?);
        self.bytes(usize::try_from(len).ok()?).map(Name::from)
    }

    fn flag(&mut self) -> Option<bool> {
        match self.byte()? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }

    fn byte(&mut self) -> Option<u8> {
        self.bytes(1)?.first().copied()
    }

    fn bytes(&mut self, len: usize) -> Option<&'a [u8]> {
        let (bytes, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(bytes)
    }
}

fn put_uid(out: &mut Vec<u8>, uid: QueueUid) {
    out.extend_from_slice(&uid.0.to_le_bytes());
}

fn put_name(out: &mut Vec<u8>, name: &[u8]) {
    out.push(u8::try_from(name.len()).expect("names and keys came as short strings"));
    out.extend_from_slice(name);
}

fn put_arguments(out: &mut Vec<u8>, arguments: &[u8]) {
    let len = u32::try_from(arguments.len()).expect("arguments came in one frame");
    out.extend_from_slice(&len.to_le_bytes());
    out.extend_from_slice(arguments);
}

const ROOT: &[u8] = b"/";

const QUEUE_DECLARED: u8 = 32;
const QUEUE_DELETED: u8 = 33;
const EXCHANGE_DECLARED: u8 = 34;
const EXCHANGE_DELETED: u8 = 35;
const BOUND: u8 = 36;
const UNBOUND: u8 = 37;
const NEXT_UID: u8 = 38;
const SNAPSHOT_BEGIN: u8 = 39;
const SNAPSHOT_END: u8 = 40;
const VHOST_DECLARED: u8 = 41;
const VHOST_DELETED: u8 = 42;

const TO_QUEUE: u8 = 0;
const TO_EXCHANGE: u8 = 1;

/// No server gives out that many: a higher one is damage, and could not be counted on from.
const UID_MAX: u64 = 1 << 62;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::amqp::TableWriter;
    use crate::exchange::model::Dice;

    fn name(text: &str) -> Name {
        text.as_bytes().into()
    }

    fn records() -> Vec<Record> {
        let arguments: Name = TableWriter::new().i32("x-expires", 7).string("x", "y").finish().into();
        let uid = QueueUid(0x0102_0304_0506);
        let queue = |durability, auto_delete| {
            let (name, arguments) = (name("orders"), arguments.clone());
            Record::QueueDeclared(DurableQueue { uid, name, auto_delete, durability, arguments })
        };
        let exchange = |kind, [auto_delete, internal]: [bool; 2]| {
            let (name, arguments) = (name(&"e".repeat(255)), arguments.clone());
            Record::ExchangeDeclared(DurableExchange { name, kind, auto_delete, internal, arguments })
        };
        let binding = |destination| DurableBinding {
            source: name("amq.topic"),
            destination,
            key: name("#.error"),
            arguments: name(""),
        };
        vec![
            queue(Durability::Fsync, false),
            queue(Durability::Os, true),
            queue(Durability::None, false),
            Record::QueueDeleted { uid },
            exchange(ExchangeKind::Direct, [false, false]),
            exchange(ExchangeKind::Fanout, [true, false]),
            exchange(ExchangeKind::Topic, [false, true]),
            exchange(ExchangeKind::Headers, [true, true]),
            Record::ExchangeDeleted { name: name("") },
            Record::Bound(binding(DurableEnd::Queue(uid))),
            Record::Unbound(binding(DurableEnd::Exchange(name("logs")))),
            Record::NextUid { uid: QueueUid(UID_MAX) },
            Record::SnapshotBegin,
            Record::SnapshotEnd,
            Record::VhostDeclared { about: name("{}") },
            Record::VhostDeleted,
        ]
    }

    fn encoded(vhost: &[u8], record: &Record) -> Vec<u8> {
        let mut body = Vec::new();
        record.encode(vhost, &mut body);
        body
    }

    #[test]
    fn what_was_encoded_is_decoded() {
        for vhost in ["/", "v"].map(name) {
            for record in records() {
                let decoded = Record::decode(record.kind(), &encoded(&vhost, &record));
                assert_eq!(decoded, Some((vhost.clone(), record)));
            }
        }
    }

    #[test]
    fn a_body_that_is_too_short_or_too_long_is_no_record() {
        for record in records() {
            let body = encoded(b"/", &record);
            for len in 0..body.len() {
                assert_eq!(Record::decode(record.kind(), &body[..len]), None, "{record:?} cut to {len}");
            }
            assert_eq!(Record::decode(record.kind(), &[&body[..], &[0]].concat()), None);
        }
    }

    /// What is decoded at all has only one encoding.
    #[test]
    fn whatever_the_bytes_decoding_ends_and_misreads_nothing() {
        let (mut dice, mut sound) = (Dice(3), 0);
        let originals = records();
        for _ in 0..200_000 {
            let original = &originals[dice.roll(originals.len())];
            let mut body = encoded([&b"/"[..], b"v"][dice.roll(2)], original);
            for _ in 0..dice.roll(4) {
                if let Some(byte) = (!body.is_empty()).then(|| dice.roll(body.len())) {
                    body[byte] = dice.roll(256) as u8;
                }
            }
            let kind = if dice.roll(4) == 0 { dice.roll(256) as u8 } else { original.kind() };
            if let Some((vhost, record)) = Record::decode(kind, &body) {
                assert_eq!((record.kind(), encoded(&vhost, &record)), (kind, body));
                sound += 1;
            }
        }
        assert!((10_000..200_000).contains(&sound), "{sound}");
    }
}
