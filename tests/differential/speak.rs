//! The frames of a step.

use crate::act::{Act, Arguments, Flags, How, Publication, Step, Wild};
use crate::common::wire::{body_frame, content_header, encoded, short};
use haremq::amqp::frame::{FrameKind, encode_frame};
use haremq::amqp::{ContentHeader, Method, Properties, PropertiesWriter, ShortStr, Table};
use haremq::ids::ChannelNumber;

use crate::act::Arg;

/// A step whose names stand for themselves, on a channel that is open.
pub struct Ready {
    pub step: Step,
    /// For a settlement: the delivery tag, which each broker may have counted in its own way.
    pub tags: [u64; 2],
    /// For a commit: whether a queue has come or gone since something was published.
    pub is_overtaken: bool,
    /// Whether a channel of the connection holds what came from a queue that another channel of it consumes.
    pub passes_on: bool,
}

/// A method that is answered and changes nothing: what was sent before it has been done when the answer is there.
pub const PROBE: Method<'static> = Method::AccessRequest {
    realm: ShortStr::EMPTY,
    exclusive: false,
    passive: true,
    active: true,
    write: true,
    read: true,
};

/// How a client knows that its step has been done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ending {
    /// The method has an answer of its own.
    Answer,
    /// A probe is sent after it.
    Probe,
}

impl Step {
    pub fn ending(&self) -> Ending {
        let nowait = |flags: &Flags| if flags.has("nowait") { Ending::Probe } else { Ending::Answer };
        match &self.act {
            Act::CloseChannel
            | Act::CloseConnection
            | Act::UnbindQueue { .. }
            | Act::Get { .. }
            | Act::Qos { .. }
            | Act::Select
            | Act::Commit { .. }
            | Act::Rollback { .. }
            | Act::Flow { .. }
            | Act::Access => Ending::Answer,
            Act::DeclareExchange { flags, .. }
            | Act::DeleteExchange { flags, .. }
            | Act::BindExchange { flags, .. }
            | Act::UnbindExchange { flags, .. }
            | Act::DeclareQueue { flags, .. }
            | Act::BindQueue { flags, .. }
            | Act::Purge { flags, .. }
            | Act::DeleteQueue { flags, .. }
            | Act::Consume { flags, .. }
            | Act::Cancel { flags, .. }
            | Act::Confirm { flags } => nowait(flags),
            Act::Recover { flags } => {
                if flags.has("async") {
                    Ending::Probe
                } else {
                    Ending::Answer
                }
            }
            Act::Publish(_) | Act::Settle { .. } | Act::Wild(_) => Ending::Probe,
        }
    }
}

