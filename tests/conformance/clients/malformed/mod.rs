//! What no client library would send: the broker says why it is wrong and closes, or takes it, as RabbitMQ does, and
//! nobody else notices. A case may say what Debian's RabbitMQ, the oracle, does instead, with the reason why we do not.

mod channels;
mod content;
mod cuts;
mod frames;
mod handshake;
mod methods;
mod tables;

use super::errors::case::{Case, run};

#[test]
fn malformed_input_is_refused_and_harms_nobody_else() {
    let cases: Vec<Case> = [
        handshake::cases(),
        frames::cases(),
        methods::cases(),
        tables::cases(),
        content::cases(),
        channels::cases(),
    ]
    .into_iter()
    .flatten()
    .collect();
    run("malformed", &cases);
}

#[test]
fn a_session_that_breaks_off_at_any_octet_harms_nobody_else() {
    run("cut", &cuts::cases());
}

/// A frame of any kind and payload; the size says what it is.
fn frame(kind: u8, channel: u16, payload: &[u8]) -> Vec<u8> {
    let size = u32::try_from(payload.len()).expect("less than 4 GiB").to_be_bytes();
    [&[kind][..], &channel.to_be_bytes(), &size, payload, &[0xCE]].concat()
}

/// The payload of a method frame.
fn payload_of(method: haremq::amqp::Method<'_>) -> Vec<u8> {
    let frame = crate::common::wire::encoded(1, method);
    frame[7..frame.len() - 1].to_vec()
}

/// Octets as Erlang prints them, and RabbitMQ's texts with them.
fn erlang(octets: &[u8]) -> String {
    if !octets.is_empty() && octets.iter().all(|octet| matches!(octet, b' '..=b'~')) {
        return format!("<<\"{}\">>", String::from_utf8_lossy(octets));
    }
    let numbers: Vec<String> = octets.iter().map(u8::to_string).collect();
    format!("<<{}>>", numbers.join(","))
}
