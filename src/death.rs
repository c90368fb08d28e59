//! How a message dies in a queue.

use crate::message::Message;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reason {
    Rejected,
    Expired,
    MaxLength,
    DeliveryLimit,
}

pub struct Death<'a> {
    pub reason: Reason,
    pub queue: &'a [u8],
    pub time_s: u64,
}

pub fn letter(
    message: &Message<'_>,
    _: bool,
    _: &Death<'_>,
    exchange: &[u8],
    routing_key: Option<&[u8]>,
) -> Vec<u8> {
    let key = routing_key.unwrap_or(message.routing_key());
    [&[exchange.len() as u8], exchange, &[key.len() as u8], key, message.content].concat()
}

pub fn cycle_queues<'a>(_: &Message<'a>) -> Vec<&'a [u8]> {
    Vec::new()
}

pub fn with_delivery_count(message: &Message<'_>, _: u64) -> Vec<u8> {
    [message.route, message.content].concat()
}
