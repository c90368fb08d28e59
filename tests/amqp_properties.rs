//! What must hold of the wire codec for every input: what was written reads back, cuts in the stream do not matter, and
//! nothing that a peer sends panics or grows beyond its bounds.
#![allow(clippy::unwrap_used)]

use haremq::amqp::frame::{self, FrameError, FrameKind};
use haremq::amqp::table::{DEPTH_MAX, ELEMENTS_MAX, Table, TableError, TableWriter, Value};
use haremq::amqp::{ContentHeader, Method, Properties, PropertiesWriter, ShortStr, method};
use haremq::ids::ChannelNumber;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

/// Ids, name and arguments of every method, taken from the specification's machine-readable form and not from our table.
///
/// One letter an argument: `o` octet, `w` short, `l` long, `q` longlong, `s` shortstr, `S` longstr, `t` table, `b` bit.
/// A dash before it: reserved, written as zero or empty.
const LAYOUTS: &[(u16, u16, &str, &str)] = &[
    (10, 10, "connection.start", "ootSS"),
    (10, 11, "connection.start-ok", "tsSs"),
    (10, 20, "connection.secure", "S"),
    (10, 21, "connection.secure-ok", "S"),
    (10, 30, "connection.tune", "wlw"),
    (10, 31, "connection.tune-ok", "wlw"),
    (10, 40, "connection.open", "s-s-b"),
    (10, 41, "connection.open-ok", "-s"),
    (10, 50, "connection.close", "wsww"),
    (10, 51, "connection.close-ok", ""),
    (10, 60, "connection.blocked", "s"),
    (10, 61, "connection.unblocked", ""),
    (10, 70, "connection.update-secret", "Ss"),
    (10, 71, "connection.update-secret-ok", ""),
    (20, 10, "channel.open", "-s"),
    (20, 11, "channel.open-ok", "-S"),
    (20, 20, "channel.flow", "b"),
    (20, 21, "channel.flow-ok", "b"),
    (20, 40, "channel.close", "wsww"),
    (20, 41, "channel.close-ok", ""),
    (30, 10, "access.request", "sbbbbb"),
    (30, 11, "access.request-ok", "w"),
    (40, 10, "exchange.declare", "-wssbbbbbt"),
    (40, 11, "exchange.declare-ok", ""),
    (40, 20, "exchange.delete", "-wsbb"),
    (40, 21, "exchange.delete-ok", ""),
    (40, 30, "exchange.bind", "-wsssbt"),
    (40, 31, "exchange.bind-ok", ""),
    (40, 40, "exchange.unbind", "-wsssbt"),
    (40, 51, "exchange.unbind-ok", ""),
    (50, 10, "queue.declare", "-wsbbbbbt"),
    (50, 11, "queue.declare-ok", "sll"),
    (50, 20, "queue.bind", "-wsssbt"),
    (50, 21, "queue.bind-ok", ""),
    (50, 30, "queue.purge", "-wsb"),
    (50, 31, "queue.purge-ok", "l"),
    (50, 40, "queue.delete", "-wsbbb"),
    (50, 41, "queue.delete-ok", "l"),
    (50, 50, "queue.unbind", "-wssst"),
    (50, 51, "queue.unbind-ok", ""),
    (60, 10, "basic.qos", "lwb"),
    (60, 11, "basic.qos-ok", ""),
    (60, 20, "basic.consume", "-wssbbbbt"),
    (60, 21, "basic.consume-ok", "s"),
    (60, 30, "basic.cancel", "sb"),
    (60, 31, "basic.cancel-ok", "s"),
    (60, 40, "basic.publish", "-wssbb"),
    (60, 50, "basic.return", "wsss"),
    (60, 60, "basic.deliver", "sqbss"),
    (60, 70, "basic.get", "-wsb"),
    (60, 71, "basic.get-ok", "qbssl"),
    (60, 72, "basic.get-empty", "-s"),
    (60, 80, "basic.ack", "qb"),
    (60, 90, "basic.reject", "qb"),
    (60, 100, "basic.recover-async", "b"),
    (60, 110, "basic.recover", "b"),
    (60, 111, "basic.recover-ok", ""),
    (60, 120, "basic.nack", "qbb"),
    (85, 10, "confirm.select", "b"),
    (85, 11, "confirm.select-ok", ""),
    (90, 10, "tx.select", ""),
    (90, 11, "tx.select-ok", ""),
    (90, 20, "tx.commit", ""),
    (90, 21, "tx.commit-ok", ""),
    (90, 30, "tx.rollback", ""),
    (90, 31, "tx.rollback-ok", ""),
];

