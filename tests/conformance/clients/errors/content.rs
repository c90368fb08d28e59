//! Errors of what a channel is used for: transactions, direct replies, and the properties of messages.

use super::ask;
use super::case::{Case, Outcome, soft};
use super::channel::{declared, row};
use crate::common::wire::{consume, encoded, short};
use haremq::amqp::{Method, TableWriter};

pub fn rows() -> Vec<Case> {
    [modes(), contents(), expirations()].into_iter().flatten().collect()
}

fn modes() -> Vec<Case> {
    vec![
        row(
            "transactions after confirms",
            soft(406, "PRECONDITION_FAILED - cannot switch from confirm to tx mode", (90, 10)),
            |s| {
                s.wire.call(1, ask::confirm_select(), "confirm.select-ok");
                s.wire.send(1, Method::TxSelect);
            },
        ),
        row(
            "confirms after transactions",
            soft(406, "PRECONDITION_FAILED - cannot switch from tx to confirm mode", (85, 10)),
            |s| {
                s.wire.call(1, Method::TxSelect, "tx.select-ok");
                s.wire.send(1, ask::confirm_select());
            },
        ),
        row(
            "commit without a transaction",
            soft(406, "PRECONDITION_FAILED - channel is not transactional", (90, 20)),
            |s| {
                s.wire.send(1, Method::TxCommit);
            },
        ),
        row(
            "rollback without a transaction",
            soft(406, "PRECONDITION_FAILED - channel is not transactional", (90, 30)),
            |s| {
                s.wire.send(1, Method::TxRollback);
            },
        ),
        row(
            "a second consumer of direct replies",
            soft(406, "PRECONDITION_FAILED - reply consumer already set", (60, 20)),
            |s| {
                s.wire.call(1, consume(REPLY_TO, "one", true), "basic.consume-ok");
                s.wire.send(1, consume(REPLY_TO, "two", true));
            },
        ),
        row(
            "bind of direct replies",
            soft(404, "NOT_FOUND - no queue 'amq.rabbitmq.reply-to' in vhost '/'", (50, 20)),
            |s| s.wire.send(1, ask::bind(REPLY_TO, "amq.direct", "k")),
        ),
        row(
            "a consumer of direct replies that would acknowledge",
            soft(406, "PRECONDITION_FAILED - reply consumer cannot acknowledge", (60, 20)),
            |s| s.wire.send(1, consume(REPLY_TO, "", false)),
        ),
        row(
            "direct replies wanted without a consumer",
            soft(406, "PRECONDITION_FAILED - fast reply consumer does not exist", (60, 40)),
            |s| {
                let properties = [&[0x02, 0][..], &[REPLY_TO.len() as u8], REPLY_TO.as_bytes()].concat();
                s.wire.bytes(&with_properties("", "nowhere", &properties));
            },
        ),
        row(
            "passive declare of direct replies that nobody takes",
            soft(404, "NOT_FOUND - no queue 'amq.rabbitmq.reply-to.x' in vhost '/'", (50, 10)),
            |s| {
                s.wire.send(1, ask::passive("amq.rabbitmq.reply-to.x"));
            },
        ),
    ]
}

const REPLY_TO: &str = "amq.rabbitmq.reply-to";

/// A publish without a body, of these properties: their flags, and their values.
fn with_properties(exchange: &str, routing_key: &str, properties: &[u8]) -> Vec<u8> {
    let (exchange, routing_key) = (short(exchange), short(routing_key));
    let publish = Method::BasicPublish { exchange, routing_key, mandatory: false, immediate: false };
    let header = [&b"\0\x3c\0\0\0\0\0\0\0\0\0\0"[..], properties].concat();
    let length = u32::try_from(header.len()).expect("a short header").to_be_bytes();
    [&encoded(1, publish)[..], &[2, 0, 1], &length, &header, &[0xCE]].concat()
}

