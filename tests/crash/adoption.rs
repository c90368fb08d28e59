//! Journals of shards that are there no more: a server killed between taking one over and removing it.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

use haremq::amqp::{Method, Table};

use crate::Folder;
use crate::common::Broker;
use crate::common::wire::{Wire, declare_durable};
use crate::damage::{publish_some, take_all};

const QUEUES: [&str; 6] = ["a0", "a1", "a2", "a3", "a4", "a5"];

/// Whether the next server has fewer shards or as many as before, what is acknowledged then does not come back.
#[test]
fn what_was_taken_over_and_is_still_there_is_not_there_twice() {
    for shards in [[3, 3], [2, 3], [3, 2]] {
        let folder = Folder::of("adoption");
        let data = folder.path.join("data");
        fill_and_kill(&folder);
        let (journal, copy) = (data.join("journal-2"), folder.path.join("copy"));
        copy_all(&journal, &copy);
        start(&folder, 2).kill();
        // As if it had been killed before it came to that.
        fs::remove_dir_all(&journal).expect("our own folder");
        copy_all(&copy, &journal);

        let mut broker = start(&folder, shards[0]);
        let held: Vec<Wire> = QUEUES.into_iter().map(|queue| take(&broker, queue, &[0, 1, 2, 3])).collect();
        thread::sleep(UNTIL_WRITTEN);
        broker.kill();
        drop(held);
        let broker = start(&folder, shards[1]);
        QUEUES.into_iter().for_each(|queue| drop(take(&broker, queue, &[3])));
    }
}

/// It is neither lost, nor read as if it were of the journal, nor in the way.
#[test]
fn what_is_not_of_a_journal_that_is_taken_over_stays() {
    let folder = Folder::of("foreign");
    let data = folder.path.join("data");
    fill_and_kill(&folder);
    let journal = data.join("journal-2");
    fs::copy(data.join("journal-1/0000000001.seg"), journal.join("0000000008.seg")).expect("our own folder");
    fs::write(journal.join("notes.txt"), "ours").expect("our own folder");
    for strange in ["0000000009.seg", "spare-9"] {
        fs::create_dir(journal.join(strange)).expect("our own folder");
    }
    for shards in [2, 2, 3] {
        let mut broker = start(&folder, shards);
        for queue in QUEUES {
            let mut wire = Wire::open(broker.amqp);
            wire.channel(1);
            assert_eq!(take_all(&mut wire, queue), [0, 1, 2, 3], "{queue}");
        }
        broker.kill();
        for kept in ["0000000008.seg.aside", "0000000009.seg.aside", "notes.txt", "spare-9"] {
            assert!(journal.join(kept).exists(), "{kept}");
        }
    }
}

/// Expects these, and acknowledges all but the last.
fn take(broker: &Broker, queue: &str, expected: &[u32]) -> Wire {
    let mut wire = Wire::open(broker.amqp);
    wire.channel(1);
    assert_eq!(take_all(&mut wire, queue), expected, "{queue}");
    for delivery_tag in 1..expected.len() as u64 {
        wire.send(1, Method::BasicAck { delivery_tag, multiple: false });
    }
    wire
}

fn copy_all(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("our own folder");
    for name in fs::read_dir(from).expect("a folder of the server") {
        let name = name.expect("a name");
        fs::copy(name.path(), to.join(name.file_name())).expect("our own folder");
    }
}

fn start(folder: &Folder, shards: u16) -> Broker {
    let arguments = [format!("--shards={shards}"), "--segment-bytes=64KiB".to_owned()];
    Broker::start_on(&folder.path, &arguments)
}

/// What consumers settle is written after 50 ms.
const UNTIL_WRITTEN: Duration = Duration::from_secs(1);

/// A server of three shards, killed with four confirmed messages in each of the queues.
fn fill_and_kill(folder: &Folder) {
    let mut broker = start(folder, 3);
    let mut wire = Wire::open(broker.amqp);
    wire.channel(1);
    for queue in QUEUES {
        wire.call(1, declare_durable(queue, Table::EMPTY), "queue.declare-ok");
        publish_some(&mut Wire::open(broker.amqp), queue, 0..4);
    }
    broker.kill();
}