/// The frames; `name` gives a broker's own word for a name of ours.
pub fn frames(step: &Step, tag: u64, name: &dyn Fn(&str) -> String) -> Vec<u8> {
    let channel = step.channel;
    let table = |arguments: &Arguments| arguments.encode(name);
    match &step.act {
        Act::CloseChannel => encoded(channel, close_channel()),
        Act::CloseConnection => encoded(0, close_connection()),
        Act::DeclareExchange { exchange, type_, flags, arguments } => {
            let arguments = table(arguments);
            let method = Method::ExchangeDeclare {
                exchange: short(exchange),
                type_: short(type_),
                passive: flags.has("passive"),
                durable: flags.has("durable"),
                auto_delete: flags.has("auto-delete"),
                internal: flags.has("internal"),
                nowait: flags.has("nowait"),
                arguments: checked(&arguments),
            };
            encoded(channel, method)
        }
        Act::DeleteExchange { exchange, flags } => {
            let (if_unused, nowait) = (flags.has("if-unused"), flags.has("nowait"));
            encoded(channel, Method::ExchangeDelete { exchange: short(exchange), if_unused, nowait })
        }
        Act::BindExchange { destination, source, key, flags, arguments } => {
            let (key, arguments, nowait) = (name(key), table(arguments), flags.has("nowait"));
            let (destination, source, routing_key) = (short(destination), short(source), short(&key));
            let arguments = checked(&arguments);
            encoded(channel, Method::ExchangeBind { destination, source, routing_key, nowait, arguments })
        }
        Act::UnbindExchange { destination, source, key, flags, arguments } => {
            let (key, arguments, nowait) = (name(key), table(arguments), flags.has("nowait"));
            let (destination, source, routing_key) = (short(destination), short(source), short(&key));
            let arguments = checked(&arguments);
            encoded(channel, Method::ExchangeUnbind { destination, source, routing_key, nowait, arguments })
        }
        Act::DeclareQueue { queue, flags, arguments } => {
            let (queue, arguments) = (name(queue), table(arguments));
            let method = Method::QueueDeclare {
                queue: short(&queue),
                passive: flags.has("passive"),
                durable: flags.has("durable"),
                exclusive: flags.has("exclusive"),
                auto_delete: flags.has("auto-delete"),
                nowait: flags.has("nowait"),
                arguments: checked(&arguments),
            };
            encoded(channel, method)
        }
        Act::BindQueue { queue, exchange, key, flags, arguments } => {
            let (queue, key, arguments) = (name(queue), name(key), table(arguments));
            let method = Method::QueueBind {
                queue: short(&queue),
                exchange: short(exchange),
                routing_key: short(&key),
                nowait: flags.has("nowait"),
                arguments: checked(&arguments),
            };
            encoded(channel, method)
        }
        Act::UnbindQueue { queue, exchange, key, arguments } => {
            let (queue, key, arguments) = (name(queue), name(key), table(arguments));
            let (queue, routing_key, exchange) = (short(&queue), short(&key), short(exchange));
            let arguments = checked(&arguments);
            encoded(channel, Method::QueueUnbind { queue, exchange, routing_key, arguments })
        }
        Act::Purge { queue, flags } => {
            let queue = name(queue);
            encoded(channel, Method::QueuePurge { queue: short(&queue), nowait: flags.has("nowait") })
        }
        Act::DeleteQueue { queue, flags } => {
            let (queue, nowait) = (name(queue), flags.has("nowait"));
            let (if_unused, if_empty) = (flags.has("if-unused"), flags.has("if-empty"));
            encoded(channel, Method::QueueDelete { queue: short(&queue), if_unused, if_empty, nowait })
        }
        Act::Publish(publication) => publish(channel, publication, name),
        Act::Get { queue, flags } => {
            let queue = name(queue);
            encoded(channel, Method::BasicGet { queue: short(&queue), no_ack: flags.has("no-ack") })
        }
        Act::Consume { queue, tag, flags, arguments } => {
            let (queue, tag, arguments) = (name(queue), name(tag), table(arguments));
            let method = Method::BasicConsume {
                queue: short(&queue),
                consumer_tag: short(&tag),
                no_local: flags.has("no-local"),
                no_ack: flags.has("no-ack"),
                exclusive: flags.has("exclusive"),
                nowait: flags.has("nowait"),
                arguments: checked(&arguments),
            };
            encoded(channel, method)
        }
        Act::Cancel { tag, flags } => {
            let crate::act::Pick::This(tag) = tag else { unreachable!("a step that is ready picks nothing") };
            let tag = name(tag);
            encoded(channel, Method::BasicCancel { consumer_tag: short(&tag), nowait: flags.has("nowait") })
        }
        Act::Settle { how, flags, .. } => {
            let (delivery_tag, multiple, requeue) = (tag, flags.has("multiple"), flags.has("requeue"));
            encoded(
                channel,
                match how {
                    How::Ack => Method::BasicAck { delivery_tag, multiple },
                    How::Nack => Method::BasicNack { delivery_tag, multiple, requeue },
                    How::Reject => Method::BasicReject { delivery_tag, requeue },
                },
            )
        }
        Act::Qos { size, count, flags } => {
            let global = flags.has("global");
            encoded(channel, Method::BasicQos { prefetch_size: *size, prefetch_count: *count, global })
        }
        Act::Recover { flags } => {
            let requeue = flags.has("requeue");
            let method = if flags.has("async") {
                Method::BasicRecoverAsync { requeue }
            } else {
                Method::BasicRecover { requeue }
            };
            encoded(channel, method)
        }
        Act::Confirm { flags } => encoded(channel, Method::ConfirmSelect { nowait: flags.has("nowait") }),
        Act::Select => encoded(channel, Method::TxSelect),
        Act::Commit { .. } => encoded(channel, Method::TxCommit),
        Act::Rollback { .. } => encoded(channel, Method::TxRollback),
        Act::Flow { flags } => encoded(channel, Method::ChannelFlow { active: flags.has("active") }),
        Act::Access => encoded(channel, PROBE),
        Act::Wild(wild) => wild_frames(channel, *wild),
    }
}

pub fn close_connection() -> Method<'static> {
    Method::ConnectionClose { reply_code: 200, reply_text: "bye".into(), class_id: 0, method_id: 0 }
}

pub fn close_channel() -> Method<'static> {
    Method::ChannelClose { reply_code: 200, reply_text: "bye".into(), class_id: 0, method_id: 0 }
}

fn checked(bytes: &[u8]) -> Table<'_> {
    Table::decode(bytes).expect("a table that we wrote")
}

