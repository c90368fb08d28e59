//! What definitions declare: in the name of the server, so that nobody is asked for permission.

use crate::ids::{Name, Requester};
use crate::topology::{End, Request, Topology};

#[derive(Debug)]
pub enum Declaration {
    Queue {
        name: Name,
        durable: bool,
        auto_delete: bool,
        /// An encoded field table without its length; so are all `arguments`.
        arguments: Name,
    },
    Exchange {
        name: Name,
        kind: Name,
        durable: bool,
        auto_delete: bool,
        internal: bool,
        arguments: Name,
    },
    Binding {
        source: Name,
        destination: End,
        key: Name,
        arguments: Name,
    },
}

impl Declaration {
    /// Whether a queue or an exchange of that name is there, however it was declared.
    pub(super) fn is_done(&self, topology: &Topology) -> bool {
        match self {
            Declaration::Queue { name, .. } => topology.has_queue(name),
            Declaration::Exchange { name, .. } => topology.has_exchange(name),
            Declaration::Binding { .. } => false,
        }
    }

    pub(super) fn request(self, requester: Requester) -> Request {
        let owned = |name: Name| Box::from(&*name);
        match self {
            Declaration::Queue { name, durable, auto_delete, arguments } => Request::DeclareQueue {
                requester,
                // It may be a name that a server gave, which is no reason to refuse it here.
                server_named: name.starts_with(b"amq."),
                name: owned(name),
                durable,
                exclusive: false,
                auto_delete,
                arguments: owned(arguments),
            },
            Declaration::Exchange { name, kind, durable, auto_delete, internal, arguments } => {
                Request::DeclareExchange {
                    requester,
                    name: owned(name),
                    kind: owned(kind),
                    durable,
                    auto_delete,
                    internal,
                    arguments: owned(arguments),
                }
            }
            Declaration::Binding { source, destination: End::Queue(queue), key, arguments } => {
                Request::Bind {
                    requester,
                    queue: owned(queue),
                    exchange: owned(source),
                    routing_key: owned(key),
                    arguments: owned(arguments),
                }
            }
            Declaration::Binding { source, destination: End::Exchange(exchange), key, arguments } => {
                Request::BindExchange {
                    requester,
                    destination: owned(exchange),
                    source: owned(source),
                    routing_key: owned(key),
                    arguments: owned(arguments),
                }
            }
        }
    }
}