/// One argument as generated; bits are packed when the payload is put together.
#[derive(Clone, Debug)]
enum Argument {
    Bit(bool),
    Octets(Vec<u8>),
}

#[test]
fn every_method_is_decoded_to_what_encodes_to_the_same_bytes() {
    for &(class_id, method_id, name, layout) in LAYOUTS {
        let mut runner = TestRunner::new(Config::with_cases(64));
        let checked = runner.run(&arguments(layout), |arguments| {
            let payload = payload(class_id, method_id, &arguments);
            let method = Method::decode(&payload).expect(name);
            prop_assert_eq!(method.name(), name);
            prop_assert_eq!(method.ids(), (class_id, method_id));
            let mut out = Vec::new();
            method.encode(ChannelNumber(7), &mut out);
            let (frame, len) = frame::decode(&out, u32::MAX).unwrap().unwrap();
            prop_assert_eq!(
                (frame.kind, frame.channel, len),
                (FrameKind::Method, ChannelNumber(7), out.len())
            );
            prop_assert_eq!(frame.payload, &payload[..]);
            prop_assert_eq!(Method::decode(frame.payload), Ok(method));
            Ok(())
        });
        checked.unwrap_or_else(|failure| panic!("{name}: {failure}"));
    }
}

#[test]
fn a_method_cut_anywhere_is_refused() {
    for &(class_id, method_id, name, layout) in LAYOUTS {
        let mut runner = TestRunner::new(Config::with_cases(16));
        let checked = runner.run(&arguments(layout), |arguments| {
            let payload = payload(class_id, method_id, &arguments);
            for cut in 0..payload.len() {
                prop_assert!(Method::decode(&payload[..cut]).is_err(), "{} cut at {}", name, cut);
            }
            Ok(())
        });
        checked.unwrap_or_else(|failure| panic!("{name}: {failure}"));
    }
}

#[test]
fn no_method_exists_beside_those_of_the_specification() {
    let known = |class_id, method_id| method::method_name(class_id, method_id).is_some();
    let count = (0..=300)
        .flat_map(|class| (0..=300).map(move |id| (class, id)))
        .filter(|&(c, m)| known(c, m))
        .count();
    assert_eq!(count, LAYOUTS.len());
}

/// A strategy for the arguments of one layout.
fn arguments(layout: &str) -> impl Strategy<Value = Vec<Argument>> + use<> {
    let mut arguments = Vec::new();
    let mut reserved = false;
    for letter in layout.chars() {
        if letter == '-' {
            reserved = true;
        } else {
            arguments.push(if reserved { empty(letter) } else { argument(letter) });
            reserved = false;
        }
    }
    arguments
}

fn argument(letter: char) -> BoxedStrategy<Argument> {
    let octets = |len| vec(any::<u8>(), len).boxed();
    match letter {
        'b' => return any::<bool>().prop_map(Argument::Bit).boxed(),
        'o' => octets(1),
        'w' => octets(2),
        'l' => octets(4),
        'q' => octets(8),
        's' => short_strings().prop_map(|bytes| [vec![bytes.len() as u8], bytes].concat()).boxed(),
        'S' => vec(any::<u8>(), 0..300).prop_map(|bytes| long(&bytes)).boxed(),
        't' => tables().prop_map(|entries| long(&table_bytes(&entries))).boxed(),
        other => panic!("no argument type {other}"),
    }
    .prop_map(Argument::Octets)
    .boxed()
}

fn empty(letter: char) -> BoxedStrategy<Argument> {
    let argument = match letter {
        'b' => Argument::Bit(false),
        's' => Argument::Octets(vec![0]),
        'w' => Argument::Octets(vec![0; 2]),
        'S' => Argument::Octets(vec![0; 4]),
        other => panic!("no reserved argument of type {other}"),
    };
    Just(argument).boxed()
}

/// Short strings, with the lengths at which arithmetic goes wrong more often than chance would have them.
fn short_strings() -> impl Strategy<Value = Vec<u8>> {
    let len = prop_oneof![Just(0), Just(1), Just(127), Just(128), Just(254), Just(255), 0..=255usize];
    len.prop_flat_map(|len| vec(any::<u8>(), len))
}

fn long(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u32).to_be_bytes()[..], bytes].concat()
}

