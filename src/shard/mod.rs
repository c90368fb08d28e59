//! The hall: a shard owns the rooms and carries values from one to the next.
//!
//! ```text
//! bytes -> receive -> dispatch -> publish / settle -> rooms -> output
//!                        |                             ^
//!                        +-> request / ask  -> mesh -> command -> answer
//! ```
//! Everything here is synchronous and runs to its end; time comes in as `now`, nanoseconds of a monotonic
//! clock. The shell (`net`, `start`) only brings bytes and takes bytes.

mod accept;
mod answer;
mod ask;
mod binds;
mod blocked;
mod claims;
mod command;
mod confirm;
mod control;
mod deadlines;
mod declaration;
pub mod desk;
mod dispatch;
mod due;
mod guesses;
mod keep;
mod ledger;
mod lending;
mod letters;
mod names;
pub mod notes;
mod outward;
mod permit;
mod policies;
mod pressed;
mod publish;
pub mod queue_orders;
mod receive;
mod recover;
mod reply_to;
pub mod report;
mod requests;
pub mod restart;
mod restore;
mod rooms;
mod routers;
pub mod start;
mod teardown;
mod transaction;

pub use command::Command;
pub use receive::{Received, Rest};

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;

use crate::access::Access;
use crate::amqp::wire::ShortStr;
use crate::budget::Budget;
use crate::connection::handshake::HandshakeConfig;
use crate::connection::limit::Lending;
use crate::connection::{ClosedBy, Connection, Grant, Phase};
use crate::exchange::Memo;
use crate::ids::{ChannelNumber, ConnectionId, Requester, ShardId, root};
use crate::journal::{Journal, Keeps, Position, Proof};
use crate::limits::{
    BODY_BYTES_MAX, CONNECTIONS_MAX, DRAIN_RECORDS, HANDSHAKE_TIMEOUT_NS, UNAUTHENTICATED_MAX,
};
use crate::mesh::Mesh;
use crate::mesh::doorbell::Doorbell;
use crate::pages::Pages;
use crate::parameters::Parameters;
use crate::queue::Timers;
use crate::slots::Slots;
use crate::stats::Counters;
use crate::topology::Vhosts;
use claims::Claims;
use confirm::Confirming;
use deadlines::Deadlines;
use desk::Desk;
use guesses::Guesses;
use keep::Commits;
use ledger::Ledger;
use letters::SentLetters;
use names::Names;
use notes::{Notes, What};
use outward::Outward;
use policies::Walk;
use reply_to::ReplyKeys;
use rooms::Rooms;
use routers::Routers;

/// Lives on: its core. Nothing in it is shared but the ends of the rings and the memory budget.
pub struct Shard {
    id: ShardId,
    config: ShardConfig,
    rooms: Rooms,
    routers: Routers,
    /// Who may do what, as this shard was told last.
    access: Access,
    /// The same of parameters.
    parameters: Parameters,
    /// Through the queues here, which other policies may apply to, one after the other.
    walks: VecDeque<Walk>,
    /// The last route of each connection, by its slot.
    memos: Vec<Memo>,
    /// On the control shard.
    vhosts: Option<Box<Vhosts>>,
    /// There too, if what is durable outlives the server.
    ledger: Option<Box<Ledger>>,
    desk: Desk,
    claims: Claims,
    guesses: Guesses,
    notes: Notes,
    /// Commands of this shard to itself.
    local: VecDeque<Command>,
    confirming: Confirming,
    deadlines: Deadlines,
    names: Names,
    reply_keys: ReplyKeys,
    budget: Arc<Budget>,
    /// Channels whose unacked messages are being requeued piece by piece.
    requeueing: Vec<(ConnectionId, ChannelNumber)>,
    /// Channels whose commit goes on piece by piece.
    committing: Vec<Requester>,
    /// The memory alarm as the running batch sees it.
    alarmed: bool,
    /// Connections with publishes that wait for the alarm to go, first come first.
    blocked: VecDeque<ConnectionId>,
    /// Connections that are not read because rings are full.
    pressed: Vec<u32>,
    /// Connections that may be read again.
    resumed: Vec<u32>,
    /// Kept for their memory.
    grants: Vec<Grant>,
    lendings: Vec<Lending>,
    /// A message on its way out of a transaction; kept for its memory.
    record: Vec<u8>,
    unauthenticated: usize,
    /// Connections that are internal.
    internal: usize,
    /// Transactions that were committed here, ever.
    commits: u64,
    /// The journal of a shard that stops, until all of it is on disk.
    closed: Option<Journal>,
    /// The journal has so much to write that publishers wait, as the other shards were told.
    behind: bool,
    /// How far the journal had come when promises were last looked at.
    proof: Proof,
    /// Messages that the running batch has given back.
    requeued: usize,
    /// Nobody is let in.
    barred: bool,
    now: u64,
    /// The wall clock, seconds since 1970, as the shell last told.
    wall_s: u64,
    /// The wall clock less `now`, ns.
    wall_offset_ns: u64,
}

