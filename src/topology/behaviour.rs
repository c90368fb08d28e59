//! Each rule by itself, in a world where everything arrives before the next question.

use super::world::*;
use super::{Change, Outcome, Request};
use crate::amqp::{TableWriter, Value};
use crate::exchange::model::routed;
use crate::ids::{QueueId, ShardId};
use crate::queue_args::{QueueArgs, QueueKind};

fn soft_text(outcome: Outcome) -> String {
    let Outcome::SoftError(error) = outcome else { panic!("a channel error, not {outcome:?}") };
    error.reply_text()
}

fn declared(outcome: Outcome) -> (QueueId, bool) {
    let Outcome::QueueDeclared { id, existed, .. } = outcome else { panic!("a queue, not {outcome:?}") };
    (id, existed)
}

fn exclusive(mut request: Request) -> Request {
    if let Request::DeclareQueue { exclusive, .. } = &mut request {
        *exclusive = true;
    }
    request
}

fn durable(mut request: Request) -> Request {
    if let Request::DeclareQueue { durable, .. } | Request::DeclareExchange { durable, .. } = &mut request {
        *durable = true;
    }
    request
}

fn auto_delete(mut request: Request) -> Request {
    if let Request::DeclareQueue { auto_delete, .. } | Request::DeclareExchange { auto_delete, .. } =
        &mut request
    {
        *auto_delete = true;
    }
    request
}

fn with_arguments(mut request: Request, table: TableWriter) -> Request {
    if let Request::DeclareQueue { arguments, .. }
    | Request::DeclareExchange { arguments, .. }
    | Request::Bind { arguments, .. }
    | Request::Unbind { arguments, .. } = &mut request
    {
        *arguments = table.finish().into();
    }
    request
}

fn server_named(name: &str) -> Request {
    let mut request = declare_queue(requester(0, 0), name);
    if let Request::DeclareQueue { server_named, .. } = &mut request {
        *server_named = true;
    }
    request
}

fn targets(world: &mut World, exchange: &str, key: &str) -> Vec<QueueId> {
    routed(&mut world.shards[1].router, exchange.as_bytes(), key.as_bytes()).unwrap()
}

/// Queue `name` declared one way, then another: the text of the refusal.
fn redeclared(first: Request, second: Request) -> String {
    let mut world = World::new(1);
    assert!(matches!(world.ask(first), Outcome::QueueDeclared { existed: false, .. } | Outcome::Ok));
    soft_text(world.ask(second))
}

#[test]
fn a_declared_queue_is_reached_by_its_name_and_declaring_it_again_finds_it() {
    let mut world = World::new(1);
    let (id, existed) = declared(world.ask(declare_queue(requester(0, 0), "q")));
    assert!(!existed);
    assert_eq!(targets(&mut world, "", "q"), [id]);
    assert_eq!(declared(world.ask(declare_queue(requester(2, 0), "q"))), (id, true));
}

#[test]
fn of_two_racing_declares_one_makes_the_queue_and_the_other_is_compared_with_it() {
    let mut world = World::new(1);
    world.send(declare_queue(requester(0, 0), "q"));
    world.send(declare_queue(requester(1, 0), "q"));
    world.send(durable(declare_queue(requester(2, 0), "q")));
    world.settle();
    let outcomes: Vec<Outcome> = world.replies.iter().map(|answer| answer.outcome.clone()).collect();
    assert_eq!(outcomes.iter().filter(|outcome| matches!(outcome, Outcome::SoftError(_))).count(), 1);
    let made =
        outcomes.iter().filter(|outcome| matches!(outcome, Outcome::QueueDeclared { existed: false, .. }));
    assert_eq!(made.count(), 1);
    assert_eq!(world.living().len(), 1);
}

#[test]
fn a_declare_of_a_dying_name_waits_and_makes_a_new_queue() {
    let mut world = World::new(1);
    let (old, _) = declared(world.ask(declare_queue(requester(0, 0), "q")));
    world.kill(old);
    assert!(world.step_to_control(old.shard.index()));
    let (new, existed) = declared(world.ask(declare_queue(requester(1, 0), "q")));
    assert!(!existed && new != old);
    assert_eq!(world.gone, [old]);
    assert_eq!(targets(&mut world, "", "q"), [new]);
}