fn publish(channel: u16, publication: &Publication, name: &dyn Fn(&str) -> String) -> Vec<u8> {
    let key = name(&publication.key);
    let method = Method::BasicPublish {
        exchange: short(&publication.exchange),
        routing_key: short(&key),
        mandatory: publication.flags.has("mandatory"),
        immediate: publication.flags.has("immediate"),
    };
    let body = publication.body();
    let properties = properties(&publication.properties, name);
    let properties = Properties::decode(&properties).expect("properties that we wrote");
    let header = ContentHeader { class_id: 60, weight: 0, body_size: body.len() as u64, properties };
    let mut out = encoded(channel, method);
    header.encode(ChannelNumber(channel), &mut out);
    for part in body.chunks(8184) {
        out.extend(body_frame(channel, part));
    }
    out
}

impl Publication {
    pub fn body(&self) -> Vec<u8> {
        let mut body = format!("m{}", self.number).into_bytes();
        body.resize(body.len() + self.padding, b'.');
        body
    }
}

fn properties(drawn: &Arguments, name: &dyn Fn(&str) -> String) -> Vec<u8> {
    let text = |property: &str| match drawn.find(property) {
        Some(Arg::Text(text)) => Some(name(text)),
        _ => None,
    };
    let octet = |property: &str| match drawn.find(property) {
        Some(Arg::Byte(value)) => Some(*value),
        _ => None,
    };
    let headers = match drawn.find("headers") {
        Some(Arg::Table(headers)) => Some(headers.encode(name)),
        _ => None,
    };
    let texts = [
        "content-type",
        "content-encoding",
        "correlation-id",
        "reply-to",
        "expiration",
        "message-id",
        "type",
        "user-id",
        "app-id",
        "cluster-id",
    ]
    .map(text);
    let [
        content_type,
        content_encoding,
        correlation_id,
        reply_to,
        expiration,
        message_id,
        type_,
        user_id,
        app_id,
        cluster_id,
    ] = texts.each_ref().map(|text| text.as_deref().map(short));
    let timestamp = match drawn.find("timestamp") {
        Some(Arg::Timestamp(seconds)) => Some(*seconds),
        _ => None,
    };
    let writer = PropertiesWriter {
        content_type,
        content_encoding,
        headers: headers.as_deref().map(checked),
        delivery_mode: octet("delivery-mode"),
        priority: octet("priority"),
        correlation_id,
        reply_to,
        expiration,
        message_id,
        timestamp,
        type_,
        user_id,
        app_id,
        cluster_id,
    };
    writer.finish()
}

fn wild_frames(channel: u16, wild: Wild) -> Vec<u8> {
    let publish = Method::BasicPublish {
        exchange: ShortStr::EMPTY,
        routing_key: "nowhere".into(),
        mandatory: false,
        immediate: false,
    };
    match wild {
        Wild::ClosedChannel => {
            encoded(CLOSED, Method::BasicQos { prefetch_size: 0, prefetch_count: 1, global: false })
        }
        Wild::SecondOpen => encoded(channel, Method::ChannelOpen),
        Wild::ServersMethod(at) => encoded(channel, servers_method(at)),
        Wild::UnknownMethod { class_id, method_id } => {
            let ids = [class_id.to_be_bytes(), method_id.to_be_bytes()].concat();
            frame(FrameKind::Method, channel, &ids)
        }
        Wild::StrayHeader => content_header(channel, 1),
        Wild::StrayBody => body_frame(channel, b"x"),
        Wild::Interrupted => [encoded(channel, publish), content_header(channel, 9)].concat(),
        Wild::OtherClass => {
            let header = b"\0\x32\0\0\0\0\0\0\0\0\0\0\0\0";
            [encoded(channel, publish), frame(FrameKind::Header, channel, header)].concat()
        }
        Wild::HeartbeatOnChannel => frame(FrameKind::Heartbeat, channel, b""),
        Wild::CutShort => frame(FrameKind::Method, channel, b"\0\x3C\0\x0A\0\0"),
        Wild::SecondConnectionOpen => encoded(0, Method::ConnectionOpen { virtual_host: "/".into() }),
    }
}

/// Never opened.
const CLOSED: u16 = 77;

fn servers_method(at: usize) -> Method<'static> {
    let methods = [
        Method::QueueDeclareOk { queue: "q".into(), message_count: 0, consumer_count: 0 },
        Method::BasicGetEmpty,
        Method::BasicConsumeOk { consumer_tag: "t".into() },
        Method::ChannelOpenOk,
        Method::ExchangeDeclareOk,
        Method::TxCommitOk,
        Method::ConnectionOpen { virtual_host: "/".into() },
        Method::BasicCancelOk { consumer_tag: "t".into() },
        Method::ChannelFlowOk { active: true },
    ];
    methods[at % methods.len()]
}

fn frame(kind: FrameKind, channel: u16, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    encode_frame(&mut out, kind, ChannelNumber(channel), |out| out.extend_from_slice(payload));
    out
}
