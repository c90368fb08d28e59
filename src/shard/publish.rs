//! A published message goes to its queues: here at once, elsewhere by parcel.

use bytes::Bytes;

use super::keep::Stored;
use super::rooms::Rooms;
use super::{Shard, short};
use crate::amqp::content::{EXPIRATION_FLAG, HEADERS_FLAG, Properties, REPLY_TO_FLAG, USER_ID_FLAG};
use crate::amqp::method::Method;
use crate::amqp::reply::{ChannelError, ReplyCode};
use crate::connection::Failure;
use crate::connection::content::Assembled;
use crate::connection::deliver::append_content;
use crate::connection::publish::{Limits, Publish, repeated};
use crate::exchange::text::lossy;
use crate::exchange::{ListIndex, Resolved, RouteError, Router};
use crate::expiration::parse_expiration;
use crate::ids::{ChannelNumber, Origin, QueueId, ShardId};
use crate::journal::Due;
use crate::mesh::parcel::Record;
use crate::message::Message;
use crate::stats::Counters;

impl Shard {
    /// Routes one publish. `buffer` is the message's own buffer if it has one; `confirms` says that the
    /// channel is in confirm mode.
    #[inline]
    pub(super) fn publish(
        &mut self,
        slot: u32,
        publish: &Publish<'_>,
        buffer: Option<&Bytes>,
        confirms: bool,
    ) -> Result<(), Failure> {
        if publish.message.property_flags() & LOOKED_AT != 0
            && let Some(record) = self.look_at_properties(slot, publish)?
        {
            let publish = Publish { message: Message::from_record(&record), ..*publish };
            return self.route(slot, &publish, Some(&record), confirms);
        }
        self.route(slot, publish, buffer, confirms)
    }

    /// Publishes that repeat the last one but for their content go straight through, if its queue is here and one consumer
    /// here takes whatever comes. `bytes` begins with the last one, which took `taken`; answers the bytes of the others.
    #[inline]
    pub(super) fn publish_run(
        &mut self,
        slot: u32,
        bytes: &[u8],
        last: &Publish<'_>,
        taken: usize,
        limits: Limits,
    ) -> usize {
        let memo = &self.memos[slot as usize];
        let router = self.routers.at(memo.router);
        let Some(list) = memo.find(last.message.route, router) else { return 0 };
        let &[queue] = router.targets(list) else { return 0 };
        if queue.shard != self.id {
            return 0;
        }
        let (route, method) = (last.message.route, &bytes[..taken - last.message.content.len()]);
        let mut at = taken;
        // Counted apart, as the rooms are lent out meanwhile.
        let mut sizes = Counters::default();
        let count = self.rooms.accept_run(queue, route, || {
            let (message, end) = repeated(&bytes[at..], method, route, limits)?;
            if message.property_flags() & (LOOKED_AT | HEADERS_FLAG) != 0 {
                return None;
            }
            at += end;
            sizes.published_of(message.body_bytes());
            Some(message)
        });
        self.rooms.outward.counters.add_published(&sizes);
        if let Some(channel) = self.channel(slot, last.channel) {
            channel.traffic.publish += count;
        }
        self.memos[slot as usize].passed += count;
        at - taken
    }

    #[inline]
    fn route(
        &mut self,
        slot: u32,
        publish: &Publish<'_>,
        buffer: Option<&Bytes>,
        confirms: bool,
    ) -> Result<(), Failure> {
        let (list, has_bcc) = self.resolve(slot, &publish.message)?;
        if has_bcc {
            let record = Bytes::from(publish.message.with_bcc_kept());
            let message = Message::from_record(&record);
            self.bring(slot, &Publish { message, ..*publish }, Some(&record), confirms, list);
        } else {
            self.bring(slot, publish, buffer, confirms, list);
        }
        Ok(())
    }

