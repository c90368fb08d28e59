use super::*;
use crate::amqp::PropertiesWriter;
use crate::amqp::frame::{FrameKind, encode_frame};
use crate::ids::ChannelNumber;

const QUEUE: &[u8] = b"q";

/// The record of a message with a body of five octets.
fn record(exchange: &str, routing_key: &str, properties: PropertiesWriter<'_>) -> Vec<u8> {
    let mut record = route(exchange.as_bytes(), routing_key.as_bytes());
    encode_frame(&mut record, FrameKind::Header, ChannelNumber(3), |out| {
        out.extend_from_slice(b"\0\x3C\0\0\0\0\0\0\0\0\0\x05");
        out.extend_from_slice(&properties.finish());
    });
    encode_frame(&mut record, FrameKind::Body, ChannelNumber(3), |out| out.extend_from_slice(b"hello"));
    record
}

fn with_headers(write: impl FnOnce(TableWriter) -> TableWriter) -> Vec<u8> {
    let headers = write(TableWriter::new()).finish();
    record(
        "ex",
        "key",
        PropertiesWriter { headers: Some(Table::decode(&headers).unwrap()), ..no_properties() },
    )
}

fn no_properties() -> PropertiesWriter<'static> {
    PropertiesWriter::default()
}

/// The letter of a message that never died before.
fn first_letter(record: &[u8], reason: Reason) -> Vec<u8> {
    let death = Death { reason, queue: QUEUE, time_s: 1_700_000_000 };
    letter(&Message::from_record(record), false, &death, b"dlx", None)
}

/// The letter of a letter.
fn next_letter(record: &[u8], reason: Reason, queue: &[u8]) -> Vec<u8> {
    letter(&Message::from_record(record), true, &Death { reason, queue, time_s: 1_800_000_000 }, b"dlx", None)
}

fn headers(record: &[u8]) -> Table<'_> {
    Message::from_record(record).headers().expect("a letter has headers")
}

fn names<'a>(table: Table<'a>) -> Vec<&'a str> {
    table.iter().map(|(name, _)| std::str::from_utf8(name.as_bytes()).unwrap()).collect()
}

fn string<'a>(record: &'a [u8], name: &str) -> &'a str {
    std::str::from_utf8(headers(record).find(name.as_bytes()).unwrap().as_str().unwrap()).unwrap()
}

/// Queue, reason and count of each death.
fn listed(record: &[u8]) -> Vec<(String, String, i64)> {
    let owned = |bytes: Option<&[u8]>| String::from_utf8(bytes.unwrap().to_vec()).unwrap();
    let count = |death: &Table<'_>| death.find(b"count").unwrap().as_integer().unwrap();
    let entry = |death| (owned(text(&death, "queue")), owned(text(&death, "reason")), count(&death));
    deaths(headers(record)).map(entry).collect()
}

fn entry(queue: &str, reason: &str, count: i64) -> (String, String, i64) {
    (queue.to_string(), reason.to_string(), count)
}

fn keys_of_the_latest(record: &[u8]) -> Vec<Vec<u8>> {
    let latest = deaths(headers(record)).next().unwrap();
    let keys = latest.find(b"routing-keys").unwrap().as_array().unwrap();
    keys.iter().map(|key| key.as_str().unwrap().to_vec()).collect()
}

fn header_frame_bytes(record: &[u8]) -> usize {
    Message::from_record(record).header().len() + FRAME_OVERHEAD
}

/// A key of as many octets as a key can have.
fn longest(number: usize) -> String {
    format!("{number:0>255}")
}

fn is_cyclic(letter: &[u8], queue: &[u8]) -> bool {
    let queues = cycle_queues(&Message::from_record(letter));
    queues.is_full() || queues.names().any(|name| name == queue)
}

#[test]
fn a_letter_has_a_new_route_and_the_old_body() {
    let original = record("ex", "key", no_properties());
    let record = first_letter(&original, Reason::Rejected);
    let message = Message::from_record(&record);
    assert_eq!((message.exchange(), message.routing_key()), (&b"dlx"[..], &b"key"[..]));
    assert!(message.content.ends_with(b"\x03\0\x03\0\0\0\x05hello\xCE"));
    assert_eq!(&message.header()[..12], b"\0\x3C\0\0\0\0\0\0\0\0\0\x05");
}

