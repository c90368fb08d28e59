//! Where we are more generous than RabbitMQ, or bounded in our own way.

use crate::common::Broker;
use crate::common::wire::{Tune, Wire, consume, content_header, declare_exclusive, encoded};
use haremq::amqp::Method;

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

#[test]
fn a_body_that_is_announced_too_large_is_refused_before_it_comes() {
    let broker = Broker::start();
    let mut wire = Wire::open(broker.amqp);
    wire.channel(1);
    let (exchange, routing_key) = ("".into(), "anywhere".into());
    let publish = Method::BasicPublish { exchange, routing_key, mandatory: false, immediate: false };
    wire.bytes(&[encoded(1, publish), content_header(1, (128 << 20) + 1)].concat());
    let text = "PRECONDITION_FAILED - message size 134217729 is larger than configured max size 134217728";
    assert_eq!(wire.channel_closed(1), (406, text.to_owned()));
    wire.channel(1);
}
