//! Folders that a server should not find as they are: in use, of another version, cut short, with an octet changed.

use std::fs::{self, File};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use haremq::amqp::{Method, Properties, PropertiesWriter, Table};

use crate::Folder;
use crate::body::{self, Id};
use crate::common::wire::{Wire, consume, declare_durable, look_at, publication_with};
use crate::common::{Broker, haremq};

const QUEUE: &str = "q";
const MESSAGES: u32 = 100;

#[test]
fn a_second_server_on_a_folder_is_refused_and_the_first_goes_on() {
    let folder = Folder::of("second");
    let broker = start(&folder);
    let (code, text) = refusal(&folder.path);
    assert_eq!(code, Some(CONFIG), "{text}");
    assert!(text.contains("another server uses") && text.contains(&data(&folder.path)), "{text}");
    publish(&broker);
    assert_eq!(consumed(&broker).len(), MESSAGES as usize);
}

#[test]
fn a_folder_of_another_version_is_refused_and_left_as_it_is() {
    let folder = Folder::of("version");
    let mut broker = start(&folder);
    publish(&broker);
    broker.terminate(PATIENCE).expect("an idle server stops");
    let segment = segment_of(&folder.path, 0);
    let before = fs::read(&segment).expect("a segment");
    let mut later = before.clone();
    later[VERSION_AT] += 1;
    let crc = crc32c::crc32c(&later[VERSION_AT..PAGE_BYTES]);
    later[CRC_AT..VERSION_AT].copy_from_slice(&crc.to_le_bytes());
    fs::write(&segment, &later).expect("our own folder");
    let (code, text) = refusal(&folder.path);
    assert_eq!(code, Some(CONFIG), "{text}");
    assert!(text.contains("layout 2"), "{text}");
    assert!(fs::read(&segment).expect("a segment") == later, "it was changed");
    // As it was, it is taken.
    fs::write(&segment, &before).expect("our own folder");
    let broker = start(&folder);
    assert_eq!(consumed(&broker), (0..MESSAGES).collect::<Vec<_>>());
}

/// Wherever the last segment ends, what is left of it is served.
#[test]
fn a_segment_that_is_cut_short_starts() {
    for (at, within) in [(0, 0), (10, 1), (50, 9), (99, 40)] {
        let folder = Folder::of("cut");
        let mut broker = start(&folder);
        publish(&broker);
        broker.kill();
        let segment = segment_of(&folder.path, at);
        let end = place_of(&segment, at) + within;
        let file = File::options().write(true).open(&segment).expect("a segment");
        file.set_len(end).expect("our own folder");
        let broker = start(&folder);
        assert_eq!(consumed(&broker), (0..at).collect::<Vec<_>>(), "cut in message {at}");
        // It goes on behind what was lost.
        publish(&broker);
    }
}

#[test]
fn an_octet_that_changed_costs_its_message_alone_and_is_named() {
    for hit in [0, 37, MESSAGES - 1] {
        let folder = Folder::of("flip");
        let mut broker = start(&folder);
        publish(&broker);
        // What lies behind the last says that it was synced.
        publish_to(&broker, "other");
        broker.kill();
        let segment = segment_of(&folder.path, hit);
        flip(&segment, place_of(&segment, hit) + 20);
        let mut broker = start(&folder);
        let others: Vec<u32> = (0..MESSAGES).filter(|number| *number != hit).collect();
        assert_eq!(consumed(&broker), others);
        let log = broker.log();
        assert!(log.contains("ERROR") && log.contains("damage in the journal"), "{log}");
        let aside =
            fs::read_dir(folder.path.join("data/set-aside")).expect("what is damaged is kept").count();
        assert_eq!(aside, 1);
        // The next start serves the same.
        broker.kill();
        let broker = start(&folder);
        assert_eq!(consumed(&broker), others);
    }
}

/// A damaged topology does not cost what is sound.
#[test]
fn an_octet_of_the_topology_that_changed_costs_its_queue_alone() {
    let folder = Folder::of("topology");
    let mut broker = start(&folder);
    publish_to(&broker, "victim");
    publish(&broker);
    broker.kill();
    let segment = folder.path.join("data/topology/0000000001.seg");
    let bytes = fs::read(&segment).expect("a segment");
    let at = bytes.windows(6).position(|window| window == b"victim").expect("its declaration");
    flip(&segment, at as u64);
    let broker = start(&folder);
    assert_eq!(consumed(&broker), (0..MESSAGES).collect::<Vec<_>>());
    assert!(broker.log().contains("damage in the journal"), "{}", broker.log());
    let mut wire = Wire::open(broker.amqp);
    wire.channel(1);
    wire.send(1, look_at("victim"));
    assert_eq!(wire.channel_closed(1).0, 404);
}

