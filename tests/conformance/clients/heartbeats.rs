//! A peer that says nothing is gone; one that says anything is there.

use super::Target;
use crate::common::wire::{Tune, Wire, declare_exclusive, encoded};
use haremq::amqp::Method;
use haremq::amqp::frame::HEARTBEAT_FRAME;
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

const INTERVAL: Duration = Duration::from_secs(2);

fn open(address: SocketAddr) -> Wire {
    let mut wire = Wire::open_with(address, Tune { heartbeat: 2, ..Tune::default() });
    wire.channel(1);
    wire
}

#[test]
fn a_silent_client_is_cut_between_two_and_three_intervals() {
    let target = Target::start();
    let mut wire = open(target.address);
    let silent_since = Instant::now();
    assert!(wire.frame().is_none(), "the socket closes");
    let silence = silent_since.elapsed();
    assert!(silence >= 2 * INTERVAL, "cut after {silence:?}");
    assert!(silence <= 3 * INTERVAL + INTERVAL / 4, "cut after {silence:?}");
    assert!(wire.heartbeats >= 3, "the broker's own heartbeats: {}", wire.heartbeats);
}

#[test]
fn heartbeats_or_any_traffic_keep_a_connection() {
    let target = Target::start();
    let address = target.address;
    thread::scope(|scope| {
        for beat in
            [HEARTBEAT_FRAME.to_vec(), encoded(1, Method::BasicAck { delivery_tag: 0, multiple: true })]
        {
            scope.spawn(move || {
                let mut wire = open(address);
                for _ in 0..7 {
                    wire.bytes(&beat);
                    thread::sleep(Duration::from_secs(1));
                }
                wire.call(1, declare_exclusive(""), "queue.declare-ok");
            });
        }
    });
}