#[test]
fn a_death_is_told_in_fields_of_fixed_order_and_type() {
    let record = first_letter(&record("ex", "key", no_properties()), Reason::DeliveryLimit);
    let death = deaths(headers(&record)).next().unwrap();
    let expected = TableWriter::new()
        .i64("count", 1)
        .string("reason", "delivery_limit")
        .string("queue", "q")
        .timestamp("time", 1_700_000_000)
        .string("exchange", "ex")
        .array("routing-keys", |keys| keys.string("key"));
    assert_eq!(death.as_bytes(), expected.finish());
}

#[test]
fn an_expiration_becomes_the_original_expiration_in_front() {
    let properties =
        PropertiesWriter { expiration: Some("60000".into()), priority: Some(4), ..no_properties() };
    let first = first_letter(&record("ex", "key", properties), Reason::Expired);
    let message = Message::from_record(&first);
    let properties = Properties::of_checked(message.header());
    assert_eq!((properties.expiration(), properties.priority()), (None, Some(4)));
    let death = deaths(headers(&first)).next().unwrap();
    assert_eq!(names(death)[..2], ["original-expiration", "count"]);
    assert_eq!(text(&death, "original-expiration"), Some(&b"60000"[..]));

    let second = next_letter(&first, Reason::Rejected, b"other");
    let both: Vec<_> = deaths(headers(&second)).map(|death| text(&death, "original-expiration")).collect();
    assert_eq!(both, [None, Some(&b"60000"[..])]);
    let again = next_letter(&second, Reason::Expired, QUEUE);
    let both: Vec<_> = deaths(headers(&again)).map(|death| text(&death, "original-expiration")).collect();
    assert_eq!(both, [Some(&b"60000"[..]), None]);
}

#[test]
fn headers_are_sorted_and_those_of_the_client_stay() {
    let original = with_headers(|headers| headers.i32("z", 1).bool("a", true).i32("z", 2).string("x-e", "y"));
    let record = first_letter(&original, Reason::MaxLength);
    let expected = [
        "a",
        "x-death",
        "x-e",
        "x-first-death-exchange",
        "x-first-death-queue",
        "x-first-death-reason",
        "x-last-death-exchange",
        "x-last-death-queue",
        "x-last-death-reason",
        "z",
    ];
    assert_eq!(names(headers(&record)), expected);
    assert_eq!(headers(&record).find(b"z"), Some(Value::I32(1)));
}

#[test]
fn the_first_death_stays_and_the_last_follows() {
    let first = first_letter(&record("ex", "key", no_properties()), Reason::Expired);
    let second = next_letter(&first, Reason::Rejected, b"other");
    let of = |record, which: &str| {
        ["queue", "reason", "exchange"]
            .map(|what| string(record, &format!("x-{which}-death-{what}")).to_string())
    };
    assert_eq!(of(&first, "first"), ["q", "expired", "ex"]);
    assert_eq!(of(&first, "last"), ["q", "expired", "ex"]);
    assert_eq!(of(&second, "first"), ["q", "expired", "ex"]);
    assert_eq!(of(&second, "last"), ["other", "rejected", "dlx"]);
}

#[test]
fn the_same_death_again_is_counted_and_comes_to_the_front() {
    let mut letter = first_letter(&record("ex", "key", no_properties()), Reason::Rejected);
    letter = next_letter(&letter, Reason::Expired, b"retry");
    assert_eq!(listed(&letter), [entry("retry", "expired", 1), entry("q", "rejected", 1)]);
    letter = next_letter(&letter, Reason::Rejected, QUEUE);
    assert_eq!(listed(&letter), [entry("q", "rejected", 2), entry("retry", "expired", 1)]);
    let latest = deaths(headers(&letter)).next().unwrap();
    let first_time = Some(Value::Timestamp(1_700_000_000));
    assert_eq!((latest.find(b"time"), text(&latest, "exchange")), (first_time, Some(&b"ex"[..])));
    letter = next_letter(&letter, Reason::MaxLength, QUEUE);
    let expected = [entry("q", "maxlen", 1), entry("q", "rejected", 2), entry("retry", "expired", 1)];
    assert_eq!(listed(&letter), expected);
}

