//! Effects against a journal whose flusher is the test.

use std::collections::VecDeque;
use std::sync::Arc;

use super::*;
use crate::access::Access;
use crate::exchange::model::Dice;
use crate::exchange::{ExchangeKind, Name};
use crate::ids::{ChannelNumber, ConnectionId, QueueUid, Requester, ShardId, root};
use crate::journal::{Link, Position, records_of};
use crate::limits::JOURNAL_SEGMENT_BYTES as SEGMENT_BYTES;
use crate::topology::{
    Catalogue, Change, DurableBinding, DurableEnd, DurableExchange, DurableQueue, Outcome,
};

fn ledger(restored: &Restored, segment_bytes: u32) -> (Arc<Link>, Ledger) {
    let link = Arc::new(Link::for_tests());
    let journal = Journal::new(link.clone(), 1, segment_bytes);
    (link, Ledger::new(journal, restored))
}

fn record(number: u64) -> Effect {
    Effect::Record { vhost: root(), record: Record::QueueDeleted { uid: QueueUid(number) } }
}

/// The name is the number that it is known by.
fn broadcast(number: u64) -> Effect {
    let name = Name::from(number.to_string().as_bytes());
    let change = Arc::new(Change::ExchangeRemoved { name });
    Effect::Broadcast { vhost: root(), version: number, change }
}

fn reply(number: u64) -> Effect {
    let connection = ConnectionId { shard: ShardId(0), slot: number as u32, generation: 1 };
    let to = Requester { connection, channel: ChannelNumber(1), channel_generation: 1 };
    Effect::Reply { to, outcome: Outcome::Ok }
}

fn number(effect: &Effect) -> u64 {
    match effect {
        Effect::Broadcast { version, .. } => *version,
        Effect::Reply { to, .. } => to.connection.slot.into(),
        other => panic!("{other:?} has no number"),
    }
}

#[test]
fn nothing_comes_out_before_the_records_in_front_of_it_are_on_disk_nor_out_of_order() {
    let mut held_up = 0;
    for seed in 0..200 {
        println!("seed {seed}");
        let mut dice = Dice(seed);
        let (link, mut ledger) = ledger(&Restored::default(), SEGMENT_BYTES);
        // Of each effect, the records in front of it; of each group, its end and the records up to there.
        let (mut records, mut before, mut out) = (0, Vec::new(), Vec::new());
        let (mut groups, mut on_disk) = (VecDeque::<(Position, usize)>::new(), 0);
        for _ in 0..300 {
            match dice.roll(8) {
                0 => {
                    records += 1;
                    assert_eq!(ledger.take(record(records as u64)), None);
                }
                1..4 => {
                    let next = before.len() as u64;
                    before.push(records);
                    let effect = if dice.roll(2) == 0 { broadcast(next) } else { reply(next) };
                    let at_once = ledger.take(effect);
                    held_up += usize::from(at_once.is_none());
                    out.extend(at_once.iter().map(number));
                }
                4 => {
                    ledger.flush(0);
                    while let Some(group) = link.take_group() {
                        groups.push_back((group.end, records));
                    }
                }
                5 => {
                    if let Some((end, records)) = groups.pop_front() {
                        link.pretend_synced(end);
                        on_disk = records;
                    }
                }
                6 => ledger.look(),
                _ => out.extend(std::iter::from_fn(|| ledger.next()).map(|effect| number(&effect))),
            }
            assert!(out.iter().copied().eq(0..out.len() as u64), "{out:?}");
            assert!(before[..out.len()].iter().all(|&records| records <= on_disk));
        }
        ledger.flush(0);
        while let Some(group) = link.take_group() {
            groups.push_back((group.end, records));
        }
        groups.iter().for_each(|(end, _)| link.pretend_synced(*end));
        ledger.look();
        out.extend(std::iter::from_fn(|| ledger.next()).map(|effect| number(&effect)));
        assert_eq!(out.len(), before.len());
        assert!(ledger.is_done() && !ledger.has_work());
    }
    assert!(held_up > 1_000, "{held_up}");
}

#[test]
fn what_is_transient_waits_for_nobody_until_something_durable_is_in_front_of_it() {
    let (link, mut ledger) = ledger(&Restored::default(), SEGMENT_BYTES);
    assert_eq!(ledger.take(reply(0)), Some(reply(0)));
    assert_eq!(ledger.take(record(1)), None);
    assert_eq!(ledger.take(broadcast(1)), None);
    assert_eq!(ledger.take(reply(2)), None);
    ledger.flush(0);
    let group = link.take_group().expect("somebody waits");
    assert!(group.sync && !ledger.has_news());
    link.pretend_synced(group.end);
    assert!(ledger.has_news() && ledger.next().is_none(), "it was not looked at yet");
    ledger.look();
    assert!(!ledger.has_news());
    assert_eq!([ledger.next(), ledger.next(), ledger.next()], [Some(broadcast(1)), Some(reply(2)), None]);
    assert_eq!(ledger.take(reply(3)), Some(reply(3)));
}

fn name(number: u64) -> Name {
    format!("orders.of.customer.{number}").into_bytes().into()
}

