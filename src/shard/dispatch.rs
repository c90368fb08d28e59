//! One match over every method a client can send: who deals with it.

use super::Shard;
use super::command::{Ask, Command, Question};
use crate::amqp::method::Method;
use crate::amqp::reply::{ChannelError, ConnectionError, ReplyCode};
use crate::amqp::wire::ShortStr;
use crate::connection::channel::{ChannelState, CloseOk, Pending};
use crate::connection::deliver::ConsumerEnd;
use crate::connection::{ClosedBy, Connection, Failure};
use crate::exchange::text;
use crate::ids::{ChannelNumber, QueueId, Requester, ShardId};
use crate::limits::CONSUMERS_PER_CHANNEL_MAX;
use crate::topology::Request;

type Result = std::result::Result<(), Failure>;

impl Shard {
    /// Channel 0 of an open connection.
    pub(super) fn connection_method(&mut self, slot: u32, method: &Method<'_>) -> Result {
        match method {
            Method::ConnectionClose { .. } => {
                self.begin_close(slot, ClosedBy::Client);
                Ok(())
            }
            // A close-ok that nobody asked for.
            Method::ConnectionCloseOk {} => {
                self.begin_close(slot, ClosedBy::Gone);
                Ok(())
            }
            Method::ConnectionUpdateSecret { .. } => Err(not_implemented(method)),
            method => {
                let text = format!("unexpected method in connection state running: {}", method.name());
                Err(ConnectionError::new(ReplyCode::ChannelError, text, method.ids()).into())
            }
        }
    }

    pub(super) fn channel_open(&mut self, slot: u32, number: ChannelNumber) -> Result {
        let Some(connection) = self.rooms.outward.connections.get_mut(slot) else { return Ok(()) };
        let max = connection.channel_max();
        if max > 0 && number.0 > max {
            let text = format!(
                "number of channels opened ({}) has reached the negotiated channel_max ({max})",
                number.0
            );
            return Err(ConnectionError::new(ReplyCode::NotAllowed, text, (20, 10)).into());
        }
        connection.open_channel(number);
        self.rooms.outward.touch(slot);
        Ok(())
    }

