//! Random requests and deaths on three shards; everything between shards arrives late and in any order that keeps each
//! stream in its own. What a reply promises is checked on every router in the moment the reply is given.

use std::collections::{BTreeMap, BTreeSet};

use super::world::*;
use super::{Change, Outcome, Request};
use crate::exchange::Destination;
use crate::exchange::model::{Dice, routed};
use crate::ids::QueueId;

const NAMES: [&str; 5] = ["q0", "q1", "q2", "q3", "q4"];
const SOURCES: [&str; 5] = ["amq.direct", "amq.fanout", "x0", "x1", "x2"];
const KEYS: [&str; 3] = ["", "red", "blue"];
const CONNECTIONS_PER_SHARD: u32 = 4;

#[test]
fn replies_hold_on_every_shard_whatever_the_interleaving() {
    let mut seen = Seen::default();
    for seed in 0..150 {
        println!("seed {seed}");
        let (mut world, mut dice) = (World::new(seed), Dice(seed));
        for _ in 0..1_500 {
            act(&mut world, &mut dice);
            check_new_replies(&mut world, &mut seen);
            check_one_queue_per_name(&world);
            world.vhosts.invariants();
        }
        world.settle();
        check_new_replies(&mut world, &mut seen);
        check_settled(&mut world);
        seen.next_world();
    }
    assert!(seen.queues_made > 1_000 && seen.queues_gone > 1_000 && seen.bound > 1_000, "{seen:?}");
    assert!(seen.existed > 1_000 && seen.refused > 1_000, "{seen:?}");
}

/// What has been checked, and how often what was to be checked occurred.
#[derive(Default, Debug)]
struct Seen {
    replies: usize,
    gone: usize,
    queues_made: usize,
    existed: usize,
    queues_gone: usize,
    bound: usize,
    refused: usize,
}

impl Seen {
    fn next_world(&mut self) {
        (self.replies, self.gone) = (0, 0);
    }
}

fn act(world: &mut World, dice: &mut Dice) {
    match dice.roll(60) {
        0..10 => ask_something(world, dice),
        10 => kill_some_queue(world, dice),
        _ => world.step(dice),
    }
}

fn ask_something(world: &mut World, dice: &mut Dice) {
    let requester =
        requester(dice.roll(SHARDS.into()) as u16, dice.roll(CONNECTIONS_PER_SHARD as usize) as u32);
    if world.outstanding.contains_key(&requester.connection) {
        return;
    }
    let (source, queue, key) = (dice.pick(&SOURCES), dice.pick(&NAMES), dice.pick(&KEYS));
    let mut request = match dice.roll(10) {
        0..3 => declare_queue(requester, queue),
        3 => declare_exchange(requester, source, dice.pick(&["direct", "fanout"])),
        4 => delete_exchange(requester, source),
        5 => unbind(requester, source, queue, key),
        _ => bind(requester, source, queue, key),
    };
    if let Request::DeclareExchange { auto_delete, .. } = &mut request {
        *auto_delete = source == "x2";
    }
    if let Request::DeclareQueue { exclusive, .. } = &mut request {
        *exclusive = dice.roll(4) == 0;
    }
    world.send(request);
}

fn kill_some_queue(world: &mut World, dice: &mut Dice) {
    let living = world.living();
    if !living.is_empty() {
        world.kill(dice.pick(&living));
    }
}

