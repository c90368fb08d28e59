//! A session as clients have it, that breaks off at each of its octets.

use crate::clients::errors::ask;
use crate::clients::errors::case::{Case, Outcome, Stage};
use crate::common::wire::{consume, declare_exclusive, encoded, publication};
use haremq::amqp::frame::{HEARTBEAT_FRAME, PROTOCOL_HEADER};
use haremq::amqp::{LongStr, Method, Table};

pub fn cases() -> Vec<Case> {
    let whole = session();
    (0..=whole.len())
        .map(|end| {
            let name = format!("the first {end} of {} octets", whole.len());
            Case::bytes(name, Stage::Socket, Outcome::Ends, &whole[..end])
        })
        .collect()
}

fn session() -> Vec<u8> {
    let start_ok = Method::ConnectionStartOk {
        client_properties: Table::decode(b"\x07productS\0\0\0\x01p").expect("a table"),
        mechanism: "PLAIN".into(),
        response: LongStr(b"\0guest\0guest"),
        locale: "en_US".into(),
    };
    [
        PROTOCOL_HEADER.to_vec(),
        encoded(0, start_ok),
        encoded(0, Method::ConnectionTuneOk { channel_max: 9, frame_max: 8192, heartbeat: 5 }),
        encoded(0, ask::open()),
        encoded(1, Method::ChannelOpen),
        encoded(1, ask::confirm_select()),
        encoded(1, declare_exclusive("")),
        encoded(1, ask::bind("", "amq.fanout", "k")),
        HEARTBEAT_FRAME.to_vec(),
        publication(1, "amq.direct", "nowhere", true, b"body"),
        encoded(1, consume("", "tag", false)),
        encoded(1, ask::close_channel()),
        encoded(0, ask::close_connection()),
    ]
    .concat()
}
