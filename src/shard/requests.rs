//! What the methods of a channel ask for: each becomes an answer at once, or a question to another room.

use super::Shard;
use super::command::Question;
use super::reply_to::PSEUDO_QUEUE;
use crate::access::{Operation, Resource};
use crate::amqp::Table;
use crate::amqp::method::Method;
use crate::amqp::reply::{ChannelError, ConnectionError, ReplyCode};
use crate::amqp::wire::ShortStr;
use crate::connection::channel::Pending;
use crate::connection::deliver::{Asked, ConsumerEnd};
use crate::connection::{Connection, Failure};
use crate::exchange::{ExchangeKind, QueueRoute, text};
use crate::ids::{ChannelNumber, ConsumerId, QueueId, Tx};
use crate::limits::CONSUMERS_PER_CHANNEL_MAX;
use crate::queue::Terms;
use crate::queue_args::{ConsumeArgs, name_prefix};
use crate::settlement::Settlement;
use crate::topology::Request;

type Result<T = ()> = std::result::Result<T, Failure>;

impl Shard {
    pub(super) fn settle(
        &mut self,
        slot: u32,
        number: ChannelNumber,
        tag: u64,
        multiple: bool,
        settlement: Settlement,
        method: &Method<'_>,
    ) -> Result {
        let Some(connection) = self.rooms.outward.connections.get_mut(slot) else { return Ok(()) };
        let id = connection.id;
        let Some(channel) = connection.channel(number) else { return Ok(()) };
        if channel.transaction.is_some() {
            let known = channel.settle_at_commit(tag, multiple, settlement);
            return if known { Ok(()) } else { Err(unknown_tag(tag, method)) };
        }
        let limited = channel.limit.is_some();
        // The tags are lent out while the queues hear of each, as those are other rooms.
        let mut unacked = std::mem::take(&mut channel.unacked);
        let (rooms, requeued) = (&mut self.rooms, &mut self.requeued);
        let mut acked = 0;
        let known = unacked.settle(tag, multiple, |entry| {
            *requeued += usize::from(settlement == Settlement::Requeue);
            acked += u64::from(settlement == Settlement::Ack);
            if !entry.is_gone() {
                rooms.settle(entry.queue, entry.unacked(), settlement, Tx::NONE);
            }
        });
        self.with_channel(slot, number, |channel| {
            channel.unacked = unacked;
            channel.traffic.ack += acked;
        });
        if limited {
            self.rooms.outward.list_lending(id, number);
        }
        if known { Ok(()) } else { Err(unknown_tag(tag, method)) }
    }

    pub(super) fn consume(&mut self, slot: u32, number: ChannelNumber, method: &Method<'_>) -> Result {
        let Method::BasicConsume { queue, consumer_tag: tag, no_ack, exclusive, nowait, arguments, .. } =
            *method
        else {
            return Ok(());
        };
        let tag = if tag.is_empty() { self.names.make("amq.ctag-") } else { owned(&tag) };
        self.refuse_tag_in_use(slot, number, &tag)?;
        let queue = self.queue_name(slot, number, &queue, method)?;
        self.permit(slot, Resource::Queue(&queue), Operation::Read, method.ids())?;
        let QueueRoute { id, spec } = self.queue_named(slot, &queue, method)?;
        let ConsumeArgs { priority } =
            ConsumeArgs::parse(arguments, text::Vhost(&spec.vhost), &queue, spec.rules.kind)
                .map_err(|text| ChannelError::new(ReplyCode::PreconditionFailed, text, method.ids()))?;
        let Some(connection) = self.rooms.outward.connections.get_mut(slot) else { return Ok(()) };
        let window = connection.window();
        let Some(channel) = connection.channel(number) else { return Ok(()) };
        if channel.consumers.len() >= CONSUMERS_PER_CHANNEL_MAX {
            let text = format!("reached maximum ({CONSUMERS_PER_CHANNEL_MAX}) of consumers per channel");
            return Err(ConnectionError::new(ReplyCode::NotAllowed, text, method.ids()).into());
        }
        let limited = channel.limit.is_some() && !no_ack;
        let terms = Terms { no_ack, exclusive, prefetch: channel.prefetch, limited, window, priority };
        let asked = Asked {
            queue: spec.name.clone(),
            exclusive,
            prefetch: channel.prefetch,
            timeout_ms: spec.rules.consumer_timeout_ms.unwrap_or(0),
            arguments: arguments.as_bytes().into(),
        };
        let handle = connection.consumers.insert_with(|_, _| {
            let end = ConsumerEnd::new(number, tag, no_ack, id, window);
            ConsumerEnd { asked, ..end }
        });
        self.with_channel(slot, number, |channel| channel.consumers.push(handle));
        self.ask(
            slot,
            number,
            id,
            Question::Consume { handle, terms },
            Pending::Consume { handle, nowait, queue },
        );
        Ok(())
    }

