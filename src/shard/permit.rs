//! Who may do what: each operation of a connection is asked for before anything else is looked at, as with RabbitMQ.

use super::Shard;
use crate::access::{Access, Operation, Resource, Topic, TopicOperation};
use crate::amqp::Table;
use crate::amqp::reply::{ChannelError, ConnectionError, ReplyCode};
use crate::connection::Failure;
use crate::exchange::ExchangeKind;
use crate::ids::{ChannelNumber, Name};
use crate::text::{DEFAULT_EXCHANGE, lossy};

type Result = std::result::Result<(), Failure>;

impl Shard {
    /// Users or permissions have changed: from here on they count, for connections that are open too.
    pub(super) fn admit_by(&mut self, access: Access) {
        self.access = access;
        let open = self.rooms.outward.connections.iter().filter(|(_, connection)| connection.is_open());
        let slots: Vec<u32> = open.map(|(slot, _)| slot).collect();
        for slot in slots {
            let Some(user) = self.judged(slot) else { continue };
            if self.access.user(user).is_some() {
                self.set_permit(slot);
            } else {
                let text = format!("user '{}' is deleted", lossy(user));
                let error = ConnectionError::new(ReplyCode::ConnectionForced, text, (0, 0));
                self.fail(slot, ChannelNumber(0), error.into());
            }
        }
    }

    /// Notes whether anything has to be asked for at all; what was found allowed before does not count any more.
    pub(super) fn set_permit(&mut self, slot: u32) {
        let vhost = &self.router(slot).vhost;
        let is_restricted = self.judged(slot).is_some_and(|user| self.access.restricts(user, vhost));
        self.tell_memo(slot);
        self.memos[slot as usize].permit(is_restricted);
    }

    pub(super) fn permit(
        &self,
        slot: u32,
        resource: Resource<'_>,
        operation: Operation,
        method: (u16, u16),
    ) -> Result {
        self.check(slot, method, |access, user, vhost| access.check(user, vhost, resource, operation))
    }

    pub(super) fn permit_passive(&self, slot: u32, resource: Resource<'_>, method: (u16, u16)) -> Result {
        self.check(slot, method, |access, user, vhost| access.check_passive(user, vhost, resource))
    }

    /// A declare that names another exchange, for the dead or for what has no way: reads here, writes there.
    pub(super) fn permit_declare(
        &self,
        slot: u32,
        resource: Resource<'_>,
        arguments: Table<'_>,
        leads_on_by: &[u8],
        method: (u16, u16),
    ) -> Result {
        self.permit(slot, resource, Operation::Configure, method)?;
        let Some(exchange) = arguments.find(leads_on_by).and_then(|value| value.as_str()) else {
            return Ok(());
        };
        self.permit(slot, resource, Operation::Read, method)?;
        self.permit(slot, Resource::Exchange(exchange), Operation::Write, method)
    }

    /// What nobody may do is refused before anybody's permission is asked for: declare, delete, bind the default exchange.
    pub(super) fn refuse_default(&self, exchange: &[u8], method: (u16, u16)) -> Result {
        if exchange.is_empty() {
            return Err(ChannelError::new(ReplyCode::AccessRefused, DEFAULT_EXCHANGE, method).into());
        }
        Ok(())
    }

    /// A binding, made or undone.
    pub(super) fn permit_binding(
        &self,
        slot: u32,
        destination: Resource<'_>,
        source: &[u8],
        key: &[u8],
        method: (u16, u16),
    ) -> Result {
        self.permit(slot, destination, Operation::Write, method)?;
        if let Resource::Exchange(destination) = destination {
            self.refuse_default(destination, method)?;
        }
        self.refuse_default(source, method)?;
        self.permit(slot, Resource::Exchange(source), Operation::Read, method)?;
        self.permit_topic(slot, source, key, TopicOperation::Read, method)
    }

    /// A publish that no memo knows to be allowed.
    pub(super) fn permit_publish(&self, slot: u32, exchange: &[u8], key: &[u8]) -> Result {
        self.permit(slot, Resource::Exchange(exchange), Operation::Write, PUBLISH)?;
        self.permit_topic(slot, exchange, key, TopicOperation::Write, PUBLISH)
    }

    fn permit_topic(
        &self,
        slot: u32,
        exchange: &[u8],
        key: &[u8],
        operation: TopicOperation,
        method: (u16, u16),
    ) -> Result {
        let is_topic = || {
            let spec = self.router(slot).exchange(exchange);
            spec.is_some_and(|spec| spec.kind == ExchangeKind::Topic)
        };
        self.check(slot, method, |access, user, vhost| {
            let topic = Topic { exchange, key, client_id: None };
            if is_topic() { access.check_topic(user, vhost, topic, operation) } else { Ok(()) }
        })
    }

    fn check(
        &self,
        slot: u32,
        method: (u16, u16),
        check: impl FnOnce(&Access, &Name, &Name) -> std::result::Result<(), String>,
    ) -> Result {
        if !self.memos[slot as usize].is_restricted() {
            return Ok(());
        }
        let Some(user) = self.judged(slot) else { return Ok(()) };
        check(&self.access, user, &self.router(slot).vhost)
            .map_err(|text| ChannelError::new(ReplyCode::AccessRefused, text, method).into())
    }

    /// The user by whose permissions the connection goes: nobody's, if it is the server's own.
    fn judged(&self, slot: u32) -> Option<&Name> {
        let connection = self.rooms.outward.connections.get(slot)?;
        connection.session.as_ref().filter(|_| !connection.trusted).map(|session| &session.user)
    }
}

const PUBLISH: (u16, u16) = (60, 40);
