//! What must hold of dead letters for every message and every history: they are well-formed, nothing is lost that is not
//! to be replaced, and their headers tell what happened.
#![allow(clippy::unwrap_used)]

use haremq::amqp::frame::{FrameKind, encode_frame};
use haremq::amqp::{ContentHeader, PropertiesWriter, ShortStr, Table, TableWriter, Value};
use haremq::death::{Death, Reason, cycle_queues, letter, with_delivery_count};
use haremq::ids::ChannelNumber;
use haremq::message::Message;
use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::BTreeMap;

const OURS: [&str; 7] = [
    "x-death",
    "x-first-death-exchange",
    "x-first-death-queue",
    "x-first-death-reason",
    "x-last-death-exchange",
    "x-last-death-queue",
    "x-last-death-reason",
];

/// A message with any properties, owned.
#[derive(Clone, Debug)]
struct Original {
    exchange: Vec<u8>,
    routing_key: Vec<u8>,
    present: u16,
    texts: Vec<Vec<u8>>,
    numbers: (u8, u8, u64),
    headers: Vec<u8>,
    body: Vec<u8>,
}

impl Original {
    fn properties(&self) -> PropertiesWriter<'_> {
        let present = |bit: u16| self.present >> bit & 1 != 0;
        let text = |index: usize, bit| ShortStr::new(&self.texts[index]).filter(|_| present(bit));
        PropertiesWriter {
            content_type: text(0, 0),
            content_encoding: text(1, 1),
            headers: Table::decode(&self.headers).ok().filter(|_| present(2)),
            delivery_mode: Some(self.numbers.0).filter(|_| present(3)),
            priority: Some(self.numbers.1).filter(|_| present(4)),
            correlation_id: text(2, 5),
            reply_to: text(3, 6),
            expiration: text(4, 7),
            message_id: text(5, 8),
            timestamp: Some(self.numbers.2).filter(|_| present(9)),
            type_: text(6, 10),
            user_id: text(7, 11),
            app_id: text(8, 12),
            cluster_id: text(9, 13),
        }
    }

    fn record(&self) -> Vec<u8> {
        let mut record = Vec::new();
        for name in [&self.exchange, &self.routing_key] {
            record.push(name.len() as u8);
            record.extend_from_slice(name);
        }
        encode_frame(&mut record, FrameKind::Header, ChannelNumber(9), |out| {
            out.extend_from_slice(b"\0\x3C\0\0");
            out.extend_from_slice(&(self.body.len() as u64).to_be_bytes());
            out.extend_from_slice(&self.properties().finish());
        });
        for piece in self.body.chunks(7) {
            encode_frame(&mut record, FrameKind::Body, ChannelNumber(9), |out| out.extend_from_slice(piece));
        }
        record
    }
}

fn originals() -> impl Strategy<Value = Original> {
    let messages =
        (short_strings(), short_strings(), any::<u16>(), vec(short_strings(), 10), any::<(u8, u8, u64)>());
    (messages, tables(), vec(any::<u8>(), 0..40)).prop_map(
        |((exchange, routing_key, present, texts, numbers), headers, body)| Original {
            exchange,
            routing_key,
            present,
            texts,
            numbers,
            headers,
            body,
        },
    )
}

fn short_strings() -> impl Strategy<Value = Vec<u8>> {
    let len = prop_oneof![Just(0), Just(255), 0..20usize];
    len.prop_flat_map(|len| vec(any::<u8>(), len))
}

/// The bytes of tables, with names that mean something to us more often than chance would have them.
fn tables() -> impl Strategy<Value = Vec<u8>> {
    let names = prop_oneof![
        prop::sample::select(&OURS[..]).prop_map(String::from),
        prop::sample::select(&["CC", "BCC", "x-delivery-count"][..]).prop_map(String::from),
        vec(b'a'..=b'z', 0..3).prop_map(|bytes| String::from_utf8(bytes).unwrap()),
    ];
    vec((names, 0..6u8, short_strings()), 0..8).prop_map(|entries| {
        let add = |table: TableWriter, (name, kind, text): (String, u8, Vec<u8>)| match kind {
            0 => table.string(&name, text),
            1 => table.value(&name, Value::Void),
            2 => table.i32(&name, i32::from(text.first().copied().unwrap_or(0))),
            3 => table.array(&name, |array| array.string(&text).i32(1).string("second")),
            4 => table.array(&name, |array| {
                array.table(|death| {
                    death.string("queue", "q0").string("reason", "expired").i64("count", i64::MAX)
                })
            }),
            _ => table.table(&name, |table| table.string("inner", text)),
        };
        entries.into_iter().fold(TableWriter::new(), add).finish()
    })
}

/// Which queue, why, and whether the queue has a routing key for its dead letters.
fn fates() -> impl Strategy<Value = Vec<(u8, Reason, bool)>> {
    let reasons = [Reason::Rejected, Reason::Expired, Reason::MaxLength, Reason::DeliveryLimit];
    vec((0..4u8, prop::sample::select(reasons.to_vec()), any::<bool>()), 1..12)
}

