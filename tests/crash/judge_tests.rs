//! Whether the judge sees what is wrong: each fault is planted in what was found, alone.

use std::time::Instant;

use crate::body::Id;
use crate::book::{Book, Ending, Round};
use crate::client::Style;
use crate::consumer::{self, How, Settled};
use crate::inspector::Found;
use crate::names::{Names, NamesLog, Op, Placed, Shown, explain};
use crate::plan::{BANK, BRIEF, DEAD, KEPT, QUEUES, QueueIndex, ROUTES, SHORT, SHORT_LENGTH, WORK};
use crate::publisher::{Fate, Log, Sent};
use crate::transactor::{Transaction, TxLog};

const PUBLISHER: u16 = 1;
const TRANSACTOR: u16 = 2;

/// What one publisher sent where, confirmed but for the last in each queue; an open commit; and what came of it.
fn case() -> (Book, Vec<Vec<Found>>) {
    let mut log = Log::default();
    let mut found: Vec<Vec<Found>> = QUEUES.iter().map(|_| Vec::new()).collect();
    for (queue, count) in [(KEPT, 5), (WORK, 4), (BRIEF, 3), (SHORT, SHORT_LENGTH + 4)] {
        for at in 0..count {
            let fate = if at + 1 < count { Fate::Confirmed } else { Fate::Unknown };
            found[queue].push(mark(PUBLISHER, log.sent.len()));
            log.sent.push(sent(queue, fate));
        }
    }
    // The oldest are dropped, the last came too late.
    found[SHORT].drain(..3);
    found[SHORT].pop();
    // One was rejected, one has expired.
    let rejected = found[WORK].remove(1).id;
    found[DEAD].push(mark(PUBLISHER, rejected.number as usize));
    let expired = found[BRIEF].remove(0);
    found[DEAD].push(expired);
    let settled = Settled { queue: WORK, id: rejected, how: How::Rejected, at: Instant::now() };
    let consumed = vec![consumer::Log { settled: vec![settled], ..consumer::Log::default() }];

    let open = [BANK[0], BANK[0], BANK[1]].map(|queue| sent(queue, Fate::Unknown));
    found[BANK[0]] = vec![mark(TRANSACTOR, 0), mark(TRANSACTOR, 1)];
    found[BANK[1]] = vec![mark(TRANSACTOR, 2)];
    let commits = vec![Transaction { published: 0..3, ..Transaction::default() }];
    let open = TxLog { commits, log: Log { sent: open.into(), ..Log::default() } };
    let mut book = Book::new();
    book.ended(Round {
        logs: vec![(PUBLISHER, TxLog::from(log)), (TRANSACTOR, open)],
        consumed,
        names: NamesLog::default(),
        ended: Instant::now(),
        ending: Ending::Killed,
        shards: 1,
    });
    (book, found)
}

fn sent(queue: QueueIndex, fate: Fate) -> Sent {
    let route = ROUTES.iter().position(|route| route.queues == [queue]).expect("each has one") as u8;
    Sent { fate, ..Sent::new(route, Style { bytes: 16, persistent: true, priority: None }) }
}

fn mark(client: u16, number: usize) -> Found {
    Found { id: Id { client, number: number as u32 }, redelivered: true, tag: 0 }
}

fn lose(found: &mut [Vec<Found>], queue: QueueIndex, at: usize) {
    found[queue].remove(at);
}

#[test]
fn what_is_right_is_not_accused() {
    let (mut book, found) = case();
    assert_eq!(book.judge(&found), Vec::<String>::new());
    // From then on all of it must stay, but for what is acknowledged.
    let id = found[KEPT][2].id;
    book.acknowledged(KEPT, id);
    book.acknowledged(DEAD, found[DEAD][0].id);
    book.ended(quiet());
    assert_eq!(book.judge(&found), Vec::<String>::new());
    let (mut book, mut found) = case();
    // What was not confirmed may be lost, from its end on; an open commit, whole.
    for queue in [KEPT, WORK, BRIEF] {
        found[queue].pop();
    }
    BANK.into_iter().for_each(|queue| found[queue].clear());
    assert_eq!(book.judge(&found), Vec::<String>::new());
    // And does not come back then.
    let (_, whole) = case();
    book.ended(quiet());
    assert_ne!(book.judge(&whole), Vec::<String>::new());
}

fn quiet() -> Round {
    let (logs, consumed, names) = (Vec::new(), Vec::new(), NamesLog::default());
    Round { logs, consumed, names, ended: Instant::now(), ending: Ending::Killed, shards: 1 }
}

#[test]
fn each_fault_is_seen() {
    type Plant = fn(&mut Vec<Vec<Found>>);
    let plants: [(&str, Plant); 14] = [
        ("a confirmed message is lost", |found| lose(found, KEPT, 3)),
        ("the first is lost", |found| lose(found, KEPT, 0)),
        ("a message came twice", |found| {
            let twice = found[KEPT][4];
            found[KEPT].push(twice);
        }),
        ("two are in the wrong order", |found| found[KEPT].swap(1, 2)),
        ("one is not marked", |found| found[KEPT][0].redelivered = false),
        ("one was never sent", |found| found[KEPT].push(mark(PUBLISHER, 1_000))),
        ("one is in a wrong queue", |found| {
            let astray = found[KEPT][1];
            found[WORK].insert(0, astray);
        }),
        ("a letter is lost", |found| lose(found, DEAD, 0)),
        ("a letter came too often", |found| {
            let twice = found[DEAD][0];
            found[DEAD].extend([twice, twice]);
        }),
        ("a letter of what was not rejected", |found| {
            let alive = found[WORK][0];
            found[DEAD].push(alive);
        }),
        ("an expired message is nowhere", |found| lose(found, BRIEF, 0)),
        ("half a commit in a queue", |found| lose(found, BANK[0], 1)),
        ("half a commit in one shard", |found| found[BANK[1]].clear()),
        ("a short queue dropped too much", |found| lose(found, SHORT, 0)),
    ];
    for (what, plant) in plants {
        let (mut book, mut found) = case();
        plant(&mut found);
        assert_ne!(book.judge(&found), Vec::<String>::new(), "{what}");
    }
}

#[test]
fn names_are_as_after_some_open_operation_or_something_is_wrong() {
    let log = NamesLog {
        first: 1,
        ops: vec![Op::DeclareQueue(0), Op::DeleteQueue(0), Op::DeclareQueue(0), Op::DeclareQueue(1)],
        oks: vec![Instant::now()],
        placed: Vec::new(),
    };
    let id = Id { client: 1, number: 0 };
    let placed = [Placed { id, queue: 0, which: 1, fate: Fate::Confirmed, heard: None }];
    let shown = |queues: &[usize], messages: &[Id]| {
        let mut shown = Shown::default();
        queues.iter().for_each(|queue| shown.queues[*queue] = true);
        shown.messages[0] = messages.to_vec();
        shown
    };
    let explained = |shown| explain(&[Names::default()], &log, &placed, &shown);
    assert!(explained(shown(&[0], &[id])).is_ok(), "nothing more was done");
    assert!(explained(shown(&[], &[])).is_ok(), "it was deleted");
    assert!(explained(shown(&[0], &[])).is_ok(), "it was declared again, empty");
    assert!(explained(shown(&[0, 1], &[])).is_ok(), "all was done");
    assert!(explained(shown(&[0, 1], &[id])).is_err(), "a message of a deleted queue came back");
    assert!(explained(shown(&[1], &[])).is_err(), "the last alone was done");
}
