//! A data folder of each version of the layout, as tests/fixtures/make_data.py once made it: every later server opens it.

use std::fs;
use std::path::{Path, PathBuf};

use haremq::amqp::{Method, Table};

use crate::Folder;
use crate::common::wire::{Wire, declare_durable, look_at, short};
use crate::common::{Broker, is_own_trouble};

#[test]
fn the_folder_of_version_1_opens_with_any_number_of_shards() {
    for shards in [1, 2, 3] {
        let folder = Folder::of("frozen");
        copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/data-1"), &folder.path.join("data"));
        // Twice: what the first start makes of it is a folder like any other.
        for _ in 0..2 {
            let mut broker = Broker::start_on(&folder.path, &[format!("--shards={shards}")]);
            look(&mut Wire::open(broker.amqp));
            broker.kill();
        }
        let broker = Broker::start_on(&folder.path, &[format!("--shards={shards}")]);
        take_all(&broker);
        let log = broker.log();
        assert!(!log.lines().any(is_own_trouble), "{log}");
    }
}

/// How many wait in each queue, and what is not there.
fn look(wire: &mut Wire) {
    wire.channel(1);
    let counts =
        [("plain", 40), ("os", 7), ("none", 0), ("urgent", 12), ("limited", 5), ("dying", 1), ("dead", 3)];
    for (queue, count) in counts {
        let answer = wire.call(1, look_at(queue), "queue.declare-ok");
        let Method::QueueDeclareOk { message_count, .. } = answer.method() else { unreachable!() };
        assert_eq!(message_count, count, "{queue}");
    }
    for (channel, queue) in [(2, "gone"), (3, "transient")] {
        wire.channel(channel);
        wire.send(channel, look_at(queue));
        assert_eq!(wire.channel_closed(channel).0, 404, "{queue}");
    }
    // The same arguments as then, or it would be refused.
    wire.call(1, declare_durable("plain", Table::EMPTY), "queue.declare-ok");
}

fn take_all(broker: &Broker) {
    let wire = &mut Wire::open(broker.amqp);
    wire.channel(1);
    let numbered = |name: &str, numbers: &[u32]| -> Vec<Vec<u8>> {
        numbers.iter().map(|number| format!("{name}-{number}").into_bytes()).collect()
    };
    let mut plain = numbered("plain", &(10..40).collect::<Vec<_>>());
    plain.push(vec![b'l'; 70_000]);
    plain.extend(numbered("news", &[0, 1, 2, 3, 4, 5]));
    plain.extend(numbered("tx", &[0, 1, 2]));
    assert!(get_all(wire, "plain") == plain);
    assert_eq!(get_all(wire, "os"), [numbered("news", &[0, 1, 2, 3, 4, 5]), vec![b"last".to_vec()]].concat());
    assert_eq!(get_all(wire, "urgent"), numbered("urgent", &[3, 7, 11, 2, 6, 10, 1, 5, 9, 0, 4, 8]));
    assert_eq!(get_all(wire, "limited"), numbered("limited", &[7, 8, 9, 10, 11]));
    assert_eq!(get_all(wire, "dead"), [&b"dying-0"[..], b"after", b"dying-1"], "as they came");
    assert_eq!(get_all(wire, "dying"), numbered("dying", &[2]));
    // By a binding between exchanges, by one to a queue, and not by one that was undone.
    for (key, count) in [("everywhere.at.once", 1), ("some.rain", 1), ("unbound", 0)] {
        wire.publish(1, "weather", key, false, b"new");
        assert_eq!(get_all(wire, "plain").len(), count, "{key}");
    }
}

/// The bodies of what is ready.
fn get_all(wire: &mut Wire, queue: &str) -> Vec<Vec<u8>> {
    let mut bodies = Vec::new();
    loop {
        wire.send(1, Method::BasicGet { queue: short(queue), no_ack: true });
        let answer = wire.frame().expect("an answer");
        if answer.name() == "basic.get-empty" {
            return bodies;
        }
        bodies.push(wire.content().1);
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("our own folder");
    for entry in fs::read_dir(from).expect("the fixture is there") {
        let entry = entry.expect("the fixture is there").path();
        let target: PathBuf = to.join(entry.file_name().expect("it has a name"));
        if entry.is_dir() {
            copy(&entry, &target);
        } else {
            fs::copy(&entry, &target).expect("our own folder");
        }
    }
}