    /// An open channel that waits for nothing.
    pub(super) fn channel_method(&mut self, slot: u32, number: ChannelNumber, method: &Method<'_>) -> Result {
        match *method {
            Method::BasicPublish { exchange, routing_key, mandatory, immediate } => {
                if immediate {
                    return Err(ConnectionError::new(
                        ReplyCode::NotImplemented,
                        "immediate=true",
                        method.ids(),
                    )
                    .into());
                }
                self.with_channel(slot, number, |channel| {
                    channel.assembly.begin(&exchange, &routing_key, mandatory)
                });
                Ok(())
            }
            Method::BasicAck { delivery_tag, multiple } => {
                self.settle(slot, number, delivery_tag, multiple, false, method)
            }
            Method::BasicReject { delivery_tag, requeue } => {
                self.settle(slot, number, delivery_tag, false, requeue, method)
            }
            Method::BasicNack { delivery_tag, multiple, requeue } => {
                self.settle(slot, number, delivery_tag, multiple, requeue, method)
            }
            Method::BasicConsume { queue, consumer_tag, no_ack, exclusive, nowait, .. } => {
                let queue = self.queue_of(slot, number, &queue, method)?;
                self.consume(slot, number, queue, consumer_tag, no_ack, exclusive, nowait)
            }
            Method::BasicCancel { consumer_tag, nowait } => self.cancel(slot, number, consumer_tag, nowait),
            Method::BasicCancelOk { .. } => Ok(()),
            Method::BasicGet { queue, no_ack } => {
                let queue = self.queue_of(slot, number, &queue, method)?;
                self.ask(slot, number, queue, Question::Get { no_ack }, Pending::Get);
                Ok(())
            }
            Method::BasicQos { prefetch_size, prefetch_count, global } => {
                self.qos(slot, number, prefetch_size, prefetch_count, global)
            }
            Method::ConfirmSelect { nowait } => {
                self.with_channel(slot, number, |channel| {
                    channel.confirms.get_or_insert_default();
                });
                self.reply(slot, number, nowait, &Method::ConfirmSelectOk {})
            }
            Method::QueueDeclare { .. } => self.queue_declare(slot, number, method),
            Method::QueueBind { nowait, .. } => {
                self.bind_or_unbind(slot, number, method, Pending::QueueBind { nowait })
            }
            Method::QueueUnbind { .. } => self.bind_or_unbind(slot, number, method, Pending::QueueUnbind),
            Method::QueuePurge { queue, nowait } => {
                let queue = self.queue_of(slot, number, &queue, method)?;
                self.ask(slot, number, queue, Question::Purge, Pending::QueuePurge { nowait });
                Ok(())
            }
            Method::QueueDelete { queue, if_unused, if_empty, nowait } => {
                self.queue_delete(slot, number, &queue, if_unused, if_empty, nowait, method)
            }
            Method::ExchangeDeclare { .. } => self.exchange_declare(slot, number, method),
            Method::ExchangeDelete { exchange, if_unused, nowait } => {
                let requester = self.requester(slot, number);
                let request = Request::DeleteExchange { requester, name: owned(&exchange), if_unused };
                self.request(slot, number, request, Pending::ExchangeDelete { nowait });
                Ok(())
            }
            Method::ChannelClose { .. } => {
                self.begin_channel_close(slot, number, CloseOk::WeOwe);
                Ok(())
            }
            Method::ChannelFlow { active: true } => {
                self.reply(slot, number, false, &Method::ChannelFlowOk { active: true })
            }
            Method::ChannelFlow { active: false } => {
                Err(ConnectionError::new(ReplyCode::NotImplemented, "active=false", method.ids()).into())
            }
            Method::ChannelFlowOk { .. } | Method::ChannelCloseOk {} => Ok(()),
            // A legacy of 0-8 that some clients still send; every realm has ticket 1.
            Method::AccessRequest { .. } => {
                self.reply(slot, number, false, &Method::AccessRequestOk { ticket: 1 })
            }
            Method::ChannelOpen {} => {
                let text = "second 'channel.open' seen";
                Err(ConnectionError::new(ReplyCode::ChannelError, text, method.ids()).into())
            }
            Method::ExchangeBind { .. }
            | Method::ExchangeUnbind { .. }
            | Method::BasicRecover { .. }
            | Method::BasicRecoverAsync { .. }
            | Method::TxSelect {}
            | Method::TxCommit {}
            | Method::TxRollback {} => Err(not_implemented(method)),
            Method::ConnectionStartOk { .. }
            | Method::ConnectionSecureOk { .. }
            | Method::ConnectionTuneOk { .. }
            | Method::ConnectionOpen { .. }
            | Method::ConnectionClose { .. }
            | Method::ConnectionCloseOk {}
            | Method::ConnectionUpdateSecret { .. } => {
                let text = format!("{} on channel {}", method.name(), number.0);
                Err(ConnectionError::new(ReplyCode::ChannelError, text, method.ids()).into())
            }
            Method::ConnectionStart { .. }
            | Method::ConnectionSecure { .. }
            | Method::ConnectionTune { .. }
            | Method::ConnectionOpenOk {}
            | Method::ConnectionBlocked { .. }
            | Method::ConnectionUnblocked {}
            | Method::ConnectionUpdateSecretOk {}
            | Method::ChannelOpenOk {}
            | Method::AccessRequestOk { .. }
            | Method::ExchangeDeclareOk {}
            | Method::ExchangeDeleteOk {}
            | Method::ExchangeBindOk {}
            | Method::ExchangeUnbindOk {}
            | Method::QueueDeclareOk { .. }
            | Method::QueueBindOk {}
            | Method::QueuePurgeOk { .. }
            | Method::QueueDeleteOk { .. }
            | Method::QueueUnbindOk {}
            | Method::BasicQosOk {}
            | Method::BasicConsumeOk { .. }
            | Method::BasicReturn { .. }
            | Method::BasicDeliver { .. }
            | Method::BasicGetOk { .. }
            | Method::BasicGetEmpty {}
            | Method::BasicRecoverOk {}
            | Method::ConfirmSelectOk {}
            | Method::TxSelectOk {}
            | Method::TxCommitOk {}
            | Method::TxRollbackOk {} => {
                Err(ConnectionError::new(ReplyCode::CommandInvalid, "unimplemented method", method.ids())
                    .into())
            }
        }
    }