/// Exchanges, queues and bindings, so many each.
fn catalogue(of_each: u64) -> Catalogue {
    let mut catalogue = Catalogue::default();
    let arguments = Name::from([]);
    for number in 1..=of_each {
        let (uid, name, kind) = (QueueUid(number), name(number), ExchangeKind::Direct);
        let (auto_delete, internal, durability) = (false, false, Durability::Fsync);
        let (queue, destination) = (name.clone(), DurableEnd::Queue(uid));
        let binding = DurableBinding {
            source: name.clone(),
            destination,
            key: name.clone(),
            arguments: arguments.clone(),
        };
        for record in [
            Record::ExchangeDeclared(DurableExchange {
                name,
                kind,
                auto_delete,
                internal,
                arguments: arguments.clone(),
            }),
            Record::QueueDeclared(DurableQueue {
                uid,
                name: queue,
                auto_delete,
                durability,
                arguments: arguments.clone(),
            }),
            Record::Bound(binding),
        ] {
            let mut body = Vec::new();
            record.encode(b"/", &mut body);
            catalogue.apply(record.kind(), &body);
        }
    }
    catalogue
}

fn restored(catalogue: Catalogue) -> (Vhosts, Restored) {
    Vhosts::restore(catalogue, |_| None, 1, Durability::Fsync, Access::guest())
}

#[test]
fn a_log_that_has_grown_gets_a_snapshot_and_what_lies_before_it_is_freed() {
    let (vhosts, mut at_start) = restored(catalogue(5_000));
    at_start.log_bytes = LOG_BYTES_MIN + 1;
    // Small segments, so that the snapshot fills several.
    let (link, mut ledger) = ledger(&at_start, 128 * 1024);
    assert!(ledger.has_work());
    // What fills the first segment.
    (0..8_000).for_each(|number| assert_eq!(ledger.take(record(number)), None));
    let (mut pieces, mut groups) = (0, Vec::new());
    while ledger.has_work() {
        ledger.work(&vhosts);
        ledger.flush(0);
        groups.extend(std::iter::from_fn(|| link.take_group()));
        pieces += 1;
    }
    assert!(pieces > 10, "{pieces} pieces");
    ledger.flush(0);
    groups.extend(std::iter::from_fn(|| link.take_group()));
    let mut replayed = Catalogue::default();
    let (mut begun_in, mut ended_in) = (0, 0);
    for group in &groups {
        for (kind, body) in records_of(group) {
            if kind == Record::SnapshotBegin.kind() {
                begun_in = group.at.segment();
                replayed = Catalogue::default();
            } else if kind == Record::SnapshotEnd.kind() {
                ended_in = group.at.segment();
                assert!(group.sync, "else the segments are kept until there is more to sync");
            }
            replayed.apply(kind, &body);
        }
        assert_eq!(group.free_before, if ended_in == 0 { 0 } else { begun_in });
    }
    assert!(begun_in > 1 && ended_in > begun_in, "from {begun_in} to {ended_in}");
    assert!(replayed.records().eq(catalogue(5_000).records()));
    assert_eq!(replayed.ignored(), 0);
    link.pretend_synced(groups.last().unwrap().end);
    ledger.look();
    assert!(ledger.is_done() && !ledger.has_work());
}

#[test]
fn a_snapshot_waits_while_the_disk_is_behind() {
    let (vhosts, mut at_start) = restored(catalogue(10));
    at_start.log_bytes = LOG_BYTES_MIN + 1;
    let (link, mut ledger) = ledger(&at_start, SEGMENT_BYTES);
    while !ledger.journal.is_behind() {
        (0..1_000).for_each(|number| assert_eq!(ledger.take(record(number)), None));
        ledger.flush(0);
    }
    ledger.work(&vhosts);
    assert!(!ledger.has_work() && ledger.taking.is_none());
    let next = |ledger: &mut Ledger| {
        ledger.flush(0);
        link.take_group()
    };
    let end = std::iter::from_fn(|| next(&mut ledger)).last().expect("much is under way").end;
    link.pretend_synced(end);
    assert!(ledger.has_work());
    ledger.look();
    ledger.work(&vhosts);
    let last = std::iter::from_fn(|| next(&mut ledger)).last().expect("the snapshot");
    assert_eq!(records_of(&last).last().map(|(kind, _)| *kind), Some(Record::SnapshotEnd.kind()));
}

#[test]
fn a_log_that_holds_what_could_not_be_restored_is_not_shortened() {
    let mut catalogue = catalogue(10);
    let mut body = Vec::new();
    let (uid, name, arguments) = (QueueUid(99), Name::from(*b"rotten"), Name::from([0xFF]));
    let (auto_delete, durability) = (false, Durability::Fsync);
    let rotten = Record::QueueDeclared(DurableQueue { uid, name, auto_delete, durability, arguments });
    rotten.encode(b"/", &mut body);
    catalogue.apply(rotten.kind(), &body);
    let (vhosts, mut at_start) = restored(catalogue);
    assert_eq!(at_start.kept_out.len(), 1);
    at_start.log_bytes = u64::MAX;
    let (_, mut ledger) = ledger(&at_start, SEGMENT_BYTES);
    ledger.work(&vhosts);
    assert!(!ledger.has_work() && ledger.is_done());
}