#[test]
fn queues_go_to_the_emptiest_shard_and_on_a_tie_to_the_declarers() {
    let mut world = World::new(1);
    let mut place = |shard, name| declared(world.ask(declare_queue(requester(shard, 0), name))).0.shard.0;
    assert_eq!([place(2, "a"), place(2, "b"), place(2, "c")], [2, 0, 1]);
    assert_eq!([place(1, "d"), place(1, "e"), place(1, "f")], [1, 0, 2]);
    let id = world.living()[0];
    world.kill(id);
    world.settle();
    assert_eq!(world.vhosts.numbers().queues_on(id.shard), 1);
    assert_eq!(declared(world.ask(declare_queue(requester(2, 0), "g"))).0.shard, id.shard);
}

#[test]
fn an_exclusive_queue_belongs_to_its_connection_and_is_not_durable() {
    let mut world = World::new(1);
    let (owner, other) = (requester(0, 0), requester(0, 1));
    let (id, _) = declared(world.ask(durable(exclusive(declare_queue(owner, "q")))));
    let spec = world.shards[2].router.queue(b"q").unwrap().spec.clone();
    assert!(!spec.durable && spec.exclusive == Some(owner.connection));
    assert_eq!(declared(world.ask(exclusive(declare_queue(owner, "q")))), (id, true));
    let locked = "RESOURCE_LOCKED - cannot obtain exclusive access to locked queue 'q' in vhost '/'. It could be \
                  originally declared on another connection or the exclusive property value does not match that of \
                  the original declaration.";
    assert_eq!(soft_text(world.ask(exclusive(declare_queue(other, "q")))), locked);
    assert_eq!(soft_text(world.ask(declare_queue(owner, "q"))), locked);
    assert_eq!(soft_text(world.ask(bind(other, "amq.fanout", "q", ""))), locked);
    assert_eq!(world.ask(bind(owner, "amq.fanout", "q", "")), Outcome::Ok);
    assert_eq!(soft_text(world.ask(unbind(other, "amq.fanout", "q", ""))), locked);
}

#[test]
fn a_queue_declared_otherwise_is_refused_in_rabbitmqs_words() {
    let declare = || declare_queue(requester(0, 0), "q");
    assert_eq!(
        redeclared(declare(), durable(declare())),
        "PRECONDITION_FAILED - inequivalent arg 'durable' for queue 'q' in vhost '/': received 'true' but current is \
         'false'"
    );
    assert_eq!(
        redeclared(durable(auto_delete(declare())), durable(declare())),
        "PRECONDITION_FAILED - inequivalent arg 'auto_delete' for queue 'q' in vhost '/': received 'false' but current \
         is 'true'"
    );
    assert_eq!(
        redeclared(declare(), with_arguments(declare(), TableWriter::new().i32("x-message-ttl", 10))),
        "PRECONDITION_FAILED - inequivalent arg 'x-message-ttl' for queue 'q' in vhost '/': received the value '10' of \
         type 'signedint' but current is none"
    );
    let overflow = |value| with_arguments(declare(), TableWriter::new().string("x-overflow", value));
    assert_eq!(
        redeclared(overflow("drop-head"), declare()),
        "PRECONDITION_FAILED - inequivalent arg 'x-overflow' for queue 'q' in vhost '/': received none but current is \
         the value 'drop-head' of type 'longstr'"
    );
    assert_eq!(
        redeclared(overflow("drop-head"), overflow("reject-publish")),
        "PRECONDITION_FAILED - inequivalent arg 'x-overflow' for queue 'q' in vhost '/': received 'reject-publish' but \
         current is 'drop-head'"
    );
}

#[test]
fn exclusiveness_is_compared_before_durability_and_durability_before_auto_delete() {
    let declare = || declare_queue(requester(0, 0), "q");
    let text = redeclared(exclusive(declare()), durable(auto_delete(declare())));
    assert!(text.starts_with("RESOURCE_LOCKED"), "{text}");
    let text = redeclared(declare(), durable(auto_delete(declare())));
    assert!(text.contains("'durable'"), "{text}");
}

