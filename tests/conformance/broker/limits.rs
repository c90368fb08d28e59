//! Where we are more generous than RabbitMQ, or bounded in our own way.

use crate::common::Broker;
use crate::common::wire::{Tune, Wire, consume, declare_exclusive};

/// The least frame_max of the specification; RabbitMQ asks for 8192.
#[test]
fn the_smallest_frames_carry_large_bodies() {
    let broker = Broker::start();
    let mut small = Wire::open_with(broker.amqp, Tune { frame_max: 4096, ..Tune::default() });
    small.channel(1);
    small.call(1, declare_exclusive("small-frames"), "queue.declare-ok");
    small.call(1, consume("small-frames", "c", true), "basic.consume-ok");
    let mut large = Wire::open(broker.amqp);
    large.channel(1);
    for size in [0, 4087, 4088, 4089, 8176, 1 << 20] {
        let body: Vec<u8> = (0..size).map(|at| (at % 251) as u8).collect();
        large.publish(1, "", "small-frames", false, &body);
        small.expect(1, "basic.deliver");
        assert!(small.content().1 == body, "{size} bytes came back changed");
    }
}
