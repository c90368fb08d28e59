//! One match over every method a client can send: who deals with it.

use super::Shard;
use super::command::{Ask, Command, Question};
use super::notes::What;
use super::reply_to::PSEUDO_QUEUE;
use crate::access::{Operation, Resource};
use crate::amqp::method::Method;
use crate::amqp::reply::{ConnectionError, ReplyCode};
use crate::connection::channel::{Channel, ChannelState, CloseOk, Pending};
use crate::connection::{ClosedBy, Failure};
use crate::ids::{ChannelNumber, QueueId, Requester, ShardId};
use crate::settlement::Settlement;
use crate::text;
use crate::topology::Request;

type Result = std::result::Result<(), Failure>;

impl Shard {
    /// Channel 0 of an open connection.
    pub(super) fn connection_method(&mut self, slot: u32, method: &Method<'_>) -> Result {
        match method {
            Method::ConnectionClose { .. } => {
                self.note(slot, What::Closed);
                self.begin_close(slot, ClosedBy::Client);
                Ok(())
            }
            // For users of our own the secret is the password: as with RabbitMQ the new one changes nothing.
            Method::ConnectionUpdateSecret { .. } => {
                self.reply(slot, ChannelNumber(0), false, &Method::ConnectionUpdateSecretOk {})
            }
            method => {
                let text = "unexpected method in connection state running";
                Err(ConnectionError::new(ReplyCode::ChannelError, text, method.ids()).into())
            }
        }
    }

