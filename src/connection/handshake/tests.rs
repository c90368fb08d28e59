//! Each row of the handshake: what the client says, and what it gets.

use super::*;
use crate::amqp::frame::{self, FrameKind};
use crate::amqp::{LongStr, ShortStr};

const PLAIN_GUEST: &[u8] = b"\0guest\0guest";

fn method(bytes: &[u8]) -> Method<'_> {
    let (frame, len) = frame::decode(bytes, 131_072).unwrap().unwrap();
    assert_eq!((frame.kind, frame.channel, len), (FrameKind::Method, ChannelNumber(0), bytes.len()));
    Method::decode(frame.payload).unwrap()
}

/// A handshake whose header was accepted.
fn started() -> Handshake {
    started_from(true)
}

fn started_from(peer_is_loopback: bool) -> Handshake {
    let mut handshake = Handshake::new(HandshakeConfig::default(), peer_is_loopback);
    assert_eq!(handshake.on_header(&PROTOCOL_HEADER, &mut Vec::new()), HeaderOutcome::Accepted);
    handshake
}

fn tuning() -> Handshake {
    let mut handshake = started();
    assert_eq!(start_ok(&mut handshake, b"", b"PLAIN", PLAIN_GUEST), Ok(Progress::Continue));
    handshake
}

fn opening() -> Handshake {
    let mut handshake = tuning();
    assert_eq!(tune_ok(&mut handshake, 2047, 131_072), Ok(Progress::Continue));
    handshake
}

fn start_ok(
    handshake: &mut Handshake,
    properties: &[u8],
    mechanism: &[u8],
    response: &[u8],
) -> Result<Progress, Refusal> {
    let start_ok = Method::ConnectionStartOk {
        client_properties: Table::decode(properties).unwrap(),
        mechanism: ShortStr::new(mechanism).unwrap(),
        response: LongStr(response),
        locale: "en_US".into(),
    };
    handshake.on_method(&start_ok, &Access::guest(), &mut Vec::new())
}

fn tune_ok(handshake: &mut Handshake, channel_max: u16, frame_max: u32) -> Result<Progress, Refusal> {
    let tune_ok = Method::ConnectionTuneOk { channel_max, frame_max, heartbeat: 30 };
    handshake.on_method(&tune_ok, &Access::guest(), &mut Vec::new())
}

fn open(handshake: &mut Handshake, vhost: &'static str, out: &mut Vec<u8>) -> Result<Progress, Refusal> {
    handshake.on_method(&Method::ConnectionOpen { virtual_host: vhost.into() }, &Access::guest(), out)
}

/// Client properties with one capability.
fn capable_of(capability: &str) -> Vec<u8> {
    TableWriter::new().table("capabilities", |table| table.bool(capability, true)).finish()
}

#[test]
fn a_handshake_leads_to_a_session() {
    let mut out = Vec::new();
    let mut handshake = Handshake::new(HandshakeConfig::default(), true);
    assert_eq!(handshake.on_header(b"AMQP\0\0\x09\x01", &mut out), HeaderOutcome::Accepted);
    assert_eq!(method(&out).name(), "connection.start");

    let properties = TableWriter::new()
        .string("connection_name", "worker 7")
        .table("capabilities", |table| table.bool("basic.nack", true).bool("consumer_cancel_notify", false))
        .finish();
    let start_ok = Method::ConnectionStartOk {
        client_properties: Table::decode(&properties).unwrap(),
        mechanism: "PLAIN".into(),
        response: LongStr(PLAIN_GUEST),
        locale: "en_US".into(),
    };
    out.clear();
    assert_eq!(handshake.on_method(&start_ok, &Access::guest(), &mut out), Ok(Progress::Continue));
    let tune = Method::ConnectionTune { channel_max: 2047, frame_max: 131_072, heartbeat: 60 };
    assert_eq!(method(&out), tune);
    assert_eq!(handshake.frame_max(), 4096);

    assert_eq!(tune_ok(&mut handshake, 100, 8192), Ok(Progress::Continue));
    assert_eq!(handshake.frame_max(), 8192);

    out.clear();
    let opened = open(&mut handshake, "/", &mut out);
    assert!(out.is_empty(), "who knows the vhosts says open-ok");
    let session = Session {
        user: (*b"guest").into(),
        vhost: (*b"/").into(),
        mechanism: "PLAIN".into(),
        frame_max: 8192,
        channel_max: 100,
        heartbeat_s: 30,
        capabilities: ClientCapabilities { basic_nack: true, ..ClientCapabilities::default() },
        connection_name: Some((*b"worker 7").into()),
        client_properties: properties.into(),
    };
    assert_eq!(opened, Ok(Progress::Open(session)));
}

