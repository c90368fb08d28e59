use super::super::UnackedTag;
use super::*;
use crate::ids::{ConnectionId, ShardId};
use crate::message::Message;

/// A connection with a channel and its consumers, and what each of their queues has been lent.
struct Bench {
    connection: Connection,
    lent: Vec<u32>,
    recalls: Vec<u32>,
    lifted: usize,
}

const CHANNEL: ChannelNumber = ChannelNumber(1);
const QUEUE: QueueId = QueueId { shard: ShardId(1), slot: 0, generation: 1 };

impl Bench {
    fn new(consumers: u32) -> Bench {
        let id = ConnectionId { shard: ShardId(0), slot: 0, generation: 1 };
        let mut connection = Connection::new(id, "127.0.0.1:1".parse().unwrap(), 0);
        connection.open_channel(CHANNEL);
        let mut bench = Bench { connection, lent: Vec::new(), recalls: Vec::new(), lifted: 0 };
        (0..consumers).for_each(|_| bench.consume());
        bench
    }

    fn consume(&mut self) {
        let end = ConsumerEnd::new(CHANNEL, Box::from(&b"t"[..]), false, QUEUE, 1000);
        let handle = self.connection.consumers.insert_with(|_, _| end);
        let id = ConsumerId { slot: handle, generation: 1 };
        self.connection.consumers.get_mut(handle).unwrap().consumer = Some(id);
        self.connection.channel(CHANNEL).unwrap().consumers.push(handle);
        self.lent.push(0);
    }

    /// A client sets a limit, and queues answer at once.
    fn limit(&mut self, count: u32) {
        let mut out = Vec::new();
        self.connection.set_limit(CHANNEL, count, &mut out);
        self.carry(out);
        self.answer_recalls();
        let mut out = Vec::new();
        assert!(self.connection.limit_holds(CHANNEL, &mut out));
        self.carry(out);
        self.lend();
    }

    fn lend(&mut self) {
        self.connection.lists_lending(CHANNEL);
        loop {
            let mut out = Vec::new();
            let more = self.connection.lend(CHANNEL, &mut out);
            self.carry(out);
            if !more {
                break;
            }
        }
        self.connection.invariants();
    }

    fn carry(&mut self, lendings: Vec<Lending>) {
        for lending in lendings {
            match lending {
                Lending::Lend { consumer, messages, .. } => self.lent[consumer.slot as usize] += messages,
                Lending::Recall { handle, .. } => self.recalls.push(handle),
                Lending::Lift { .. } => self.lifted += 1,
            }
        }
    }

    fn answer_recalls(&mut self) {
        for handle in std::mem::take(&mut self.recalls) {
            let messages = std::mem::take(&mut self.lent[handle as usize]);
            self.connection.returned(CHANNEL, handle, messages);
        }
    }

    /// The queue uses one message of the lot.
    fn deliver(&mut self, handle: u32) {
        self.lent[handle as usize] -= 1;
        self.deliver_unlimited(handle);
        self.connection.invariants();
    }

    fn deliver_unlimited(&mut self, handle: u32) {
        let message = Message { route: b"\0\0", content: &[2; 20] };
        assert!(self.connection.deliver(handle, &message, QUEUE, Some(0), false));
    }

    fn ack(&mut self, tag: u64, multiple: bool) {
        let mut settled = 0;
        let channel = self.connection.channel(CHANNEL).unwrap();
        assert!(channel.unacked.settle(tag, multiple, |_| settled += 1));
        assert!(settled > 0);
        self.lend();
    }

    fn want(&mut self, handle: u32) {
        self.connection.wants_credit(handle);
        self.lend();
    }
}

#[test]
fn the_limit_is_shared_out_to_all_consumers() {
    let mut bench = Bench::new(3);
    bench.limit(7);
    assert_eq!(bench.lent, [2, 2, 2], "what is over waits for who asks");
    (0..2).for_each(|_| bench.deliver(1));
    bench.want(1);
    assert_eq!(bench.lent, [2, 1, 2]);
}

#[test]
fn nothing_is_lent_beyond_what_is_held() {
    let mut bench = Bench::new(1);
    bench.limit(2);
    assert_eq!(bench.lent, [2]);
    bench.deliver(0);
    bench.deliver(0);
    bench.want(0);
    assert_eq!(bench.lent, [0]);
    bench.ack(1, false);
    assert_eq!(bench.lent, [1]);
}