#[derive(Clone, Debug)]
pub struct ShardConfig {
    pub handshake: HandshakeConfig,
    /// Of a server that has not been told of other users.
    pub access: Access,
    /// Most connections of this shard, and most that have not logged in yet.
    pub connections_max: usize,
    pub unauthenticated_max: usize,
    /// Time for the whole handshake.
    pub handshake_timeout_ns: u64,
    /// Largest body of a message.
    pub message_bytes_max: u64,
    /// How long a consumer may keep a message, where its queue does not say.
    pub consumer_timeout_ms: Option<u64>,
    /// From the kernel's source of random numbers; the same for all shards. Names that must not be guessed come from it.
    pub secret: [u64; 2],
}

impl Default for ShardConfig {
    /// Of the only shard of a server that is told nothing. The secret is none.
    fn default() -> ShardConfig {
        ShardConfig {
            handshake: HandshakeConfig::default(),
            access: Access::guest(),
            connections_max: CONNECTIONS_MAX,
            unauthenticated_max: UNAUTHENTICATED_MAX,
            handshake_timeout_ns: HANDSHAKE_TIMEOUT_NS,
            message_bytes_max: BODY_BYTES_MAX,
            consumer_timeout_ms: None,
            secret: [0; 2],
        }
    }
}

/// The two ends of a connection's socket.
#[derive(Clone, Copy, Debug)]
pub struct Peer {
    pub address: SocketAddr,
    pub local: SocketAddr,
    /// Behind the connection stands the HTTP API, with a user who came from `address`: it is not shown, not counted, and no
    /// limit to the number of connections holds for it.
    pub internal: bool,
    /// Instead of a user there is somebody who may do everything ([`Access::insider`]). Internal ones only.
    pub trusted: bool,
}

impl Shard {
    /// `seed` makes hashing and server-given names; two runs with the same seed and input are the same run.
    pub fn new(
        id: ShardId,
        config: ShardConfig,
        mesh: Mesh<Command>,
        budget: Arc<Budget>,
        seed: u64,
    ) -> Shard {
        let shards = mesh.shards();
        let reply_keys = ReplyKeys::new(config.secret);
        let mut routers = Routers::new(seed);
        routers.add(root());
        let outward = Outward {
            id,
            connections: Slots::default(),
            mesh,
            dirty: VecDeque::new(),
            lending: VecDeque::new(),
            unflushed: 0,
            counters: Counters::default(),
        };
        let rooms = Rooms {
            queues: Slots::default(),
            pages: Pages::new(budget.clone()),
            timers: Timers::default(),
            letters: VecDeque::new(),
            sent: SentLetters::default(),
            outward,
            pump: VecDeque::new(),
            doomed: Vec::new(),
            journal: None,
            keeps: Keeps::new(),
            commits: Commits::default(),
            unkept: VecDeque::new(),
            settled_at: Position::NONE,
            wall_ms: 0,
            dropped: Vec::new(),
            unfit: Vec::new(),
            held: 0,
            waiters: Vec::new(),
        };
        let access = config.access.clone();
        Shard {
            id,
            config,
            rooms,
            routers,
            access: access.clone(),
            parameters: Parameters::default(),
            walks: VecDeque::new(),
            memos: Vec::new(),
            vhosts: (id == ShardId::CONTROL).then(|| Box::new(Vhosts::new(shards, access))),
            desk: Desk::default(),
            claims: Claims::default(),
            guesses: Guesses::default(),
            notes: Notes::default(),
            ledger: None,
            local: VecDeque::new(),
            confirming: Confirming::new(shards),
            deadlines: Deadlines::default(),
            names: Names::new(seed ^ u64::from(id.0)),
            reply_keys,
            budget,
            requeueing: Vec::new(),
            committing: Vec::new(),
            alarmed: false,
            blocked: VecDeque::new(),
            pressed: Vec::new(),
            resumed: Vec::new(),
            grants: Vec::new(),
            lendings: Vec::new(),
            record: Vec::new(),
            unauthenticated: 0,
            internal: 0,
            commits: 0,
            closed: None,
            behind: false,
            proof: Proof::default(),
            requeued: 0,
            barred: false,
            now: 0,
            wall_s: 0,
            wall_offset_ns: 0,
        }
    }

    pub fn id(&self) -> ShardId {
        self.id
    }

