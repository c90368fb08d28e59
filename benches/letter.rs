//! What a dead letter costs: the way that a message takes when its queue gives it up.

use std::hint::black_box;

use divan::Bencher;
use haremq::amqp::frame::{FrameKind, encode_frame};
use haremq::amqp::{PropertiesWriter, Table, TableWriter};
use haremq::death::{Death, Reason, cycle_queues, letter, with_delivery_count};
use haremq::ids::ChannelNumber;
use haremq::message::Message;

fn main() {
    divan::main();
}

const EXPIRED: Death<'_> = Death { reason: Reason::Expired, queue: b"orders", time_s: 1_700_000_000 };
const REJECTED: Death<'_> = Death { reason: Reason::Rejected, queue: b"retry", time_s: 1_700_000_000 };

/// The first death of a message without headers, and with four of them.
#[divan::bench(args = [0, 4])]
fn first_letter(bencher: Bencher, headers: i32) {
    let record = record(headers);
    let message = Message::from_record(&record);
    bencher.bench(|| letter(black_box(&message), false, &EXPIRED, b"dead", Some(b"orders.dead")));
}

/// The same death once more, as in a loop of retries.
#[divan::bench]
fn letter_of_a_letter(bencher: Bencher) {
    let first = letter(&Message::from_record(&record(4)), false, &EXPIRED, b"dead", None);
    let second = letter(&Message::from_record(&first), true, &REJECTED, b"dead", None);
    let message = Message::from_record(&second);
    bencher.bench(|| letter(black_box(&message), true, &EXPIRED, b"dead", None));
}

/// A queue that was not on the letter's way.
#[divan::bench]
fn is_in_a_cycle(bencher: Bencher) {
    let first = letter(&Message::from_record(&record(4)), false, &EXPIRED, b"dead", None);
    let message = Message::from_record(&first);
    bencher.bench(|| cycle_queues(black_box(&message)).names().any(|name| name == b"other"));
}

#[divan::bench]
fn delivery_count(bencher: Bencher) {
    let record = record(4);
    let message = Message::from_record(&record);
    bencher.bench(|| with_delivery_count(black_box(&message), 3));
}

/// A persistent message of 256 octets that expires.
fn record(headers: i32) -> Vec<u8> {
    let table =
        (0..headers).fold(TableWriter::new(), |table, number| table.i32(&format!("header-{number}"), number));
    let table = table.finish();
    let properties = PropertiesWriter {
        headers: (headers > 0).then(|| Table::decode(&table).expect("our own headers")),
        delivery_mode: Some(2),
        expiration: Some("60000".into()),
        ..PropertiesWriter::default()
    };
    let mut record = b"\x06events\x06orders".to_vec();
    encode_frame(&mut record, FrameKind::Header, ChannelNumber(1), |out| {
        out.extend_from_slice(b"\0\x3C\0\0\0\0\0\0\0\0\x01\0");
        out.extend_from_slice(&properties.finish());
    });
    encode_frame(&mut record, FrameKind::Body, ChannelNumber(1), |out| out.extend_from_slice(&[b'x'; 256]));
    record
}