#[test]
fn arguments_are_compared_by_value_and_unknown_ones_not_at_all() {
    let mut world = World::new(1);
    let mut declare = |table| world.ask(with_arguments(declare_queue(requester(0, 0), "q"), table));
    declared(declare(TableWriter::new().i32("x-max-length", 10).string("x-ours", "a")));
    let wide = TableWriter::new().string("x-ours", "b").i64("x-max-length", 10);
    assert!(declared(declare(wide)).1, "10 is 10 in any width and any order");
    let classic = TableWriter::new().i32("x-max-length", 10).string("x-queue-type", "classic");
    assert!(declared(declare(classic)).1, "a queue without a type is a classic one");
    let timestamp = TableWriter::new().value("x-max-length", Value::Timestamp(10));
    assert!(declared(declare(timestamp)).1, "RabbitMQ compares values, not types");
    let float = TableWriter::new().value("x-max-length", Value::F64(10.0));
    assert_eq!(
        soft_text(declare(float)),
        "PRECONDITION_FAILED - inequivalent arg 'x-max-length' for queue 'q' in vhost '/': received '10.0' but current \
         is '10'"
    );
}

#[test]
fn a_new_queue_has_the_rules_that_its_arguments_ask_for() {
    let mut world = World::new(1);
    let table = TableWriter::new().string("x-queue-type", "quorum").i32("x-max-length", 10);
    declared(world.ask(durable(with_arguments(declare_queue(requester(0, 0), "q"), table))));
    let rules: Vec<_> = world.queues().map(|(_, spec)| spec.rules.clone()).collect();
    let expected = QueueArgs { kind: QueueKind::Quorum, length_max: Some(10), ..QueueArgs::default() };
    assert_eq!(rules, [expected]);
}

#[test]
fn bad_arguments_leave_the_name_free_and_its_shard_as_it_was() {
    let mut world = World::new(1);
    let declare = || declare_queue(requester(0, 0), "q");
    let bad = || with_arguments(declare(), TableWriter::new().i32("x-expires", 0));
    assert_eq!(
        soft_text(world.ask(bad())),
        "PRECONDITION_FAILED - invalid arg 'x-expires' for queue 'q' in vhost '/': {value_zero,0}"
    );
    assert!(!declared(world.ask(declare())).1, "the name was free");
    assert_eq!(
        soft_text(world.ask(bad())),
        "PRECONDITION_FAILED - inequivalent arg 'x-expires' for queue 'q' in vhost '/': received the value '0' of type \
         'signedint' but current is none"
    );
}

#[test]
fn names_lose_cr_and_lf() {
    let mut world = World::new(1);
    let (id, _) = declared(world.ask(declare_queue(requester(0, 0), "\r\nq\n")));
    assert_eq!(declared(world.ask(declare_queue(requester(0, 0), "q"))), (id, true));
    assert_eq!(world.ask(declare_exchange(requester(0, 0), "x\n", "direct")), Outcome::Ok);
    assert_eq!(world.ask(bind(requester(0, 0), "\nx", "q\r", "key\n")), Outcome::Ok);
    assert_eq!(targets(&mut world, "x", "key\n"), [id]);
}

#[test]
fn the_prefix_of_the_server_is_refused_to_clients() {
    let mut world = World::new(1);
    assert_eq!(
        soft_text(world.ask(declare_queue(requester(0, 0), "amq.mine"))),
        "ACCESS_REFUSED - queue name 'amq.mine' contains reserved prefix 'amq.*'"
    );
    assert_eq!(
        soft_text(world.ask(declare_exchange(requester(0, 0), "amq.mine", "direct"))),
        "ACCESS_REFUSED - exchange name 'amq.mine' contains reserved prefix 'amq.*'"
    );
    assert_eq!(
        world.ask(durable(declare_exchange(requester(0, 0), "amq.direct", "direct"))),
        Outcome::Ok,
        "what exists may be declared again"
    );
}

#[test]
fn a_server_named_queue_is_never_one_that_exists() {
    let mut world = World::new(1);
    declared(world.ask(server_named("amq.gen-1")));
    assert_eq!(world.ask(server_named("amq.gen-1")), Outcome::NameTaken);
    let id = world.living()[0];
    world.kill(id);
    world.step_to_control(id.shard.index());
    assert_eq!(world.ask(server_named("amq.gen-1")), Outcome::NameTaken, "not even one that dies");
    assert!(!declared(world.ask(server_named("amq.gen-1"))).1);
}

