//! From the protocol header to connection.open-ok.

use super::ask;
use super::case::{Case, Outcome, Stage, hard, soft};
use crate::common::wire::{Tune, Wire};
use haremq::amqp::frame::PROTOCOL_HEADER;
use haremq::amqp::{LongStr, Method, Value};
use std::collections::BTreeSet;

pub fn rows() -> Vec<Case> {
    [headers(), introductions(), logins(), limits(), vhosts(), lives()].into_iter().flatten().collect()
}

fn headers() -> Vec<Case> {
    vec![
        Case::bytes(
            "the header of 0-9-1",
            Stage::Socket,
            Outcome::Answer("connection.start"),
            PROTOCOL_HEADER,
        ),
        Case::bytes(
            "the header of 0-9",
            Stage::Socket,
            Outcome::Answer("connection.start"),
            *b"AMQP\x01\x01\0\x09",
        ),
        Case::bytes("the header of 0-8", Stage::Socket, Outcome::Header, *b"AMQP\x01\x01\x08\0").rabbitmq(
            Outcome::Answer("connection.start"),
            "0-8 has methods of its own, and no client in use speaks it",
        ),
        Case::bytes("the header of 1.0", Stage::Socket, Outcome::Header, *b"AMQP\0\x01\0\0"),
        Case::bytes("the header of 1.0 with SASL", Stage::Socket, Outcome::Header, *b"AMQP\x03\x01\0\0"),
        Case::bytes("an HTTP request", Stage::Socket, Outcome::Header, *b"GET / HTTP/1.1\r\n\r\n"),
        Case::bytes("a TLS hello", Stage::Socket, Outcome::Header, [0x16, 3, 1, 2, 0, 1, 0, 1]),
    ]
}

const LOGIN_REFUSED: &str = "ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN. For details see \
                             the broker logfile.";

const TELLS_ITS_LOG: &str = "it closes without a word what goes wrong before tune-ok, but for a refused login; a client \
                             author is better served by the text that it puts into its log";

/// What the broker says of itself, on which clients build.
fn introductions() -> Vec<Case> {
    vec![
        Case::new("connection.start", Stage::Socket, Outcome::Answer("connection.tune"), |s| {
            s.wire.bytes(&PROTOCOL_HEADER);
            let reply = s.wire.expect(0, "connection.start");
            let Method::ConnectionStart {
                version_major,
                version_minor,
                server_properties,
                mechanisms,
                locales,
            } = reply.method()
            else {
                unreachable!("its name was checked")
            };
            assert_eq!((version_major, version_minor), (0, 9));
            assert_eq!(
                BTreeSet::from_iter(mechanisms.split(|octet| *octet == b' ')),
                BTreeSet::from([&b"PLAIN"[..], b"AMQPLAIN"])
            );
            assert_eq!(&*locales, b"en_US");
            for text in ["cluster_name", "copyright", "information", "platform", "product", "version"] {
                assert!(
                    server_properties.find(text.as_bytes()).and_then(|value| value.as_str()).is_some(),
                    "{text}"
                );
            }
            assert_eq!(server_properties.find(b"product"), Some(Value::LongString(b"RabbitMQ")));
            let capabilities = server_properties.find(b"capabilities").and_then(|value| value.as_table());
            for name in CAPABILITIES {
                let has = capabilities.and_then(|table| table.find(name.as_bytes()));
                assert_eq!(has, Some(Value::Bool(true)), "{name}");
            }
            s.wire.login("PLAIN", b"\0guest\0guest", true);
        }),
        Case::new("connection.tune", Stage::Starting, Outcome::Answer("connection.open-ok"), |s| {
            s.wire.login("PLAIN", b"\0guest\0guest", true);
            let reply = s.wire.expect(0, "connection.tune");
            // The heartbeat is the oracle's configuration.
            let Method::ConnectionTune { channel_max, frame_max, heartbeat } = reply.method() else {
                unreachable!("its name was checked")
            };
            assert_eq!((channel_max, frame_max), (2047, 131_072));
            s.wire.send(0, Method::ConnectionTuneOk { channel_max, frame_max, heartbeat });
            s.wire.send(0, ask::open());
        }),
    ]
}

const CAPABILITIES: [&str; 9] = [
    "publisher_confirms",
    "exchange_exchange_bindings",
    "basic.nack",
    "consumer_cancel_notify",
    "connection.blocked",
    "consumer_priorities",
    "authentication_failure_close",
    "per_consumer_qos",
    "direct_reply_to",
];

