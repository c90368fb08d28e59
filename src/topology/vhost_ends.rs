//! A vhost ends while everything goes on in it.

use super::world::*;
use super::{Change, Outcome};
use crate::exchange::model::Dice;

/// Whatever the order in which everything arrives: every request is answered, every queue ends, and the answer to the
/// delete is the last of all.
#[test]
fn a_vhost_ends_when_its_last_queue_has() {
    let mut had_queues = 0;
    for seed in 0..300 {
        println!("seed {seed}");
        let (mut dice, mut world) = (Dice(seed), World::new(seed));
        for index in 0..12 {
            let asker = requester(dice.roll(SHARDS.into()) as u16, index);
            let name = format!("q{}", dice.roll(6));
            world.send(match dice.roll(3) {
                0 => bind(asker, "amq.topic", &name, "key"),
                _ => declare_queue(asker, &name),
            });
            (0..dice.roll(30)).for_each(|_| world.step(&mut dice));
            if let Some(&id) = world.living().first().filter(|_| dice.roll(8) == 0) {
                world.kill(id);
            }
        }
        had_queues += usize::from(!world.living().is_empty());
        let deletes = requester(dice.roll(SHARDS.into()) as u16, DELETES_VHOST);
        world.delete_vhost(deletes);
        for index in 20..24 {
            world.send(declare_queue(requester(1, index), "late"));
            (0..dice.roll(20)).for_each(|_| world.step(&mut dice));
            world.vhosts.invariants();
        }
        world.delete_vhost(deletes);
        world.settle();
        assert!(world.outstanding.is_empty());
        assert_eq!(world.vhost_replies, [Outcome::NameTaken, Outcome::Ok]);
        assert!(world.queues().next().is_none());
        assert_eq!(**world.log.last().unwrap(), Change::VhostGone);
        world.vhosts.forget_if_gone(b"/");
        assert!(world.vhosts.all().is_empty());
        assert!((0..SHARDS).all(|shard| world.vhosts.numbers().queues_on(crate::ids::ShardId(shard)) == 0));
    }
    assert!(had_queues > 200, "{had_queues}");
}