#[test]
fn a_binding_needs_both_its_ends() {
    let mut world = World::new(1);
    declared(world.ask(declare_queue(requester(0, 0), "q")));
    let mut text = |exchange, queue| soft_text(world.ask(bind(requester(0, 0), exchange, queue, "k")));
    assert_eq!(text("x", "q"), "NOT_FOUND - no exchange 'x' in vhost '/'");
    assert_eq!(text("amq.direct", "p"), "NOT_FOUND - no queue 'p' in vhost '/'");
    assert_eq!(text("", "q"), "ACCESS_REFUSED - operation not permitted on the default exchange");
}

#[test]
fn a_binding_is_there_until_all_with_its_queue_and_key_are_undone() {
    let mut world = World::new(1);
    let (id, _) = declared(world.ask(declare_queue(requester(0, 0), "q")));
    let other = || TableWriter::new().i32("n", 1);
    let changes = world.log.len();
    for _ in 0..2 {
        assert_eq!(world.ask(bind(requester(0, 0), "amq.direct", "q", "k")), Outcome::Ok);
        assert_eq!(
            world.ask(with_arguments(bind(requester(0, 0), "amq.direct", "q", "k"), other())),
            Outcome::Ok
        );
    }
    assert_eq!(world.log.len(), changes + 2, "binding again changes nothing");
    assert_eq!(targets(&mut world, "amq.direct", "k"), [id]);
    assert_eq!(world.ask(unbind(requester(0, 0), "amq.direct", "q", "k")), Outcome::Ok);
    assert_eq!(targets(&mut world, "amq.direct", "k"), [id]);
    assert_eq!(
        world.ask(with_arguments(unbind(requester(0, 0), "amq.direct", "q", "k"), other())),
        Outcome::Ok
    );
    assert!(targets(&mut world, "amq.direct", "k").is_empty());
}

#[test]
fn undoing_what_is_not_there_is_no_error() {
    let mut world = World::new(1);
    declared(world.ask(declare_queue(requester(0, 0), "q")));
    let changes = world.log.len();
    assert_eq!(world.ask(unbind(requester(0, 0), "amq.direct", "q", "k")), Outcome::Ok);
    assert_eq!(world.ask(unbind(requester(0, 0), "amq.direct", "nobody", "k")), Outcome::Ok);
    assert_eq!(world.ask(unbind(requester(0, 0), "nowhere", "q", "k")), Outcome::Ok);
    assert_eq!(world.ask(delete_exchange(requester(0, 0), "nowhere")), Outcome::Ok);
    assert_eq!(world.log.len(), changes);
}

#[test]
fn an_exchange_declared_otherwise_is_refused_in_rabbitmqs_words() {
    let declare = |kind| declare_exchange(requester(0, 0), "x", kind);
    assert_eq!(
        redeclared(declare("direct"), declare("fanout")),
        "PRECONDITION_FAILED - inequivalent arg 'type' for exchange 'x' in vhost '/': received 'fanout' but current is \
         'direct'"
    );
    assert_eq!(
        redeclared(declare("direct"), durable(declare("direct"))),
        "PRECONDITION_FAILED - inequivalent arg 'durable' for exchange 'x' in vhost '/': received 'true' but current \
         is 'false'"
    );
    let alternate = TableWriter::new().string("alternate-exchange", "y").string("other", "z");
    assert_eq!(
        redeclared(declare("direct"), with_arguments(declare("direct"), alternate)),
        "PRECONDITION_FAILED - inequivalent arg 'alternate-exchange' for exchange 'x' in vhost '/': received the value \
         'y' of type 'longstr' but current is none"
    );
    // Only what is made must be of a type that can be used.
    let number = || TableWriter::new().i32("alternate-exchange", 1);
    assert_eq!(
        redeclared(declare("direct"), with_arguments(declare("fanout"), number())),
        "PRECONDITION_FAILED - inequivalent arg 'type' for exchange 'x' in vhost '/': received 'fanout' but current is \
         'direct'"
    );
    assert_eq!(
        redeclared(declare("direct"), with_arguments(declare("direct"), number())),
        "PRECONDITION_FAILED - inequivalent arg 'alternate-exchange' for exchange 'x' in vhost '/': received the value \
         '1' of type 'signedint' but current is none"
    );
    let mut world = World::new(1);
    let reserved = with_arguments(declare_exchange(requester(0, 0), "amq.y", "direct"), number());
    assert_eq!(
        soft_text(world.ask(reserved)),
        "ACCESS_REFUSED - exchange name 'amq.y' contains reserved prefix 'amq.*'"
    );
    assert_eq!(
        soft_text(world.ask(declare("x-strange"))),
        "PRECONDITION_FAILED - unknown exchange type 'x-strange'"
    );
}