fn check_new_replies(world: &mut World, seen: &mut Seen) {
    let new = world.replies[seen.replies..].to_vec();
    for answer in &new {
        match (&answer.request, &answer.outcome) {
            (Request::DeclareQueue { name, .. }, Outcome::QueueDeclared { id, existed, .. }) => {
                check_queue(world, answer.since, name, *id);
                *(if *existed { &mut seen.existed } else { &mut seen.queues_made }) += 1;
            }
            (Request::DeclareExchange { name, .. }, Outcome::Ok) => {
                check_exchange(world, answer.since, name, true);
            }
            (Request::DeleteExchange { name, .. }, Outcome::Ok) => {
                check_exchange(world, answer.since, name, false);
            }
            (Request::Bind { queue, exchange, routing_key, .. }, Outcome::Ok) => {
                check_binding(world, answer.since, [exchange, queue, routing_key], true);
                seen.bound += 1;
            }
            (Request::Unbind { queue, exchange, routing_key, .. }, Outcome::Ok) => {
                check_binding(world, answer.since, [exchange, queue, routing_key], false);
            }
            (_, Outcome::SoftError(_)) => seen.refused += 1,
            (request, outcome) => panic!("{request:?} answered with {outcome:?}"),
        }
    }
    let gone = world.gone[seen.gone..].to_vec();
    for id in gone {
        check_leads_nowhere(world, id);
        seen.queues_gone += 1;
    }
    (seen.replies, seen.gone) = (world.replies.len(), world.gone.len());
}

fn check_queue(world: &World, since: usize, name: &[u8], id: QueueId) {
    let holds_after = |change: &Change| match change {
        Change::QueueAdded { id: added, .. } if *added == id => Some(true),
        Change::QueueRemoved { id: removed, .. } if *removed == id => Some(false),
        _ => None,
    };
    if holds_everywhere(world, since, [false, true], holds_after) {
        for shard in &world.shards {
            assert_eq!(shard.router.queue(name).map(|queue| queue.id), Some(id));
        }
    }
}

fn check_exchange(world: &World, since: usize, name: &[u8], exists: bool) {
    let holds_after = |change: &Change| match change {
        Change::ExchangeAdded { spec } if *spec.name == *name => Some(true),
        Change::ExchangeRemoved { name: removed } if **removed == *name => Some(false),
        _ => None,
    };
    if holds_everywhere(world, since, [name.starts_with(b"amq."), exists], holds_after) {
        assert!(world.shards.iter().all(|shard| shard.router.exchange(name).is_some() == exists));
    }
}

fn check_binding(world: &mut World, since: usize, [exchange, queue, routing_key]: [&[u8]; 3], exists: bool) {
    let ids = ids_of(world, queue);
    let is_it = |source: &[u8], destination: &Destination, key: &[u8]| {
        let to_it = matches!(destination, Destination::Queue(id) if ids.contains(id));
        source == exchange && to_it && key == routing_key
    };
    let holds_after = |change: &Change| match change {
        Change::Bound { source, destination, key, .. } if is_it(source, destination, key) => Some(true),
        Change::Unbound { source, destination, key, .. } if is_it(source, destination, key) => Some(false),
        Change::ExchangeRemoved { name } if **name == *exchange => Some(false),
        Change::QueueRemoved { id, .. } if ids.contains(id) => Some(false),
        _ => None,
    };
    if holds_everywhere(world, since, [false, exists], holds_after) && exists {
        for shard in &mut world.shards {
            let reached =
                routed(&mut shard.router, exchange, routing_key).expect("a bound exchange is there");
            assert!(reached.iter().any(|target| ids.contains(target)));
        }
    }
}

/// Between the question and its answer there was a version, applied by every router, at which the answer was true:
/// else it came too early. Says whether it is true ever since.
fn holds_everywhere(
    world: &World,
    since: usize,
    [mut truth, answer]: [bool; 2],
    holds_after: impl Fn(&Change) -> Option<bool>,
) -> bool {
    let oldest = world.shards.iter().map(|shard| shard.applied).min().unwrap_or_default() as usize;
    let (mut witnessed, mut lasting) = (false, false);
    for version in 0..=world.log.len() {
        if let Some(change) = version.checked_sub(1).map(|index| &world.log[index]) {
            truth = holds_after(change).unwrap_or(truth);
        }
        witnessed |= truth == answer && (since..=oldest).contains(&version);
        lasting = truth == answer && (lasting || (since..=oldest).contains(&version));
    }
    assert!(witnessed, "a reply came too early");
    lasting
}

fn ids_of(world: &World, queue: &[u8]) -> BTreeSet<QueueId> {
    let id = |change: &Change| match change {
        Change::QueueAdded { id, spec } if *spec.name == *queue => Some(*id),
        _ => None,
    };
    world.log.iter().filter_map(|change| id(change)).collect()
}

