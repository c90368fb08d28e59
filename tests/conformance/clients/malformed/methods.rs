//! Methods that do not exist, that only servers send, whose arguments end early or late, and strings that are none.

use super::{erlang, frame, payload_of};
use crate::clients::errors::ask;
use crate::clients::errors::case::{Case, Outcome, Stage, hard};
use crate::common::wire::{consume, encoded, short};
use haremq::amqp::{LongStr, Method, Table};

pub fn cases() -> Vec<Case> {
    [unknown(), server_only(), cut_short(), too_long(), strings()].into_iter().flatten().collect()
}

const ITS_READER_CRASHES: &str = "its reader crashes on it, and the client learns nothing";

fn unknown() -> Vec<Case> {
    let ids = [
        (0, 0),
        (10, 0),
        (10, 12),
        (10, 99),
        (20, 12),
        (20, 30),
        (30, 12),
        (40, 41),
        (40, 50),
        (50, 12),
        (50, 60),
        (60, 12),
        (60, 73),
        (60, 112),
        (60, 0xFFFF),
        (70, 10),
        (80, 10),
        (85, 12),
        (90, 12),
        (90, 40),
        (100, 10),
        (0xFFFF, 0xFFFF),
    ];
    let cases = ids.into_iter().flat_map(|(class, method): (u16, u16)| {
        [0, 1].map(|channel| {
            let payload = [class.to_be_bytes(), method.to_be_bytes()].concat();
            let text = format!("COMMAND_INVALID - unknown method {class}/{method}");
            let name = format!("method {class}/{method} on channel {channel}");
            Case::bytes(name, Stage::Channel, hard(503, &text, (class, method)), frame(1, channel, &payload))
                .rabbitmq(Outcome::Silent, ITS_READER_CRASHES)
        })
    });
    cases.collect()
}

/// Methods that have no content; what follows those that have one is in `content`.
fn server_only() -> Vec<Case> {
    let (queue, tag) = (short("q"), short("t"));
    let methods = [
        Method::ChannelOpenOk,
        Method::ChannelFlowOk { active: true },
        Method::BasicCancelOk { consumer_tag: tag },
        Method::AccessRequestOk { ticket: 1 },
        Method::ExchangeDeclareOk,
        Method::ExchangeDeleteOk,
        Method::ExchangeBindOk,
        Method::ExchangeUnbindOk,
        Method::QueueDeclareOk { queue, message_count: 0, consumer_count: 0 },
        Method::QueueBindOk,
        Method::QueueUnbindOk,
        Method::QueuePurgeOk { message_count: 0 },
        Method::QueueDeleteOk { message_count: 0 },
        Method::BasicQosOk,
        Method::BasicConsumeOk { consumer_tag: tag },
        Method::BasicGetEmpty,
        Method::BasicRecoverOk,
        Method::ConfirmSelectOk,
        Method::TxSelectOk,
        Method::TxCommitOk,
        Method::TxRollbackOk,
        Method::ConnectionBlocked { reason: "full".into() },
        Method::ConnectionUnblocked,
        Method::ConnectionOpenOk,
        Method::ConnectionUpdateSecretOk,
        Method::ConnectionTune { channel_max: 1, frame_max: 1, heartbeat: 1 },
        Method::ConnectionSecure { challenge: LongStr(b"who") },
    ];
    let cases = methods.into_iter().flat_map(|method| {
        let name = method.name();
        let on_channel = hard(503, "COMMAND_INVALID - unimplemented method", method.ids());
        let on_zero =
            hard(504, "CHANNEL_ERROR - unexpected method in connection state running", method.ids());
        [
            Case::bytes(format!("{name} on a channel"), Stage::Channel, on_channel, encoded(1, method)),
            Case::bytes(format!("{name} on channel 0"), Stage::Channel, on_zero, encoded(0, method)),
        ]
    });
    cases.collect()
}

/// One of each that a client may send on a channel, with every argument longer than nothing.
fn client_methods() -> Vec<Method<'static>> {
    let (queue, exchange, routing_key) = (short("cut-queue"), short("amq.direct"), short("key"));
    let (nowait, arguments) = (false, Table::decode(b"\x01aI\0\0\0\x01").expect("a table"));
    vec![
        Method::ChannelFlow { active: true },
        ask::close_channel(),
        Method::ExchangeDeclare {
            exchange,
            type_: "direct".into(),
            passive: false,
            durable: true,
            auto_delete: false,
            internal: false,
            nowait,
            arguments,
        },
        ask::exchange_delete("cut-exchange"),
        Method::ExchangeBind { destination: exchange, source: exchange, routing_key, nowait, arguments },
        Method::ExchangeUnbind { destination: exchange, source: exchange, routing_key, nowait, arguments },
        Method::QueueDeclare {
            queue,
            passive: false,
            durable: false,
            exclusive: true,
            auto_delete: true,
            nowait,
            arguments,
        },
        Method::QueueBind { queue, exchange, routing_key, nowait, arguments },
        Method::QueueUnbind { queue, exchange, routing_key, arguments },
        ask::purge("cut-queue"),
        ask::delete("cut-queue"),
        ask::qos(1, false),
        consume("cut-queue", "tag", true),
        Method::BasicCancel { consumer_tag: "tag".into(), nowait },
        Method::BasicPublish { exchange, routing_key, mandatory: true, immediate: false },
        ask::get("cut-queue"),
        ask::ack(1, false),
        Method::BasicReject { delivery_tag: 1, requeue: true },
        Method::BasicNack { delivery_tag: 1, multiple: false, requeue: true },
        Method::BasicRecover { requeue: true },
        ask::confirm_select(),
    ]
}