    fn settle(
        &mut self,
        slot: u32,
        number: ChannelNumber,
        tag: u64,
        multiple: bool,
        requeue: bool,
        method: &Method<'_>,
    ) -> Result {
        let Some(connection) = self.rooms.outward.connections.get_mut(slot) else { return Ok(()) };
        let Some(channel) = connection.channel(number) else { return Ok(()) };
        // The tags are lent out while the queues hear of each, as those are other rooms.
        let mut unacked = std::mem::take(&mut channel.unacked);
        let rooms = &mut self.rooms;
        let known = unacked.settle(tag, multiple, |entry| rooms.settle(entry.queue, entry.unacked, requeue));
        self.with_channel(slot, number, |channel| channel.unacked = unacked);
        if known {
            return Ok(());
        }
        let text = format!("unknown delivery tag {tag}");
        Err(ChannelError::new(ReplyCode::PreconditionFailed, text, method.ids()).into())
    }

    #[expect(clippy::too_many_arguments, reason = "the fields of one method")]
    fn consume(
        &mut self,
        slot: u32,
        number: ChannelNumber,
        queue: QueueId,
        tag: ShortStr<'_>,
        no_ack: bool,
        exclusive: bool,
        nowait: bool,
    ) -> Result {
        let tag = if tag.is_empty() { self.names.make("amq.ctag-") } else { owned(&tag) };
        let Some(connection) = self.rooms.outward.connections.get_mut(slot) else { return Ok(()) };
        if connection.consumer_by_tag(number, &tag).is_some() {
            let text = format!("attempt to reuse consumer tag '{}'", String::from_utf8_lossy(&tag));
            return Err(ConnectionError::new(ReplyCode::NotAllowed, text, (60, 20)).into());
        }
        let window = connection.window();
        let handle =
            connection.consumers.insert_with(|_, _| ConsumerEnd::new(number, tag, no_ack, queue, window));
        let Some(channel) = connection.channel(number) else { return Ok(()) };
        if channel.consumers.len() >= CONSUMERS_PER_CHANNEL_MAX {
            let text = format!("reached maximum ({CONSUMERS_PER_CHANNEL_MAX}) of consumers per channel");
            return Err(ConnectionError::new(ReplyCode::NotAllowed, text, (60, 20)).into());
        }
        channel.consumers.push(handle);
        let prefetch = channel.prefetch;
        let question = Question::Consume { handle, no_ack, exclusive, prefetch, window };
        self.ask(slot, number, queue, question, Pending::Consume { handle, nowait });
        Ok(())
    }