    pub(super) fn refuse_tag_in_use(&mut self, slot: u32, number: ChannelNumber, tag: &[u8]) -> Result {
        let connection = self.rooms.outward.connections.get_mut(slot);
        if connection.is_none_or(|connection| connection.consumer_by_tag(number, tag).is_none()) {
            return Ok(());
        }
        let text = format!("attempt to reuse consumer tag '{}'", String::from_utf8_lossy(tag));
        Err(ConnectionError::new(ReplyCode::NotAllowed, text, (60, 20)).into())
    }

    pub(super) fn cancel(
        &mut self,
        slot: u32,
        number: ChannelNumber,
        tag: ShortStr<'_>,
        nowait: bool,
    ) -> Result {
        if self.cancel_replies(slot, number, &tag) {
            return self.reply(slot, number, nowait, &Method::BasicCancelOk { consumer_tag: tag });
        }
        let Some(connection) = self.rooms.outward.connections.get_mut(slot) else { return Ok(()) };
        let found = connection.consumer_by_tag(number, &tag);
        let Some((handle, queue, consumer)) = found else {
            // RabbitMQ answers the cancellation of an unknown consumer as if there had been one.
            return self.reply(slot, number, nowait, &Method::BasicCancelOk { consumer_tag: tag });
        };
        self.ask(
            slot,
            number,
            queue,
            Question::Cancel { handle, consumer },
            Pending::Cancel { handle, nowait },
        );
        Ok(())
    }

    pub(super) fn queue_declare(&mut self, slot: u32, number: ChannelNumber, method: &Method<'_>) -> Result {
        let Method::QueueDeclare { queue, passive, durable, exclusive, auto_delete, nowait, arguments } =
            *method
        else {
            return Ok(());
        };
        if queue.starts_with(PSEUDO_QUEUE) {
            return self.declare_reply_to(slot, number, &queue, nowait);
        }
        if passive {
            // Here alone an empty name does not mean the last queue.
            let name: Box<[u8]> = Box::from(&*text::strip_cr_lf(&queue));
            self.permit_passive(slot, Resource::Queue(&name), method.ids())?;
            let id = self.queue_named(slot, &name, method)?.id;
            self.ask(slot, number, id, Question::Counts, Pending::QueueCounts { nowait, name });
            return Ok(());
        }
        let server_named = queue.is_empty();
        let name = if server_named { self.server_name(slot, arguments, method)? } else { owned(&queue) };
        let bare = text::strip_cr_lf(&name);
        // Names of ours are refused to everybody, by the topology, whatever their permissions.
        if server_named || !bare.starts_with(RESERVED_PREFIX) {
            let leads_on_by = b"x-dead-letter-exchange";
            self.permit_declare(slot, Resource::Queue(&bare), arguments, leads_on_by, method.ids())?;
        }
        let requester = self.requester(slot, number);
        let arguments = Box::from(arguments.as_bytes());
        let request = Request::DeclareQueue {
            requester,
            name,
            server_named,
            durable,
            exclusive,
            auto_delete,
            arguments,
        };
        self.request(slot, number, request, Pending::QueueDeclare { nowait, exclusive });
        Ok(())
    }

    /// A name for a queue that its client leaves to us, but perhaps for how it begins.
    fn server_name(&mut self, slot: u32, arguments: Table<'_>, method: &Method<'_>) -> Result<Box<[u8]>> {
        let vhost = self.router(slot).vhost.clone();
        let prefix = name_prefix(arguments, text::Vhost(&vhost))
            .map_err(|text| ChannelError::new(ReplyCode::PreconditionFailed, text, method.ids()))?;
        Ok(match prefix {
            Some(prefix) => self.names.make_behind(prefix),
            None => self.names.make("amq.gen-"),
        })
    }

    #[expect(clippy::too_many_arguments, reason = "the fields of one method")]
    pub(super) fn queue_delete(
        &mut self,
        slot: u32,
        number: ChannelNumber,
        queue: &[u8],
        if_unused: bool,
        if_empty: bool,
        nowait: bool,
        method: &Method<'_>,
    ) -> Result {
        // As in declarations and bindings, and unlike elsewhere, line ends do not count.
        let queue = &*text::strip_cr_lf(queue);
        let name = self.queue_name(slot, number, queue, method)?;
        self.permit(slot, Resource::Queue(&name), Operation::Configure, method.ids())?;
        if self.router(slot).queue(&name).is_none() {
            // Deleting what is not there is no error.
            return self.reply(slot, number, nowait, &Method::QueueDeleteOk { message_count: 0 });
        }
        let (id, _) = self.queue_of(slot, number, queue, method)?;
        self.ask(
            slot,
            number,
            id,
            Question::Delete { if_unused, if_empty },
            Pending::QueueDelete { nowait, gone: Vec::new() },
        );
        Ok(())
    }