fn payload(class_id: u16, method_id: u16, arguments: &[Argument]) -> Vec<u8> {
    let mut out = [class_id.to_be_bytes(), method_id.to_be_bytes()].concat();
    let mut bits_used = 0;
    for argument in arguments {
        match argument {
            Argument::Octets(octets) => {
                out.extend_from_slice(octets);
                bits_used = 0;
            }
            Argument::Bit(bit) if bits_used > 0 => {
                *out.last_mut().unwrap() |= u8::from(*bit) << bits_used;
                bits_used += 1;
            }
            Argument::Bit(bit) => {
                out.push(u8::from(*bit));
                bits_used = 1;
            }
        }
    }
    out
}

/// A table's value, owned, to be compared with what the codec reads.
#[derive(Clone, Debug)]
enum Tree {
    Leaf(u8, Vec<u8>),
    Table(Vec<(String, Tree)>),
    Array(Vec<Tree>),
}

fn tables() -> impl Strategy<Value = Vec<(String, Tree)>> {
    vec((names(), trees()), 0..6)
}

fn names() -> impl Strategy<Value = String> {
    prop_oneof![vec(0..=127u8, 0..20), vec(0..=127u8, 255)]
        .prop_map(|bytes| String::from_utf8(bytes).unwrap())
}

fn trees() -> impl Strategy<Value = Tree> {
    leaves().prop_recursive(6, 48, 5, |inner| {
        prop_oneof![
            vec((names(), inner.clone()), 0..5).prop_map(Tree::Table),
            vec(inner, 0..5).prop_map(Tree::Array),
        ]
    })
}

fn leaves() -> impl Strategy<Value = Tree> {
    let fixed = |tags: &'static [u8], len: usize| (prop::sample::select(tags), vec(any::<u8>(), len));
    prop_oneof![
        (prop::sample::select(&b"Sx"[..]), vec(any::<u8>(), 0..40)),
        fixed(b"bB", 1),
        fixed(b"su", 2),
        fixed(b"Iif", 4),
        fixed(b"D", 5),
        fixed(b"lTd", 8),
        (Just(b't'), prop::sample::select(&[[0u8], [1]][..]).prop_map(Vec::from)),
        (Just(b'V'), Just(Vec::new())),
    ]
    .prop_map(|(tag, octets)| Tree::Leaf(tag, octets))
}

fn table_bytes(entries: &[(String, Tree)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, tree) in entries {
        out.push(name.len() as u8);
        out.extend_from_slice(name.as_bytes());
        write_tree(tree, &mut out);
    }
    out
}

fn write_tree(tree: &Tree, out: &mut Vec<u8>) {
    match tree {
        Tree::Leaf(tag @ (b'S' | b'x'), octets) => out.extend([&[*tag][..], &long(octets)].concat()),
        Tree::Leaf(tag, octets) => out.extend([&[*tag][..], octets].concat()),
        Tree::Table(entries) => out.extend([&b"F"[..], &long(&table_bytes(entries))].concat()),
        Tree::Array(elements) => {
            let mut inner = Vec::new();
            elements.iter().for_each(|element| write_tree(element, &mut inner));
            out.extend([&b"A"[..], &long(&inner)].concat());
        }
    }
}

fn assert_reads_as(value: Value<'_>, tree: &Tree) {
    match tree {
        Tree::Table(entries) => assert_table_reads_as(value.as_table().expect("a table"), entries),
        Tree::Array(elements) => {
            let array = value.as_array().expect("an array");
            assert_eq!(array.iter().count(), elements.len());
            array.iter().zip(elements).for_each(|(value, element)| assert_reads_as(value, element));
        }
        Tree::Leaf(tag, octets) => {
            let big_endian = octets.iter().fold(0u64, |number, octet| number << 8 | u64::from(*octet));
            match value {
                Value::LongString(bytes) => assert_eq!((*tag, octets.as_slice()), (b'S', bytes)),
                Value::Bytes(bytes) => assert_eq!((*tag, octets.as_slice()), (b'x', bytes)),
                Value::Bool(value) => assert_eq!((*tag, big_endian), (b't', u64::from(value))),
                Value::I8(value) => assert_eq!((*tag, big_endian as i8), (b'b', value)),
                Value::U8(value) => assert_eq!((*tag, big_endian as u8), (b'B', value)),
                Value::I16(value) => assert_eq!((*tag, big_endian as i16), (b's', value)),
                Value::U16(value) => assert_eq!((*tag, big_endian as u16), (b'u', value)),
                Value::I32(value) => assert_eq!((*tag, big_endian as i32), (b'I', value)),
                Value::U32(value) => assert_eq!((*tag, big_endian as u32), (b'i', value)),
                Value::F32(value) => assert_eq!((*tag, big_endian as u32), (b'f', value.to_bits())),
                Value::I64(value) => assert_eq!((*tag, big_endian as i64), (b'l', value)),
                Value::F64(value) => assert_eq!((*tag, big_endian), (b'd', value.to_bits())),
                Value::Timestamp(value) => assert_eq!((*tag, big_endian), (b'T', value)),
                Value::Decimal { scale, value } => {
                    assert_eq!((*tag, big_endian), (b'D', u64::from(scale) << 32 | u64::from(value)));
                }
                Value::Void => assert_eq!(*tag, b'V'),
                Value::Table(_) | Value::Array(_) => panic!("{value:?} is not a leaf"),
            }
        }
    }
}