#[test]
fn the_server_introduces_itself_as_rabbitmq_does() {
    let mut out = Vec::new();
    Handshake::new(HandshakeConfig::default(), true).on_header(&PROTOCOL_HEADER, &mut out);
    assert!(out.len() <= FRAME_MAX_LOWEST as usize);
    let Method::ConnectionStart { version_major, version_minor, server_properties, mechanisms, locales } =
        method(&out)
    else {
        panic!("no start")
    };
    assert_eq!((version_major, version_minor), (0, 9));
    assert_eq!((mechanisms.0, locales.0), (&b"PLAIN AMQPLAIN"[..], &b"en_US"[..]));
    let keys: Vec<_> = server_properties.iter().map(|(name, _)| name.to_string()).collect();
    assert!(keys.is_sorted(), "{keys:?}");
    let text = |key: &str| server_properties.find(key.as_bytes()).and_then(|value| value.as_str()).unwrap();
    assert_eq!((text("product"), text("version")), (&b"RabbitMQ"[..], &b"3.13.7"[..]));
    for key in ["cluster_name", "copyright", "information", "platform"] {
        assert!(!text(key).is_empty(), "{key}");
    }
    let capabilities = server_properties.find(b"capabilities").unwrap().as_table().unwrap();
    assert_eq!(capabilities.iter().count(), 9);
    assert!(capabilities.iter().all(|(_, value)| value == Value::Bool(true)));
}

#[test]
fn the_header_of_0_9_is_accepted() {
    let mut handshake = Handshake::new(HandshakeConfig::default(), true);
    assert_eq!(handshake.on_header(b"AMQP\x01\x01\0\x09", &mut Vec::new()), HeaderOutcome::Accepted);
}

#[test]
fn a_wrong_header_is_answered_with_the_right_one() {
    let headers: [&[u8; 8]; 7] = [
        b"GET / HT",
        b"\x16\x03\x01\x02\0\x01\0\x01",
        b"AMQP\x01\x01\x08\0",
        b"AMQP\0\0\x09\0",
        b"AMQP\0\x01\0\0",
        b"AMQP\x03\x01\0\0",
        b"amqp\0\0\x09\x01",
    ];
    for header in headers {
        let mut out = Vec::new();
        let mut handshake = Handshake::new(HandshakeConfig::default(), true);
        assert_eq!(handshake.on_header(header, &mut out), HeaderOutcome::Refused);
        assert_eq!(out, b"AMQP\0\0\x09\x01");
    }
}

#[test]
fn a_login_with_amqplain_is_accepted() {
    let response = TableWriter::new().string("LOGIN", "guest").string("PASSWORD", "guest").finish();
    assert_eq!(start_ok(&mut started(), b"", b"AMQPLAIN", &response), Ok(Progress::Continue));
}

#[test]
fn a_malformed_amqplain_response_is_502() {
    let no_password = TableWriter::new().string("LOGIN", "guest").finish();
    let number = TableWriter::new().string("LOGIN", "guest").i32("PASSWORD", 1).finish();
    let cases: [(&[u8], &str); 3] = [
        (&no_password, "AMQPLAIN auth info is missing LOGIN or PASSWORD field"),
        (&number, "AMQPLAIN auth info uses unsupported type for LOGIN or PASSWORD field"),
        (b"\xFF", "AMQPLAIN auth info is no field table"),
    ];
    for (response, text) in cases {
        let refused = start_ok(&mut started(), b"", b"AMQPLAIN", response);
        let error = ConnectionError::new(ReplyCode::SyntaxError, text, (10, 11));
        assert_eq!(refused, Err(Refusal::CloseAfter3s(error)));
    }
}