/// The text of RabbitMQ for arguments that do not fit their method.
fn undecodable(method: Method<'_>, payload: &[u8]) -> Outcome {
    let mut text = format!("FRAME_ERROR - cannot decode {}", erlang(&payload[4..]));
    if text.len() > 255 {
        text.replace_range(252.., "...");
    }
    hard(501, &text, method.ids())
}

fn cut_short() -> Vec<Case> {
    let cases = client_methods().into_iter().flat_map(|method| {
        let whole = payload_of(method);
        [4, whole.len() - 1].map(|length| {
            let payload = &whole[..length];
            let name = format!("{} cut to {} of {} octets", method.name(), length, whole.len());
            Case::bytes(name, Stage::Channel, undecodable(method, payload), frame(1, 1, payload))
        })
    });
    cases.collect()
}

fn too_long() -> Vec<Case> {
    let bare = [Method::TxSelect, Method::TxCommit, Method::TxRollback, Method::ChannelCloseOk];
    let cases = client_methods().into_iter().chain(bare).map(|method| {
        let payload = [&payload_of(method)[..], b"\0"].concat();
        let name = format!("{} with an octet too many", method.name());
        Case::bytes(name, Stage::Channel, undecodable(method, &payload), frame(1, 1, &payload))
    });
    cases.collect()
}

fn strings() -> Vec<Case> {
    let declare = |name: &[u8]| {
        let length = u8::try_from(name.len()).expect("a short string");
        [&b"\0\x32\0\x0a\0\0"[..], &[length], name, b"\x04\0\0\0\0"].concat()
    };
    let malformed = || hard(501, "FRAME_ERROR - Malformed UTF-8 in shortstr", (0, 0));
    let names: [(&str, &[u8]); 4] = [
        ("a lone continuation octet", b"q\x80"),
        ("a character that is cut off", b"q\xE2\x82"),
        ("octets that never occur", b"\xFF\xFE"),
        ("a slash in two octets", b"q\xC0\xAF"),
    ];
    let invalid = names.into_iter().map(|(what, name)| {
        Case::bytes(
            format!("a queue named by {what}"),
            Stage::Channel,
            malformed(),
            frame(1, 1, &declare(name)),
        )
    });
    let erlang_takes = [
        ("half of a surrogate pair", &b"q\xED\xA0\x80"[..]),
        ("a character beyond the last", b"q\xF4\x90\x80\x80"),
    ]
    .map(|(what, name)| {
        Case::bytes(
            format!("a queue named by {what}"),
            Stage::Channel,
            malformed(),
            frame(1, 1, &declare(name)),
        )
        .rabbitmq(Outcome::Answer("queue.declare-ok"), "Erlang's decoder lets pass what UTF-8 forbids")
    });
    // On channel 0 the method is named.
    let outcome = hard(501, "FRAME_ERROR - Malformed UTF-8 in shortstr", (10, 50));
    let payload = b"\0\x0a\0\x32\0\xc8\x02\xFF\xFE\0\0\0\0";
    let close = Case::bytes("a close in no text", Stage::Channel, outcome, frame(1, 0, payload));
    let reach = |what: &str, payload: &[u8]| {
        let outcome = undecodable(ask::declare("q"), payload);
        Case::bytes(format!("a queue's name that {what}"), Stage::Channel, outcome, frame(1, 1, payload))
    };
    let fine = [
        ("of no octet", declare(b"")),
        ("with a zero octet", declare(b"zero\0octet")),
        ("of 255 octets", declare(&[b'n'; 255])),
        ("of 127 octets", declare(&[b'n'; 127])),
        ("of 128 octets", declare(&[b'n'; 128])),
        ("of Greek", declare("ουρά".as_bytes())),
    ]
    .map(|(what, payload)| {
        let answer = Outcome::Answer("queue.declare-ok");
        Case::bytes(format!("a queue's name {what}"), Stage::Channel, answer, frame(1, 1, &payload))
    });
    invalid
        .chain(erlang_takes)
        .chain([close])
        .chain([
            reach("reaches beyond the frame", b"\0\x32\0\x0a\0\0\xFFname\0\0\0\0\0"),
            reach("is followed by too much", &[&declare(&[b'n'; 255])[..], b"\0"].concat()),
            reach("eats its bits", b"\0\x32\0\x0a\0\0\x05name\0\0\0\0\0"),
        ])
        .chain(fine)
        .collect()
}