fn check_leads_nowhere(world: &mut World, id: QueueId) {
    for router in world.shards.iter_mut().map(|shard| &mut shard.router) {
        for name in NAMES {
            assert_ne!(router.queue(name.as_bytes()).map(|queue| queue.id), Some(id));
        }
        for (source, key) in SOURCES.iter().flat_map(|source| KEYS.map(|key| (source, key))) {
            if let Ok(reached) = routed(router, source.as_bytes(), key.as_bytes()) {
                assert!(!reached.contains(&id), "{id:?} is gone but reached by {source} {key}");
            }
        }
    }
}

/// From its making until no router knows it, a queue is the only one of its name.
fn check_one_queue_per_name(world: &World) {
    let mut names = BTreeSet::new();
    for spec in world.queues().filter(|(id, _)| !world.gone.contains(id)).map(|(_, spec)| spec) {
        assert!(names.insert(&spec.name), "{:?} names two queues", spec.name);
    }
}

fn check_settled(world: &mut World) {
    assert!(world.outstanding.is_empty(), "never answered: {:?}", world.outstanding);
    for shard in &world.shards {
        assert_eq!(shard.applied, world.log.len() as u64);
        shard.router.invariants();
    }
    for index in 0..world.shards.len() {
        let here = world.living().iter().filter(|id| id.shard.index() == index).count();
        assert_eq!(world.vhosts.numbers().queues_on(crate::ids::ShardId(index as u16)) as usize, here);
        for (source, key) in SOURCES.iter().flat_map(|source| KEYS.map(|key| (source, key))) {
            assert_eq!(routes(world, index, source, key), expected(world, source, key));
        }
        for name in NAMES {
            let live = world.shards[index].router.queue(name.as_bytes()).map(|queue| queue.id);
            assert_eq!(live.is_some(), world.living().iter().any(|id| live == Some(*id)));
        }
    }
}

fn routes(world: &mut World, shard: usize, source: &str, key: &str) -> Option<BTreeSet<QueueId>> {
    let reached = routed(&mut world.shards[shard].router, source.as_bytes(), key.as_bytes());
    Some(reached.ok()?.into_iter().collect())
}

/// By reading all changes from the first.
fn expected(world: &World, source: &str, key: &str) -> Option<BTreeSet<QueueId>> {
    let mut fanout = BTreeMap::from([("amq.direct".into(), false), ("amq.fanout".into(), true)]);
    let mut bindings = BTreeSet::new();
    for change in &world.log {
        match &**change {
            Change::VhostOpened | Change::VhostClosing | Change::VhostGone => {}
            Change::ExchangeAdded { spec } => {
                let name: Box<[u8]> = (*spec.name).into();
                fanout.insert(String::from_utf8(name.into()).unwrap(), spec.kind.name() == "fanout");
            }
            Change::ExchangeRemoved { name } => {
                fanout.remove(str::from_utf8(name).unwrap());
                bindings.retain(|(source, _, _)| source != name);
            }
            Change::QueueAdded { .. } | Change::AlternateChanged { .. } => {}
            Change::QueueRemoved { id, .. } => bindings.retain(|(_, queue, _)| queue != id),
            Change::Bound { source, destination: Destination::Queue(queue), key, .. } => {
                assert!(bindings.insert((source.clone(), *queue, key.clone())), "bound twice");
            }
            Change::Unbound { source, destination: Destination::Queue(queue), key, .. } => {
                assert!(bindings.remove(&(source.clone(), *queue, key.clone())), "unbound but not bound");
            }
            Change::Bound { .. } | Change::Unbound { .. } => unreachable!("no exchange is bound to another"),
        }
    }
    let all = *fanout.get(source)?;
    let reached = bindings
        .iter()
        .filter(|(from, _, of)| **from == *source.as_bytes() && (all || **of == *key.as_bytes()));
    Some(reached.map(|(_, queue, _)| *queue).collect())
}
