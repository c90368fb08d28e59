//! Methods as the rows ask for them: nothing set but what they name.

use crate::common::wire::short;
use haremq::amqp::{Method, Table};

pub use crate::common::wire::{declare, declare_exclusive, look_at as passive};

pub fn declare_durable(queue: &str) -> Method<'_> {
    crate::common::wire::declare_durable(queue, Table::EMPTY)
}

/// Exclusive, with arguments: the bytes of a table.
pub fn declare_with<'a>(queue: &'a str, arguments: &'a [u8]) -> Method<'a> {
    let arguments = Table::decode(arguments).expect("a table that we wrote");
    Method::QueueDeclare {
        queue: short(queue),
        passive: false,
        durable: false,
        exclusive: true,
        auto_delete: false,
        nowait: false,
        arguments,
    }
}

pub fn bind<'a>(queue: &'a str, exchange: &'a str, routing_key: &'a str) -> Method<'a> {
    bind_with(queue, exchange, routing_key, &[])
}

pub fn bind_with<'a>(
    queue: &'a str,
    exchange: &'a str,
    routing_key: &'a str,
    arguments: &'a [u8],
) -> Method<'a> {
    let arguments = Table::decode(arguments).expect("a table that we wrote");
    let (queue, exchange, routing_key) = (short(queue), short(exchange), short(routing_key));
    Method::QueueBind { queue, exchange, routing_key, nowait: false, arguments }
}

pub fn unbind<'a>(queue: &'a str, exchange: &'a str, routing_key: &'a str) -> Method<'a> {
    let (queue, exchange, routing_key) = (short(queue), short(exchange), short(routing_key));
    Method::QueueUnbind { queue, exchange, routing_key, arguments: Table::EMPTY }
}

pub fn purge(queue: &str) -> Method<'_> {
    Method::QueuePurge { queue: short(queue), nowait: false }
}

pub fn delete(queue: &str) -> Method<'_> {
    Method::QueueDelete { queue: short(queue), if_unused: false, if_empty: false, nowait: false }
}

pub fn get(queue: &str) -> Method<'_> {
    Method::BasicGet { queue: short(queue), no_ack: false }
}

pub fn consume_exclusively(queue: &str) -> Method<'_> {
    Method::BasicConsume {
        queue: short(queue),
        consumer_tag: short(""),
        no_local: false,
        no_ack: true,
        exclusive: true,
        nowait: false,
        arguments: Table::EMPTY,
    }
}

/// An exchange that goes when a binding from it was there and is not any more.
#[derive(Clone, Copy)]
pub struct Exchange<'a> {
    pub name: &'a str,
    pub type_: &'a str,
    pub passive: bool,
    pub durable: bool,
    pub auto_delete: bool,
    pub internal: bool,
    pub arguments: &'a [u8],
}

impl<'a> Exchange<'a> {
    pub fn new(name: &'a str, type_: &'a str) -> Exchange<'a> {
        let (passive, durable, auto_delete, internal) = (false, false, false, false);
        Exchange { name, type_, passive, durable, auto_delete, internal, arguments: &[] }
    }

    pub fn declare(self) -> Method<'a> {
        let Exchange { passive, durable, auto_delete, internal, .. } = self;
        Method::ExchangeDeclare {
            exchange: short(self.name),
            type_: short(self.type_),
            passive,
            durable,
            auto_delete,
            internal,
            nowait: false,
            arguments: Table::decode(self.arguments).expect("a table that we wrote"),
        }
    }
}

pub fn exchange<'a>(name: &'a str, type_: &'a str) -> Method<'a> {
    Exchange::new(name, type_).declare()
}

pub fn exchange_passive(name: &str) -> Method<'_> {
    Exchange { passive: true, ..Exchange::new(name, "direct") }.declare()
}

pub fn exchange_delete(name: &str) -> Method<'_> {
    Method::ExchangeDelete { exchange: short(name), if_unused: false, nowait: false }
}

pub fn exchange_bind<'a>(destination: &'a str, source: &'a str) -> Method<'a> {
    let (destination, source, routing_key) = (short(destination), short(source), short(""));
    Method::ExchangeBind { destination, source, routing_key, nowait: false, arguments: Table::EMPTY }
}

pub fn exchange_unbind<'a>(destination: &'a str, source: &'a str) -> Method<'a> {
    let (destination, source, routing_key) = (short(destination), short(source), short(""));
    Method::ExchangeUnbind { destination, source, routing_key, nowait: false, arguments: Table::EMPTY }
}

pub fn qos(prefetch_count: u16, global: bool) -> Method<'static> {
    Method::BasicQos { prefetch_size: 0, prefetch_count, global }
}

pub fn ack(delivery_tag: u64, multiple: bool) -> Method<'static> {
    Method::BasicAck { delivery_tag, multiple }
}

pub fn close_connection() -> Method<'static> {
    Method::ConnectionClose { reply_code: 200, reply_text: "bye".into(), class_id: 0, method_id: 0 }
}

pub fn close_channel() -> Method<'static> {
    Method::ChannelClose { reply_code: 200, reply_text: "bye".into(), class_id: 0, method_id: 0 }
}

pub fn open() -> Method<'static> {
    Method::ConnectionOpen { virtual_host: "/".into() }
}

pub fn confirm_select() -> Method<'static> {
    Method::ConfirmSelect { nowait: false }
}