    fn cancel(&mut self, slot: u32, number: ChannelNumber, tag: ShortStr<'_>, nowait: bool) -> Result {
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

    fn qos(&mut self, slot: u32, number: ChannelNumber, size: u32, count: u16, global: bool) -> Result {
        if size != 0 {
            let text = format!("prefetch_size!=0 ({size})");
            return Err(ConnectionError::new(ReplyCode::NotImplemented, text, (60, 10)).into());
        }
        if global {
            return Err(
                ConnectionError::new(ReplyCode::NotImplemented, "basic.qos global=true", (60, 10)).into()
            );
        }
        self.with_channel(slot, number, |channel| channel.prefetch = count);
        self.reply(slot, number, false, &Method::BasicQosOk {})
    }

    fn queue_declare(&mut self, slot: u32, number: ChannelNumber, method: &Method<'_>) -> Result {
        let Method::QueueDeclare { queue, passive, durable, exclusive, auto_delete, nowait, arguments } =
            *method
        else {
            return Ok(());
        };
        if passive {
            let id = self.queue_of(slot, number, &queue, method)?;
            let name = self.queue_name(slot, number, &queue)?;
            self.ask(slot, number, id, Question::Counts, Pending::QueueCounts { nowait, name });
            return Ok(());
        }
        let server_named = queue.is_empty();
        let name = if server_named { self.names.make("amq.gen-") } else { owned(&queue) };
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

    fn bind_or_unbind(
        &mut self,
        slot: u32,
        number: ChannelNumber,
        method: &Method<'_>,
        pending: Pending,
    ) -> Result {
        let requester = self.requester(slot, number);
        let request = match *method {
            Method::QueueBind { queue, exchange, routing_key, arguments, .. } => {
                let queue_name = self.queue_name(slot, number, &queue)?;
                // An empty key with an empty queue name means the queue's name, too (AMQP 0-9-1, queue.bind).
                let key = if queue.is_empty() && routing_key.is_empty() {
                    queue_name.clone()
                } else {
                    owned(&routing_key)
                };
                let arguments = Box::from(arguments.as_bytes());
                Request::Bind {
                    requester,
                    queue: queue_name,
                    exchange: owned(&exchange),
                    routing_key: key,
                    arguments,
                }
            }
            Method::QueueUnbind { queue, exchange, routing_key, arguments } => Request::Unbind {
                requester,
                queue: self.queue_name(slot, number, &queue)?,
                exchange: owned(&exchange),
                routing_key: owned(&routing_key),
                arguments: Box::from(arguments.as_bytes()),
            },
            _ => return Ok(()),
        };
        self.request(slot, number, request, pending);
        Ok(())
    }

    #[expect(clippy::too_many_arguments, reason = "the fields of one method")]
    fn queue_delete(
        &mut self,
        slot: u32,
        number: ChannelNumber,
        queue: &[u8],
        if_unused: bool,
        if_empty: bool,
        nowait: bool,
        method: &Method<'_>,
    ) -> Result {
        let name = self.queue_name(slot, number, queue)?;
        if self.router.queue(&name).is_none() {
            // Deleting what is not there is no error.
            return self.reply(slot, number, nowait, &Method::QueueDeleteOk { message_count: 0 });
        }
        let queue = self.queue_of(slot, number, queue, method)?;
        self.ask(
            slot,
            number,
            queue,
            Question::Delete { if_unused, if_empty },
            Pending::QueueDelete { nowait },
        );
        Ok(())
    }

    fn exchange_declare(&mut self, slot: u32, number: ChannelNumber, method: &Method<'_>) -> Result {
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
        if passive {
            let name = text::strip_cr_lf(&exchange);
            if self.router.exchange(&name).is_none() {
                return Err(
                    ChannelError::new(ReplyCode::NotFound, text::no_exchange(&name), method.ids()).into()
                );
            }
            return self.reply(slot, number, nowait, &Method::ExchangeDeclareOk {});
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
    fn queue_name(
        &mut self,
        slot: u32,
        number: ChannelNumber,
        name: &[u8],
    ) -> std::result::Result<Box<[u8]>, Failure> {
        if !name.is_empty() {
            return Ok(Box::from(&*text::strip_cr_lf(name)));
        }
        let last = self
            .rooms
            .outward
            .connections
            .get_mut(slot)
            .and_then(|connection| connection.channel(number))
            .and_then(|channel| channel.last_queue.clone());
        last.ok_or_else(|| {
            ChannelError::new(ReplyCode::NotFound, "no previously declared queue", (50, 10)).into()
        })
    }

    /// The queue that a method means, if this connection may use it.
    fn queue_of(
        &mut self,
        slot: u32,
        number: ChannelNumber,
        name: &[u8],
        method: &Method<'_>,
    ) -> std::result::Result<QueueId, Failure> {
        let name = self.queue_name(slot, number, name)?;
        let Some(route) = self.router.queue(&name) else {
            return Err(ChannelError::new(ReplyCode::NotFound, text::no_queue(&name), method.ids()).into());
        };
        let connection = self.rooms.outward.connections.get(slot).map(|connection| connection.id);
        if route.spec.exclusive.is_some() && route.spec.exclusive != connection {
            let text = text::locked_queue(&name);
            return Err(ChannelError::new(ReplyCode::ResourceLocked, text, method.ids()).into());
        }
        Ok(route.id)
    }

    /// Parks the channel and asks the queue's shard.
    fn ask(
        &mut self,
        slot: u32,
        number: ChannelNumber,
        queue: QueueId,
        question: Question,
        pending: Pending,
    ) {
        let requester = self.requester(slot, number);
        self.park(slot, number, pending);
        self.send(queue.shard, Command::Ask(Box::new(Ask { requester, queue, question })));
    }

    /// Parks the channel and asks the control shard.
    fn request(&mut self, slot: u32, number: ChannelNumber, request: Request, pending: Pending) {
        self.park(slot, number, pending);
        self.send(ShardId::CONTROL, Command::Request(Box::new(request)));
    }

    fn park(&mut self, slot: u32, number: ChannelNumber, pending: Pending) {
        self.rooms.outward.counters.parks += 1;
        self.with_channel(slot, number, |channel| {
            debug_assert!(channel.pending.is_none(), "a channel runs one method at a time");
            channel.pending = Some(pending);
        });
    }

    pub(super) fn requester(&self, slot: u32, number: ChannelNumber) -> Requester {
        let connection = self.rooms.outward.connections.get(slot).expect("a method comes from a connection");
        let channel_generation = connection
            .channels
            .get(usize::from(number.0))
            .and_then(Option::as_ref)
            .map_or(0, |channel| channel.generation);
        Requester { connection: connection.id, channel: number, channel_generation }
    }

    pub(super) fn send(&mut self, to: ShardId, command: Command) {
        if to == self.id {
            self.local.push_back(command);
        } else {
            self.rooms.outward.mesh.send(to, command);
        }
    }

    pub(super) fn reply(
        &mut self,
        slot: u32,
        number: ChannelNumber,
        nowait: bool,
        method: &Method<'_>,
    ) -> Result {
        if !nowait && let Some(connection) = self.rooms.outward.connections.get_mut(slot) {
            connection.reply(number, method);
            self.rooms.outward.touch(slot);
        }
        Ok(())
    }

    fn with_channel(
        &mut self,
        slot: u32,
        number: ChannelNumber,
        change: impl FnOnce(&mut crate::connection::channel::Channel),
    ) {
        if let Some(connection) = self.rooms.outward.connections.get_mut(slot)
            && let Some(channel) = connection.channel(number)
        {
            debug_assert!(channel.state == ChannelState::Open);
            change(channel);
        }
    }
}

impl Connection {
    /// The consumer of that tag on that channel: its handle, its queue and its number there.
    fn consumer_by_tag(&mut self, number: ChannelNumber, tag: &[u8]) -> Option<(u32, QueueId, u32)> {
        let channel = self.channels.get(usize::from(number.0))?.as_ref()?;
        channel.consumers.iter().find_map(|&handle| {
            let end = self.consumers.get(handle)?;
            (*end.tag == *tag).then_some((handle, end.queue, end.consumer?))
        })
    }
}

fn owned(name: &[u8]) -> Box<[u8]> {
    Box::from(name)
}

fn not_implemented(method: &Method<'_>) -> Failure {
    ConnectionError::new(ReplyCode::NotImplemented, method.name(), method.ids()).into()
}
