//! The desk of a shard: what administrators ask, by the HTTP API. An order comes with a ticket, and so does its answer.
//!
//! ```text
//! Order, ticket -> topology, by a requester that is no connection -> Outcome -> Done, ticket
//! ```

use super::Shard;
pub use super::declaration::Declaration;
use super::queue_orders::{QueueDone, QueueOrder};
use super::report::{Look, Report, Sought};
use crate::access::{self, Access};
use crate::amqp::reply::{ConnectionError, ReplyCode};
use crate::exchange::ExchangeSpec;
use crate::ids::{ChannelNumber, ConnectionId, Name, QueueId, Requester, ShardId};
use crate::latency::{Latency, QueueLatency};
use crate::limits::LISTED_MAX;
use crate::parameters::{self, Parameters};
pub use crate::topology::{End, ListedBinding, Wanted};
use crate::topology::{Outcome, Piece, Place, Topology};

/// What is asked: of a shard what lives there, all else of the control shard.
#[derive(Debug)]
pub enum Order {
    /// Nothing: what counts is that an answer comes.
    Ping,
    Vhosts,
    /// `about` is the API's, and is given back as it is.
    DeclareVhost {
        vhost: Name,
        about: Name,
    },
    DeleteVhost {
        vhost: Name,
    },
    /// What lives on the shard, from where the last piece ended.
    Look {
        look: Look,
        from: u64,
    },
    /// A queue by its name: any shard knows where it is.
    Seek {
        vhost: Name,
        name: Name,
    },
    /// An exchange by its name, as the router knows it.
    Exchange {
        vhost: Name,
        name: Name,
    },
    /// How long messages took on the shard.
    Latency,
    /// Something that is done to one queue, at its shard.
    OfQueue(QueueId, QueueOrder),
    /// Ends a connection, if it is still there.
    CloseConnection {
        connection: ConnectionId,
        reason: String,
    },
    /// Lets connections in, or ends those that are there and lets nobody in.
    LetIn(bool),
    /// Declares something in a vhost, whoever may do that.
    Declare {
        vhost: Name,
        declaration: Declaration,
    },
    /// Users and permissions as they are.
    Access,
    /// In this order.
    ChangeAccess(Vec<access::Change>),
    /// A piece of them, from the place on where the last one ended.
    Bindings {
        vhost: Name,
        wanted: Wanted,
        place: Option<Place>,
    },
    /// Parameters as they are.
    Parameters,
    /// In this order; those of vhosts that are not there are left out.
    ChangeParameters(Vec<parameters::Change>),
}

#[derive(Debug)]
pub enum Done {
    Pong,
    /// With what is told about each, by name.
    Vhosts(Vec<(Name, Name)>),
    /// It is made, or gone.
    Vhost {
        existed: bool,
    },
    /// Somebody deletes it right now.
    VhostEnds,
    NotFound,
    /// The error is the text of a refusal.
    Declared(Result<(), String>),
    Looked {
        report: Report,
        /// Where the next piece begins.
        next: Option<u64>,
    },
    Sought(Sought),
    Exchange(Box<ExchangeSpec>),
    Latency {
        queues: Box<QueueLatency>,
        confirmed: Latency,
    },
    OfQueue(QueueDone),
    Closed,
    Access(Access),
    Bindings(Piece),
    Parameters(Parameters),
    /// Every shard goes by users and permissions, or parameters, or this one by what it was told.
    Changed,
}

/// Lives on: its shard.
#[derive(Default)]
pub(super) struct Desk {
    /// Orders that wait for an outcome: by ticket, and whether what they are about was there.
    waiting: Vec<(u32, bool)>,
    /// Declarations that do.
    declaring: Vec<u32>,
    /// Orders that every shard is told of: by ticket, and how many have not said that they know.
    told: Vec<(u32, u16)>,
    done: Vec<(u32, Done)>,
}

impl Requester {
    /// Who asks for the desk: no connection has that slot.
    fn of_desk(ticket: u32) -> Requester {
        let connection = ConnectionId { shard: ShardId::CONTROL, slot: DESK, generation: ticket };
        Requester { connection, channel: ChannelNumber(0), channel_generation: 0 }
    }

    pub(super) fn is_desk(&self) -> bool {
        self.connection.slot == DESK
    }
}

const DESK: u32 = u32::MAX;

impl Shard {
    /// Somebody asks; `take_done` has the answer, now or later. No two that wait have the same ticket.
    pub fn order(&mut self, ticket: u32, order: Order, now: u64) {
        self.begin(now);
        match order {
            Order::Ping => self.desk.done.push((ticket, Done::Pong)),
            Order::Look { look, from } => {
                let (report, next) = self.look(look, from);
                self.desk.done.push((ticket, Done::Looked { report, next }));
            }
            Order::Seek { vhost, name } => {
                self.desk.done.push((ticket, Done::Sought(self.seek(&vhost, &name))));
            }
            Order::Exchange { vhost, name } => {
                let router = self.routers.of(&vhost);
                let found = router.and_then(|router| router.exchange(&name)).cloned();
                let done = found.map_or(Done::NotFound, |spec| Done::Exchange(Box::new(spec)));
                self.desk.done.push((ticket, done));
            }
            Order::Latency => {
                let mut queues = Box::new(self.rooms.timers.latency.clone());
                queues.waited.record(0, self.rooms.outward.counters.straight);
                let confirmed = self.confirming.latency.clone();
                self.desk.done.push((ticket, Done::Latency { queues, confirmed }));
            }
            Order::OfQueue(queue, order) => {
                let done = self.queue_order(queue, order).map_or(Done::NotFound, Done::OfQueue);
                self.desk.done.push((ticket, done));
            }
            Order::CloseConnection { connection, reason } => {
                let done = if self.close_for(connection, reason) { Done::Closed } else { Done::NotFound };
                self.desk.done.push((ticket, done));
            }
            Order::LetIn(everybody) => {
                self.barred = !everybody;
                if self.barred {
                    self.close_all();
                }
                self.desk.done.push((ticket, Done::Changed));
            }
            order => self.order_control(ticket, order),
        }
        self.end_batch();
    }