    pub(super) fn exchange_delete(
        &mut self,
        slot: u32,
        number: ChannelNumber,
        exchange: &[u8],
        if_unused: bool,
        nowait: bool,
        method: &Method<'_>,
    ) -> Result {
        let name = text::strip_cr_lf(exchange);
        self.refuse_default(&name, method.ids())?;
        // So are these, by the topology.
        if !name.starts_with(RESERVED_PREFIX) {
            self.permit(slot, Resource::Exchange(&name), Operation::Configure, method.ids())?;
        }
        let requester = self.requester(slot, number);
        let request = Request::DeleteExchange { requester, name: owned(exchange), if_unused };
        self.request(slot, number, request, Pending::ExchangeDelete { nowait });
        Ok(())
    }

    pub(super) fn exchange_declare(
        &mut self,
        slot: u32,
        number: ChannelNumber,
        method: &Method<'_>,
    ) -> Result {
        let Method::ExchangeDeclare {
            exchange,
            type_,
            passive,
            durable,
            auto_delete,
            internal,
            nowait,
            arguments,
        } = *method
        else {
            return Ok(());
        };
        let name = text::strip_cr_lf(&exchange);
        if passive {
            self.refuse_default(&name, method.ids())?;
            self.permit_passive(slot, Resource::Exchange(&name), method.ids())?;
            if self.router(slot).exchange(&name).is_none() {
                let text = self.text(slot).no_exchange(&name);
                return Err(ChannelError::new(ReplyCode::NotFound, text, method.ids()).into());
            }
            return self.reply(slot, number, nowait, &Method::ExchangeDeclareOk {});
        }
        // A type that there is not is refused to everybody, and first.
        if ExchangeKind::parse(&type_).is_some() {
            self.refuse_default(&name, method.ids())?;
            let leads_on_by = b"alternate-exchange";
            self.permit_declare(slot, Resource::Exchange(&name), arguments, leads_on_by, method.ids())?;
        }
        let request = Request::DeclareExchange {
            requester: self.requester(slot, number),
            name: owned(&exchange),
            kind: owned(&type_),
            durable,
            auto_delete,
            internal,
            arguments: Box::from(arguments.as_bytes()),
        };
        self.request(slot, number, request, Pending::ExchangeDeclare { nowait });
        Ok(())
    }

    /// The name that a method means: an empty one is the queue last declared on the channel.
    pub(super) fn queue_name(
        &mut self,
        slot: u32,
        number: ChannelNumber,
        name: &[u8],
        method: &Method<'_>,
    ) -> Result<Box<[u8]>> {
        if !name.is_empty() {
            return Ok(owned(name));
        }
        let last = self.channel(slot, number).and_then(|channel| channel.last_queue.clone());
        last.ok_or_else(|| {
            ChannelError::new(ReplyCode::NotFound, "no previously declared queue", method.ids()).into()
        })
    }

    /// The queue that a method means and its name, if this connection may use it.
    pub(super) fn queue_of(
        &mut self,
        slot: u32,
        number: ChannelNumber,
        name: &[u8],
        method: &Method<'_>,
    ) -> Result<(QueueId, Box<[u8]>)> {
        let name = self.queue_name(slot, number, name, method)?;
        let id = self.queue_named(slot, &name, method)?.id;
        Ok((id, name))
    }

    /// What lies in the vhost of a connection, in RabbitMQ's words.
    pub(super) fn text(&self, slot: u32) -> text::Vhost<'_> {
        text::Vhost(&self.router(slot).vhost)
    }

    pub(super) fn no_queue(&self, slot: u32, name: &[u8], method: (u16, u16)) -> Failure {
        ChannelError::new(ReplyCode::NotFound, self.text(slot).no_queue(name), method).into()
    }

    fn queue_named(&self, slot: u32, name: &[u8], method: &Method<'_>) -> Result<QueueRoute> {
        let Some(route) = self.router(slot).queue(name) else {
            return Err(self.no_queue(slot, name, method.ids()));
        };
        let connection = self.rooms.outward.connections.get(slot).map(|connection| connection.id);
        if route.spec.exclusive.is_some() && route.spec.exclusive != connection {
            let text = self.text(slot).locked_queue(name);
            return Err(ChannelError::new(ReplyCode::ResourceLocked, text, method.ids()).into());
        }
        Ok(route.clone())
    }
}

impl Connection {
    /// The consumer of that tag on that channel: its handle, its queue and its number there.
    fn consumer_by_tag(&mut self, number: ChannelNumber, tag: &[u8]) -> Option<(u32, QueueId, ConsumerId)> {
        let channel = self.channels.get(usize::from(number.0))?.as_ref()?;
        channel.consumers.iter().find_map(|&handle| {
            let end = self.consumers.get(handle)?;
            (*end.tag == *tag).then_some((handle, end.queue, end.consumer?))
        })
    }
}

fn unknown_tag(tag: u64, method: &Method<'_>) -> Failure {
    let text = format!("unknown delivery tag {tag}");
    ChannelError::new(ReplyCode::PreconditionFailed, text, method.ids()).into()
}

pub(super) fn owned(name: &[u8]) -> Box<[u8]> {
    Box::from(name)
}

/// How names begin that only the broker gives.
const RESERVED_PREFIX: &[u8] = b"amq.";
