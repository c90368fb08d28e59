//! From a log to a topology again: what lives where, and what is kept out.

use super::world::*;
use super::{
    Catalogue, DurableBinding, DurableEnd, DurableExchange, DurableQueue, Effect, KeptOut, Name, Outcome,
    Record, Request, Restored, Snapshot, Vhosts,
};
use crate::access::{self, Access, Algorithm};
use crate::amqp::TableWriter;
use crate::exchange::ExchangeKind;
use crate::exchange::model::{Dice, routed};
use crate::ids::{QueueId, QueueUid, ShardId};
use crate::parameters::{self, POLICY, Parameter};
use crate::queue_args::Durability;

fn name(text: &str) -> Name {
    text.as_bytes().into()
}

fn queue(uid: u64, text: &str, arguments: &[u8]) -> Record {
    Record::QueueDeclared(DurableQueue {
        uid: QueueUid(uid),
        name: name(text),
        auto_delete: false,
        durability: Durability::Os,
        arguments: arguments.into(),
    })
}

fn exchange(text: &str, kind: ExchangeKind, arguments: &[u8]) -> Record {
    Record::ExchangeDeclared(DurableExchange {
        name: name(text),
        kind,
        auto_delete: false,
        internal: false,
        arguments: arguments.into(),
    })
}

fn binding(source: &str, uid: u64, key: &str) -> DurableBinding {
    let (source, destination) = (name(source), DurableEnd::Queue(QueueUid(uid)));
    DurableBinding { source, destination, key: name(key), arguments: name("") }
}

fn bound(source: &str, uid: u64, key: &str) -> Record {
    Record::Bound(binding(source, uid, key))
}

fn read(log: &[Record]) -> Catalogue {
    let mut catalogue = Catalogue::default();
    for record in log {
        let mut body = Vec::new();
        record.encode(b"/", &mut body);
        catalogue.apply(record.kind(), &body);
    }
    catalogue
}

fn restored(log: &[Record]) -> (Vhosts, Restored) {
    let restored = Vhosts::restore(read(log), |_| None, SHARDS, Durability::None, Access::guest());
    restored.0.invariants();
    restored
}

#[test]
fn parameters_come_back_from_the_log_and_from_a_snapshot() {
    let policy = |vhost: &[u8]| {
        let value = serde_json::json!({"pattern": "^q", "definition": {"expires": 7}, "priority": 0});
        parameters::Change::Put(Parameter::new(vhost, POLICY, b"p", value).unwrap())
    };
    let global = parameters::Change::GlobalPut { name: name("g"), value: 7.into() };
    let (mut vhosts, mut out) = (Vhosts::new(SHARDS, Access::guest()), Vec::new());
    vhosts.change_parameters(vec![policy(b"/"), policy(b"nowhere"), global], requester(0, 0), &mut out);
    let records = out.into_iter().filter_map(|effect| match effect {
        Effect::Record { record, .. } => Some(record),
        _ => None,
    });
    let (log, mut snapshot) = (records.collect::<Vec<_>>(), Vec::new());
    assert_eq!(log.len(), 2, "a vhost that is not there takes no parameters");
    assert!(Snapshot::default().walk(&vhosts, usize::MAX, &mut |_, record| snapshot.push(record)));
    for log in [log, snapshot] {
        let (again, restored) = restored(&log);
        assert_eq!(again.parameters(), vhosts.parameters());
        assert_eq!(restored.parameters, *vhosts.parameters());
        assert_eq!(again.parameters().all().count(), 1);
    }
}

#[test]
fn a_restored_queue_is_found_by_its_name_and_keeps_what_it_was_declared_with() {
    let (vhosts, restored) = restored(&[
        exchange("logs", ExchangeKind::Topic, b""),
        queue(4, "q", &TableWriter::new().i32("x-max-length", 7).finish()),
        bound("logs", 4, "#.error"),
    ]);
    let mut world = World::restored(1, vhosts, &restored);
    let mut declare = declare_queue(requester(2, 0), "q");
    if let Request::DeclareQueue { durable, arguments, .. } = &mut declare {
        *durable = true;
        *arguments = TableWriter::new().i64("x-max-length", 7).finish().into();
    }
    let Outcome::QueueDeclared { id, existed: true, .. } = world.ask(declare) else { panic!("it is there") };
    let spec = world.queues().next().unwrap().1.clone();
    assert_eq!(
        (spec.uid, spec.durability, spec.rules.length_max),
        (Some(QueueUid(4)), Durability::Os, Some(7))
    );
    for shard in &mut world.shards {
        assert_eq!(routed(&mut shard.router, b"logs", b"app.error"), Ok(vec![id]));
        assert_eq!(routed(&mut shard.router, b"", b"q"), Ok(vec![id]));
    }
    world.kill(id);
    world.settle();
    assert_eq!(world.gone, [id]);
    world.vhosts.invariants();
}

