//! What the topology tells every router: small deltas in one order, shared between the shards as immutable `Arc`s.

use std::sync::Arc;

use crate::ids::{ConnectionId, Name, QueueId, QueueUid};
use crate::queue_args::{Durability, QueueArgs};

/// One step of the topology of a vhost. A router that applied the same changes in the same order routes the same way.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Change {
    /// The vhost was made, or restored; it has the predeclared exchanges.
    VhostOpened,
    /// It ends: nobody may enter it any more, and who is in it has to go.
    VhostClosing,
    /// Nothing lies in it any more.
    VhostGone,
    ExchangeAdded {
        spec: Arc<ExchangeSpec>,
    },
    /// It is what it was, but for its alternate.
    AlternateChanged {
        spec: Arc<ExchangeSpec>,
    },
    /// The bindings from it and to it go with it.
    ExchangeRemoved {
        name: Name,
    },
    QueueAdded {
        id: QueueId,
        spec: Arc<QueueSpec>,
    },
    /// Its bindings go with it.
    QueueRemoved {
        id: QueueId,
        name: Name,
    },
    /// A binding that was not there: two bindings of the same destination and key differ in their arguments.
    Bound {
        source: Name,
        destination: Destination,
        key: Name,
        arguments: Name,
    },
    /// A binding that was there.
    Unbound {
        source: Name,
        destination: Destination,
        key: Name,
        arguments: Name,
    },
}

/// Where a binding leads.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Destination {
    Queue(QueueId),
    Exchange(Name),
}

/// What was declared under the name of an exchange.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ExchangeSpec {
    pub vhost: Name,
    pub name: Name,
    pub kind: ExchangeKind,
    pub durable: bool,
    pub auto_delete: bool,
    /// Clients may not publish to it: only other exchanges lead to it.
    pub internal: bool,
    /// Where messages go that it leads nowhere: the exchange of that name, if it exists then. By argument or policy.
    pub alternate: Option<Name>,
    /// An encoded field table without its length.
    pub arguments: Name,
}

/// What was declared under the name of a queue.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct QueueSpec {
    pub vhost: Name,
    pub name: Name,
    /// False for every exclusive queue, as RabbitMQ keeps it.
    pub durable: bool,
    pub auto_delete: bool,
    /// The only connection that may use the queue; the queue ends with it.
    pub exclusive: Option<ConnectionId>,
    /// An encoded field table without its length.
    pub arguments: Name,
    /// What the arguments ask for.
    pub rules: QueueArgs,
    /// Of a durable queue.
    pub uid: Option<QueueUid>,
    /// What confirms of its messages mean, if it is durable.
    pub durability: Durability,
}

/// The exchange types of the AMQP specification.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ExchangeKind {
    Direct,
    Fanout,
    Topic,
    Headers,
}

impl ExchangeKind {
    /// The kind by its name in `exchange.declare`; `None` is an unknown type.
    pub fn parse(name: &[u8]) -> Option<ExchangeKind> {
        match name {
            b"direct" => Some(ExchangeKind::Direct),
            b"fanout" => Some(ExchangeKind::Fanout),
            b"topic" => Some(ExchangeKind::Topic),
            b"headers" => Some(ExchangeKind::Headers),
            _ => None,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            ExchangeKind::Direct => "direct",
            ExchangeKind::Fanout => "fanout",
            ExchangeKind::Topic => "topic",
            ExchangeKind::Headers => "headers",
        }
    }
}

/// The exchanges that exist in every vhost from its start, as RabbitMQ makes them (rabbit_vhost.erl). The first is the
/// default exchange, to which every queue is bound by its name.
pub fn predeclared_exchanges(vhost: &Name) -> impl Iterator<Item = Arc<ExchangeSpec>> {
    PREDECLARED.iter().map(|&(name, kind, internal)| {
        Arc::new(ExchangeSpec {
            vhost: vhost.clone(),
            name: Name::from(name.as_bytes()),
            kind,
            durable: true,
            auto_delete: false,
            internal,
            alternate: None,
            arguments: Name::from([]),
        })
    })
}

/// Name, kind, internal.
const PREDECLARED: [(&str, ExchangeKind, bool); 7] = [
    ("", ExchangeKind::Direct, false),
    ("amq.direct", ExchangeKind::Direct, false),
    ("amq.fanout", ExchangeKind::Fanout, false),
    ("amq.headers", ExchangeKind::Headers, false),
    ("amq.match", ExchangeKind::Headers, false),
    ("amq.rabbitmq.trace", ExchangeKind::Topic, true),
    ("amq.topic", ExchangeKind::Topic, false),
];
