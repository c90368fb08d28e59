//! One thing that a client does, and what a broker makes of it.

use super::ask;
use crate::clients::Target;
use crate::common::wire::{Next, Tune, Wire, declare_exclusive, short};
use haremq::amqp::frame::PROTOCOL_HEADER;
use haremq::amqp::{FrameKind, Method, ShortStr};
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

pub struct Case {
    name: String,
    stage: Stage,
    act: Act,
    outcome: Outcome,
    /// What Debian's RabbitMQ does instead, and why we do not.
    rabbitmq: Option<(Outcome, &'static str)>,
}

type Act = Box<dyn Fn(&mut Scene<'_>) + Send + Sync>;

/// How far the connection has come before the client does it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stage {
    /// Connected, and nothing else.
    Socket,
    /// connection.start is here.
    Starting,
    /// connection.tune is here.
    Tuning,
    /// connection.tune-ok is sent.
    Opening,
    Open,
    /// Channels 1 and 2 are open.
    Channel,
}

/// The broker, for a thread.
#[derive(Clone, Copy)]
struct Place {
    address: SocketAddr,
    is_oracle: bool,
}

pub struct Scene<'a> {
    pub wire: &'a mut Wire,
    /// Another connection, with channel 1 open.
    pub other: &'a mut Wire,
    /// A name that no other case uses; it stands for `{q}` in the texts.
    pub q: &'a str,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// Not a word, and everything goes on.
    Goes,
    /// The first answer, after which everything goes on.
    Answer(&'static str),
    Channel(Close),
    Connection(Close),
    /// `AMQP 0 0 9 1`, and the socket closes.
    Header,
    /// The socket closes without a word.
    Silent,
    /// For the rest of what is not a whole.
    Waits,
    /// The client has ended; all that counts is that the broker does so, too.
    Ends,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Close {
    code: u16,
    text: String,
    /// Class and method id.
    method: (u16, u16),
}

/// The channel closes, the connection stays.
pub fn soft(code: u16, text: &str, method: (u16, u16)) -> Outcome {
    Outcome::Channel(Close { code, text: text.to_owned(), method })
}

/// The connection closes.
pub fn hard(code: u16, text: &str, method: (u16, u16)) -> Outcome {
    Outcome::Connection(Close { code, text: text.to_owned(), method })
}

impl Case {
    pub fn new(
        name: impl Into<String>,
        stage: Stage,
        outcome: Outcome,
        act: impl Fn(&mut Scene<'_>) + Send + Sync + 'static,
    ) -> Case {
        Case { name: name.into(), stage, act: Box::new(act), outcome, rabbitmq: None }
    }

    /// The client sends these bytes.
    pub fn bytes(name: impl Into<String>, stage: Stage, outcome: Outcome, bytes: impl Into<Vec<u8>>) -> Case {
        let bytes = bytes.into();
        Case::new(name, stage, outcome, move |scene| scene.wire.bytes_if_open(&bytes))
    }

    pub fn rabbitmq(self, outcome: Outcome, because: &'static str) -> Case {
        Case { rabbitmq: Some((outcome, because)), ..self }
    }

    fn expected(&self, oracle: bool, q: &str) -> Outcome {
        let outcome = match &self.rabbitmq {
            Some((outcome, _)) if oracle => outcome,
            _ => &self.outcome,
        };
        let named = |close: &Close| Close { text: close.text.replace("{q}", q), ..close.clone() };
        match outcome {
            Outcome::Channel(close) => Outcome::Channel(named(close)),
            Outcome::Connection(close) => Outcome::Connection(named(close)),
            other => other.clone(),
        }
    }

    fn run(&self, place: Place, other: &mut Wire, q: &str) -> Result<(), String> {
        let mut wire = self.stage.reach(place.address);
        (self.act)(&mut Scene { wire: &mut wire, other, q });
        let expected = self.expected(place.is_oracle, q);
        let seen = observe(&mut wire, self.stage, &expected);
        if seen != expected {
            return Err(format!("{seen:?}\n    instead of {expected:?}"));
        }
        what_stays_open(&mut wire, self.stage, &seen);
        Ok(())
    }
}

impl Stage {
    fn reach(self, address: SocketAddr) -> Wire {
        match self {
            Stage::Socket => Wire::connect(address),
            Stage::Starting => {
                let mut wire = Wire::connect(address);
                wire.bytes(&PROTOCOL_HEADER);
                wire.expect(0, "connection.start");
                wire
            }
            Stage::Tuning => {
                let mut wire = Stage::Starting.reach(address);
                wire.login("PLAIN", b"\0guest\0guest", true);
                wire.expect(0, "connection.tune");
                wire
            }
            Stage::Opening => Wire::tuned(address, Tune::default()),
            Stage::Open => Wire::open(address),
            Stage::Channel => {
                let mut wire = Wire::open(address);
                wire.channel(1);
                wire.channel(2);
                wire
            }
        }
    }
}

/// What comes back. Where nothing bad is expected, a question that must be answered is asked behind it.
fn observe(wire: &mut Wire, stage: Stage, expected: &Outcome) -> Outcome {
    match expected {
        Outcome::Waits => wire.set_patience(SILENCE),
        Outcome::Ends => wire.end(),
        _ => {}
    }
    let goes = matches!(expected, Outcome::Goes | Outcome::Answer(_));
    let last = match stage {
        Stage::Channel if goes => {
            wire.send(1, PROBE);
            Some("access.request-ok")
        }
        Stage::Open if goes => {
            wire.send(0, ask::close_connection());
            Some("connection.close-ok")
        }
        _ => None,
    };
    let mut first = None;
    loop {
        let reply = match wire.next() {
            Next::Closed if *expected == Outcome::Ends => return Outcome::Ends,
            Next::Closed => return Outcome::Silent,
            Next::Nothing => return Outcome::Waits,
            Next::Header(header) => {
                assert_eq!(header, PROTOCOL_HEADER);
                return Outcome::Header;
            }
            Next::Frame(reply) => reply,
        };
        if reply.kind != FrameKind::Method || *expected == Outcome::Ends {
            continue;
        }
        match reply.method() {
            Method::ChannelClose { reply_code: code, reply_text, class_id, method_id } => {
                return Outcome::Channel(Close {
                    code,
                    text: reply_text.to_string(),
                    method: (class_id, method_id),
                });
            }
            Method::ConnectionClose { reply_code: code, reply_text, class_id, method_id } => {
                return Outcome::Connection(Close {
                    code,
                    text: reply_text.to_string(),
                    method: (class_id, method_id),
                });
            }
            method if Some(method.name()) == last => return first.map_or(Outcome::Goes, Outcome::Answer),
            method if last.is_none() => return Outcome::Answer(method.name()),
            method => first = first.or(Some(method.name())),
        }
    }
}

/// After an error of the channel's: the number may be opened again, and its neighbour has not noticed.
fn what_stays_open(wire: &mut Wire, stage: Stage, seen: &Outcome) {
    match seen {
        Outcome::Channel(_) => {
            wire.send(1, Method::ChannelCloseOk);
            wire.call(2, PROBE, "access.request-ok");
            wire.channel(1);
        }
        Outcome::Connection(_) => {
            wire.bytes_if_open(&crate::common::wire::encoded(0, Method::ConnectionCloseOk));
            assert!(wire.frame().is_none(), "a frame after the end");
        }
        Outcome::Header => assert!(wire.frame().is_none(), "a frame after the header"),
        Outcome::Goes | Outcome::Answer(_) if stage == Stage::Channel => {
            wire.call(2, PROBE, "access.request-ok");
        }
        Outcome::Goes | Outcome::Answer(_) | Outcome::Silent | Outcome::Waits | Outcome::Ends => {}
    }
}

/// Runs the cases against one broker, several at once, as many of them wait for seconds. After each, a good message
/// goes through another connection. `table` is a word that no other run has, for the names of queues.
pub fn run(table: &str, cases: &[Case]) {
    let target = Target::start();
    let place = Place { address: target.address, is_oracle: target.is_oracle() };
    let taken = &AtomicUsize::new(0);
    let wrong: Vec<String> = thread::scope(|scope| {
        let workers: Vec<_> = (0..WORKERS)
            .map(|worker| {
                let queue = format!("{table}-witness-{worker}");
                scope.spawn(move || run_some(place, table, &queue, cases, taken))
            })
            .collect();
        workers.into_iter().flat_map(|worker| worker.join().expect("a witness was harmed")).collect()
    });
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
    target.is_unharmed();
}

fn run_some(place: Place, table: &str, queue: &str, cases: &[Case], taken: &AtomicUsize) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut other = Wire::open(place.address);
    other.channel(1);
    other.call(1, declare_exclusive(queue), "queue.declare-ok");
    loop {
        let number = taken.fetch_add(1, Ordering::Relaxed);
        let Some(case) = cases.get(number) else { return wrong };
        let q = format!("{table}-{}-{number}", std::process::id());
        match catch_unwind(AssertUnwindSafe(|| case.run(place, &mut other, &q))) {
            Ok(Ok(())) => {}
            Ok(Err(what)) => wrong.push(format!("{}:\n    {what}", case.name)),
            Err(_) => wrong.push(format!("{}: a panic, see above", case.name)),
        }
        round_trip(&mut other, queue, &case.name);
    }
}

fn round_trip(other: &mut Wire, queue: &str, case: &str) {
    other.publish(1, "", queue, false, case.as_bytes());
    other.call(1, Method::BasicGet { queue: short(queue), no_ack: true }, "basic.get-ok");
    assert_eq!(other.content().1, case.as_bytes());
}

/// A method that must be answered and changes nothing.
const PROBE: Method<'static> = Method::AccessRequest {
    realm: ShortStr::EMPTY,
    exclusive: false,
    passive: true,
    active: true,
    write: true,
    read: true,
};

/// How long nothing comes before we say that nothing will.
const SILENCE: Duration = Duration::from_millis(300);

const WORKERS: usize = 16;