    pub(super) fn channel_open(&mut self, slot: u32, number: ChannelNumber) -> Result {
        let Some(connection) = self.rooms.outward.connections.get_mut(slot) else { return Ok(()) };
        let max = connection.channel_max();
        let opened = connection.channels.iter().flatten().count();
        if opened >= usize::from(max) {
            let text = format!(
                "number of channels opened ({opened}) has reached the negotiated channel_max ({max})"
            );
            return Err(ConnectionError::new(ReplyCode::NotAllowed, text, (0, 0)).into());
        }
        // RabbitMQ only counts, and takes any number. The table of a connection is as long as its highest number.
        if number.0 > max {
            let text = format!("channel number {} is above the negotiated channel_max ({max})", number.0);
            return Err(ConnectionError::new(ReplyCode::NotAllowed, text, (20, 10)).into());
        }
        let Some(session) = &connection.session else { return Ok(()) };
        let max = self.access.user(&session.user).and_then(|user| user.limits.max_channels);
        // Without a seat it is the API's, and takes no place.
        let place = connection.seat.as_ref().map(|seat| seat.open_channel(max));
        if let Some(None) = place {
            let (user, max) = (text::lossy(&session.user), max.unwrap_or(u32::MAX));
            let text = format!(
                "number of channels opened for user '{user}' has reached the maximum allowed user limit of ({max})"
            );
            return Err(ConnectionError::new(ReplyCode::NotAllowed, text, (0, 0)).into());
        }
        connection.open_channel(number);
        if let Some(channel) = connection.channel(number) {
            channel.place = place.flatten();
        }
        self.rooms.outward.counters.channels_opened += u64::from(!connection.internal);
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
                self.settle(slot, number, delivery_tag, multiple, Settlement::Ack, method)
            }
            Method::BasicReject { delivery_tag, requeue } => {
                self.settle(slot, number, delivery_tag, false, Settlement::negative(requeue), method)
            }
            Method::BasicNack { delivery_tag, multiple, requeue } => {
                self.settle(slot, number, delivery_tag, multiple, Settlement::negative(requeue), method)
            }
            Method::BasicConsume { queue, consumer_tag, no_ack, nowait, .. } if *queue == *PSEUDO_QUEUE => {
                self.consume_replies(slot, number, consumer_tag, no_ack, nowait)
            }
            Method::BasicConsume { .. } => self.consume(slot, number, method),
            Method::BasicCancel { consumer_tag, nowait } => self.cancel(slot, number, consumer_tag, nowait),
            Method::BasicGet { queue, no_ack } => {
                let queue = self.queue_name(slot, number, &queue, method)?;
                self.permit(slot, Resource::Queue(&queue), Operation::Read, method.ids())?;
                let (id, queue) = self.queue_of(slot, number, &queue, method)?;
                self.ask(slot, number, id, Question::Get { no_ack }, Pending::Get { queue });
                Ok(())
            }
            Method::BasicQos { prefetch_size, prefetch_count, global } => {
                self.qos(slot, number, prefetch_size, prefetch_count, global)
            }
            Method::BasicRecover { requeue } => self.recover(slot, number, requeue, false, method),
            Method::BasicRecoverAsync { requeue } => self.recover(slot, number, requeue, true, method),
            Method::ConfirmSelect { nowait } => self.confirm_select(slot, number, nowait),
            Method::TxSelect {} => self.tx_select(slot, number),
            Method::TxCommit {} => self.tx_commit(slot, number),
            Method::TxRollback {} => self.tx_rollback(slot, number),
            Method::QueueDeclare { .. } => {
                self.rooms.outward.counters.queues_declared += 1;
                self.queue_declare(slot, number, method)
            }
            Method::QueueBind { nowait, .. } => {
                self.bind_or_unbind(slot, number, method, Pending::QueueBind { nowait })
            }
            Method::QueueUnbind { .. } => self.bind_or_unbind(slot, number, method, Pending::QueueUnbind),
            Method::QueuePurge { queue, nowait } => {
                let queue = self.queue_name(slot, number, &queue, method)?;
                self.permit(slot, Resource::Queue(&queue), Operation::Read, method.ids())?;
                let (id, queue) = self.queue_of(slot, number, &queue, method)?;
                self.ask(slot, number, id, Question::Purge, Pending::QueuePurge { nowait, queue });
                Ok(())
            }
            Method::QueueDelete { queue, if_unused, if_empty, nowait } => {
                self.queue_delete(slot, number, &queue, if_unused, if_empty, nowait, method)
            }
            Method::ExchangeDeclare { .. } => self.exchange_declare(slot, number, method),
            Method::ExchangeDelete { exchange, if_unused, nowait } => {
                self.exchange_delete(slot, number, &exchange, if_unused, nowait, method)
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
            // A legacy of 0-8 that some clients still send; every realm has ticket 1.
            Method::AccessRequest { .. } => {
                self.reply(slot, number, false, &Method::AccessRequestOk { ticket: 1 })
            }
            Method::ChannelOpen {} => {
                let text = "second 'channel.open' seen";
                Err(ConnectionError::new(ReplyCode::ChannelError, text, method.ids()).into())
            }
            Method::ExchangeBind { nowait, .. } => {
                self.bind_or_unbind(slot, number, method, Pending::ExchangeBind { nowait })
            }
            Method::ExchangeUnbind { nowait, .. } => {
                self.bind_or_unbind(slot, number, method, Pending::ExchangeUnbind { nowait })
            }
            Method::ConnectionStartOk { .. }
            | Method::ConnectionSecureOk { .. }
            | Method::ConnectionTuneOk { .. }
            | Method::ConnectionOpen { .. }
            | Method::ConnectionClose { .. }
            | Method::ConnectionCloseOk {}
            | Method::ConnectionUpdateSecret { .. }
            | Method::ChannelFlowOk { .. }
            | Method::ChannelCloseOk {}
            | Method::BasicCancelOk { .. }
            | Method::ConnectionStart { .. }
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

    /// Parks the channel and asks the queue's shard.
    pub(super) fn ask(
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
    pub(super) fn request(&mut self, slot: u32, number: ChannelNumber, request: Request, pending: Pending) {
        self.park(slot, number, pending);
        let vhost = self.router(slot).vhost.clone();
        self.send(ShardId::CONTROL, Command::Request(Box::new((vhost, request))));
    }

    pub(super) fn park(&mut self, slot: u32, number: ChannelNumber, pending: Pending) {
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

    pub(super) fn channel(&mut self, slot: u32, number: ChannelNumber) -> Option<&mut Channel> {
        self.rooms.outward.connections.get_mut(slot)?.channel(number)
    }

    pub(super) fn with_channel(
        &mut self,
        slot: u32,
        number: ChannelNumber,
        change: impl FnOnce(&mut Channel),
    ) {
        if let Some(connection) = self.rooms.outward.connections.get_mut(slot)
            && let Some(channel) = connection.channel(number)
        {
            debug_assert!(channel.state == ChannelState::Open);
            change(channel);
        }
    }
}