#[test]
fn the_default_and_the_system_exchanges_are_not_for_clients_to_change() {
    let mut world = World::new(1);
    let refused = "ACCESS_REFUSED - operation not permitted on the default exchange";
    assert_eq!(soft_text(world.ask(declare_exchange(requester(0, 0), "", "direct"))), refused);
    assert_eq!(soft_text(world.ask(delete_exchange(requester(0, 0), ""))), refused);
    assert_eq!(
        soft_text(world.ask(delete_exchange(requester(0, 0), "amq.direct"))),
        "ACCESS_REFUSED - deletion of system exchange 'amq.direct' in vhost '/' not allowed"
    );
}

#[test]
fn a_deleted_exchange_takes_its_bindings_along() {
    let mut world = World::new(1);
    declared(world.ask(declare_queue(requester(0, 0), "q")));
    world.ask(declare_exchange(requester(0, 0), "x", "direct"));
    world.ask(bind(requester(0, 0), "x", "q", "k"));
    let unused_only =
        Request::DeleteExchange { requester: requester(0, 0), name: (*b"x").into(), if_unused: true };
    assert_eq!(
        soft_text(world.ask(unused_only.clone())),
        "PRECONDITION_FAILED - exchange 'x' in vhost '/' in use"
    );
    assert_eq!(world.ask(delete_exchange(requester(0, 0), "x")), Outcome::Ok);
    assert!(world.shards[1].router.exchange(b"x").is_none());
    world.ask(declare_exchange(requester(0, 0), "x", "direct"));
    assert!(targets(&mut world, "x", "k").is_empty());
    assert_eq!(world.ask(unused_only), Outcome::Ok);
}

#[test]
fn an_auto_delete_exchange_goes_with_its_last_binding_and_not_before_its_first() {
    let mut world = World::new(1);
    world.ask(auto_delete(declare_exchange(requester(0, 0), "x", "fanout")));
    let exists = |world: &World| world.shards[1].router.exchange(b"x").is_some();
    let (p, _) = declared(world.ask(declare_queue(requester(0, 0), "p")));
    declared(world.ask(declare_queue(requester(0, 0), "q")));
    world.ask(bind(requester(0, 0), "x", "p", ""));
    world.ask(bind(requester(0, 0), "x", "q", ""));
    world.ask(unbind(requester(0, 0), "x", "q", ""));
    assert!(exists(&world));
    world.kill(p);
    world.settle();
    assert!(!exists(&world), "the end of a queue unbinds it");
    assert!(matches!(*world.log[world.log.len() - 1], Change::ExchangeRemoved { .. }));
}

fn bind_exchange(destination: &str, source: &str, key: &str) -> Request {
    Request::BindExchange {
        requester: requester(0, 0),
        destination: destination.as_bytes().into(),
        source: source.as_bytes().into(),
        routing_key: key.as_bytes().into(),
        arguments: Box::default(),
    }
}

fn unbind_exchange(destination: &str, source: &str, key: &str) -> Request {
    match bind_exchange(destination, source, key) {
        Request::BindExchange { requester, destination, source, routing_key, arguments } => {
            Request::UnbindExchange { requester, destination, source, routing_key, arguments }
        }
        request => request,
    }
}