fn assert_table_reads_as(table: Table<'_>, entries: &[(String, Tree)]) {
    assert_eq!(table.iter().count(), entries.len());
    for ((name, value), (expected, tree)) in table.iter().zip(entries) {
        assert_eq!(name.as_bytes(), expected.as_bytes());
        assert_reads_as(value, tree);
    }
}

/// Writes every value that the table yields once more.
fn rewrite(table: Table<'_>) -> Vec<u8> {
    let mut writer = TableWriter::new();
    for (name, value) in table {
        writer = writer.value(std::str::from_utf8(&name).unwrap(), value);
    }
    writer.finish()
}

/// How deep a checked table is and how many values it holds; counts on its own.
fn extent(table: Table<'_>) -> (usize, usize) {
    let mut open: Vec<(usize, Value<'_>)> = vec![(1, Value::Table(table))];
    let (mut deepest, mut elements) = (0, 0);
    while let Some((depth, value)) = open.pop() {
        let inner: Vec<Value<'_>> = match value {
            Value::Table(table) => table.iter().map(|(_, value)| value).collect(),
            Value::Array(array) => array.iter().collect(),
            _ => continue,
        };
        deepest = deepest.max(depth);
        elements += inner.len();
        open.extend(inner.into_iter().map(|value| (depth + 1, value)));
    }
    (deepest, elements)
}

/// Tables in tables, `depth` of them; the lengths are counted from the outside in, so that a million is no effort.
fn nested(depth: usize) -> Vec<u8> {
    const LEVEL: usize = b"\x01nF....".len();
    let level = |inside: usize| [&b"\x01nF"[..], &((inside * LEVEL) as u32).to_be_bytes()].concat();
    (0..depth - 1).rev().flat_map(level).collect()
}

#[test]
fn nesting_of_any_depth_is_judged_on_a_small_stack() {
    let judge = || {
        for depth in (1..100).chain([580, 1_000, 18_000, 1_000_000]) {
            let bytes = nested(depth);
            match Table::decode(&bytes) {
                Ok(table) => assert!(depth <= DEPTH_MAX && extent(table) == (depth, depth - 1)),
                Err(error) => {
                    assert!(depth > DEPTH_MAX && error == TableError::TooDeep, "{depth}: {error:?}")
                }
            }
        }
    };
    std::thread::Builder::new().stack_size(64 << 10).spawn(judge).unwrap().join().unwrap();
}