    /// Takes a message to the queues of a list that `resolve` has just given.
    #[inline]
    fn bring(
        &mut self,
        slot: u32,
        publish: &Publish<'_>,
        buffer: Option<&Bytes>,
        confirms: bool,
        list: ListIndex,
    ) {
        let targets = self.routers.at(self.memos[slot as usize].router).targets(list);
        let counters = &mut self.rooms.outward.counters;
        counters.published_of(publish.message.body_bytes());
        counters.published_confirm += u64::from(confirms);
        let mut spread = Spread::default();
        match targets {
            [] => self.unroutable(slot, publish),
            &[queue] if queue.shard == self.id => {
                let stored = &mut Stored::default();
                let due = self.rooms.accept(queue, &publish.message, buffer, stored);
                spread.note(due);
            }
            targets => {
                spread = self.rooms.spread(targets, &publish.message, buffer, confirms, Origin::default());
            }
        }
        if confirms {
            self.count_confirm(slot, publish.channel, spread, list);
        }
    }

    /// What a few properties ask for. The answer is the message's record if one of them had to change.
    #[cold]
    pub(super) fn look_at_properties(
        &mut self,
        slot: u32,
        publish: &Publish<'_>,
    ) -> Result<Option<Bytes>, Failure> {
        // RabbitMQ's order: what is wrong with the exchange is told first.
        let exchange = publish.message.exchange();
        self.permit_publish(slot, exchange, publish.message.routing_key())?;
        let router = self.router(slot);
        router.admit(exchange).map_err(|error| route_error(router, error, exchange))?;
        let flags = publish.message.property_flags();
        let changed = if flags & REPLY_TO_FLAG == 0 { None } else { self.with_own_reply_to(slot, publish)? };
        if flags & USER_ID_FLAG != 0 {
            self.check_user_id(slot, &publish.message)?;
        }
        if flags & EXPIRATION_FLAG != 0 {
            check_expiration(&publish.message)?;
        }
        Ok(changed.map(Bytes::from))
    }

    /// Nobody publishes in the name of another.
    fn check_user_id(&self, slot: u32, message: &Message<'_>) -> Result<(), Failure> {
        let claimed = Properties::of_checked(message.header()).user_id();
        let session =
            self.rooms.outward.connections.get(slot).and_then(|connection| connection.session.as_ref());
        match (claimed, session) {
            (Some(claimed), Some(session))
                if *claimed != *session.user && !self.impersonates(&session.user) =>
            {
                let user = lossy(&session.user);
                let text = format!("user_id property set to '{claimed}' but authenticated user was '{user}'");
                Err(ChannelError::new(ReplyCode::PreconditionFailed, text, PUBLISH).into())
            }
            _ => Ok(()),
        }
    }

    fn impersonates(&self, user: &[u8]) -> bool {
        self.access.user(user).is_some_and(|user| user.tags.may_impersonate())
    }

    /// The queues of a message, mostly those of the publish before; and whether it has a BCC header.
    #[inline]
    pub(super) fn resolve(&mut self, slot: u32, message: &Message<'_>) -> Result<(ListIndex, bool), Failure> {
        let memo = &mut self.memos[slot as usize];
        if message.property_flags() & HEADERS_FLAG == 0
            && let Some(list) = memo.find(message.route, self.routers.at(memo.router))
        {
            memo.passed += 1;
            return Ok((list, false));
        }
        if memo.is_restricted() {
            self.permit_publish(slot, message.exchange(), message.routing_key())?;
        }
        let memo = &mut self.memos[slot as usize];
        let router = self.routers.at_mut(memo.router);
        let Resolved { list, stamp, has_bcc } =
            router.resolve(message).map_err(|error| route_error(router, error, message.exchange()))?;
        if let Some(stamp) = stamp {
            memo.tell(router);
            memo.keep(message.route, stamp, list);
        }
        if let Some(connection) = self.rooms.outward.connections.get_mut(slot) {
            connection.publishes = true;
        }
        Ok((list, has_bcc))
    }

    /// A content that came in pieces is complete.
    pub(super) fn assembled(
        &mut self,
        slot: u32,
        channel: ChannelNumber,
        assembled: Option<Assembled>,
    ) -> Result<(), Failure> {
        let Some(Assembled { record, mandatory }) = assembled else { return Ok(()) };
        let Some(open) = self.channel(slot, channel) else { return Ok(()) };
        open.traffic.publish += 1;
        let (confirms, transactional) = (open.confirms.is_some(), open.transaction.is_some());
        let publish = Publish { channel, message: Message::from_record(&record), mandatory };
        if transactional {
            return self.hold_publish(slot, &publish, Some(&record));
        }
        self.publish(slot, &publish, Some(&record), confirms)
    }

