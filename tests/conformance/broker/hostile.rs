//! Clients that send nonsense: the broker stays up, keeps its memory, and serves the others.

use crate::common::Broker;
use crate::common::wire::{
    Tune, Wire, body_frame, consume, content_header, declare, declare_exclusive, encoded, publication, short,
};
use haremq::amqp::frame::HEARTBEAT_FRAME;
use haremq::amqp::{Method, Table};
use std::thread;
use std::time::Duration;

/// HAREMQ_TEST_SEED repeats a run, HAREMQ_TEST_HOSTILE_CLIENTS makes it longer.
const CLIENTS: u64 = 400;
const THREADS: u64 = 4;
const FRAMES_EACH: u64 = 60;

#[test]
fn clients_that_send_nonsense_harm_nobody_else() {
    let broker = Broker::start();
    let seed = variable("HAREMQ_TEST_SEED").unwrap_or_else(|| u64::from(std::process::id()) << 32 | 0x9E37);
    let clients = variable("HAREMQ_TEST_HOSTILE_CLIENTS").unwrap_or(CLIENTS);
    eprintln!("HAREMQ_TEST_SEED={seed}");
    let address = broker.amqp;
    let mut witness = Wire::open_with(address, Tune { heartbeat: 60, ..Tune::default() });
    witness.channel(1);
    witness.call(1, declare_exclusive("witness"), "queue.declare-ok");
    let hostile: Vec<_> = (0..THREADS)
        .map(|number| {
            thread::spawn(move || {
                for client in (0..clients).filter(|client| client % THREADS == number) {
                    attack(Wire::open(address), &mut Dice(seed.wrapping_add(client * 0x1234_5677) | 1));
                }
            })
        })
        .collect();
    while hostile.iter().any(|thread| !thread.is_finished()) {
        round_trip(&mut witness);
    }
    for thread in hostile {
        thread.join().expect("the broker takes connections all the time");
    }
    // What the dead clients held is let go.
    thread::sleep(Duration::from_millis(200));
    round_trip(&mut witness);
    round_trip_elsewhere(&broker);
}

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|value| value.parse().ok())
}

fn round_trip(wire: &mut Wire) {
    wire.publish(1, "", "witness", false, b"alive");
    wire.call(1, Method::BasicGet { queue: "witness".into(), no_ack: true }, "basic.get-ok");
    assert_eq!(wire.content().1, b"alive");
}

fn round_trip_elsewhere(broker: &Broker) {
    for _ in 0..4 {
        let mut wire = Wire::open(broker.amqp);
        wire.channel(1);
        let mut bytes = encoded(1, declare_exclusive("elsewhere"));
        bytes.extend(publication(1, "", "elsewhere", true, b"alive"));
        bytes.extend(encoded(1, Method::BasicGet { queue: "elsewhere".into(), no_ack: true }));
        wire.bytes(&bytes);
        wire.expect(1, "queue.declare-ok");
        wire.expect(1, "basic.get-ok");
        assert_eq!(wire.content().1, b"alive");
        let delete = Method::QueueDelete {
            queue: short("elsewhere"),
            if_unused: false,
            if_empty: false,
            nowait: false,
        };
        wire.call(1, delete, "queue.delete-ok");
    }
}

/// Frames that are right one by one, in no order, some of them damaged; then a close, a cut, or silence.
fn attack(mut wire: Wire, dice: &mut Dice) {
    let mut bytes: Vec<u8> = (1..=3).flat_map(|channel| encoded(channel, Method::ChannelOpen)).collect();
    bytes.extend(QUEUES.iter().flat_map(|queue| encoded(1, declare(queue))));
    let damage = dice.below(4) == 0;
    for _ in 0..dice.below(FRAMES_EACH) {
        let mut frame = frame(dice);
        if damage && dice.below(20) == 0 {
            let at = dice.below(frame.len() as u64) as usize;
            frame[at] = dice.below(256) as u8;
        }
        bytes.extend(frame);
    }
    if dice.below(3) == 0 {
        bytes.truncate(dice.below(bytes.len() as u64) as usize);
    }
    match dice.below(3) {
        0 => bytes.chunks(1 + dice.below(50) as usize).for_each(|part| wire.bytes_if_open(part)),
        _ => wire.bytes_if_open(&bytes),
    }
    if dice.below(2) == 0 {
        let close =
            Method::ConnectionClose { reply_code: 200, reply_text: "".into(), class_id: 0, method_id: 0 };
        wire.bytes_if_open(&encoded(0, close));
        // A body may be open that swallows the close: then the socket is cut like the others.
        wire.drain_for(Duration::from_millis(20));
    }
}

