//! What stands during a whole test: the queues, the exchanges, and the ways from publishers to queues.

use haremq::amqp::{Table, TableWriter};

use crate::client::{CHANNEL, Client};
use crate::common::wire::{bind, declare, declare_durable, declare_exchange, declare_exclusive};

/// A durable queue.
pub struct Queue {
    pub name: &'static str,
    arguments: fn(TableWriter) -> TableWriter,
    pub rule: Rule,
    /// A consumer settles what comes.
    pub consumed: bool,
}

/// What becomes of its messages by itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rule {
    /// Nothing.
    Stay,
    /// They end with the server.
    End,
    /// They expire and become dead letters.
    Expire,
    /// Those that are rejected become dead letters.
    Reject,
    /// Here the dead letters come.
    Letters,
    /// The most urgent is first.
    Urgent,
    /// The oldest are dropped if there are more than so many.
    Drop(usize),
    /// No more than so many are taken.
    Refuse,
}

impl Rule {
    /// How many there are matters.
    pub fn counts(self) -> bool {
        matches!(self, Rule::Drop(_) | Rule::Refuse)
    }
}

/// By its place in `QUEUES`.
pub type QueueIndex = usize;

pub const PLAIN: QueueIndex = 0;
pub const KEPT: QueueIndex = 1;
pub const WRITTEN: QueueIndex = 2;
pub const SYNCED: QueueIndex = 3;
pub const LOOSE: QueueIndex = 4;
pub const BRIEF: QueueIndex = 5;
pub const WORK: QueueIndex = 6;
pub const URGENT: QueueIndex = 7;
pub const SHORT: QueueIndex = 8;
pub const FULL: QueueIndex = 9;
pub const LEGAL: QueueIndex = 10;
pub const BANK: [QueueIndex; 3] = [11, 12, 13];
pub const DEAD: QueueIndex = 14;
/// Those of class os: what was confirmed there outlives the server, not the machine.
pub const OS: [QueueIndex; 2] = [WRITTEN, BANK[1]];

const fn queue(
    name: &'static str,
    arguments: fn(TableWriter) -> TableWriter,
    rule: Rule,
    consumed: bool,
) -> Queue {
    Queue { name, arguments, rule, consumed }
}

/// The one where letters come is looked at last.
pub static QUEUES: [Queue; 15] = [
    queue("plain", |it| it, Rule::Stay, true),
    queue("kept", |it| it, Rule::Stay, false),
    queue("written", |it| it.string("x-durability", "os"), Rule::Stay, false),
    queue("synced", |it| it.string("x-durability", "fsync"), Rule::Stay, false),
    queue("loose", |it| it.string("x-durability", "none"), Rule::End, false),
    queue("brief", |it| letters(it).i32("x-message-ttl", 400), Rule::Expire, false),
    queue("work", |it| letters(it).string("x-dead-letter-routing-key", "rejected"), Rule::Reject, true),
    queue("urgent", |it| it.i32("x-max-priority", 5), Rule::Urgent, false),
    queue("short", |it| it.i32("x-max-length", SHORT_LENGTH as i32), Rule::Drop(SHORT_LENGTH), false),
    queue(
        "full",
        |it| it.i32("x-max-length", 200).string("x-overflow", "reject-publish"),
        Rule::Refuse,
        false,
    ),
    queue(
        "legal",
        |it| it.string("x-queue-type", "quorum").i32("x-delivery-limit", 10_000),
        Rule::Stay,
        true,
    ),
    queue("bank-a", |it| it, Rule::Stay, false),
    queue("bank-b", |it| it.string("x-durability", "os"), Rule::Stay, false),
    queue("bank-c", |it| it, Rule::Stay, false),
    queue("dead", |it| it, Rule::Letters, false),
];

pub const SHORT_LENGTH: usize = 40;

fn letters(arguments: TableWriter) -> TableWriter {
    arguments.string("x-dead-letter-exchange", "letters")
}

