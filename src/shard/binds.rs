//! queue.bind, exchange.bind and their undoing become requests to the control shard; binds that a client sends one behind
//! the other go there together, as each would otherwise wait for a round between the cores.

use std::collections::VecDeque;

use super::Shard;
use super::requests::owned;
use crate::access::Resource;
use crate::amqp::frame::{self, FrameKind};
use crate::amqp::method::Method;
use crate::connection::Failure;
use crate::connection::channel::Pending;
use crate::ids::ChannelNumber;
use crate::limits::{BINDS_TOGETHER, FRAME_MAX_BYTES, FRAME_SLACK_BYTES};
use crate::topology::Request;

type Result<T = ()> = std::result::Result<T, Failure>;

impl Shard {
    /// One of the four methods that make or undo a binding.
    pub(super) fn bind_or_unbind(
        &mut self,
        slot: u32,
        number: ChannelNumber,
        method: &Method<'_>,
        pending: Pending,
    ) -> Result {
        let request = self.binding_request(slot, number, method)?;
        self.request(slot, number, request, pending);
        Ok(())
    }

    /// Takes the binds that the frames of an open channel begin with, if they are at least two, and answers their bytes.
    /// What cannot even be asked for is left to the usual way, as everything else is.
    pub(super) fn bind_several(&mut self, slot: u32, number: ChannelNumber, frames: &[u8]) -> Option<usize> {
        let channel = self.channel(slot, number)?;
        if !channel.takes_publish() || self.alarmed {
            return None;
        }
        let (mut binds, mut answered, mut taken) = (VecDeque::new(), Vec::new(), 0);
        while binds.len() < BINDS_TOGETHER
            && let Ok(Some((frame, bytes))) =
                frame::decode(&frames[taken..], FRAME_MAX_BYTES + FRAME_SLACK_BYTES)
            && frame.kind == FrameKind::Method
            && frame.channel == number
            && let Ok(method @ Method::QueueBind { nowait, .. }) = Method::decode(frame.payload)
            && let Ok(bind) = self.binding_request(slot, number, &method)
        {
            binds.push_back(bind);
            answered.push(nowait);
            taken += bytes;
        }
        if binds.len() < 2 {
            return None;
        }
        let request = Request::Several { requester: self.requester(slot, number), binds, done: 0 };
        self.request(slot, number, request, Pending::QueueBinds { nowait: answered.into() });
        Some(taken)
    }

    fn binding_request(&mut self, slot: u32, number: ChannelNumber, method: &Method<'_>) -> Result<Request> {
        let requester = self.requester(slot, number);
        Ok(match *method {
            Method::QueueBind { queue, exchange, routing_key, arguments, .. } => {
                let name = self.queue_name(slot, number, &queue, method)?;
                // An empty key with an empty queue name means the queue's name, too (AMQP 0-9-1, queue.bind).
                let unnamed = queue.is_empty() && routing_key.is_empty();
                let routing_key = if unnamed { name.clone() } else { owned(&routing_key) };
                self.permit_binding(slot, Resource::Queue(&name), &exchange, &routing_key, method.ids())?;
                let (exchange, arguments) = (owned(&exchange), owned(arguments.as_bytes()));
                Request::Bind { requester, queue: name, exchange, routing_key, arguments }
            }
            Method::QueueUnbind { queue, exchange, routing_key, arguments } => {
                let queue = self.queue_name(slot, number, &queue, method)?;
                self.permit_binding(slot, Resource::Queue(&queue), &exchange, &routing_key, method.ids())?;
                Request::Unbind {
                    requester,
                    queue,
                    exchange: owned(&exchange),
                    routing_key: owned(&routing_key),
                    arguments: owned(arguments.as_bytes()),
                }
            }
            Method::ExchangeBind { destination, source, routing_key, arguments, .. } => {
                let to = Resource::Exchange(&destination);
                self.permit_binding(slot, to, &source, &routing_key, method.ids())?;
                let (destination, source) = (owned(&destination), owned(&source));
                let (routing_key, arguments) = (owned(&routing_key), owned(arguments.as_bytes()));
                Request::BindExchange { requester, destination, source, routing_key, arguments }
            }
            Method::ExchangeUnbind { destination, source, routing_key, arguments, .. } => {
                let to = Resource::Exchange(&destination);
                self.permit_binding(slot, to, &source, &routing_key, method.ids())?;
                let (destination, source) = (owned(&destination), owned(&source));
                let (routing_key, arguments) = (owned(&routing_key), owned(arguments.as_bytes()));
                Request::UnbindExchange { requester, destination, source, routing_key, arguments }
            }
            method => unreachable!("{} is about no binding", method.name()),
        })
    }
}
