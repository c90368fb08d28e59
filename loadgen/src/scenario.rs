//! The set-ups that reference measurements of RabbitMQ and LavinMQ were made with, by their short names.

use crate::options::{Flag, RunOptions};

/// Fills what the command line left open. Returns false for a name that is not known.
pub fn apply(name: &str, options: &mut RunOptions) -> bool {
    match name {
        "1" => _ = auto_ack(options, 16),
        "1b" => limited(auto_ack(options, 16)),
        "2" => _ = auto_ack(options, KIB),
        "2b" => limited(auto_ack(options, KIB)),
        "3" => _ = persistent_with_confirms(options, 1000, 100),
        "3w1" => _ = persistent_with_confirms(options, 1, 1),
        "4" => fanout(options),
        "5" => many_bindings(options, "topic", "bench.%d.event", 10_000),
        "5u" => many_bindings(unique(options), "topic", "bench.%d", 10_000),
        "6" => many_bindings(options, "headers", "%d", 100),
        "6u" => many_bindings(unique(options), "headers", "%d", 10_000),
        "7" => many_bindings(options, "direct", "key-%d", 10_000),
        BACKLOG => million(persistent_with_confirms(options, 1000, 100)),
        "9" => paced(auto_ack(options, 16), 20_000.0),
        "9f" => paced(realtime(auto_ack(options, 16)), 20_000.0),
        "9f1k" => paced(realtime(auto_ack(options, 16)), 1_000.0),
        "9p" => paced(persistent_with_confirms(options, 1000, 100), 20_000.0),
        "9fc" => paced(realtime(persistent_with_confirms(options, 1000, 100)), 20_000.0),
        "10" => limited(many_connections(options)),
        "10r" => paced(many_connections(options), 40.0),
        "11" => _ = auto_ack(options, 16 * KIB),
        "14" => limited(eight_by_eight(options)),
        CHURN => _ = options.producers.get_or_insert(8),
        START => {}
        _ => return false,
    }
    true
}

/// A queue is filled, then drained.
pub const BACKLOG: &str = "8";
/// Connections opened and closed as fast as it goes.
pub const CHURN: &str = "12";
/// From the start of the broker's process to the first open connection.
pub const START: &str = "13";

fn limited(options: &mut RunOptions) {
    options.in_flight.get_or_insert(IN_FLIGHT);
}

fn paced(options: &mut RunOptions, rate: f64) {
    options.rate.get_or_insert(rate);
}

/// One producer, one consumer, transient messages, no acknowledgements.
fn auto_ack(options: &mut RunOptions, body_bytes: usize) -> &mut RunOptions {
    // Whoever asks for acknowledgements gets them.
    options.autoack |= options.multi_ack.is_none();
    options.size.get_or_insert(body_bytes);
    options
}

fn persistent_with_confirms(options: &mut RunOptions, window: u32, multi_ack: u32) -> &mut RunOptions {
    options.size.get_or_insert(KIB);
    options.confirm.get_or_insert(window);
    options.multi_ack.get_or_insert(multi_ack);
    options.qos.get_or_insert(1000);
    if !options.has_flag(Flag::Persistent) {
        options.flag.push(Flag::Persistent);
    }
    options
}

/// As many messages of each producer, however long they take within reason.
fn million(options: &mut RunOptions) {
    options.pmessages.get_or_insert(1_000_000);
    options.time.get_or_insert(600.0);
}

/// One producer, a fanout exchange, ten queues with a consumer each. Limited in flight, because nothing else bounds the
/// queues of a broker that takes messages in faster than it can multiply them.
fn fanout(options: &mut RunOptions) {
    auto_ack(options, 16).exchange_type.get_or_insert_with(|| "fanout".to_owned());
    queues(options, 10);
    options.consumers.get_or_insert(10);
    options.in_flight.get_or_insert(5_000);
}