#[test]
fn an_exchange_leads_on_to_another_until_it_is_unbound() {
    let mut world = World::new(1);
    let (id, _) = declared(world.ask(declare_queue(requester(0, 0), "q")));
    world.ask(bind(requester(0, 0), "amq.topic", "q", "#"));
    assert_eq!(world.ask(bind_exchange("amq.topic", "amq.direct", "k")), Outcome::Ok);
    assert_eq!(targets(&mut world, "amq.direct", "k"), [id]);
    assert_eq!(world.ask(unbind_exchange("amq.topic", "amq.direct", "k")), Outcome::Ok);
    assert!(targets(&mut world, "amq.direct", "k").is_empty());
    assert_eq!(world.ask(unbind_exchange("amq.topic", "amq.direct", "k")), Outcome::Ok, "undone twice");
}

#[test]
fn a_binding_between_exchanges_needs_both_and_neither_may_be_the_default() {
    let mut world = World::new(1);
    let missing = |name: &str| format!("NOT_FOUND - no exchange '{name}' in vhost '/'");
    assert_eq!(soft_text(world.ask(bind_exchange("nowhere", "nobody", ""))), missing("nobody"));
    assert_eq!(soft_text(world.ask(bind_exchange("nowhere", "amq.direct", ""))), missing("nowhere"));
    let refused = "ACCESS_REFUSED - operation not permitted on the default exchange";
    assert_eq!(soft_text(world.ask(bind_exchange("", "amq.direct", ""))), refused);
    assert_eq!(soft_text(world.ask(bind_exchange("amq.direct", "", ""))), refused);
    assert_eq!(world.ask(unbind_exchange("nowhere", "nobody", "")), Outcome::Ok);
}

#[test]
fn the_end_of_an_exchange_unbinds_it_on_both_sides_and_auto_delete_ones_follow() {
    let mut world = World::new(1);
    for name in ["first", "second", "third"] {
        world.ask(auto_delete(declare_exchange(requester(0, 0), name, "fanout")));
    }
    world.ask(declare_exchange(requester(0, 0), "last", "fanout"));
    for (destination, source) in [("second", "first"), ("third", "second"), ("last", "third")] {
        world.ask(bind_exchange(destination, source, ""));
    }
    world.vhosts.invariants();
    world.ask(delete_exchange(requester(0, 0), "last"));
    world.vhosts.invariants();
    let left = |name: &str| world.shards[1].router.exchange(name.as_bytes()).is_some();
    assert!(!left("first") && !left("second") && !left("third"), "each lost its last binding");
}

#[test]
fn an_exchange_that_others_lead_to_is_not_in_use_for_that() {
    let mut world = World::new(1);
    world.ask(declare_exchange(requester(0, 0), "x", "fanout"));
    world.ask(bind_exchange("x", "amq.fanout", ""));
    let unused_only =
        Request::DeleteExchange { requester: requester(0, 0), name: (*b"x").into(), if_unused: true };
    assert_eq!(world.ask(unused_only), Outcome::Ok);
}

#[test]
fn an_alternate_takes_what_its_exchange_leads_nowhere() {
    let mut world = World::new(1);
    let (id, _) = declared(world.ask(declare_queue(requester(0, 0), "q")));
    let alternate = TableWriter::new().string("alternate-exchange", "rest");
    assert_eq!(
        world.ask(with_arguments(declare_exchange(requester(0, 0), "x", "direct"), alternate)),
        Outcome::Ok,
        "the alternate need not exist"
    );
    assert!(targets(&mut world, "x", "k").is_empty());
    world.ask(declare_exchange(requester(0, 0), "rest", "fanout"));
    world.ask(bind(requester(0, 0), "rest", "q", ""));
    assert_eq!(targets(&mut world, "x", "k"), [id]);
    let number = TableWriter::new().i32("alternate-exchange", 1);
    assert_eq!(
        soft_text(world.ask(with_arguments(declare_exchange(requester(0, 0), "y", "direct"), number))),
        "PRECONDITION_FAILED - invalid type 'signedint' for arg 'alternate-exchange' in exchange 'y' in vhost '/'"
    );
}

