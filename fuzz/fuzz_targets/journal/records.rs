//! Records: of every kind, as we write them, and of any, as the input says.

use haremq::exchange::ExchangeKind;
use haremq::ids::QueueUid;
use haremq::journal::Position;
use haremq::journal::record::{self, Place, kind};
use haremq::queue_args::Durability;
use haremq::topology::{DurableBinding, DurableEnd, DurableExchange, DurableQueue, Record};

/// Kinds and bodies, several of each.
pub fn sound() -> Vec<(u8, Vec<u8>)> {
    let mut records = Vec::new();
    for number in 1..=12u64 {
        messages(number, &mut records);
        topology(number, &mut records);
    }
    records
}

fn messages(number: u64, records: &mut Vec<(u8, Vec<u8>)>) {
    let queue = QueueUid(1 + number % 3);
    let place = Place { queue, sequence: number, returns: 1, letter: false, redelivered: true };
    let mut add = |kind, write: &dyn Fn(&mut Vec<u8>)| {
        let mut body = Vec::new();
        write(&mut body);
        records.push((kind, body));
    };
    add(kind::MESSAGE, &|out| {
        record::put_message(out, number % 2, number, b"\x01e\x01k", &content(number as usize * 120));
        record::put_place(out, &place);
    });
    add(kind::PLACE, &|out| {
        record::put_place_of(out, number % 2, Position::new(1, 8_240));
        record::put_place(out, &place);
    });
    add(kind::RETURNED, &|out| record::put_place(out, &place));
    add(kind::SETTLED, &|out| (0..number).for_each(|n| record::put_settlement(out, queue, n)));
    add(kind::COMMITTED, &|out| {
        record::put_tx(out, 1);
        record::put_settlement(out, queue, number);
    });
    match number % 4 {
        0 => add(kind::START, &|_| ()),
        1 => add(kind::STOP, &|_| ()),
        2 => add(kind::ADOPTED, &|out| record::put_journal(out, number)),
        _ => {}
    }
}

fn topology(number: u64, records: &mut Vec<(u8, Vec<u8>)>) {
    let uid = QueueUid(number);
    let name = |text: &str| text.as_bytes().into();
    let binding = |destination| DurableBinding {
        source: name("logs"),
        destination,
        key: name("#.error"),
        arguments: name("\x01xt\x01"),
    };
    let arguments = name("");
    let record = match number {
        1 | 2 => Record::QueueDeclared(DurableQueue {
            uid,
            name: name(&number.to_string()),
            auto_delete: number == 1,
            durability: Durability::Fsync,
            arguments,
        }),
        3 => Record::ExchangeDeclared(DurableExchange {
            name: name("logs"),
            kind: ExchangeKind::Topic,
            auto_delete: false,
            internal: false,
            arguments,
        }),
        4 => Record::Bound(binding(DurableEnd::Queue(QueueUid(1)))),
        5 => Record::Bound(binding(DurableEnd::Exchange(name("amq.topic")))),
        6 => Record::Unbound(binding(DurableEnd::Exchange(name("amq.topic")))),
        7 => Record::QueueDeleted { uid: QueueUid(2) },
        8 => Record::ExchangeDeleted { name: name("logs") },
        9 => Record::NextUid { uid },
        10 => Record::SnapshotBegin,
        _ => Record::SnapshotEnd,
    };
    let mut body = Vec::new();
    record.encode(b"/", &mut body);
    records.push((record.kind(), body));
}

/// A header without properties, and a body.
fn content(len: usize) -> Vec<u8> {
    let mut frames = vec![2, 0, 1, 0, 0, 0, 14, 0, 60, 0, 0];
    frames.extend_from_slice(&(len as u64).to_be_bytes());
    frames.extend_from_slice(&[0, 0, 0xCE, 3, 0, 1]);
    frames.extend_from_slice(&(len as u32).to_be_bytes());
    frames.extend((0..len).map(|at| (at * 7 % 251) as u8));
    frames.push(0xCE);
    frames
}

/// Sound ones with octets changed: an octet that says which or of what kind, one how many changes, then place and octet
/// of each; or, from 0x80 on, a kind, a length, and so many octets.
pub fn of(input: &[u8]) -> impl Iterator<Item = (u8, Vec<u8>)> {
    let (sound, mut rest) = (sound(), input);
    std::iter::from_fn(move || {
        let (&[first, count], behind) = rest.split_first_chunk()?;
        rest = behind;
        if first >= 0x80 {
            let (body, behind) = rest.split_at(usize::from(count).min(rest.len()));
            rest = behind;
            return Some((first - 0x80, body.to_vec()));
        }
        let (kind, mut body) = sound[usize::from(first) % sound.len()].clone();
        for _ in 0..count % 4 {
            let Some((&[at, octet], behind)) = rest.split_first_chunk() else { break };
            rest = behind;
            if let Some(byte) = body.get_mut(usize::from(at)) {
                *byte = octet;
            }
        }
        if count >= 0x80 {
            body.truncate(usize::from(count - 0x80) * 2);
        }
        Some((kind, body))
    })
}