/// One by one, so that each lies in a group of its own, and the groups behind it say that it was synced.
fn publish(broker: &Broker) {
    publish_to(broker, QUEUE);
}

fn publish_to(broker: &Broker, queue: &str) {
    let mut wire = Wire::open(broker.amqp);
    wire.channel(1);
    wire.call(1, declare_durable(queue, Table::EMPTY), "queue.declare-ok");
    publish_some(&mut wire, queue, 0..MESSAGES);
}

/// Persistent ones, each confirmed before the next is sent.
pub fn publish_some(wire: &mut Wire, queue: &str, numbers: Range<u32>) {
    wire.channel(9);
    wire.call(9, Method::ConfirmSelect { nowait: false }, "confirm.select-ok");
    for number in numbers {
        wire.bytes(&publications(9, queue, number..number + 1));
        wire.expect(9, "basic.ack");
    }
}

/// What was said on the first channel is written when this returns: a confirm of the only shard comes behind it.
pub fn until_written(wire: &mut Wire) {
    wire.call(1, declare_durable("mark", Table::EMPTY), "queue.declare-ok");
    publish_some(&mut Wire::open(wire.address()), "mark", 0..1);
}

/// The frames of persistent ones.
pub fn publications(channel: u16, queue: &str, numbers: Range<u32>) -> Vec<u8> {
    let properties = PropertiesWriter { delivery_mode: Some(2), ..PropertiesWriter::default() }.finish();
    let properties = Properties::decode(&properties).expect("properties that we wrote");
    numbers
        .flat_map(|number| publication_with(channel, "", queue, false, properties, &message(number)))
        .collect()
}

/// The numbers of what is in the queue, all of it whole.
fn consumed(broker: &Broker) -> Vec<u32> {
    let mut wire = Wire::open(broker.amqp);
    wire.channel(1);
    take_all(&mut wire, QUEUE)
}

/// Takes what is ready, and acknowledges nothing; delivery tags count from 1.
pub fn take_all(wire: &mut Wire, queue: &str) -> Vec<u32> {
    let count = wire.call(1, look_at(queue), "queue.declare-ok");
    let Method::QueueDeclareOk { message_count, .. } = count.method() else { unreachable!() };
    wire.call(1, consume(queue, "t", false), "basic.consume-ok");
    let next = |_| {
        wire.expect(1, "basic.deliver");
        let (_, body) = wire.content();
        body::read(&body).expect("a message as it was sent").0.number
    };
    (0..message_count).map(next).collect()
}

fn message(number: u32) -> Vec<u8> {
    body::make(Id { client: 1, number }, 0, 300)
}

/// The only file of the journal of messages that holds that one.
fn segment_of(folder: &Path, number: u32) -> PathBuf {
    let names = fs::read_dir(folder.join("data/journal-0")).expect("the journal of the only shard");
    let mut paths: Vec<PathBuf> = names.map(|name| name.expect("a name").path()).collect();
    paths.sort();
    let holds = |path: &PathBuf| find(&fs::read(path).expect("a segment"), &message(number)).is_some();
    paths.into_iter().find(holds).expect("a segment with the message")
}

/// Where its body begins.
fn place_of(segment: &Path, number: u32) -> u64 {
    find(&fs::read(segment).expect("a segment"), &message(number)).expect("the message")
}

fn find(bytes: &[u8], sought: &[u8]) -> Option<u64> {
    // A body lies anywhere in a record, and its first octets are rare.
    let first = bytes.windows(8).enumerate().filter(|(_, window)| *window == &sought[..8]);
    let mut places = first.map(|(at, _)| at).filter(|at| bytes[*at..].starts_with(sought));
    places.next().map(|at| at as u64)
}

fn flip(file: &Path, at: u64) {
    let file = File::options().read(true).write(true).open(file).expect("a segment");
    let mut octet = [0];
    file.read_exact_at(&mut octet, at).expect("it is that long");
    file.write_all_at(&[octet[0] ^ 0x10], at).expect("our own folder");
}

pub fn start(folder: &Folder) -> Broker {
    Broker::start_on(&folder.path, &["--shards=1".to_owned()])
}

/// Exit code and outputs of a start that fails.
fn refusal(folder: &Path) -> (Option<i32>, String) {
    let output = haremq(["--pin", "off", "--amqp-listen=127.0.0.1:0", "--http-listen=127.0.0.1:0"])
        .args(["--data-dir", &data(folder)])
        .output()
        .expect("the binary is built before its tests");
    (output.status.code(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}

fn data(folder: &Path) -> String {
    folder.join("data").to_string_lossy().into_owned()
}

const PATIENCE: Duration = Duration::from_secs(10);
/// What can be used and is not as it should be.
const CONFIG: i32 = 78;

/// Of a segment's header.
const CRC_AT: usize = 8;
const VERSION_AT: usize = 12;
const PAGE_BYTES: usize = 4_096;
