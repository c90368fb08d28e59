//! Parameters change while exchanges and queues are there.

use serde_json::{Value, json};

use super::world::*;
use super::{Change, Outcome};
use crate::ids::ShardId;
use crate::limits::POLICY_MATCHES;
use crate::parameters::{self, POLICY, Parameter, VHOST_LIMITS};

fn put(component: &[u8], name: &str, value: Value) -> parameters::Change {
    let parameter = Parameter::new(b"/", component, name.as_bytes(), value);
    parameters::Change::Put(parameter.expect("a good value"))
}

fn policy(name: &str, pattern: &str, alternate: &str) -> parameters::Change {
    let definition = json!({"alternate-exchange": alternate});
    put(POLICY, name, json!({"pattern": pattern, "definition": definition, "priority": 0}))
}

fn limit(queues: i64) -> parameters::Change {
    put(VHOST_LIMITS, "limits", json!({"max-queues": queues}))
}

/// What each router has as an exchange's alternate.
fn alternates(world: &World, exchange: &str) -> Vec<Option<String>> {
    let of = |shard: &Shard| {
        let alternate = shard.router.exchange(exchange.as_bytes())?.alternate.clone()?;
        Some(String::from_utf8(alternate.to_vec()).expect("text"))
    };
    world.shards.iter().map(of).collect()
}

#[test]
fn exchanges_get_and_lose_the_alternate_of_a_policy() {
    let mut world = World::new(1);
    for name in ["x", "own"] {
        let mut request = declare_exchange(requester(0, 0), name, "fanout");
        if let super::Request::DeclareExchange { arguments, .. } = &mut request
            && name == "own"
        {
            *arguments = crate::amqp::TableWriter::new().string("alternate-exchange", "mine").finish().into();
        }
        assert_eq!(world.ask(request), Outcome::Ok);
    }
    world.change_parameters(vec![policy("p", "^$", "nothing"), policy("q", ".*", "spare")]);
    world.settle();
    let spare = || Some("spare".to_owned());
    assert_eq!(alternates(&world, "x"), [spare(), spare(), spare()]);
    assert_eq!(alternates(&world, "amq.topic"), [spare(), spare(), spare()]);
    assert_eq!(alternates(&world, "own"), vec![Some("mine".to_owned()); 3]);
    assert_eq!(alternates(&world, ""), [None, None, None], "nothing is without a way from there");
    assert_eq!(world.ask(declare_exchange(requester(0, 0), "later", "direct")), Outcome::Ok);
    assert_eq!(alternates(&world, "later"), [spare(), spare(), spare()]);
    let before = world.log.len();
    world.change_parameters(vec![policy("q", "^x$", "spare")]);
    world.settle();
    assert_eq!(alternates(&world, "x"), [spare(), spare(), spare()]);
    assert_eq!(alternates(&world, "later"), [None, None, None]);
    let told =
        world.log[before..].iter().filter(|change| matches!(***change, Change::AlternateChanged { .. }));
    assert_eq!(told.count(), 7, "the six predeclared ones that had it, and the later one");
    assert_eq!(alternates(&world, "own"), vec![Some("mine".to_owned()); 3]);
}

/// Whoever changed policies hears of it when the last exchange goes by them, however many there are.
#[test]
fn many_exchanges_are_looked_at_in_pieces() {
    let mut world = World::new(1);
    let count = 2 * POLICY_MATCHES;
    for index in 0..count {
        world.send(declare_exchange(requester(0, 0), &format!("x{index}"), "fanout"));
        assert!(world.step_to_control(0));
        world.settle();
    }
    let before = world.log.len();
    world.change_parameters(vec![policy("p", "^x", "spare")]);
    let first_piece = world.log.len() - before;
    assert!(first_piece > 0 && first_piece < POLICY_MATCHES && world.told.is_empty());
    world.settle();
    assert_eq!(world.log.len() - before, count);
    assert_eq!(world.told, [world.log.len()]);
}

#[test]
fn a_vhost_has_no_more_queues_than_it_may() {
    let mut world = World::new(1);
    let ask = |world: &mut World, name: &str| world.ask(declare_queue(requester(1, 0), name));
    assert!(matches!(ask(&mut world, "p"), Outcome::QueueDeclared { existed: false, .. }));
    world.change_parameters(vec![limit(2)]);
    assert!(matches!(ask(&mut world, "q"), Outcome::QueueDeclared { id: _, existed: false, .. }));
    let Outcome::SoftError(error) = ask(&mut world, "r") else { panic!("there are two") };
    let text = "PRECONDITION_FAILED - cannot declare queue 'r': queue limit in vhost '/' (2) is reached";
    assert_eq!(error.reply_text(), text);
    assert!(
        matches!(ask(&mut world, "q"), Outcome::QueueDeclared { existed: true, .. }),
        "it is there already"
    );
    let gone = world.living()[0];
    world.kill(gone);
    world.settle();
    assert!(matches!(ask(&mut world, "r"), Outcome::QueueDeclared { existed: false, .. }));
    world.change_parameters(vec![limit(-1)]);
    assert!(matches!(ask(&mut world, "s"), Outcome::QueueDeclared { existed: false, .. }));
    assert_eq!(world.living().len(), 3);
    assert!(world.vhosts.numbers().queues_on(ShardId(0)) > 0);
}
