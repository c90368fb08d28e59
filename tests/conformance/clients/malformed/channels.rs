//! Channels that are not open, closed twice, or numbered beyond what was agreed.

use crate::clients::errors::ask;
use crate::clients::errors::case::{Case, Outcome, Scene, Stage, hard};
use crate::common::wire::{Tune, Wire, declare_exclusive, encoded, publication};
use haremq::amqp::Method;

pub fn cases() -> Vec<Case> {
    let case = |name: &str, outcome, act: fn(&mut Scene<'_>)| Case::new(name, Stage::Channel, outcome, act);
    let expected = |method| hard(504, "CHANNEL_ERROR - expected 'channel.open'", method);
    let running = |method| hard(504, "CHANNEL_ERROR - unexpected method in connection state running", method);
    let mut cases = vec![
        case("channel.open on channel 0", running((20, 10)), |s| s.wire.send(0, Method::ChannelOpen)),
        case("channel.close on channel 0", running((20, 40)), |s| s.wire.send(0, ask::close_channel())),
        case("channel.close-ok on channel 0", running((20, 41)), |s| s.wire.send(0, Method::ChannelCloseOk)),
        case("a declare on channel 0", running((50, 10)), |s| s.wire.send(0, declare_exclusive("zero"))),
        case("an ack on channel 0", running((60, 80)), |s| s.wire.send(0, ask::ack(1, false))),
        case("close-ok of the connection, unasked", running((10, 51)), |s| {
            s.wire.send(0, Method::ConnectionCloseOk)
        }),
        case("a close of a channel that is not open", expected((20, 40)), |s| {
            s.wire.send(9, ask::close_channel())
        }),
        case("a publish on a channel that is not open", expected((60, 40)), |s| {
            s.wire.bytes(&publication(9, "", "nowhere", false, b"x"));
        }),
        case("a get on a channel that is closed", expected((60, 70)), |s| {
            s.wire.call(1, ask::close_channel(), "channel.close-ok");
            s.wire.send(1, ask::get("q"));
        }),
        case("a close of a channel that is closed", expected((20, 40)), |s| {
            s.wire.call(1, ask::close_channel(), "channel.close-ok");
            s.wire.send(1, ask::close_channel());
        }),
        case(
            "close-ok of a channel, unasked",
            hard(503, "COMMAND_INVALID - unimplemented method", (20, 41)),
            |s| s.wire.send(2, Method::ChannelCloseOk),
        ),
        Case::bytes(
            "a channel beyond channel_max where none is open",
            Stage::Open,
            hard(
                530,
                "NOT_ALLOWED - channel number 2048 is above the negotiated channel_max (2047)",
                (20, 10),
            ),
            encoded(2048, Method::ChannelOpen),
        )
        .rabbitmq(
            Outcome::Answer("channel.open-ok"),
            "it counts channels and takes any number; our table of them is as long as the highest number",
        ),
        case("a channel that is opened again and again", Outcome::Goes, |s| {
            for _ in 0..100 {
                s.wire.call(1, ask::close_channel(), "channel.close-ok");
                s.wire.channel(1);
            }
        }),
        case(
            "a connection.close on a channel",
            hard(503, "COMMAND_INVALID - unimplemented method", (10, 50)),
            |s| {
                s.wire.send(1, ask::close_connection());
            },
        ),
        case("what follows a connection.close", Outcome::Ends, |s| {
            let mut bytes = encoded(0, ask::close_connection());
            bytes.extend(encoded(1, ask::qos(1, false)));
            bytes.extend(b"\x09nonsense that is no frame");
            s.wire.bytes(&bytes);
        }),
    ];
    let text = |opened| {
        format!(
            "NOT_ALLOWED - number of channels opened ({opened}) has reached the negotiated channel_max (3)"
        )
    };
    for number in [4, 5, u16::MAX] {
        let name = format!("channel {number} where three are agreed");
        cases.push(Case::new(name, Stage::Socket, hard(530, &text(3), (0, 0)), move |s| {
            *s.wire = Wire::open_with(s.wire.address(), Tune { channel_max: 3, ..Tune::default() });
            (1..=3).for_each(|channel| s.wire.channel(channel));
            s.wire.send(number, Method::ChannelOpen);
        }));
    }
    cases
}