#[test]
fn what_an_idle_consumer_was_lent_goes_to_one_that_asks() {
    let mut bench = Bench::new(2);
    bench.limit(1);
    let idle = bench.lent.iter().position(|&lent| lent == 1).unwrap() as u32;
    let busy = 1 - idle;
    bench.want(busy);
    assert_eq!(bench.recalls, [idle]);
    bench.answer_recalls();
    bench.lend();
    assert_eq!((bench.lent[idle as usize], bench.lent[busy as usize]), (0, 1));
}

#[test]
fn no_more_is_recalled_than_is_asked_for() {
    let mut bench = Bench::new(5);
    bench.limit(4);
    let dry = bench.lent.iter().position(|&lent| lent == 0).unwrap() as u32;
    bench.want(dry);
    assert_eq!(bench.recalls.len(), 1);
}

#[test]
fn whoever_asks_first_is_lent_first() {
    let mut bench = Bench::new(3);
    bench.limit(1);
    let first = bench.lent.iter().position(|&lent| lent == 1).unwrap() as u32;
    bench.deliver(first);
    let order = [(first + 2) % 3, first, (first + 1) % 3];
    order.iter().for_each(|&handle| bench.want(handle));
    for (tag, &handle) in (1..).zip(&order) {
        bench.ack(tag, false);
        assert_eq!(bench.lent[handle as usize], 1);
        // Others ask, so it is recalled; but it was used before.
        bench.deliver(handle);
        bench.answer_recalls();
        bench.lend();
    }
}

#[test]
fn a_lowered_limit_holds_when_the_lots_are_back() {
    let mut bench = Bench::new(1);
    bench.limit(5);
    bench.deliver(0);
    bench.deliver(0);
    let mut out = Vec::new();
    bench.connection.set_limit(CHANNEL, 1, &mut out);
    bench.carry(out);
    assert!(!bench.connection.limit_holds(CHANNEL, &mut Vec::new()));
    bench.lend();
    assert_eq!(bench.lent, [3], "meanwhile nothing is lent");
    bench.answer_recalls();
    assert!(bench.connection.limit_holds(CHANNEL, &mut Vec::new()));
    bench.lend();
    bench.ack(1, false);
    assert_eq!(bench.lent, [0]);
    bench.ack(2, false);
    assert_eq!(bench.lent, [1]);
}

#[test]
fn a_raised_limit_holds_at_once() {
    let mut bench = Bench::new(1);
    bench.limit(1);
    bench.deliver(0);
    bench.limit(3);
    assert_eq!((bench.lent[0], bench.recalls.len()), (2, 0));
}

#[test]
fn what_was_held_before_counts_but_for_what_was_fetched() {
    let mut bench = Bench::new(1);
    (0..3).for_each(|_| bench.deliver_unlimited(0));
    let channel = bench.connection.channel(CHANNEL).unwrap();
    let tag = channel.take_tag();
    channel.unacked.push(UnackedTag::fetched(tag, QUEUE, 9));
    bench.limit(4);
    assert_eq!(bench.lent, [1]);
}

#[test]
fn a_lifted_limit_is_gone_everywhere() {
    let mut bench = Bench::new(2);
    bench.limit(2);
    bench.limit(0);
    assert_eq!(bench.lifted, 2);
    assert!(bench.connection.channel(CHANNEL).unwrap().limit.is_none());
    bench.deliver_unlimited(0);
    bench.connection.invariants();
}

#[test]
fn the_lot_of_a_consumer_that_goes_is_free_again() {
    let mut bench = Bench::new(2);
    bench.limit(1);
    let gone = bench.lent.iter().position(|&lent| lent == 1).unwrap() as u32;
    bench.want(1 - gone);
    bench.connection.end_loan(CHANNEL, gone);
    bench.connection.consumers.remove(gone);
    bench.connection.channel(CHANNEL).unwrap().consumers.retain(|&handle| handle != gone);
    bench.lend();
    assert_eq!(bench.lent[1 - gone as usize], 1);
    // The queue answers the recall that found nobody.
    bench.connection.returned(CHANNEL, gone, 0);
    bench.lend();
}

#[test]
fn a_thousand_consumers_are_looked_at_piece_by_piece() {
    let mut bench = Bench::new(1000);
    bench.limit(2000);
    assert!(bench.lent.iter().all(|&lent| lent == 2), "{:?}", bench.lent);
    let mut bench = Bench::new(1000);
    bench.limit(1);
    let dry = bench.lent.iter().position(|&lent| lent == 0).unwrap() as u32;
    bench.want(dry);
    assert_eq!(bench.recalls.len(), 1);
}
