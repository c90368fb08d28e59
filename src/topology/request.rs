//! What a connection may ask of the topology, and what it is answered.

use std::collections::VecDeque;

use super::Topology;
use crate::amqp::{ChannelError, ReplyCode};
use crate::exchange::Name;
use crate::ids::{QueueId, Requester};
use crate::text;

/// A method that changes the topology, on its way from the connection's shard. The channel is parked until the reply.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Request {
    DeclareExchange {
        requester: Requester,
        name: Box<[u8]>,
        kind: Box<[u8]>,
        durable: bool,
        auto_delete: bool,
        internal: bool,
        /// An encoded field table without its length; so are all `arguments`.
        arguments: Box<[u8]>,
    },
    DeleteExchange {
        requester: Requester,
        name: Box<[u8]>,
        if_unused: bool,
    },
    DeclareQueue {
        requester: Requester,
        /// Never empty: the connection's shard makes the names that the server gives.
        name: Box<[u8]>,
        /// The name was made by the server: it may begin with `amq.`, and if it is taken the answer is `NameTaken`.
        server_named: bool,
        durable: bool,
        exclusive: bool,
        auto_delete: bool,
        arguments: Box<[u8]>,
    },
    Bind {
        requester: Requester,
        queue: Box<[u8]>,
        exchange: Box<[u8]>,
        routing_key: Box<[u8]>,
        arguments: Box<[u8]>,
    },
    /// Binds that came one behind the other: done in turn up to the first that is refused. `done` are out already.
    Several {
        requester: Requester,
        binds: VecDeque<Request>,
        done: u32,
    },
    Unbind {
        requester: Requester,
        queue: Box<[u8]>,
        exchange: Box<[u8]>,
        routing_key: Box<[u8]>,
        arguments: Box<[u8]>,
    },
    BindExchange {
        requester: Requester,
        destination: Box<[u8]>,
        source: Box<[u8]>,
        routing_key: Box<[u8]>,
        arguments: Box<[u8]>,
    },
    UnbindExchange {
        requester: Requester,
        destination: Box<[u8]>,
        source: Box<[u8]>,
        routing_key: Box<[u8]>,
        arguments: Box<[u8]>,
    },
}

impl Request {
    pub fn requester(&self) -> Requester {
        match *self {
            Request::DeclareExchange { requester, .. }
            | Request::DeleteExchange { requester, .. }
            | Request::DeclareQueue { requester, .. }
            | Request::Bind { requester, .. }
            | Request::Several { requester, .. }
            | Request::Unbind { requester, .. }
            | Request::BindExchange { requester, .. }
            | Request::UnbindExchange { requester, .. } => requester,
        }
    }

    /// Class and method id of the method that asked, for the close that answers an error.
    pub fn method(&self) -> (u16, u16) {
        match self {
            Request::DeclareExchange { .. } => (40, 10),
            Request::DeleteExchange { .. } => (40, 20),
            Request::BindExchange { .. } => (40, 30),
            Request::UnbindExchange { .. } => (40, 40),
            Request::DeclareQueue { .. } => (50, 10),
            Request::Bind { .. } | Request::Several { .. } => (50, 20),
            Request::Unbind { .. } => (50, 50),
        }
    }

    /// The queue whose name must have settled before the request can be judged.
    pub(super) fn queue_name(&self) -> Option<&[u8]> {
        match self {
            Request::DeclareQueue { name, .. } => Some(name),
            Request::Bind { queue, .. } | Request::Unbind { queue, .. } => Some(queue),
            Request::Several { binds, .. } => binds.front()?.queue_name(),
            Request::DeclareExchange { .. }
            | Request::DeleteExchange { .. }
            | Request::BindExchange { .. }
            | Request::UnbindExchange { .. } => None,
        }
    }

    /// Takes CR and LF out of the names of exchanges and queues; a routing key keeps them.
    pub(super) fn strip_names(&mut self) {
        match self {
            Request::DeclareExchange { name, .. }
            | Request::DeleteExchange { name, .. }
            | Request::DeclareQueue { name, .. } => strip(name),
            Request::Bind { queue, exchange, .. } | Request::Unbind { queue, exchange, .. } => {
                strip(queue);
                strip(exchange);
            }
            Request::Several { binds, .. } => binds.iter_mut().for_each(Request::strip_names),
            Request::BindExchange { destination, source, .. }
            | Request::UnbindExchange { destination, source, .. } => {
                strip(destination);
                strip(source);
            }
        }
    }
}

/// The answer to a request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    Ok,
    /// If the connection is gone when this arrives and the queue is exclusive, its shard has to delete it.
    QueueDeclared {
        id: QueueId,
        name: Name,
        existed: bool,
    },
    /// Only for a `server_named` declare: try another name.
    NameTaken,
    /// Of several binds so many are done, and the next is refused, if there was one.
    Several {
        done: u32,
        refused: Option<ChannelError>,
    },
    SoftError(ChannelError),
}

/// Why a request is refused: code and explanation, until the method is known.
pub(super) struct Refusal {
    pub code: ReplyCode,
    pub text: String,
}

impl Refusal {
    pub fn new(code: ReplyCode, text: impl Into<String>) -> Refusal {
        Refusal { code, text: text.into() }
    }

    pub fn locked_queue(vhost: &[u8], name: &[u8]) -> Refusal {
        Refusal::new(ReplyCode::ResourceLocked, text::Vhost(vhost).locked_queue(name))
    }

    pub fn reserved_prefix(kind: &str, name: &[u8]) -> Refusal {
        let text = format!("{kind} name '{}' contains reserved prefix 'amq.*'", text::lossy(name));
        Refusal::new(ReplyCode::AccessRefused, text)
    }

    pub fn default_exchange() -> Refusal {
        Refusal::new(ReplyCode::AccessRefused, text::DEFAULT_EXCHANGE)
    }

    /// What is refused here costs the channel and never the connection.
    pub fn error(self, method: (u16, u16)) -> ChannelError {
        ChannelError::new(self.code, self.text, method)
    }
}

impl Topology {
    pub(super) fn no_queue(&self, name: &[u8]) -> Refusal {
        Refusal::new(ReplyCode::NotFound, self.text().no_queue(name))
    }

    pub(super) fn no_exchange(&self, name: &[u8]) -> Refusal {
        Refusal::new(ReplyCode::NotFound, self.text().no_exchange(name))
    }
}

fn strip(name: &mut Box<[u8]>) {
    if let std::borrow::Cow::Owned(stripped) = text::strip_cr_lf(name) {
        *name = stripped.into();
    }
}