/// A way from a publisher to queues.
pub struct Route {
    pub exchange: &'static str,
    pub key: &'static str,
    pub queues: &'static [QueueIndex],
    /// How often publishers take it.
    pub weight: u32,
    /// Transactions take it, too.
    pub in_tx: bool,
}

const fn route(
    exchange: &'static str,
    key: &'static str,
    queues: &'static [QueueIndex],
    weight: u32,
    in_tx: bool,
) -> Route {
    Route { exchange, key, queues, weight, in_tx }
}

pub static ROUTES: [Route; 21] = [
    route("", "plain", &[PLAIN], 10, true),
    route("", "kept", &[KEPT], 10, true),
    route("", "written", &[WRITTEN], 6, false),
    route("", "synced", &[SYNCED], 6, false),
    route("", "loose", &[LOOSE], 3, false),
    route("", "brief", &[BRIEF], 8, false),
    route("", "work", &[WORK], 8, false),
    route("", "urgent", &[URGENT], 6, false),
    route("", "short", &[SHORT], 6, false),
    route("", "full", &[FULL], 3, false),
    route("", "legal", &[LEGAL], 5, false),
    route("", "bank-a", &[BANK[0]], 0, true),
    route("", "bank-b", &[BANK[1]], 0, true),
    route("", "bank-c", &[BANK[2]], 0, true),
    route("ways", "one", &[PLAIN], 4, false),
    route("ways", "two", &[WRITTEN, SYNCED], 6, true),
    route("all", "", &[KEPT, SYNCED, WORK, URGENT], 6, true),
    route("topics", "order.late", &[KEPT, WRITTEN, BRIEF], 6, false),
    route("topics", "order.x.y", &[KEPT], 4, true),
    route("topics", "x.late", &[BRIEF], 3, false),
    route("ways", "nowhere", &[], 1, false),
];

const EXCHANGES: [(&str, &str); 4] =
    [("ways", "direct"), ("all", "fanout"), ("topics", "topic"), ("letters", "fanout")];

const BINDINGS: [(&str, &str, QueueIndex); 12] = [
    ("ways", "one", PLAIN),
    ("ways", "two", WRITTEN),
    ("ways", "two", SYNCED),
    ("all", "", KEPT),
    ("all", "", SYNCED),
    ("all", "", WORK),
    ("all", "", URGENT),
    ("topics", "order.#", KEPT),
    ("topics", "order.*", WRITTEN),
    ("topics", "*.late", BRIEF),
    ("topics", "order.late", BRIEF),
    ("letters", "", DEAD),
];

/// What ends with the server: queues and an exchange.
pub const TRANSIENT_QUEUES: [&str; 2] = ["passing", "exclusive"];
pub const TRANSIENT_EXCHANGE: &str = "passage";

/// Declares what stands, as it may be already, and what does not.
pub fn declare_all(client: &mut Client) {
    let wire = client.wire();
    for queue in &QUEUES {
        let arguments = (queue.arguments)(TableWriter::new()).finish();
        let arguments = Table::decode(&arguments).expect("a table that we wrote");
        wire.call(CHANNEL, declare_durable(queue.name, arguments), "queue.declare-ok");
    }
    for (name, kind) in EXCHANGES {
        wire.call(CHANNEL, declare_exchange(name, kind, true), "exchange.declare-ok");
    }
    for (exchange, key, queue) in BINDINGS {
        wire.call(CHANNEL, bind(QUEUES[queue].name, exchange, key), "queue.bind-ok");
    }
    let [passing, exclusive] = TRANSIENT_QUEUES;
    wire.call(CHANNEL, declare(passing), "queue.declare-ok");
    wire.call(CHANNEL, declare_exclusive(exclusive), "queue.declare-ok");
    wire.call(CHANNEL, declare_exchange(TRANSIENT_EXCHANGE, "direct", false), "exchange.declare-ok");
    // What is bound to what stands must not be missed by it.
    wire.call(CHANNEL, bind(passing, "all", ""), "queue.bind-ok");
    wire.call(CHANNEL, bind(QUEUES[PLAIN].name, TRANSIENT_EXCHANGE, ""), "queue.bind-ok");
}