#[test]
fn a_malformed_plain_response_is_502() {
    let cases: [(&[u8], &str); 7] = [
        (b"", "response <<>> invalid"),
        (b"guest", "response <<\"guest\">> invalid"),
        (b"\0", "response <<0>> invalid"),
        (b"\0g", "response <<0,103>> invalid"),
        (b"a\0g\0p", "response <<97,0,103,0,112>> invalid"),
        (b"\0g\0p\0", "response <<0,103,0,112,0>> invalid"),
        (b"\xFF", "response <<255>> invalid"),
    ];
    for (response, text) in cases {
        let refused = start_ok(&mut started(), b"", b"PLAIN", response);
        let error = ConnectionError::new(ReplyCode::SyntaxError, text, (10, 11));
        assert_eq!(refused, Err(Refusal::CloseAfter3s(error)), "{}", response.escape_ascii());
    }
}

#[test]
fn a_long_malformed_response_gives_a_text_that_fits() {
    let Err(Refusal::CloseAfter3s(error)) = start_ok(&mut started(), b"", b"PLAIN", &[7; 3000]) else {
        panic!("not refused")
    };
    assert_eq!(error.reply_text().len(), 255);
}

#[test]
fn an_unknown_mechanism_is_503() {
    for mechanism in ["EXTERNAL", "plain", "", "ANONYMOUS"] {
        let refused = start_ok(&mut started(), b"", mechanism.as_bytes(), PLAIN_GUEST);
        let text = format!("unknown authentication mechanism '{mechanism}'");
        let error = ConnectionError::new(ReplyCode::CommandInvalid, text, (10, 11));
        assert_eq!(refused, Err(Refusal::CloseAfter3s(error)));
    }
}

#[test]
fn a_refused_login_is_told_to_a_client_that_asked_to_be_told() {
    let mut handshake = started();
    let properties = capable_of("authentication_failure_close");
    let refused = start_ok(&mut handshake, &properties, b"PLAIN", b"\0guest\0wrong");
    let text = "Login was refused using authentication mechanism PLAIN. For details see the broker logfile.";
    let error = ConnectionError::new(ReplyCode::AccessRefused, text, (0, 0));
    assert_eq!(refused, Err(Refusal::CloseAfter3s(error)));
    assert_eq!(
        handshake.refused_login().unwrap().to_string(),
        "PLAIN login refused: user 'guest' - invalid credentials"
    );
}

#[test]
fn a_refused_login_is_silent_for_other_clients() {
    for properties in [Vec::new(), capable_of("basic.nack")] {
        let refused = start_ok(&mut started(), &properties, b"PLAIN", b"\0guest\0wrong");
        assert_eq!(refused, Err(Refusal::SilentAfter3s));
    }
    let declined = TableWriter::new()
        .table("capabilities", |table| table.bool("authentication_failure_close", false))
        .finish();
    let refused = start_ok(&mut started(), &declined, b"PLAIN", b"\0\0");
    assert_eq!(refused, Err(Refusal::SilentAfter3s));
}

#[test]
fn guest_from_another_machine_is_refused_like_a_wrong_password() {
    let mut handshake = started_from(false);
    let refused =
        start_ok(&mut handshake, &capable_of("authentication_failure_close"), b"PLAIN", PLAIN_GUEST);
    let Err(Refusal::CloseAfter3s(error)) = refused else { panic!("{refused:?}") };
    assert_eq!(error.code, ReplyCode::AccessRefused);
    assert_eq!(handshake.refused_login().unwrap().failure, AuthFailure::LoopbackOnly);
}

#[test]
fn tuning_within_the_bounds_is_accepted() {
    for (channel_max, frame_max) in [(2047, 131_072), (1, 4096), (2046, 131_071)] {
        let mut handshake = tuning();
        assert_eq!(tune_ok(&mut handshake, channel_max, frame_max), Ok(Progress::Continue));
        assert_eq!(handshake.frame_max(), frame_max);
    }
}

