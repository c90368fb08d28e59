//! Before a client is who it says it is: other protocols, methods out of order, and logins that are none.

use super::frame;
use crate::clients::errors::ask;
use crate::clients::errors::case::{Case, Outcome, Stage, hard};
use crate::common::wire::{body_frame, content_header, encoded, publication};
use haremq::amqp::frame::PROTOCOL_HEADER;
use haremq::amqp::{LongStr, Method, Table};

pub fn cases() -> Vec<Case> {
    [greetings(), start_oks(), plain(), amqplain(), out_of_order(), broken_frames()]
        .into_iter()
        .flatten()
        .collect()
}

const SILENT: &str =
    "it closes without a word what goes wrong before tune-ok, and puts the text into its log";

fn greetings() -> Vec<Case> {
    let others: [(&str, &[u8]); 12] = [
        ("HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        ("HTTP POST", b"POST /api HTTP/1.1\r\nContent-Length: 1000000\r\n\r\n"),
        ("SSH", b"SSH-2.0-OpenSSH_9.2\r\n"),
        ("SMTP", b"EHLO example.org\r\n"),
        ("MQTT", b"\x10\x12\0\x04MQTT\x04\x02\0\x3c\0\x06client"),
        ("STOMP", b"CONNECT\naccept-version:1.2\n\n\0"),
        ("the PROXY protocol", b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n"),
        ("SSL 2", b"\x80\x2e\x01\x03\x01\0\x15\0\0\0\x10"),
        ("zeros", &[0; 64]),
        ("ones", &[0xFF; 64]),
        ("a frame", b"\x01\0\0\0\0\0\x04\0\x0a\0\x0b\xCE"),
        ("lower case", b"amqp\0\0\x09\x01"),
    ];
    let others = others.into_iter().map(|(what, bytes)| {
        Case::bytes(format!("{what} for a greeting"), Stage::Socket, Outcome::Header, bytes)
    });
    let damaged = (0..PROTOCOL_HEADER.len()).map(|at| {
        let mut header = PROTOCOL_HEADER;
        header[at] ^= 0x40;
        Case::bytes(format!("the header with octet {at} damaged"), Stage::Socket, Outcome::Header, header)
    });
    let beginnings = [0, 1, 4, 7].map(|end| {
        Case::bytes(
            format!("{end} octets of the header"),
            Stage::Socket,
            Outcome::Waits,
            &PROTOCOL_HEADER[..end],
        )
    });
    let short = Case::bytes("three octets of something else", Stage::Socket, Outcome::Header, *b"GET")
        .rabbitmq(Outcome::Waits, "it looks once eight octets are there; the first wrong one is enough");
    others.chain(damaged).chain(beginnings).chain([short]).collect()
}

fn start_ok(table: &[u8], mechanism: &[u8], response: &[u8], locale: &[u8]) -> Vec<u8> {
    let long =
        |octets: &[u8]| [&u32::try_from(octets.len()).expect("short").to_be_bytes()[..], octets].concat();
    let short = |octets: &[u8]| [&[u8::try_from(octets.len()).expect("short")][..], octets].concat();
    [&b"\0\x0a\0\x0b"[..], &long(table), &short(mechanism), &long(response), &short(locale)].concat()
}

const GUEST: &[u8] = b"\0guest\0guest";

fn start_oks() -> Vec<Case> {
    let good = start_ok(b"\x01aV", b"PLAIN", GUEST, b"en_US");
    let case = |name: &str, outcome, payload: &[u8]| {
        Case::bytes(name, Stage::Starting, outcome, frame(1, 0, payload))
    };
    let undecodable = |name: &str, payload: &[u8]| {
        let text = format!("FRAME_ERROR - cannot decode {}", super::erlang(&payload[4..]));
        case(name, hard(501, &text, (10, 11)), payload).rabbitmq(Outcome::Silent, SILENT)
    };
    let syntax = |name: &str, payload: &[u8]| {
        let text = "SYNTAX_ERROR - cannot decode connection.start-ok: client_properties";
        case(name, hard(502, text, (10, 11)), payload).rabbitmq(Outcome::Silent, SILENT)
    };
    let tuned = || Outcome::Answer("connection.tune");
    vec![
        case("start-ok", tuned(), &good),
        undecodable("start-ok without arguments", &good[..4]),
        undecodable("start-ok that is cut in its table", &good[..10]),
        undecodable("start-ok that is cut in its mechanism", &good[..14]),
        undecodable("start-ok that is cut in its response", &good[..24]),
        undecodable("start-ok without its last octet", &good[..good.len() - 1]),
        undecodable("start-ok with an octet too many", &[&good[..], b"\0"].concat()),
        syntax("client properties of an unknown type", &start_ok(b"\x01a?", b"PLAIN", GUEST, b"en_US")),
        syntax(
            "client properties that are cut off",
            &start_ok(b"\x01aS\0\0\0\x09x", b"PLAIN", GUEST, b"en_US"),
        ),
        case(
            "client properties that repeat themselves",
            tuned(),
            &start_ok(b"\x01aV\x01aV", b"PLAIN", GUEST, b"en_US"),
        ),
        case(
            "capabilities that are no table",
            tuned(),
            &start_ok(b"\x0ccapabilitiesI\0\0\0\x01", b"PLAIN", GUEST, b"en_US"),
        ),
        case("a locale that nobody speaks", tuned(), &start_ok(b"", b"PLAIN", GUEST, b"tlh_QO")),
        case("no locale", tuned(), &start_ok(b"", b"PLAIN", GUEST, b"")),
        case(
            "a mechanism that is no UTF-8",
            hard(501, "FRAME_ERROR - Malformed UTF-8 in shortstr", (10, 11)),
            &start_ok(b"", b"\xFF", GUEST, b"en_US"),
        )
        .rabbitmq(Outcome::Silent, SILENT),
        mechanism("no mechanism", b"", ""),
        mechanism("a mechanism in lower case", b"plain", "plain"),
        mechanism("a mechanism that is not offered", b"EXTERNAL", "EXTERNAL"),
    ]
}

fn mechanism(name: &str, mechanism: &[u8], shown: &str) -> Case {
    let text = format!("COMMAND_INVALID - unknown authentication mechanism '{shown}'");
    let bytes = frame(1, 0, &start_ok(b"", mechanism, GUEST, b"en_US"));
    Case::bytes(name, Stage::Starting, hard(503, &text, (10, 11)), bytes).rabbitmq(Outcome::Silent, SILENT)
}

fn plain() -> Vec<Case> {
    let responses: [(&str, &[u8]); 7] = [
        ("no octet", b""),
        ("no zero", b"guest"),
        ("one zero", b"\0guest"),
        ("three zeros", b"\0guest\0guest\0"),
        ("four zeros", b"\0\0guest\0guest\0"),
        ("somebody to act as", b"root\0guest\0guest"),
        ("a bell", b"\x07"),
    ];
    let cases = responses.map(|(what, response)| {
        let text = format!("SYNTAX_ERROR - response {} invalid", super::erlang(response));
        let bytes = frame(1, 0, &start_ok(b"", b"PLAIN", response, b"en_US"));
        Case::bytes(format!("PLAIN with {what}"), Stage::Starting, hard(502, &text, (10, 11)), bytes)
            .rabbitmq(Outcome::Silent, SILENT)
    });
    let refused: [(&str, &[u8]); 3] =
        [("nobody", b"\0\0"), ("octets that are no UTF-8", b"\0\xFF\xFE\0\xFF"), ("a long password", &LONG)];
    let refused = refused.map(|(what, response)| {
        // Without the capability to hear of it.
        let bytes = frame(1, 0, &start_ok(b"", b"PLAIN", response, b"en_US"));
        Case::bytes(format!("PLAIN with {what}"), Stage::Starting, Outcome::Silent, bytes)
    });
    cases.into_iter().chain(refused).collect()
}

const LONG: [u8; 3000] = {
    let mut octets = [b'x'; 3000];
    octets[0] = 0;
    octets[6] = 0;
    octets
};

fn amqplain() -> Vec<Case> {
    let invalid: [(&str, &[u8], &str); 5] = [
        ("nothing", b"", "is missing LOGIN or PASSWORD field"),
        ("no password", b"\x05LOGINS\0\0\0\x05guest", "is missing LOGIN or PASSWORD field"),
        ("no name", b"\x08PASSWORDS\0\0\0\x05guest", "is missing LOGIN or PASSWORD field"),
        (
            "a number for a name",
            b"\x05LOGINI\0\0\0\x05\x08PASSWORDS\0\0\0\x05guest",
            "uses unsupported type for LOGIN or PASSWORD field",
        ),
        ("no table", b"guest", "is no field table"),
    ];
    let cases = invalid.map(|(what, response, why)| {
        let text = format!("SYNTAX_ERROR - AMQPLAIN auth info {why}");
        let bytes = frame(1, 0, &start_ok(b"", b"AMQPLAIN", response, b"en_US"));
        Case::bytes(format!("AMQPLAIN with {what}"), Stage::Starting, hard(502, &text, (10, 11)), bytes)
            .rabbitmq(Outcome::Silent, SILENT)
    });
    cases.into()
}

/// Each stage with the methods of the others.
fn out_of_order() -> Vec<Case> {
    let start_ok = Method::ConnectionStartOk {
        client_properties: Table::EMPTY,
        mechanism: "PLAIN".into(),
        response: LongStr(GUEST),
        locale: "en_US".into(),
    };
    let tune_ok = Method::ConnectionTuneOk { channel_max: 9, frame_max: 8192, heartbeat: 0 };
    let methods = [
        start_ok,
        Method::ConnectionSecureOk { response: LongStr(GUEST) },
        tune_ok,
        ask::open(),
        ask::close_connection(),
        Method::ConnectionCloseOk,
        Method::ConnectionUpdateSecret { new_secret: LongStr(b"guest"), reason: "".into() },
        Method::ChannelOpen,
        ask::qos(1, false),
    ];
    let stages = [
        (Stage::Starting, "starting", (10, 11)),
        (Stage::Tuning, "tuning", (10, 31)),
        (Stage::Opening, "opening", (10, 40)),
    ];
    let on_zero = stages.into_iter().flat_map(|(stage, state, due)| {
        methods.into_iter().filter(move |method| method.ids() != due).map(move |method| {
            let text = format!("CHANNEL_ERROR - unexpected method in connection state {state}");
            let name = format!("{} while {state}", method.name());
            let case = Case::bytes(name, stage, hard(504, &text, method.ids()), encoded(0, method));
            if stage == Stage::Opening { case } else { case.rabbitmq(Outcome::Silent, SILENT) }
        })
    });
    let on_a_channel = stages.into_iter().flat_map(|(stage, state, _)| {
        let frames = [
            ("a channel.open", 1, encoded(1, Method::ChannelOpen)),
            ("a publish", 1, publication(1, "", "q", false, b"x")),
            ("a header", 2, content_header(1, 1)),
            ("a body", 3, body_frame(1, b"x")),
            ("a heartbeat on a channel", 8, frame(8, 1, b"")),
            ("a header on channel 0", 2, content_header(0, 1)),
        ];
        frames.into_iter().map(move |(what, kind, bytes)| {
            let size = usize::from(u16::from_be_bytes([bytes[5], bytes[6]]));
            let payload = &bytes[7..7 + size];
            let octets = match payload.get(..16) {
                Some(first) if size > 16 => format!("first 16 octets = {}", super::erlang(first)),
                _ => format!("all octets = {}", super::erlang(payload)),
            };
            let text = format!("UNEXPECTED_FRAME - type {kind}, {octets}");
            let case = Case::bytes(format!("{what} while {state}"), stage, hard(505, &text, (0, 0)), bytes);
            if stage == Stage::Opening { case } else { case.rabbitmq(Outcome::Silent, SILENT) }
        })
    });
    on_zero.chain(on_a_channel).collect()
}

fn broken_frames() -> Vec<Case> {
    let stages = [
        (Stage::Starting, "starting", 4096_u32),
        (Stage::Tuning, "tuning", 4096),
        (Stage::Opening, "opening", 131_072),
    ];
    let cases = stages.into_iter().flat_map(|(stage, state, frame_max)| {
        let room = frame_max - 8;
        let error = |name: &str, text: String, bytes: Vec<u8>| {
            let outcome = hard(501, &format!("FRAME_ERROR - {text}"), (0, 0));
            let case = Case::bytes(format!("{name} while {state}"), stage, outcome, bytes);
            if stage == Stage::Opening { case } else { case.rabbitmq(Outcome::Silent, SILENT) }
        };
        let size = frame_max + 1;
        let mut bad_end = frame(1, 0, b"\0\x0a\0\x0b");
        *bad_end.last_mut().expect("a frame has an end") = 0;
        let bad_end_text = "type 1, all octets = <<0,10,0,11>>: {invalid_frame_end_marker,0}".to_owned();
        [
            error(
                "a frame too large",
                format!("type 1, all octets = <<>>: {{frame_too_large,{size},{room}}}"),
                [&[1, 0, 0][..], &size.to_be_bytes()].concat(),
            ),
            error("a frame without its end", bad_end_text, bad_end),
            error(
                "a frame of kind 4",
                "type 4, all octets = <<>>: unknown_frame".to_owned(),
                frame(4, 0, b""),
            ),
            error(
                "a method without ids",
                "type 1, all octets = <<0,10>>: unknown_frame".to_owned(),
                frame(1, 0, b"\0\x0a"),
            ),
            Case::bytes(format!("a heartbeat while {state}"), stage, Outcome::Waits, frame(8, 0, b"")),
            Case::bytes(
                format!("half of a frame while {state}"),
                stage,
                Outcome::Waits,
                frame(1, 0, &[0; 100])[..50].to_vec(),
            ),
        ]
    });
    cases.collect()
}