    /// A socket was accepted. None: a cap is reached, or nobody is let in; close it.
    pub fn open(&mut self, peer: Peer, now: u64) -> Option<u32> {
        self.begin(now);
        assert!(peer.internal || !peer.trusted, "a client has to log in");
        let Outward { connections, .. } = &mut self.rooms.outward;
        let full = connections.len() >= self.config.connections_max
            || self.unauthenticated >= self.config.unauthenticated_max;
        if self.barred || full && !peer.internal {
            return None;
        }
        let shard = self.id;
        let slot = connections.insert_with(|slot, generation| {
            let id = ConnectionId { shard, slot, generation };
            let Peer { local, internal, trusted, .. } = peer;
            Connection { local, internal, trusted, ..Connection::new(id, peer.address, now) }
        });
        if self.memos.len() <= slot as usize {
            self.memos.resize_with(slot as usize + 1, Memo::default);
        }
        self.unauthenticated += 1;
        self.internal += usize::from(peer.internal);
        self.rooms.outward.counters.connections_opened += u64::from(!peer.internal);
        self.note(slot, What::Accepted);
        self.schedule(slot, now + self.config.handshake_timeout_ns);
        Some(slot)
    }

    /// The socket came to its end or failed.
    pub fn eof(&mut self, slot: u32, now: u64) {
        self.begin(now);
        self.socket_gone(slot);
        self.end_batch();
    }

    /// The shell closed the socket because `wants_close` said so.
    pub fn closed(&mut self, slot: u32, now: u64) {
        self.eof(slot, now);
    }

    /// The next connection with output.
    pub fn next_dirty(&mut self) -> Option<u32> {
        while let Some(slot) = self.rooms.outward.dirty.pop_front() {
            if let Some(connection) = self.rooms.outward.connections.get_mut(slot) {
                connection.listed = false;
                return Some(slot);
            }
        }
        // Everybody was asked; what a socket did not take is for its task.
        self.rooms.outward.unflushed = 0;
        None
    }

    pub fn dirty_count(&self) -> usize {
        self.rooms.outward.dirty.len()
    }

    pub fn output(&self, slot: u32) -> &[u8] {
        self.rooms.outward.connections.get(slot).map_or(&[], |connection| connection.outbox.unsent())
    }

    /// The socket took so many bytes of the output.
    pub fn sent(&mut self, slot: u32, bytes: usize, now: u64) {
        self.begin(now);
        let id = self.id;
        let Some(connection) = self.rooms.outward.connections.get_mut(slot) else { return };
        connection.outbox.sent(bytes);
        connection.octets.sent += bytes as u64;
        connection.octets.sends += 1;
        connection.heartbeat.sent(now);
        if !connection.outbox.is_empty() {
            return;
        }
        let mut grants = std::mem::take(&mut self.grants);
        connection.grants(|queue| queue.shard == id, &mut grants);
        grants.drain(..).for_each(|(queue, consumer, bytes)| self.rooms.grant(queue, consumer, bytes));
        self.grants = grants;
        self.resume_if_roomy(slot);
    }

    /// The shell has sent what there was to send: whoever has room again is served, and credit goes to the
    /// shards of its queues.
    pub fn flushed(&mut self, now: u64) {
        self.begin(now);
        self.topology_durable();
        self.end_batch();
    }

    /// Whether the shell should close the socket once all output is sent.
    pub fn wants_close(&self, slot: u32) -> bool {
        let Some(connection) = self.rooms.outward.connections.get(slot) else { return true };
        match &connection.phase {
            Phase::Closing(closing) => closing.by == ClosedBy::Gone,
            Phase::Open => connection.leaving == Some(ClosedBy::Gone),
            Phase::Refused { close_at, .. } => self.now >= *close_at,
            Phase::Header | Phase::Handshake(_) => false,
        }
    }

    /// Takes commands from the rings and goes on with work that a budget left over. True if there was any.
    pub fn drain(&mut self, now: u64) -> bool {
        self.begin(now);
        self.see_alarm();
        // First, and always: a shard that always has work must see what is on disk all the same.
        let mut any = self.keep_promises() || self.has_work() || self.rooms.outward.mesh.can_post();
        for peer in (0..self.rooms.outward.mesh.shards()).map(ShardId) {
            any |= self.drain_ring(peer);
        }
        if any {
            self.topology_durable();
            self.work_on_routes();
            self.take_told();
            self.work_on_topology();
            self.requeue_some();
            self.commit_some();
            self.unblock_one();
            self.walk_queues();
            self.rooms.fit_some();
            self.rooms.sweep();
            self.end_batch();
        }
        any
    }