fn frame(dice: &mut Dice) -> Vec<u8> {
    // Seldom what ends the channel, seldomer what ends the connection: either would end most of the attack.
    let (soft, fatal) = (dice.below(40) == 0, dice.below(100) == 0);
    let channel = if fatal { dice.below(5) } else { 1 + dice.below(3) } as u16;
    let name = dice.of(if soft { &["missing", "", "amq.mine"] } else { QUEUES });
    let from = dice.of(if soft { &["missing", "amq.rabbitmq.trace"] } else { EXCHANGES });
    let (queue, exchange, routing_key) = (short(name), short(from), short(name));
    let (flag, nowait, arguments) = (dice.below(2) == 0, dice.below(3) == 0, Table::EMPTY);
    let (delivery_tag, multiple) = if soft { (dice.below(20), flag) } else { (0, true) };
    let method = match dice.below(24) {
        0..4 => {
            return publication(channel, dice.of(EXCHANGES), name, flag, &vec![7; dice.below(9000) as usize]);
        }
        4 if fatal => return content_header(channel, dice.below(100)),
        5 if fatal => return body_frame(channel, &vec![7; dice.below(100) as usize]),
        6 => return HEARTBEAT_FRAME.to_vec(),
        7 if soft => declare_exclusive(name),
        7 | 8 => declare(name),
        9 if from.is_empty() => return reopened(channel),
        9 => Method::QueueBind { queue, exchange, routing_key, nowait, arguments },
        10 if !from.is_empty() => Method::QueueUnbind { queue, exchange, routing_key, arguments },
        11 if soft => Method::QueueDelete { queue, if_unused: flag, if_empty: nowait, nowait },
        12 => Method::QueuePurge { queue, nowait },
        13 | 14 => consume(name, dice.of(TAGS), flag),
        15 => Method::BasicCancel { consumer_tag: short(dice.of(TAGS)), nowait },
        16 | 17 => Method::BasicGet { queue, no_ack: flag },
        18 => Method::BasicAck { delivery_tag, multiple },
        19 => Method::BasicNack { delivery_tag, multiple, requeue: nowait },
        20 => Method::ConfirmSelect { nowait },
        21 => {
            Method::BasicQos { prefetch_size: 0, prefetch_count: dice.below(3) as u16, global: flag && fatal }
        }
        22 if fatal => Method::ChannelOpen,
        23 => return reopened(channel),
        _ => return publication(channel, "", name, flag, &vec![7; dice.below(50) as usize]),
    };
    encoded(channel, method)
}

/// After an error of the channel's nothing is heard but this.
fn reopened(channel: u16) -> Vec<u8> {
    let close = Method::ChannelClose { reply_code: 200, reply_text: "".into(), class_id: 0, method_id: 0 };
    [close, Method::ChannelCloseOk, Method::ChannelOpen]
        .into_iter()
        .flat_map(|it| encoded(channel, it))
        .collect()
}

const QUEUES: &[&str] = &["hostile-a", "hostile-b", "hostile-c", "hostile-d"];
const EXCHANGES: &[&str] = &["", "amq.direct", "amq.fanout"];
const TAGS: &[&str] = &["", "", "", "", "s", "t", "u", "v", "w", "x", "y", "z"];

/// xorshift: the seed says all.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % bound.max(1)
    }

    fn of(&mut self, choices: &[&'static str]) -> &'static str {
        choices[self.below(choices.len() as u64) as usize]
    }
}
