//! Queues, exchanges and bindings that outlive the server: through the journal, and out of it into the next one.

use std::sync::Arc;

use super::hall::{Hall, consume, declare};
use crate::access::Access;
use crate::amqp::method::Method;
use crate::amqp::table::Table;
use crate::amqp::wire::ShortStr;
use crate::ids::ShardId;
use crate::journal::{Journal, Link, records_of};
use crate::limits::JOURNAL_SEGMENT_BYTES as SEGMENT_BYTES;
use crate::queue_args::Durability;
use crate::shard::Shard;
use crate::topology::{Catalogue, Vhosts};

/// The flusher's end of the topology's journal, and the disk.
#[derive(Default)]
struct Disk {
    link: Option<Arc<Link>>,
    log: Vec<(u8, Vec<u8>)>,
}

impl Disk {
    /// Shards that go on where the log ends.
    fn start(&mut self, shards: u16) -> Hall {
        let mut catalogue = Catalogue::default();
        self.log.iter().for_each(|(kind, body)| catalogue.apply(*kind, body));
        let (vhosts, restored) = Vhosts::restore(
            catalogue,
            |_| Some(ShardId(shards - 1)),
            shards,
            Durability::Fsync,
            Access::guest(),
        );
        vhosts.invariants();
        let link = Arc::new(Link::for_tests());
        let mut control = Some((vhosts, Journal::new(link.clone(), 1, SEGMENT_BYTES)));
        self.link = Some(link);
        let mut hall = Hall::new(shards);
        hall.shards.iter_mut().for_each(|shard| shard.restore(&restored, control.take()));
        hall
    }

    /// Writes and syncs what was handed over.
    fn sync(&mut self) {
        let link = self.link.as_ref().expect("it was started");
        while let Some(group) = link.take_group() {
            self.log.extend(records_of(&group));
            link.pretend_synced(group.end);
        }
    }

    /// Until nothing moves any more.
    fn settle(&mut self, hall: &mut Hall) {
        while {
            hall.turn();
            !hall.shards[0].is_topology_durable()
        } {
            self.sync();
        }
        hall.shards.iter().for_each(Shard::invariants);
    }
}

fn durable(queue: &'static str) -> Method<'static> {
    let Method::QueueDeclare { queue, passive, exclusive, auto_delete, nowait, arguments, .. } =
        declare(queue)
    else {
        unreachable!("it declares a queue")
    };
    Method::QueueDeclare { queue, passive, durable: true, exclusive, auto_delete, nowait, arguments }
}

fn exchange(name: &'static str) -> Method<'static> {
    Method::ExchangeDeclare {
        exchange: ShortStr::from(name),
        type_: ShortStr::from("fanout"),
        passive: false,
        durable: true,
        auto_delete: false,
        internal: false,
        nowait: false,
        arguments: Table::EMPTY,
    }
}

fn bind(queue: &'static str, exchange: &'static str) -> Method<'static> {
    let (queue, exchange) = (ShortStr::from(queue), ShortStr::from(exchange));
    Method::QueueBind {
        queue,
        exchange,
        routing_key: ShortStr::EMPTY,
        nowait: false,
        arguments: Table::EMPTY,
    }
}

fn delete(queue: &'static str) -> Method<'static> {
    Method::QueueDelete { queue: ShortStr::from(queue), if_unused: false, if_empty: false, nowait: false }
}

#[test]
fn no_reply_overtakes_the_sync_of_a_change_in_front_of_it() {
    let mut disk = Disk::default();
    let mut hall = disk.start(2);
    let [first, second, transient] = [hall.connect(0), hall.connect(1), hall.connect(1)];
    hall.send(first, &durable("q"));
    hall.send(second, &durable("q"));
    hall.send(transient, &declare("t"));
    hall.turn();
    assert!(!hall.shards[0].must_wake(), "it may sleep while the disk works");
    for connection in [first, second, transient] {
        assert!(hall.received[connection].is_empty());
    }
    disk.sync();
    assert!(hall.shards[0].must_wake() && hall.shards[0].has_work());
    hall.turn();
    for connection in [first, second, transient] {
        hall.expect(connection, "queue.declare-ok");
    }
    hall.send(transient, &declare("u"));
    hall.expect(transient, "queue.declare-ok");
    hall.send(first, &delete("q"));
    assert!(hall.received[first].is_empty());
    disk.settle(&mut hall);
    hall.expect(first, "queue.delete-ok");
}

#[test]
fn after_a_restart_what_was_durable_is_there_and_nothing_else() {
    let mut disk = Disk::default();
    let mut hall = disk.start(2);
    let client = hall.connect(1);
    for (method, reply) in [
        (exchange("x"), "exchange.declare-ok"),
        (durable("kept"), "queue.declare-ok"),
        (bind("kept", "x"), "queue.bind-ok"),
        (durable("deleted"), "queue.declare-ok"),
        (bind("deleted", "x"), "queue.bind-ok"),
        (delete("deleted"), "queue.delete-ok"),
        (declare("transient"), "queue.declare-ok"),
        (bind("transient", "x"), "queue.bind-ok"),
    ] {
        hall.send(client, &method);
        disk.settle(&mut hall);
        hall.expect(client, reply);
    }
    // Not synced any more.
    hall.send(client, &delete("kept"));
    for shards in [3, 1, 2] {
        let mut hall = disk.start(shards);
        hall.shards.iter().for_each(Shard::invariants);
        let queues = hall.shards.iter_mut().map(|shard| shard.counters().queues);
        assert_eq!(queues.collect::<Vec<_>>().last(), Some(&1), "it lives where it must");
        for shard in 0..usize::from(shards) {
            let [publisher, consumer] = [hall.connect(shard), hall.connect(0)];
            hall.send(consumer, &durable("kept"));
            hall.expect(consumer, "queue.declare-ok");
            hall.send(consumer, &consume("kept", true));
            hall.expect(consumer, "basic.consume-ok");
            hall.bytes(publisher, &super::hall::publish("x", "", b"hello"));
            assert_eq!(hall.delivery(consumer), b"hello");
            assert!(hall.received[consumer].is_empty(), "one queue has it");
            hall.send(consumer, &Method::BasicCancel { consumer_tag: ShortStr::EMPTY, nowait: true });
            hall.send(
                consumer,
                &Method::ChannelClose {
                    reply_code: 200,
                    reply_text: ShortStr::EMPTY,
                    class_id: 0,
                    method_id: 0,
                },
            );
            hall.expect(consumer, "channel.close-ok");
        }
    }
}
