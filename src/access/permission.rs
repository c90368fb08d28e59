//! What a user may do in a vhost: three patterns for names of queues and exchanges, and two for the routing keys of a topic
//! exchange.

use std::fmt;

use crate::access::{Pattern, TopicPattern};
use crate::ids::Name;
use crate::text::Vhost;

/// What an operation does to a resource. Declare and delete configure. Publish writes to the exchange; consume, get and
/// purge read the queue. Bind and unbind write to the destination and read from the source.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Operation {
    Configure,
    Write,
    Read,
}

/// What an operation does to a topic: publish writes, bind and unbind read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TopicOperation {
    Write,
    Read,
}

#[derive(Clone, Copy, Debug)]
pub enum Resource<'a> {
    Queue(&'a [u8]),
    Exchange(&'a [u8]),
}

/// Of one user in one vhost.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Permission {
    configure: Pattern,
    write: Pattern,
    read: Pattern,
}

/// Of one user at one exchange.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TopicPermission {
    vhost: Name,
    user: Name,
    exchange: Name,
    write: TopicPattern,
    read: TopicPattern,
}

impl Permission {
    /// The error is a text for the API.
    pub fn new(configure: &str, write: &str, read: &str) -> Result<Permission, String> {
        Ok(Permission {
            configure: Pattern::new(configure)?,
            write: Pattern::new(write)?,
            read: Pattern::new(read)?,
        })
    }

    pub fn all() -> Permission {
        Permission { configure: Pattern::any(), write: Pattern::any(), read: Pattern::any() }
    }

    pub fn pattern(&self, operation: Operation) -> &Pattern {
        match operation {
            Operation::Configure => &self.configure,
            Operation::Write => &self.write,
            Operation::Read => &self.read,
        }
    }

    pub fn allows(&self, operation: Operation, resource: Resource<'_>) -> bool {
        self.pattern(operation).matches(resource.name())
    }

    /// To declare passively only asks whether something is there: any of the three will do (RabbitMQ from 4.2.7 on; others
    /// ask for nothing, so that whoever enters can find out what there is).
    pub fn allows_passive(&self, resource: Resource<'_>) -> bool {
        Operation::ALL.into_iter().any(|operation| self.allows(operation, resource))
    }
}

impl TopicPermission {
    /// The error is a text for the API.
    pub fn new(
        vhost: &Name,
        user: &Name,
        exchange: &Name,
        write: &str,
        read: &str,
    ) -> Result<TopicPermission, String> {
        Ok(TopicPermission {
            vhost: vhost.clone(),
            user: user.clone(),
            exchange: exchange.clone(),
            write: TopicPattern::new(write, vhost, user)?,
            read: TopicPattern::new(read, vhost, user)?,
        })
    }

    pub fn vhost(&self) -> &Name {
        &self.vhost
    }

    pub fn user(&self) -> &Name {
        &self.user
    }

    pub fn exchange(&self) -> &Name {
        &self.exchange
    }

    pub fn pattern(&self, operation: TopicOperation) -> &TopicPattern {
        match operation {
            TopicOperation::Write => &self.write,
            TopicOperation::Read => &self.read,
        }
    }

    pub fn allows(&self, operation: TopicOperation, key: &[u8], client_id: Option<&[u8]>) -> bool {
        self.pattern(operation).matches(key, client_id)
    }
}

impl Operation {
    pub const ALL: [Operation; 3] = [Operation::Configure, Operation::Write, Operation::Read];
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Operation::Configure => "configure",
            Operation::Write => "write",
            Operation::Read => "read",
        })
    }
}

impl fmt::Display for TopicOperation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TopicOperation::Write => "write",
            TopicOperation::Read => "read",
        })
    }
}

impl<'a> Resource<'a> {
    /// The name that patterns are written for: the default exchange has none of its own.
    pub fn name(self) -> &'a [u8] {
        match self {
            Resource::Exchange(b"") => b"amq.default",
            Resource::Queue(name) | Resource::Exchange(name) => name,
        }
    }

    /// `queue 'q' in vhost '/'`
    pub fn text(self, vhost: &[u8]) -> String {
        match self {
            Resource::Queue(_) => Vhost(vhost).queue(self.name()),
            Resource::Exchange(_) => Vhost(vhost).exchange(self.name()),
        }
    }
}