#[test]
fn a_headers_exchange_knows_four_ways_to_match() {
    let mut world = World::new(1);
    declared(world.ask(declare_queue(requester(0, 0), "q")));
    let mut ask = |table| world.ask(with_arguments(bind(requester(0, 0), "amq.headers", "q", ""), table));
    for x_match in ["all", "any", "all-with-x", "any-with-x"] {
        assert_eq!(ask(TableWriter::new().string("x-match", x_match)), Outcome::Ok);
    }
    assert_eq!(
        soft_text(ask(TableWriter::new().string("x-match", "z"))),
        "PRECONDITION_FAILED - Invalid x-match field value <<\"z\">>; expected all, any, all-with-x, or any-with-x"
    );
    assert_eq!(
        soft_text(ask(TableWriter::new().i32("x-match", 1))),
        "PRECONDITION_FAILED - Invalid x-match field type signedint (value 1); expected longstr"
    );
}

#[test]
fn the_order_of_arguments_is_not_part_of_a_bindings_identity() {
    let mut world = World::new(1);
    declared(world.ask(declare_queue(requester(0, 0), "q")));
    let one = || {
        with_arguments(
            bind(requester(0, 0), "amq.headers", "q", ""),
            TableWriter::new().i32("a", 1).i32("b", 2),
        )
    };
    let other = with_arguments(
        unbind(requester(0, 0), "amq.headers", "q", ""),
        TableWriter::new().i32("b", 2).i32("a", 1),
    );
    world.ask(one());
    let changes = world.log.len();
    assert_eq!(world.ask(other), Outcome::Ok);
    assert_eq!(world.log.len(), changes + 1);
}

#[test]
fn an_error_names_the_method_that_caused_it() {
    let mut world = World::new(1);
    let Outcome::SoftError(error) = world.ask(bind(requester(0, 0), "x", "q", "")) else {
        panic!("a missing exchange is an error");
    };
    assert_eq!((error.class_id, error.method_id), (50, 20));
}

fn several(binds: impl IntoIterator<Item = Request>) -> Request {
    Request::Several { requester: requester(0, 0), binds: binds.into_iter().collect(), done: 0 }
}

#[test]
fn several_binds_are_done_up_to_the_first_that_is_refused() {
    let mut world = World::new(1);
    let (id, _) = declared(world.ask(declare_queue(requester(0, 0), "q")));
    let of = |queue, key| bind(requester(0, 0), "amq.direct", queue, key);
    assert_eq!(world.ask(several([of("q", "a"), of("q", "b")])), Outcome::Several { done: 2, refused: None });
    let outcome = world.ask(several([of("q", "c"), of("missing", "d"), of("q", "e")]));
    let Outcome::Several { done: 1, refused: Some(refused) } = outcome else { panic!("{outcome:?}") };
    assert_eq!(refused.reply_text(), "NOT_FOUND - no queue 'missing' in vhost '/'");
    for (key, reached) in [("a", &[id][..]), ("b", &[id]), ("c", &[id]), ("d", &[]), ("e", &[])] {
        assert_eq!(targets(&mut world, "amq.direct", key), reached);
    }
}

#[test]
fn several_binds_wait_together_for_a_name_that_is_not_settled() {
    let mut world = World::new(1);
    declared(world.ask(declare_queue(requester(0, 0), "p")));
    let (old, _) = declared(world.ask(declare_queue(requester(0, 0), "q")));
    world.kill(old);
    assert!(world.step_to_control(old.shard.index()));
    let of = |queue| bind(requester(0, 0), "amq.fanout", queue, "");
    let outcome = world.ask(several([of("p"), of("q"), of("p")]));
    let Outcome::Several { done: 1, refused: Some(refused) } = outcome else { panic!("{outcome:?}") };
    assert_eq!(refused.reply_text(), "NOT_FOUND - no queue 'q' in vhost '/'");
}

#[test]
fn a_reply_waits_for_the_slowest_shard() {
    let mut world = World::new(1);
    world.send(declare_exchange(requester(0, 0), "x", "direct"));
    world.step_to_control(0);
    for shard in [0, 2] {
        assert!(world.step_to_shard(shard) && world.step_to_control(shard));
    }
    world.send(declare_exchange(requester(0, 1), "x", "direct"));
    world.step_to_control(0);
    assert!(world.replies.is_empty(), "shard 1 has not heard of it, nor may the second declarer think so");
    assert!(world.step_to_shard(1) && world.step_to_control(1));
    assert!(world.step_to_shard(0) && world.step_to_shard(0));
    assert_eq!(world.replies.len(), 2);
    assert_eq!(world.shards[ShardId(1).index()].applied, 1);
}