    fn order_control(&mut self, ticket: u32, order: Order) {
        let to = Requester::of_desk(ticket);
        let Some(vhosts) = self.vhosts.as_deref_mut() else { return };
        let mut effects = Vec::new();
        match order {
            Order::Ping
            | Order::Look { .. }
            | Order::Seek { .. }
            | Order::Exchange { .. }
            | Order::Latency
            | Order::OfQueue(..)
            | Order::CloseConnection { .. }
            | Order::LetIn(_) => unreachable!("every shard does it"),
            Order::Vhosts => {
                let open = vhosts.all().iter().filter(|(_, topology)| topology.is_open());
                let all = open.map(|(name, topology)| (name.clone(), topology.about().clone()));
                self.desk.done.push((ticket, Done::Vhosts(all.collect())));
            }
            Order::DeclareVhost { vhost, about } => {
                let existed = vhosts.all().get(&vhost).is_some_and(Topology::is_open);
                self.desk.waiting.push((ticket, existed));
                vhosts.declare(&vhost, about, to, &mut effects);
            }
            Order::Declare { vhost, declaration } => match vhosts.get_mut(&vhost) {
                Some(topology) if declaration.is_done(topology) => {
                    self.desk.done.push((ticket, Done::Declared(Ok(()))));
                }
                Some(topology) => {
                    self.desk.declaring.push(ticket);
                    topology.request(declaration.request(to), &mut effects);
                }
                None => self.desk.done.push((ticket, Done::NotFound)),
            },
            Order::Access => self.desk.done.push((ticket, Done::Access(vhosts.access().clone()))),
            Order::ChangeAccess(changes) => {
                self.desk.told.push((ticket, self.rooms.outward.mesh.shards()));
                vhosts.change_access(changes, to, &mut effects);
            }
            Order::Bindings { vhost, wanted, place } => {
                let topology = vhosts.all().get(&vhost).filter(|topology| topology.is_open());
                let piece = topology.map(|topology| topology.list_bindings(&wanted, place, LISTED_MAX));
                self.desk.done.push((ticket, piece.map_or(Done::NotFound, Done::Bindings)));
            }
            Order::Parameters => self.desk.done.push((ticket, Done::Parameters(vhosts.parameters().clone()))),
            Order::ChangeParameters(changes) => {
                self.desk.told.push((ticket, self.rooms.outward.mesh.shards()));
                vhosts.change_parameters(changes, to, &mut effects);
            }
            Order::DeleteVhost { vhost } => {
                if vhosts.delete(&vhost, to, &mut effects) {
                    self.desk.waiting.push((ticket, true));
                } else {
                    self.desk.done.push((ticket, Done::NotFound));
                }
            }
        }
        self.record_and_carry_out(effects);
    }

    /// False if there is no such connection any more.
    fn close_for(&mut self, id: ConnectionId, reason: String) -> bool {
        let here = self.rooms.outward.connection(id);
        let is_open = here.is_some_and(|connection| connection.is_open());
        if is_open {
            let error = ConnectionError::new(ReplyCode::ConnectionForced, reason, (0, 0));
            self.fail(id.slot, ChannelNumber(0), error.into());
        }
        is_open
    }

    /// Answers, with the tickets of their orders.
    pub fn take_done(&mut self) -> Vec<(u32, Done)> {
        std::mem::take(&mut self.desk.done)
    }

    pub fn has_done(&self) -> bool {
        !self.desk.done.is_empty()
    }

    /// One more shard goes by what all were told.
    pub(super) fn shard_knows(&mut self, to: Requester) {
        let ticket = to.connection.generation;
        let Some(at) = self.desk.told.iter().position(|(told, _)| *told == ticket) else { return };
        let (_, left) = &mut self.desk.told[at];
        *left -= 1;
        if *left == 0 {
            self.desk.told.swap_remove(at);
            self.desk.done.push((ticket, Done::Changed));
        }
    }

    pub(super) fn order_done(&mut self, to: Requester, outcome: Outcome) {
        let ticket = to.connection.generation;
        if let Some(at) = self.desk.declaring.iter().position(|declaring| *declaring == ticket) {
            self.desk.declaring.swap_remove(at);
            let declared = match outcome {
                // A name that the server gave is taken if the queue is there.
                Outcome::Ok | Outcome::QueueDeclared { .. } | Outcome::NameTaken => Ok(()),
                Outcome::Several { .. } => unreachable!("it was one"),
                Outcome::SoftError(error) => Err(error.text),
            };
            self.desk.done.push((ticket, Done::Declared(declared)));
            return;
        }
        let Some(at) = self.desk.waiting.iter().position(|(waiting, _)| *waiting == ticket) else { return };
        let (_, existed) = self.desk.waiting.swap_remove(at);
        let done = if outcome == Outcome::Ok { Done::Vhost { existed } } else { Done::VhostEnds };
        self.desk.done.push((ticket, done));
    }
}