#[test]
fn tuning_out_of_bounds_is_530() {
    let cases = [
        (2047, 1, "negotiated frame_max = 1 is lower than the minimum allowed value (4096)"),
        (2047, 4095, "negotiated frame_max = 4095 is lower than the minimum allowed value (4096)"),
        (2047, 131_073, "negotiated frame_max = 131073 is higher than the maximum allowed value (131072)"),
        (
            2047,
            u32::MAX,
            "negotiated frame_max = 4294967295 is higher than the maximum allowed value (131072)",
        ),
        (2047, 0, "negotiated frame_max = 0 (no limit) is higher than the maximum allowed value (131072)"),
        (2048, 8192, "negotiated channel_max = 2048 is higher than the maximum allowed value (2047)"),
        (0, 8192, "negotiated channel_max = 0 (no limit) is higher than the maximum allowed value (2047)"),
        (0, 0, "negotiated frame_max = 0 (no limit) is higher than the maximum allowed value (131072)"),
    ];
    for (channel_max, frame_max, text) in cases {
        let mut handshake = tuning();
        let error = ConnectionError::new(ReplyCode::NotAllowed, text, (10, 30));
        assert_eq!(tune_ok(&mut handshake, channel_max, frame_max), Err(Refusal::Close(error)));
        assert_eq!(handshake.frame_max(), 4096);
    }
}

#[test]
fn no_limit_of_channels_is_taken_where_none_is_set() {
    let config = HandshakeConfig { channel_max: 0, ..HandshakeConfig::default() };
    let mut handshake = Handshake::new(config, true);
    handshake.on_header(&PROTOCOL_HEADER, &mut Vec::new());
    assert_eq!(start_ok(&mut handshake, b"", b"PLAIN", PLAIN_GUEST), Ok(Progress::Continue));
    assert_eq!(tune_ok(&mut handshake, 0, 8192), Ok(Progress::Continue));
    let Ok(Progress::Open(session)) = open(&mut handshake, "/", &mut Vec::new()) else { panic!("not open") };
    assert_eq!(session.channel_max, u16::MAX);
}

#[test]
fn a_method_in_the_wrong_state_is_504() {
    let start_ok = Method::ConnectionStartOk {
        client_properties: Table::EMPTY,
        mechanism: "PLAIN".into(),
        response: LongStr(PLAIN_GUEST),
        locale: "en_US".into(),
    };
    let tune_ok = Method::ConnectionTuneOk { channel_max: 2047, frame_max: 131_072, heartbeat: 60 };
    let open = Method::ConnectionOpen { virtual_host: "/".into() };
    let secure_ok = Method::ConnectionSecureOk { response: LongStr(b"") };
    let close =
        Method::ConnectionClose { reply_code: 200, reply_text: ShortStr::EMPTY, class_id: 0, method_id: 0 };
    let publish = Method::BasicPublish {
        exchange: ShortStr::EMPTY,
        routing_key: "q".into(),
        mandatory: false,
        immediate: false,
    };
    let always = [secure_ok, close, publish, Method::ChannelOpen, Method::TxSelect];
    let states = [
        ("starting", started as fn() -> Handshake, [tune_ok, open]),
        ("tuning", tuning, [start_ok, open]),
        ("opening", opening, [start_ok, tune_ok]),
    ];
    for (state, handshake, wrong) in states {
        for method in always.iter().chain(&wrong) {
            let mut out = Vec::new();
            let text = format!("unexpected method in connection state {state}");
            let error = ConnectionError::new(ReplyCode::ChannelError, text, method.ids());
            let expected = match state {
                "starting" => Refusal::CloseAfter3s(error),
                _ => Refusal::Close(error),
            };
            assert_eq!(
                handshake().on_method(method, &Access::guest(), &mut out),
                Err(expected),
                "{}",
                method.name()
            );
            assert!(out.is_empty());
        }
    }
}

#[test]
fn nothing_is_taken_after_a_refusal() {
    let mut handshake = started();
    assert!(start_ok(&mut handshake, b"", b"PLAIN", b"\0guest\0wrong").is_err());
    assert!(start_ok(&mut handshake, b"", b"PLAIN", PLAIN_GUEST).is_err());
}