#[test]
fn a_routing_key_of_the_queue_replaces_all_keys_of_the_message() {
    let copies = |headers: TableWriter| headers.array("CC", |cc| cc.string("copy").i32(1));
    let original =
        with_headers(|headers| copies(headers).array("BCC", |bcc| bcc.string("b")).i32("other", 1));
    let death = Death { reason: Reason::Rejected, queue: QUEUE, time_s: 1 };
    let record = letter(&Message::from_record(&original), false, &death, b"dlx", Some(b"dead"));
    assert_eq!(Message::from_record(&record).routing_key(), b"dead");
    assert_eq!((headers(&record).find(b"CC"), headers(&record).find(b"BCC")), (None, None));
    assert_eq!(headers(&record).find(b"other"), Some(Value::I32(1)));
    assert_eq!(keys_of_the_latest(&record), [&b"key"[..], b"copy"]);
}

#[test]
fn a_routing_key_that_is_too_long_is_cut() {
    let original = record("ex", "key", no_properties());
    let death = Death { reason: Reason::Rejected, queue: QUEUE, time_s: 1 };
    let record = letter(&Message::from_record(&original), false, &death, b"dlx", Some(&[b'k'; 300]));
    let message = Message::from_record(&record);
    assert_eq!((message.exchange(), message.routing_key()), (&b"dlx"[..], &[b'k'; 255][..]));
    assert!(message.content.ends_with(b"hello\xCE"));
}

#[test]
fn without_one_the_message_keeps_its_keys() {
    let original = with_headers(|headers| headers.array("CC", |cc| cc.string("copy")));
    let record = first_letter(&original, Reason::Rejected);
    assert!(headers(&record).find(CC).is_some());
    assert_eq!(keys_of_the_latest(&record), [&b"key"[..], b"copy"]);
}

#[test]
fn what_a_client_wrote_under_our_names_is_replaced() {
    let forged =
        |deaths: ArrayWriter| deaths.table(|death| death.string("queue", "q").string("reason", "expired"));
    let original = with_headers(|headers| {
        headers.array("x-death", forged).string("x-first-death-queue", "forged").i32("x-last-death-queue", 1)
    });
    let record = first_letter(&original, Reason::Expired);
    assert_eq!(listed(&record), [entry("q", "expired", 1)]);
    assert_eq!(string(&record, "x-first-death-queue"), "q");
    assert_eq!(string(&record, "x-last-death-queue"), "q");
}

#[test]
fn a_letter_may_not_come_to_a_queue_that_it_came_through_unless_it_was_rejected_since() {
    let queues = |record: &[u8]| {
        let message = Message::from_record(record);
        cycle_queues(&message)
            .names()
            .map(|name| String::from_utf8(name.to_vec()).unwrap())
            .collect::<Vec<_>>()
    };
    let original = record("ex", "key", no_properties());
    let mut letter = first_letter(&original, Reason::Expired);
    assert_eq!(queues(&letter), ["q"]);
    letter = next_letter(&letter, Reason::MaxLength, b"second");
    assert_eq!(queues(&letter), ["second", "q"]);
    assert!(is_cyclic(&letter, b"q"));
    assert!(!is_cyclic(&letter, b"third"));
    letter = next_letter(&letter, Reason::Rejected, b"third");
    assert_eq!(queues(&letter), [""; 0]);
    letter = next_letter(&letter, Reason::Expired, b"second");
    assert_eq!(queues(&letter), ["second"]);
    assert_eq!(queues(&original), [""; 0]);
}

#[test]
fn a_letter_that_came_through_as_many_queues_as_can_be_listed_goes_nowhere() {
    let mut letter = first_letter(&record("ex", "key", no_properties()), Reason::Expired);
    for number in 1..AUTOMATIC_DEATHS_MAX {
        assert!(!is_cyclic(&letter, b"new"), "after {number}");
        letter = next_letter(&letter, Reason::Expired, longest(number).as_bytes());
    }
    assert!(is_cyclic(&letter, b"new"));
    letter = next_letter(&letter, Reason::Rejected, b"last");
    assert!(!is_cyclic(&letter, b"new"));
}