fn logins() -> Vec<Case> {
    let login = |name: &'static str, outcome, mechanism: &'static str, response: &'static [u8]| {
        Case::new(name, Stage::Starting, outcome, move |s| s.wire.login(mechanism, response, true))
    };
    let tuned = || Outcome::Answer("connection.tune");
    let start_ok = (10, 11);
    vec![
        login("PLAIN", tuned(), "PLAIN", b"\0guest\0guest"),
        login("AMQPLAIN", tuned(), "AMQPLAIN", b"\x05LOGINS\0\0\0\x05guest\x08PASSWORDS\0\0\0\x05guest"),
        login("a wrong password", hard(403, LOGIN_REFUSED, (0, 0)), "PLAIN", b"\0guest\0wrong"),
        login("an unknown user", hard(403, LOGIN_REFUSED, (0, 0)), "PLAIN", b"\0nobody\0guest"),
        login("no password", hard(403, LOGIN_REFUSED, (0, 0)), "PLAIN", b"\0guest\0"),
        login(
            "a wrong password in AMQPLAIN",
            hard(403, &LOGIN_REFUSED.replace("PLAIN", "AMQPLAIN"), (0, 0)),
            "AMQPLAIN",
            b"\x05LOGINS\0\0\0\x05guest\x08PASSWORDS\0\0\0\x05wrong",
        ),
        Case::new("a wrong password of a client that does not know the refusal", Stage::Starting, Outcome::Silent, |s| {
            s.wire.login("PLAIN", b"\0guest\0wrong", false);
        }),
        login(
            "an unknown mechanism",
            hard(503, "COMMAND_INVALID - unknown authentication mechanism 'SCRAM'", start_ok),
            "SCRAM",
            b"",
        )
        .rabbitmq(Outcome::Silent, TELLS_ITS_LOG),
        login(
            "PLAIN for somebody else",
            hard(502, "SYNTAX_ERROR - response <<114,111,111,116,0,103,117,101,115,116,0,103,117,101,115,116>> invalid", start_ok),
            "PLAIN",
            b"root\0guest\0guest",
        )
        .rabbitmq(Outcome::Silent, TELLS_ITS_LOG),
    ]
}

fn limits() -> Vec<Case> {
    let tune = |name: &'static str, outcome, channel_max, frame_max, heartbeat| {
        Case::new(name, Stage::Tuning, outcome, move |s| {
            s.wire.send(0, Method::ConnectionTuneOk { channel_max, frame_max, heartbeat });
            s.wire.send(0, ask::open());
        })
    };
    let opened = || Outcome::Answer("connection.open-ok");
    let refused = |what: &str| hard(530, &format!("NOT_ALLOWED - negotiated {what}"), (10, 30));
    let says_nothing = |case: Case| {
        case.rabbitmq(Outcome::Silent, "3.10 says it to its log alone, later releases to the client as we do")
    };
    vec![
        tune("what was offered", opened(), 2047, 131_072, 60),
        tune("less than was offered", opened(), 1, 4096, 1),
        tune("no heartbeats", opened(), 2047, 131_072, 0),
        says_nothing(tune(
            "frames too small",
            refused("frame_max = 4095 is lower than the minimum allowed value (4096)"),
            2047,
            4095,
            0,
        )),
        says_nothing(tune(
            "frames too large",
            refused("frame_max = 131073 is higher than the maximum allowed value (131072)"),
            2047,
            131_073,
            0,
        )),
        says_nothing(tune(
            "frames without limit",
            refused("frame_max = 0 (no limit) is higher than the maximum allowed value (131072)"),
            2047,
            0,
            0,
        )),
        says_nothing(tune(
            "too many channels",
            refused("channel_max = 2048 is higher than the maximum allowed value (2047)"),
            2048,
            131_072,
            0,
        )),
        says_nothing(tune(
            "channels without limit",
            refused("channel_max = 0 (no limit) is higher than the maximum allowed value (2047)"),
            0,
            131_072,
            0,
        )),
    ]
}

fn vhosts() -> Vec<Case> {
    let open = |name: &'static str, outcome, virtual_host: &'static str| {
        Case::new(name, Stage::Opening, outcome, move |s| {
            s.wire.send(0, Method::ConnectionOpen { virtual_host: virtual_host.into() });
        })
    };
    vec![
        open("the vhost that is there", Outcome::Answer("connection.open-ok"), "/"),
        open(
            "a vhost that is not there",
            hard(530, "NOT_ALLOWED - vhost nowhere not found", (10, 40)),
            "nowhere",
        ),
        open("a vhost without a name", hard(530, "NOT_ALLOWED - vhost  not found", (10, 40)), ""),
    ]
}

/// What the connection as a whole is told later.
fn lives() -> Vec<Case> {
    vec![
        Case::new(
            "a channel too many",
            Stage::Socket,
            hard(
                530,
                "NOT_ALLOWED - number of channels opened (2) has reached the negotiated channel_max (2)",
                (0, 0),
            ),
            |s| {
                *s.wire = Wire::open_with(s.wire.address(), Tune { channel_max: 2, ..Tune::default() });
                s.wire.channel(1);
                s.wire.channel(2);
                s.wire.send(3, Method::ChannelOpen);
            },
        ),
        Case::new(
            "an exclusive queue after the close of its connection",
            Stage::Channel,
            soft(404, "NOT_FOUND - no queue '{q}' in vhost '/'", (50, 10)),
            |s| {
                s.wire.call(1, ask::declare_exclusive(s.q), "queue.declare-ok");
                s.wire.call(0, ask::close_connection(), "connection.close-ok");
                *s.wire = Wire::open(s.wire.address());
                s.wire.channel(1);
                s.wire.channel(2);
                s.wire.send(1, ask::passive(s.q));
            },
        ),
        Case::new("a new secret", Stage::Open, Outcome::Answer("connection.update-secret-ok"), |s| {
            s.wire
                .send(0, Method::ConnectionUpdateSecret { new_secret: LongStr(b"guest"), reason: "".into() });
        }),
    ]
}