    /// Work that a budget left over: `drain` goes on with it.
    pub fn has_work(&self) -> bool {
        !self.rooms.pump.is_empty()
            || !self.rooms.doomed.is_empty()
            || !self.rooms.outward.lending.is_empty()
            || !self.rooms.dropped.is_empty()
            || self.may_send_letters()
            || !self.walks.is_empty()
            || self.rooms.may_fit()
            || self.is_behind()
            || self.may_requeue()
            || self.may_commit()
            || self.may_unblock()
            || self.may_resume()
            || self.routers.has_work()
            || self.vhosts.as_ref().is_some_and(|vhosts| vhosts.has_work())
            || self.ledger.as_ref().is_some_and(|ledger| ledger.has_work())
    }

    /// Deadlines that have come: heartbeats, handshakes, closes.
    pub fn tick(&mut self, now: u64) {
        self.begin(now);
        self.note_alarms();
        while let Some((slot, generation, at)) = self.deadlines.due(now) {
            self.on_deadline(slot, generation, at);
        }
        self.end_batch();
    }

    /// The wall clock, ns since 1970: told now and then, for the times that messages carry.
    pub fn set_wall(&mut self, ns: u64, now: u64) {
        self.wall_s = ns / 1_000_000_000;
        self.wall_offset_ns = ns.saturating_sub(now);
    }

    pub fn take_resumed(&mut self, into: &mut Vec<u32>) {
        into.append(&mut self.resumed);
    }

    /// Sends connection.close 320 to everybody; nobody new is let in.
    pub fn shutdown(&mut self, now: u64) {
        self.begin(now);
        self.barred = true;
        self.close_all();
        self.end_batch();
    }

    pub fn connections(&self) -> usize {
        self.rooms.outward.connections.len()
    }

    pub fn bell(&self) -> &Doorbell {
        self.rooms.outward.mesh.bell(self.id)
    }

    /// Whether there is a reason not to sleep: commands have come, staged ones would find room, or the topology's journal
    /// has come further.
    pub fn must_wake(&self) -> bool {
        !self.rooms.outward.mesh.inbound_is_empty()
            || self.rooms.outward.mesh.can_post()
            || self.may_resume()
            || self.rooms.journal.as_ref().is_some_and(|journal| journal.is_beyond(&self.proof))
            || self.ledger.as_ref().is_some_and(|ledger| ledger.has_news())
    }

    pub fn counters(&mut self) -> &Counters {
        let Rooms { queues, outward, .. } = &mut self.rooms;
        let counters = &mut outward.counters;
        counters.commands_sent = outward.mesh.counters.commands_sent;
        counters.commands_received = outward.mesh.counters.commands_received;
        counters.spills = outward.mesh.counters.spills;
        counters.connections = (outward.connections.len() - self.internal) as u64;
        counters.queues = queues.len() as u64;
        counters
    }

    /// Sums over the rooms; the simulator calls it after each turn.
    pub fn invariants(&self) {
        self.rooms.invariants();
    }

    fn begin(&mut self, now: u64) {
        self.now = now;
        self.rooms.timers.now = now;
        if let Some(journal) = &mut self.rooms.journal {
            journal.now = now;
            self.rooms.wall_ms = self.wall_offset_ns.saturating_add(now) / 1_000_000;
        }
    }

    fn drain_ring(&mut self, peer: ShardId) -> bool {
        let mut taken = 0;
        while taken < DRAIN_RECORDS
            && let Some(command) = self.rooms.outward.mesh.receive(peer)
        {
            taken += command.records();
            self.execute(peer, command);
            self.run_local();
        }
        if taken > 0 {
            self.report_accepted(peer);
        }
        self.rooms.outward.mesh.made_room(peer);
        taken > 0
    }

    /// What a batch ends with, in this order: channels lend, confirms are written, queues served, the dead sent on, commands
    /// posted.
    fn end_batch(&mut self) {
        self.run_local();
        self.take_due();
        self.lend_and_pump();
        if self.may_send_letters() {
            // They go by what the queues are like now: a consumer that gave one back has got the next.
            self.send_letters();
            self.lend_and_pump();
        }
        if !self.rooms.outward.lending.is_empty() {
            // Some that were to be served had to ask for credit.
            self.lend_and_pump();
        }
        self.tell_applied();
        if let Some(ledger) = &mut self.ledger {
            ledger.flush(self.now);
        }
        self.rooms.outward.mesh.post();
        self.rooms.tend_journal();
        self.tell_if_behind();
        self.resume_pressed();
    }

    fn lend_and_pump(&mut self) {
        self.lend();
        self.write_confirms();
        self.rooms.pump();
    }
}

/// A name that came from a short string, or was made to be one.
fn short(name: &[u8]) -> ShortStr<'_> {
    ShortStr::new(name).expect("names have at most 255 octets")
}