/// One producer that rotates through as many keys as are bound, to ten queues with a consumer each.
fn many_bindings(options: &mut RunOptions, exchange_type: &str, key: &str, bindings: u32) {
    auto_ack(options, 16).exchange_type.get_or_insert_with(|| exchange_type.to_owned());
    options.routing_key.get_or_insert_with(|| key.to_owned());
    options.bindings.get_or_insert(bindings);
    queues(options, 10);
    options.consumers.get_or_insert(10);
    options.in_flight.get_or_insert(IN_FLIGHT);
}

/// No two messages are routed by the same key or headers, so that no cache of resolved routes helps.
fn unique(options: &mut RunOptions) -> &mut RunOptions {
    options.unique = true;
    options
}

fn realtime(options: &mut RunOptions) -> &mut RunOptions {
    options.realtime = true;
    options
}

/// Eight producers, each with a queue, and a consumer for each of them.
fn eight_by_eight(options: &mut RunOptions) -> &mut RunOptions {
    let count = *auto_ack(options, 16).producers.get_or_insert(8);
    options.consumers.get_or_insert(count);
    queues(options, count);
    options
}

/// 500 connections that each publish to a queue of their own and consume from it.
fn many_connections(options: &mut RunOptions) -> &mut RunOptions {
    auto_ack(options, 16).duplex = true;
    let count = *options.producers.get_or_insert(500);
    options.consumers.get_or_insert(count);
    queues(options, count);
    options
}

/// `count` queues, unless others were asked for.
fn queues(options: &mut RunOptions, count: u32) {
    if options.queue.is_none() && options.queue_pattern.is_none() {
        options.queue_pattern = Some("loadgen-%d".to_owned());
        options.queue_pattern_from.get_or_insert(1);
        options.queue_pattern_to.get_or_insert(count);
    }
}

const KIB: usize = 1024;
const IN_FLIGHT: u64 = 20_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_options_override_a_scenario() {
        let mut options =
            RunOptions { size: Some(64), in_flight: Some(5), multi_ack: Some(10), ..Default::default() };
        assert!(apply("1b", &mut options));
        assert_eq!((options.size, options.in_flight, options.autoack), (Some(64), Some(5), false));
        assert!(!apply("1c", &mut RunOptions::default()));
    }

    #[test]
    fn headers_and_unique_keys_come_with_their_exchanges() {
        let applied = |name| {
            let mut options = RunOptions::default();
            assert!(apply(name, &mut options), "{name}");
            (options.exchange_type, options.bindings, options.unique)
        };
        assert_eq!(applied("5"), (Some("topic".into()), Some(10_000), false));
        assert_eq!(applied("5u"), (Some("topic".into()), Some(10_000), true));
        assert_eq!(applied("6"), (Some("headers".into()), Some(100), false));
        assert_eq!(applied("6u"), (Some("headers".into()), Some(10_000), true));
    }

    #[test]
    fn what_is_to_be_kept_is_confirmed() {
        for (name, rate, realtime, count) in [
            ("3", None, false, None),
            ("9p", Some(20_000.0), false, None),
            ("9fc", Some(20_000.0), true, None),
            ("8", None, false, Some(1_000_000)),
        ] {
            let mut options = RunOptions::default();
            assert!(apply(name, &mut options), "{name}");
            assert!(options.has_flag(Flag::Persistent) && !options.autoack, "{name}");
            assert_eq!(
                (options.size, options.confirm, options.multi_ack),
                (Some(KIB), Some(1000), Some(100))
            );
            assert_eq!((options.rate, options.realtime, options.pmessages), (rate, realtime, count));
        }
    }

    #[test]
    fn five_hundred_connections_get_a_queue_each() {
        let mut options = RunOptions::default();
        assert!(apply("10r", &mut options));
        assert_eq!(
            (options.producers, options.queue_pattern_to, options.rate),
            (Some(500), Some(500), Some(40.0))
        );
        let mut options = RunOptions { producers: Some(20), ..Default::default() };
        assert!(apply("10", &mut options));
        assert_eq!((options.consumers, options.queue_pattern_to), (Some(20), Some(20)));
    }
}