    /// No queue takes it: with `mandatory` it goes back, before its confirm.
    #[cold]
    pub(super) fn unroutable(&mut self, slot: u32, publish: &Publish<'_>) {
        // A mandatory reply is returned as well, as no queue took it: so does RabbitMQ 3.13.
        if !self.reply_directly(&publish.message) {
            self.rooms.outward.counters.unroutable += 1;
        }
        let Some(connection) = self.rooms.outward.connections.get_mut(slot) else { return };
        if let Some(channel) = connection.channel(publish.channel) {
            let traffic = &mut channel.traffic;
            *(if publish.mandatory {
                &mut traffic.return_unroutable
            } else {
                &mut traffic.drop_unroutable
            }) += 1;
        }
        if !publish.mandatory {
            return;
        }
        let message = &publish.message;
        let returned = Method::BasicReturn {
            reply_code: ReplyCode::NoRoute.code(),
            reply_text: ReplyCode::NoRoute.name().into(),
            exchange: short(message.exchange()),
            routing_key: short(message.routing_key()),
        };
        connection.reply(publish.channel, &returned);
        append_content(message.content, publish.channel, connection.frame_max, connection.outbox.buffer());
        self.rooms.outward.unflushed += message.record_bytes();
        self.rooms.outward.touch(slot);
    }
}

/// How far a message came in its first step.
#[derive(Clone, Copy, Default)]
pub(super) struct Spread {
    /// How many other shards it went to.
    pub elsewhere: u16,
    /// A queue here had no room for it.
    pub refused: bool,
    /// When what the queues here took is as safe as they ask for.
    pub due: Due,
}

impl Spread {
    fn note(&mut self, taken: Option<Due>) {
        match taken {
            Some(due) => self.due = self.due.and(due),
            None => self.refused = true,
        }
    }
}

impl Rooms {
    /// Brings a message to several queues, or to one elsewhere. Each shard gets it once, and the last of its records there
    /// is counted for the confirm.
    pub(super) fn spread(
        &mut self,
        targets: &[QueueId],
        message: &Message<'_>,
        buffer: Option<&Bytes>,
        confirms: bool,
        origin: Origin,
    ) -> Spread {
        let (mut stored, mut spread) = (Stored::of(origin), Spread::default());
        for shard in (0..self.outward.mesh.shards()).map(ShardId) {
            let mut there = targets.iter().copied().filter(|queue| queue.shard == shard).peekable();
            if shard == self.outward.id {
                there.for_each(|queue| {
                    spread.note(self.accept(queue, message, buffer, &mut stored));
                });
                continue;
            }
            if there.peek().is_none() {
                continue;
            }
            spread.elsewhere += 1;
            let span = self.outward.mesh.message(shard, message, buffer);
            while let Some(queue) = there.next() {
                let counted = confirms && there.peek().is_none();
                self.outward.mesh.record(shard, Record::Publish { queue, message: span, counted, origin });
            }
        }
        spread
    }
}

#[cold]
fn check_expiration(message: &Message<'_>) -> Result<(), Failure> {
    let text = Properties::of_checked(message.header()).expiration().unwrap_or_default();
    match parse_expiration(&text) {
        Ok(_) => Ok(()),
        Err(text) => Err(ChannelError::new(ReplyCode::PreconditionFailed, text, PUBLISH).into()),
    }
}

fn route_error(router: &Router, error: RouteError, exchange: &[u8]) -> ChannelError {
    let code = match error {
        RouteError::NoExchange => ReplyCode::NotFound,
        RouteError::Internal => ReplyCode::AccessRefused,
        RouteError::Header(_) => ReplyCode::PreconditionFailed,
    };
    ChannelError::new(code, error.text(&router.vhost, exchange), PUBLISH)
}

/// Properties that `look_at_properties` looks at.
const LOOKED_AT: u16 = USER_ID_FLAG | REPLY_TO_FLAG | EXPIRATION_FLAG;
const PUBLISH: (u16, u16) = (60, 40);