#[test]
fn a_queue_lives_where_its_messages_are_and_the_others_where_there_are_fewest() {
    let log: Vec<Record> = (1..=9).map(|uid| queue(uid, &format!("q{uid}"), b"")).collect();
    let home = |uid: QueueUid| (uid.0 > 5).then_some(ShardId(2));
    let (vhosts, restored) = Vhosts::restore(read(&log), home, SHARDS, Durability::Fsync, Access::guest());
    vhosts.invariants();
    let uids = |shard: usize| -> Vec<u64> {
        restored.queues[shard].iter().map(|(_, spec)| spec.uid.unwrap().0).collect()
    };
    assert_eq!([uids(0), uids(1), uids(2)], [vec![1, 3, 5], vec![2, 4], vec![6, 7, 8, 9]]);
    for (shard, queues) in restored.queues.iter().enumerate() {
        let ids = queues.iter().map(|(id, _)| *id);
        let shard = ShardId(shard as u16);
        assert!(ids.eq((0..).map(|slot| QueueId { shard, slot, generation: 1 }).take(queues.len())));
    }
}

#[test]
fn a_number_is_not_given_out_again() {
    let uid_of_next = |catalogue: Catalogue| {
        let (vhosts, restored) =
            Vhosts::restore(catalogue, |_| None, SHARDS, Durability::None, Access::guest());
        let mut world = World::restored(1, vhosts, &restored);
        let mut declare = declare_queue(requester(0, 0), "new");
        if let Request::DeclareQueue { durable, .. } = &mut declare {
            *durable = true;
        }
        world.ask(declare);
        let spec = world.queues().find(|(_, spec)| *spec.name == *b"new").unwrap().1.clone();
        assert_eq!(spec.durability, Durability::None, "as the server is set to");
        spec.uid.unwrap().0
    };
    let deleted = Record::QueueDeleted { uid: QueueUid(8) };
    assert_eq!(uid_of_next(read(&[])), 1);
    assert_eq!(uid_of_next(read(&[queue(8, "q", b""), deleted.clone()])), 9);
    assert_eq!(uid_of_next(read(&[Record::NextUid { uid: QueueUid(20) }, deleted])), 20);
    let mut catalogue = read(&[queue(8, "q", b"")]);
    catalogue.saw(QueueUid(30));
    assert_eq!(uid_of_next(catalogue), 31, "a journal of messages knows a queue that this one has lost");
}

#[test]
fn what_no_server_could_have_made_is_kept_out_and_named() {
    let (vhosts, restored) = restored(&[
        queue(1, "bad", &TableWriter::new().i32("x-expires", 0).finish()),
        queue(2, "rotten", b"\xFF\xFF"),
        queue(3, "good", b""),
        exchange("x", ExchangeKind::Direct, &TableWriter::new().i32("alternate-exchange", 1).finish()),
        bound("x", 3, "k"),
        bound("amq.direct", 1, "k"),
        bound("amq.direct", 3, "k"),
        Record::Bound(DurableBinding {
            arguments: TableWriter::new().string("x-match", "z").finish().into(),
            ..binding("amq.headers", 3, "k")
        }),
    ]);
    let kept_out = |uid: Option<u64>, what: &str, why: &str| KeptOut {
        uid: uid.map(QueueUid),
        what: what.to_owned(),
        why: why.to_owned(),
    };
    let expected = [
        kept_out(
            None,
            "exchange 'x' in vhost '/'",
            "invalid type 'signedint' for arg 'alternate-exchange' in exchange 'x' in vhost '/'",
        ),
        kept_out(
            Some(1),
            "queue 'bad' in vhost '/'",
            "invalid arg 'x-expires' for queue 'bad' in vhost '/': {value_zero,0}",
        ),
        kept_out(Some(2), "queue 'rotten' in vhost '/'", "its arguments are no table: Truncated"),
        kept_out(
            None,
            "binding from exchange 'amq.headers' in vhost '/' to queue 'good' in vhost '/' with key 'k'",
            "Invalid x-match field value <<\"z\">>; expected all, any, all-with-x, or any-with-x",
        ),
    ];
    assert_eq!(restored.kept_out, expected);
    let mut world = World::restored(1, vhosts, &restored);
    let good = world.living();
    assert_eq!(good.len(), 1);
    assert_eq!(routed(&mut world.shards[0].router, b"amq.direct", b"k"), Ok(good));
}

