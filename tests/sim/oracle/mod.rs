//! What must be true of every output of the broker, whatever the order of its turns.
//!
//! The oracle hears of every method when its client writes it, and of every frame when the broker writes it. In between
//! it does not know what has been done, so it keeps two bounds for everything: what is surely so, and what may be so.
//!
//! ```text
//! a queue or binding    asked .... sure_from ======== sure_until .... gone
//! a message in a queue  Ready -> Held -> Acking -> Gone
//!                         ^-------+  requeued: by its holder, or by the end of its holder
//! ```
//! A message must be in a queue if the way there was sure from the publish until it is known to be routed; it may be in
//! a queue if the way was possible at some time in between.

mod clock;
mod copies;
mod crash;
mod ends;
mod facts;
mod fates;
mod heard;
mod letters;
mod model;
mod probes;
mod rest;
mod routing;
mod told;
mod transactions;

pub use crate::letter::Style;
pub use facts::{Fact, Window};
pub use letters::Letter;
pub use model::*;
pub use told::Wanted;

use std::collections::{BTreeMap, BTreeSet};

pub type Verdict<T = ()> = Result<T, Violation>;

/// A promise that was broken, in words.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Violation(pub String);

pub fn violation<T>(text: impl Into<String>) -> Verdict<T> {
    Err(Violation(text.into()))
}

/// Everything that clients said and the broker answered.
#[derive(Default)]
pub struct Oracle {
    /// Counts what was told and heard: the oracle's time.
    pub time: u64,
    /// The hosts' clock.
    pub now_ns: u64,
    pub connections: Vec<ConnectionRecord>,
    pub channels: Vec<ChannelRecord>,
    pub consumers: Vec<ConsumerRecord>,
    pub queues: Vec<QueueRecord>,
    pub bindings: Vec<BindingRecord>,
    pub publications: Vec<Publication>,
    /// By what is written on them.
    pub letters: BTreeMap<letters::Inscription, PublicationIx>,
    /// Some messages have an expiration of their own.
    pub some_expire: bool,
    /// The only message that is on its way, and nothing else is.
    pub probe: Option<PublicationIx>,
    /// The server ends as a write or sync has failed.
    pub disk_failed: bool,
    /// When the last server ended without order, and in order.
    pub crashed_at: u64,
    pub stopped_at: u64,
    pub ended_again_at: u64,
    pub disk_may_be_full: bool,
    /// The server has one shard.
    pub is_single: bool,
    /// Since the server started.
    pub commits: Vec<crash::Commit>,
    halves: Vec<crash::Half>,
    /// What a client that looks through queues was given.
    pub surveyed: BTreeMap<QueueIx, BTreeSet<PublicationIx>>,
    /// The queue that a passive declare was about, and whether it is there.
    pub looked_for: Option<(QueueIx, bool)>,
    pub tally: Tally,
}

/// How much of what was seen, so that a run that tests nothing is noticed.
#[derive(Clone, Copy, Default, Debug)]
pub struct Tally {
    pub published: u64,
    pub delivered: u64,
    pub redelivered: u64,
    pub settled: u64,
    pub got: u64,
    pub got_nothing: u64,
    pub confirmed: u64,
    pub committed: u64,
    pub rolled_back: u64,
    pub returned: u64,
    pub replies: u64,
    pub channel_errors: u64,
    pub connection_errors: u64,
    pub cancelled_by_server: u64,
    /// Copies that had to be in a queue at the end, and were.
    pub proved: u64,
    pub must_route: u64,
    pub counts_checked: u64,
    /// Publishes that were nacked.
    pub refused: u64,
    /// Dead letters that were read, by reason.
    pub rejected: u64,
    pub expired: u64,
    pub too_many: u64,
    pub too_often: u64,
    /// Messages of which it was sure that they had expired, or were returned too often.
    pub surely_dead: u64,
    /// Letters that had to come somewhere.
    pub letters_sure: u64,
    /// Consumers that took too long.
    pub overdue: u64,
    /// Queues that ended as nobody used them.
    pub idle: u64,
    /// Single active consumers that were followed by another.
    pub succeeded: u64,
    /// Deliveries that showed that the most urgent goes first, and to whom.
    pub urgent: u64,
    pub preferred: u64,
    /// Queues with a place for their dead that were looked through at the end.
    pub audited: u64,
    /// Messages that came behind the end of a server which they had outlived.
    pub outlived: u64,
    /// Those that had to.
    pub had_to_outlive: u64,
    /// Commits that were not answered when the server ended, by queue; and those that counted.
    pub halves: u64,
    pub halves_done: u64,
    pub open_commits: u64,
    /// Settled for good, and on disk, when a server ended.
    pub settled_for_good: u64,
}

impl Oracle {
    pub fn queue(&self, at: QueueIx) -> &QueueRecord {
        &self.queues[at]
    }

    pub fn open_connection(&mut self, notify: bool) -> ConnectionIx {
        self.connections.push(ConnectionRecord {
            state: Life::Open,
            channels: BTreeMap::new(),
            order: BTreeMap::new(),
            has_recovered: false,
            notify,
            provoked: false,
            drains: false,
        });
        self.connections.len() - 1
    }

    fn tick(&mut self) -> u64 {
        self.time += 1;
        self.time
    }

    fn name(&self, queue: QueueIx) -> String {
        String::from_utf8_lossy(&self.queues[queue].name).into_owned()
    }
}

impl Tally {
    pub fn add(&mut self, other: &Tally) {
        self.published += other.published;
        self.delivered += other.delivered;
        self.redelivered += other.redelivered;
        self.settled += other.settled;
        self.got += other.got;
        self.got_nothing += other.got_nothing;
        self.confirmed += other.confirmed;
        self.committed += other.committed;
        self.rolled_back += other.rolled_back;
        self.returned += other.returned;
        self.replies += other.replies;
        self.channel_errors += other.channel_errors;
        self.connection_errors += other.connection_errors;
        self.cancelled_by_server += other.cancelled_by_server;
        self.proved += other.proved;
        self.must_route += other.must_route;
        self.counts_checked += other.counts_checked;
        self.refused += other.refused;
        self.rejected += other.rejected;
        self.expired += other.expired;
        self.too_many += other.too_many;
        self.too_often += other.too_often;
        self.surely_dead += other.surely_dead;
        self.letters_sure += other.letters_sure;
        self.overdue += other.overdue;
        self.idle += other.idle;
        self.succeeded += other.succeeded;
        self.urgent += other.urgent;
        self.preferred += other.preferred;
        self.audited += other.audited;
        self.outlived += other.outlived;
        self.had_to_outlive += other.had_to_outlive;
        self.halves += other.halves;
        self.halves_done += other.halves_done;
        self.open_commits += other.open_commits;
        self.settled_for_good += other.settled_for_good;
    }
}