fn queue_name(number: u8) -> String {
    format!("q{number}")
}

/// The client's headers as a letter keeps them: the first of each name.
fn kept<'a>(headers: Option<Table<'a>>, with_keys: bool) -> BTreeMap<Vec<u8>, Value<'a>> {
    let mut kept = BTreeMap::new();
    for (name, value) in headers.unwrap_or_default() {
        let ours = OURS.iter().any(|ours| ours.as_bytes() == name.as_bytes());
        if !ours && (with_keys || !matches!(name.as_bytes(), b"CC" | b"BCC")) {
            kept.entry(name.to_vec()).or_insert(value);
        }
    }
    kept
}

/// Queue, reason and count of each death that a letter lists, the latest first.
fn listed(headers: Table<'_>) -> Vec<(String, &'static str, i64)> {
    let deaths = headers.find(b"x-death").unwrap().as_array().unwrap();
    let entry = |death: Table<'_>| {
        let queue = death.find(b"queue").unwrap().as_str().unwrap().to_vec();
        let reason = death.find(b"reason").unwrap().as_str().unwrap();
        let names = ["rejected", "expired", "maxlen", "delivery_limit"];
        let reason = names.into_iter().find(|name| name.as_bytes() == reason).unwrap();
        (String::from_utf8(queue).unwrap(), reason, death.find(b"count").unwrap().as_integer().unwrap())
    };
    deaths.iter().map(|death| entry(death.as_table().unwrap())).collect()
}

proptest! {
    #[test]
    fn a_letter_keeps_what_it_does_not_replace_and_tells_its_history(original in originals(), fates in fates()) {
        let written = original.properties();
        let mut record = original.record();
        let mut routing_key = original.routing_key.clone();
        let mut with_keys = true;
        let mut history: Vec<(String, &str, i64)> = Vec::new();

        for (time_s, (queue, reason, has_key)) in fates.iter().enumerate() {
            let queue = queue_name(*queue);
            let death = Death { reason: *reason, queue: queue.as_bytes(), time_s: time_s as u64 };
            let key = has_key.then_some(&b"dead"[..]);
            record = letter(&Message::from_record(&record), time_s > 0, &death, b"dlx", key);

            let seen = history.iter().position(|(name, why, _)| (name, *why) == (&queue, reason.name()));
            let count = seen.map_or(0, |at| history.remove(at).2) + 1;
            history.insert(0, (queue, reason.name(), count));
            if *has_key {
                routing_key = b"dead".to_vec();
                with_keys = false;
            }

            let message = Message::from_record(&record);
            prop_assert_eq!((message.exchange(), message.routing_key()), (&b"dlx"[..], &routing_key[..]));
            let header = ContentHeader::decode(message.header()).unwrap();
            prop_assert_eq!((header.class_id, header.weight, header.body_size), (60, 0, original.body.len() as u64));
            let headers = header.properties.headers().unwrap();
            let expected = PropertiesWriter { headers: Some(headers), expiration: None, ..written };
            prop_assert_eq!(header.properties.as_bytes(), expected.finish());

            let names: Vec<Vec<u8>> = headers.iter().map(|(name, _)| name.to_vec()).collect();
            prop_assert!(names.is_sorted_by(|one, next| one < next), "{:?}", names);
            prop_assert_eq!(kept(Some(headers), true), kept(written.headers, with_keys));
            prop_assert_eq!(listed(headers), history.clone());

            let forbidden: Vec<&str> =
                history.iter().take_while(|(_, why, _)| *why != "rejected").map(|(name, ..)| &name[..]).collect();
            for queue in (0..5).map(queue_name) {
                let through = cycle_queues(&message);
                let is = through.is_full() || through.names().any(|name| name == queue.as_bytes());
                prop_assert_eq!(is, forbidden.contains(&&queue[..]));
            }
        }
        prop_assert!(record.ends_with(&body_frames(&original.record())));
    }

    #[test]
    fn a_delivery_count_changes_nothing_but_its_header(original in originals(), count in 0..=i64::MAX as u64) {
        let before = original.record();
        let after = with_delivery_count(&Message::from_record(&before), count);
        let message = Message::from_record(&after);
        prop_assert_eq!(message.route, Message::from_record(&before).route);
        prop_assert!(after.ends_with(&body_frames(&before)));
        let properties = ContentHeader::decode(message.header()).unwrap().properties;
        let headers = properties.headers().unwrap();
        let expected = PropertiesWriter { headers: Some(headers), ..original.properties() };
        prop_assert_eq!(properties.as_bytes(), expected.finish());
        prop_assert_eq!(headers.find(b"x-delivery-count"), Some(Value::I64(count as i64)));
        let mut others = kept(original.properties().headers, true);
        others.insert(b"x-delivery-count".to_vec(), Value::I64(count as i64));
        prop_assert_eq!(kept(Some(headers), true), others);
    }
}

/// What stands behind the header frame.
fn body_frames(record: &[u8]) -> Vec<u8> {
    let message = Message::from_record(record);
    message.content[message.header().len() + 8..].to_vec()
}