fn contents() -> Vec<Case> {
    let invalid = |name, text: &str, properties: &'static [u8]| {
        row(name, soft(406, &format!("PRECONDITION_FAILED - {text}"), (60, 40)), move |s| {
            s.wire.bytes(&with_properties("", "nowhere", properties));
        })
    };
    vec![
        invalid(
            "CC that is no array",
            "invalid message: {unacceptable_type_in_header,\"CC\",longstr}",
            b"\x20\0\0\0\0\x09\x02CCS\0\0\0\x01k",
        ),
        row("BCC of numbers", Outcome::Goes, |s| {
            let properties = b"\x20\0\0\0\0\x0E\x03BCCA\0\0\0\x05I\0\0\0\x01";
            s.wire.bytes(&with_properties("", "nowhere", properties));
        }),
        invalid(
            "a user_id of somebody else",
            "user_id property set to 'me' but authenticated user was 'guest'",
            b"\0\x10\x02me",
        ),
        row(
            "a binding of a headers exchange that matches oddly",
            soft(
                406,
                "PRECONDITION_FAILED - Invalid x-match field value <<\"some\">>; expected all, any, all-with-x, or any-with-x",
                (50, 20),
            ),
            |s| {
                declared(s);
                let arguments = TableWriter::new().string("x-match", "some").finish();
                s.wire.send(1, ask::bind_with(s.q, "amq.headers", "", &arguments));
            },
        ),
    ]
}

/// Of a message that nobody gets: it is looked at before the queue is looked for, and after the exchange.
fn expirations() -> Vec<Case> {
    let expiring = |exchange: &str, text: &str| {
        let properties = [&[0x01, 0x00][..], &[text.len() as u8], text.as_bytes()].concat();
        with_properties(exchange, "nowhere", &properties)
    };
    let refused = EXPIRATIONS.iter().map(|&(text, what)| {
        let outcome = format!("PRECONDITION_FAILED - invalid expiration '{text}': {what}");
        row(&format!("an expiration of {text:?}"), soft(406, &outcome, (60, 40)), move |s| {
            s.wire.bytes(&expiring("", text));
        })
    });
    let taken = ["0", "5", "05", "+5", "-0", "315360000000"].iter().map(|&text| {
        row(&format!("an expiration of {text:?}"), Outcome::Goes, move |s| s.wire.bytes(&expiring("", text)))
    });
    let nowhere = row(
        "no exchange before a bad expiration",
        soft(404, "NOT_FOUND - no exchange '{q}' in vhost '/'", (60, 40)),
        move |s| s.wire.bytes(&expiring(s.q, "soon")),
    );
    let transaction = row(
        "a bad expiration in a transaction",
        soft(406, "PRECONDITION_FAILED - invalid expiration 'soon': no_integer", (60, 40)),
        move |s| {
            s.wire.call(1, Method::TxSelect, "tx.select-ok");
            s.wire.bytes(&expiring("", "soon"));
        },
    );
    refused.chain(taken).chain([nowhere, transaction]).collect()
}

const EXPIRATIONS: &[(&str, &str)] = &[
    ("", "no_integer"),
    ("soon", "no_integer"),
    ("-", "no_integer"),
    ("--5", "no_integer"),
    (" 5", "no_integer"),
    ("\u{ff15}", "no_integer"),
    ("5 ", "{leftover_string,\" \"}"),
    ("12s", "{leftover_string,\"s\"}"),
    ("1.5", "{leftover_string,\".5\"}"),
    ("0x10", "{leftover_string,\"x10\"}"),
    ("1_000", "{leftover_string,\"_000\"}"),
    ("5\"q\\", "{leftover_string,\"\\\"q\\\\\"}"),
    ("5\u{1}", "{leftover_string,[1]}"),
    ("5\u{e9}", "{leftover_string,\"\u{e9}\"}"),
    ("5\u{20ac}", "{leftover_string,[226,130,172]}"),
    ("-1", "{value_negative,-1}"),
    ("-0005", "{value_negative,-5}"),
    ("315360000001", "{value_too_large,315360000001}"),
    ("000315360000001", "{value_too_large,315360000001}"),
];
