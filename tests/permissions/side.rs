//! One of the two brokers: a user tries everything there, and guest puts things back in their places.

use crate::cases::{Case, EXCHANGES, NAMED_BY_BROKER, NEW, Operation, QUEUES};
use crate::common::wire::{Tune, Wire, content_header, declare, declare_exchange, short};
use haremq::amqp::Method;
use haremq::amqp::frame::{FrameKind, PROTOCOL_HEADER};
use std::net::SocketAddr;

pub struct Side {
    address: SocketAddr,
    vhost: &'static str,
    guest: Wire,
    /// The queue that the broker named.
    named_by_broker: String,
}

/// What becomes of a case: what the broker answers, without names that it made up.
pub type Outcome = String;

pub const PASSWORD: &str = "secret";

impl Side {
    /// In a vhost that is there.
    pub fn new(address: SocketAddr, vhost: &'static str) -> Side {
        let mut guest =
            entered(address, ("guest", "guest"), vhost).unwrap_or_else(|refusal| panic!("{refusal}"));
        guest.channel(1);
        let mut side = Side { address, vhost, guest, named_by_broker: String::new() };
        side.put_back();
        side
    }

    /// What becomes of all the cases if the user tries them, one after the other.
    pub fn outcomes(&mut self, user: &str, cases: &[Case]) -> Vec<Outcome> {
        let mut wire = self.enter(user);
        cases
            .iter()
            .map(|case| {
                let outcome = self.outcome(&mut wire, case);
                match &outcome {
                    Ended::Well(_) => {
                        // A queue must not go from under a consumer: the broker would say so.
                        if case.operation == Operation::Consume {
                            wire.call(1, closing(), "channel.close-ok");
                            open_channel(&mut wire);
                        }
                        self.put_back();
                    }
                    Ended::Channel(_) => open_channel(&mut wire),
                    Ended::Connection(_) => wire = self.enter(user),
                }
                let (Ended::Well(text) | Ended::Channel(text) | Ended::Connection(text)) = outcome;
                text
            })
            .collect()
    }

    fn outcome(&self, wire: &mut Wire, case: &Case) -> Ended {
        case.send(&self.named_by_broker, |method| wire.send(1, method));
        if case.operation == Operation::Publish {
            wire.bytes(&content_header(1, 0));
        }
        let mut said = Vec::new();
        loop {
            let reply = wire.frame().expect("the broker says why it goes");
            if reply.kind != FrameKind::Method {
                continue;
            }
            match reply.method() {
                Method::ChannelClose { class_id, method_id, .. } => {
                    wire.send(1, Method::ChannelCloseOk);
                    return Ended::Channel(close_text("channel", reply.close(), (class_id, method_id)));
                }
                Method::ConnectionClose { class_id, method_id, .. } => {
                    wire.send(0, Method::ConnectionCloseOk);
                    let text = close_text("connection", reply.close(), (class_id, method_id));
                    return Ended::Connection(text);
                }
                // The confirm of the publish comes after it.
                Method::BasicReturn { .. } => said.push(reply.name()),
                _ => {
                    said.push(reply.name());
                    return Ended::Well(said.join(", "));
                }
            }
        }
    }

    /// Everything that the cases are about, as new.
    fn put_back(&mut self) {
        let guest = &mut self.guest;
        let mut old = [&QUEUES[..], &NEW, &[&self.named_by_broker]].concat();
        // Nothing was named yet.
        old.retain(|queue| !queue.is_empty());
        for queue in &old {
            let queue = short(queue);
            guest.send(1, Method::QueueDelete { queue, if_unused: false, if_empty: false, nowait: false });
        }
        for exchange in EXCHANGES.iter().chain(&NEW) {
            guest.send(
                1,
                Method::ExchangeDelete { exchange: short(exchange), if_unused: false, nowait: false },
            );
        }
        EXCHANGES.iter().for_each(|exchange| guest.send(1, declare_exchange(exchange, "direct", false)));
        QUEUES.iter().for_each(|queue| guest.send(1, declare(queue)));
        guest.send(1, declare(""));
        old.iter().for_each(|_| drop(guest.expect(1, "queue.delete-ok")));
        EXCHANGES.iter().chain(&NEW).for_each(|_| drop(guest.expect(1, "exchange.delete-ok")));
        EXCHANGES.iter().for_each(|_| drop(guest.expect(1, "exchange.declare-ok")));
        QUEUES.iter().for_each(|_| drop(guest.expect(1, "queue.declare-ok")));
        let named = guest.expect(1, "queue.declare-ok");
        let Method::QueueDeclareOk { queue, .. } = named.method() else { unreachable!("it was asked for") };
        self.named_by_broker = queue.to_string();
    }

    fn enter(&self, user: &str) -> Wire {
        let mut wire = entered(self.address, (user, PASSWORD), self.vhost).expect("the user may enter");
        open_channel(&mut wire);
        wire
    }
}

enum Ended {
    Well(Outcome),
    Channel(Outcome),
    Connection(Outcome),
}

/// Past connection.open-ok; or why not.
pub fn entered(address: SocketAddr, login: (&str, &str), vhost: &str) -> Result<Wire, String> {
    let mut wire = Wire::connect(address);
    wire.bytes(&PROTOCOL_HEADER);
    wire.expect(0, "connection.start");
    wire.login("PLAIN", format!("\0{}\0{}", login.0, login.1).as_bytes(), true);
    wire.expect(0, "connection.tune");
    let Tune { channel_max, frame_max, heartbeat } = Tune::default();
    wire.send(0, Method::ConnectionTuneOk { channel_max, frame_max, heartbeat });
    wire.send(0, Method::ConnectionOpen { virtual_host: short(vhost) });
    let reply = wire.frame().expect("the broker says why it goes");
    if reply.name() == "connection.open-ok" { Ok(wire) } else { Err(format!("{:?}", reply.close())) }
}

fn close_text(what: &str, (code, mut text): (u16, String), method: (u16, u16)) -> String {
    let stem = NAMED_BY_BROKER.trim_end_matches('*');
    if let Some(at) = text.find(stem).map(|at| at + stem.len())
        && let Some(length) = text[at..].find('\'')
    {
        text.replace_range(at..at + length, "*");
    }
    format!("{what} {code} {text} {method:?}")
}

/// Which confirms.
fn open_channel(wire: &mut Wire) {
    wire.channel(1);
    wire.call(1, Method::ConfirmSelect { nowait: false }, "confirm.select-ok");
}

fn closing() -> Method<'static> {
    Method::ChannelClose { reply_code: 200, reply_text: short("bye"), class_id: 0, method_id: 0 }
}