#[test]
fn the_deaths_before_a_rejection_are_as_many_as_a_frame_holds() {
    let mut letter = first_letter(&record(&longest(0), &longest(0), no_properties()), Reason::Rejected);
    for number in 0..300 {
        letter = next_letter(&letter, Reason::Rejected, longest(number).as_bytes());
    }
    assert!((120_000..=FRAME_MAX_BYTES as usize).contains(&header_frame_bytes(&letter)));
    let newest_first: Vec<_> = listed(&letter).into_iter().map(|(queue, ..)| queue).collect();
    let expected: Vec<_> = (0..300).rev().map(longest).take(newest_first.len()).collect();
    assert!(newest_first.len() > 100);
    assert_eq!(newest_first, expected);
}

#[test]
fn a_history_without_a_rejection_is_whole_and_bounded() {
    let filler = vec![b'x'; FRAME_MAX_BYTES as usize - 100];
    let mut letter =
        first_letter(&with_headers(|headers| headers.string("filler", &filler)), Reason::Expired);
    for number in 1..AUTOMATIC_DEATHS_MAX {
        letter = next_letter(&letter, Reason::Expired, longest(number).as_bytes());
    }
    assert_eq!(listed(&letter).len(), AUTOMATIC_DEATHS_MAX);
    let bound = FRAME_MAX_BYTES as usize + OUR_BYTES_MAX + AUTOMATIC_DEATHS_MAX * ENTRY_BYTES_MAX;
    assert!(header_frame_bytes(&letter) <= bound);
    letter = next_letter(&letter, Reason::Rejected, b"last");
    assert_eq!(listed(&letter).len(), 1);
}

#[test]
fn of_many_copies_only_the_keys_that_fit_the_frame_are_listed() {
    let copies = |cc| (0..300).map(longest).fold(cc, |cc: ArrayWriter, key| cc.string(key));
    let mut letter = with_headers(|headers| headers.array("CC", copies));
    for queue in [&b"a"[..], b"b", b"c"] {
        let death = Death { reason: Reason::Expired, queue, time_s: 1 };
        letter = super::letter(&Message::from_record(&letter), queue != b"a", &death, b"dlx", None);
        assert!(header_frame_bytes(&letter) <= FRAME_MAX_BYTES as usize);
    }
    let keys: Vec<usize> = deaths(headers(&letter))
        .map(|death| death.find(b"routing-keys").unwrap().as_array().unwrap().iter().count())
        .collect();
    assert!(keys[2] > 90 && keys.is_sorted() && keys[0] > 1, "{keys:?}");
}

#[test]
fn the_bytes_of_our_headers_are_bounded() {
    let long = longest(0);
    let properties = PropertiesWriter { expiration: ShortStr::new(long.as_bytes()), ..no_properties() };
    let original = record(&long, &long, properties);
    let death = Death { reason: Reason::DeliveryLimit, queue: long.as_bytes(), time_s: 1 };
    let record = letter(&Message::from_record(&original), false, &death, b"dlx", None);
    assert_eq!(listed_bytes(&deaths(headers(&record)).next().unwrap()), ENTRY_BYTES_MAX);
    let grown = header_frame_bytes(&record) + long.len() + 1 - header_frame_bytes(&original);
    assert_eq!(grown - ENTRY_BYTES_MAX, OUR_BYTES_MAX);
}

#[test]
fn a_delivery_count_is_put_among_the_headers() {
    let counted = |record: &[u8], count| with_delivery_count(&Message::from_record(record), count);
    let first = counted(&record("ex", "key", no_properties()), 1);
    assert_eq!(headers(&first).find(b"x-delivery-count"), Some(Value::I64(1)));
    let second = counted(&with_headers(|headers| headers.i32("z", 1).i32("x-delivery-count", 7)), u64::MAX);
    assert_eq!(names(headers(&second)), ["x-delivery-count", "z"]);
    assert_eq!(headers(&second).find(b"x-delivery-count"), Some(Value::I64(i64::MAX)));
    assert_eq!(Message::from_record(&second).route, Message::from_record(&first).route);
}