#[test]
fn nonsense_is_left_out_and_counted() {
    let unbound = Record::Unbound(binding("amq.direct", 1, "k"));
    let nonsense = [
        bound("amq.direct", 1, "k"),
        bound("nowhere", 1, "k"),
        bound("", 1, "k"),
        unbound,
        Record::QueueDeleted { uid: QueueUid(1) },
        Record::ExchangeDeleted { name: name("amq.direct") },
        Record::ExchangeDeleted { name: name("nowhere") },
        exchange("", ExchangeKind::Fanout, b""),
        exchange("amq.topic", ExchangeKind::Fanout, b""),
    ];
    let mut catalogue = read(&nonsense);
    catalogue.apply(32, b"");
    catalogue.apply(31, b"");
    assert_eq!(catalogue.ignored(), nonsense.len() as u64 + 2);
    assert_eq!(catalogue.records().count(), 1, "but for the next number");
    // What a snapshot was to replace may have been freed, but for the end of its last segment.
    for record in [Record::SnapshotBegin, Record::SnapshotEnd] {
        catalogue.apply(record.kind(), b"");
    }
    assert_eq!(catalogue.ignored(), 0);
}

/// Their ends were lost, else they could not have been declared.
#[test]
fn what_is_declared_otherwise_takes_the_place_of_the_former() {
    let catalogue = read(&[
        exchange("x", ExchangeKind::Direct, b""),
        queue(1, "q", b""),
        bound("x", 1, "k"),
        queue(2, "q", b""),
        bound("x", 2, "k"),
        exchange("x", ExchangeKind::Fanout, b""),
        bound("amq.direct", 2, "k"),
    ]);
    let expected = [
        exchange("x", ExchangeKind::Fanout, b""),
        queue(2, "q", b""),
        bound("amq.direct", 2, "k"),
        Record::NextUid { uid: QueueUid(3) },
    ];
    assert!(
        catalogue.records().map(|(_, record)| record).eq(expected),
        "{:?}",
        catalogue.records().collect::<Vec<_>>()
    );
}

/// How is a setting of this start, and in no log.
#[test]
fn after_a_restart_a_user_who_is_not_there_is_judged_like_one_who_is_made_now() {
    let log = [Record::Access(access::Change::UserDeleted { user: name("u") })];
    for algorithm in [Algorithm::Sha256, Algorithm::Argon2id] {
        let access = Access::new(algorithm);
        let (vhosts, restored) =
            Vhosts::restore(read(&log), |_| None, SHARDS, Durability::None, access.clone());
        for access in [vhosts.access(), &restored.access.expect("the log speaks of users")] {
            assert_eq!(access.claim(b"u", b"p").is_slow(), algorithm.is_slow());
        }
    }
}

/// Records of all kinds with bytes changed: whatever comes of it, it can be restored.
#[test]
fn a_log_of_damaged_records_leads_to_some_topology() {
    for seed in 0..300 {
        println!("seed {seed}");
        let (mut dice, mut catalogue) = (Dice(seed), Catalogue::default());
        for _ in 0..200 {
            let (uid, text) = (1 + dice.roll(6) as u64, format!("n{}", dice.roll(4)));
            let record = match dice.roll(6) {
                0 => queue(uid, &text, b"\x03abct\x01"),
                1 => exchange(&text, ExchangeKind::Headers, b""),
                2 => Record::QueueDeleted { uid: QueueUid(uid) },
                3 => Record::ExchangeDeleted { name: name(&text) },
                _ => bound(&text, uid, "key"),
            };
            let mut body = Vec::new();
            record.encode(b"/", &mut body);
            if dice.roll(3) == 0 {
                let at = dice.roll(body.len());
                body[at] = dice.roll(256) as u8;
            }
            catalogue.apply(record.kind(), &body);
        }
        let (vhosts, restored) =
            Vhosts::restore(catalogue, |_| None, SHARDS, Durability::Fsync, Access::guest());
        vhosts.invariants();
        World::restored(seed, vhosts, &restored);
    }
}