proptest! {
    #[test]
    fn a_table_reads_as_it_was_written(entries in tables()) {
        let bytes = table_bytes(&entries);
        let table = Table::decode(&bytes).unwrap();
        assert_table_reads_as(table, &entries);
        prop_assert_eq!(table.as_bytes(), &bytes[..]);
        prop_assert_eq!(rewrite(table), bytes);
    }

    #[test]
    fn a_damaged_table_is_refused_or_stays_within_its_bounds(
        entries in tables(),
        damage in vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = table_bytes(&entries);
        bytes.push(0);
        for (index, octet) in damage {
            let index = index.index(bytes.len());
            bytes[index] = octet;
        }
        bytes.truncate(cut.index(bytes.len()) + 1);
        if let Ok(table) = Table::decode(&bytes) {
            let (depth, elements) = extent(table);
            prop_assert!(depth <= DEPTH_MAX && elements <= ELEMENTS_MAX);
            prop_assert!(elements <= bytes.len());
        }
    }

    #[test]
    fn arbitrary_bytes_panic_nothing(bytes in vec(any::<u8>(), 0..200), row in 0..LAYOUTS.len()) {
        let _ = frame::decode(&bytes, 4096);
        let _ = Method::decode(&bytes);
        let _ = ContentHeader::decode(&bytes);
        let _ = Properties::decode(&bytes);
        let _ = Table::decode(&bytes);
        let (class_id, method_id, ..) = LAYOUTS[row];
        let payload = [&class_id.to_be_bytes()[..], &method_id.to_be_bytes(), &bytes].concat();
        if let Ok(method) = Method::decode(&payload) {
            prop_assert_eq!(method.ids(), (class_id, method_id));
        }
    }

    #[test]
    fn properties_read_as_they_were_written(
        present in any::<u16>(),
        texts in vec(short_strings(), 10),
        headers in tables(),
        numbers in any::<(u8, u8, u64)>(),
    ) {
        let headers = table_bytes(&headers);
        let text = |index: usize| ShortStr::new(&texts[index]);
        let if_present = |bit: u16| present >> bit & 1 != 0;
        let written = PropertiesWriter {
            content_type: text(0).filter(|_| if_present(0)),
            content_encoding: text(1).filter(|_| if_present(1)),
            headers: Table::decode(&headers).ok().filter(|_| if_present(2)),
            delivery_mode: Some(numbers.0).filter(|_| if_present(3)),
            priority: Some(numbers.1).filter(|_| if_present(4)),
            correlation_id: text(2).filter(|_| if_present(5)),
            reply_to: text(3).filter(|_| if_present(6)),
            expiration: text(4).filter(|_| if_present(7)),
            message_id: text(5).filter(|_| if_present(8)),
            timestamp: Some(numbers.2).filter(|_| if_present(9)),
            type_: text(6).filter(|_| if_present(10)),
            user_id: text(7).filter(|_| if_present(11)),
            app_id: text(8).filter(|_| if_present(12)),
            cluster_id: text(9).filter(|_| if_present(13)),
        };
        let bytes = written.finish();
        let read = Properties::decode(&bytes).unwrap();
        prop_assert_eq!(read_all(read), written);
        for cut in 0..bytes.len() {
            prop_assert!(Properties::decode(&bytes[..cut]).is_err());
        }
    }

    #[test]
    fn a_stream_gives_the_same_frames_however_it_is_cut(
        frames in vec((0..4usize, any::<u16>(), vec(any::<u8>(), 12..300)), 0..8),
        tail in vec(any::<u8>(), 0..20),
        cuts in vec(any::<prop::sample::Index>(), 0..20),
    ) {
        let mut stream = Vec::new();
        for (kind, channel, payload) in &frames {
            let kind = [FrameKind::Method, FrameKind::Header, FrameKind::Body, FrameKind::Heartbeat][*kind];
            let payload = if kind == FrameKind::Heartbeat { &[][..] } else { payload };
            frame::encode_frame(&mut stream, kind, ChannelNumber(*channel), |out| out.extend_from_slice(payload));
        }
        stream.extend_from_slice(&tail);
        let whole = read_in_pieces(&[&stream]);
        prop_assert!(whole.0.len() >= frames.len());

        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
        cuts.extend([0, stream.len()]);
        cuts.sort_unstable();
        let pieces: Vec<&[u8]> = cuts.windows(2).map(|cut| &stream[cut[0]..cut[1]]).collect();
        prop_assert_eq!(read_in_pieces(&pieces), whole);
    }
}

/// Every property, read through its accessor.
fn read_all(properties: Properties<'_>) -> PropertiesWriter<'_> {
    PropertiesWriter {
        content_type: properties.content_type(),
        content_encoding: properties.content_encoding(),
        headers: properties.headers(),
        delivery_mode: properties.delivery_mode(),
        priority: properties.priority(),
        correlation_id: properties.correlation_id(),
        reply_to: properties.reply_to(),
        expiration: properties.expiration(),
        message_id: properties.message_id(),
        timestamp: properties.timestamp(),
        type_: properties.type_(),
        user_id: properties.user_id(),
        app_id: properties.app_id(),
        cluster_id: properties.cluster_id(),
    }
}

type OwnedFrame = (FrameKind, ChannelNumber, Vec<u8>);

/// Hands the pieces in one after the other, as a socket would, and keeps what is not yet a whole frame.
fn read_in_pieces(pieces: &[&[u8]]) -> (Vec<OwnedFrame>, Option<FrameError>) {
    let (mut frames, mut kept) = (Vec::new(), Vec::new());
    for piece in pieces {
        kept.extend_from_slice(piece);
        loop {
            match frame::decode(&kept, 4096) {
                Ok(None) => break,
                Err(error) => return (frames, Some(error)),
                Ok(Some((frame, len))) => {
                    frames.push((frame.kind, frame.channel, frame.payload.to_vec()));
                    kept.drain(..len);
                }
            }
        }
    }
    (frames, None)
}
