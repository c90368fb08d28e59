//! The desk of a shard: what administrators ask, by the HTTP API. An order comes with a ticket, and so does its answer.
//!
//! ```text
//! Order, ticket -> topology, by a requester that is no connection -> Outcome -> Done, ticket
//! ```

use super::Shard;
use crate::access::{self, Access};
use crate::ids::{ChannelNumber, ConnectionId, Name, Requester, ShardId};
use crate::limits::LISTED_MAX;
use crate::parameters::{self, Parameters};
pub use crate::topology::{End, ListedBinding, Wanted};
use crate::topology::{Outcome, Piece, Place, Topology};

/// What is asked of the control shard.
#[derive(Debug)]
pub enum Order {
    Vhosts,
    /// `about` is the API's, and is given back as it is.
    DeclareVhost {
        vhost: Name,
        about: Name,
    },
    DeleteVhost {
        vhost: Name,
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
    /// With what is told about each, by name.
    Vhosts(Vec<(Name, Name)>),
    /// It is made, or gone.
    Vhost {
        existed: bool,
    },
    /// Somebody deletes it right now.
    VhostEnds,
    NotFound,
    Access(Access),
    Bindings(Piece),
    Parameters(Parameters),
    /// Users and permissions, or parameters: every shard goes by them.
    Changed,
}

/// Lives on: its shard.
#[derive(Default)]
pub(super) struct Desk {
    /// Orders that wait for an outcome: by ticket, and whether what they are about was there.
    waiting: Vec<(u32, bool)>,
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
        let to = Requester::of_desk(ticket);
        let Some(vhosts) = self.vhosts.as_deref_mut() else { return };
        let mut effects = Vec::new();
        match order {
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
        self.end_batch();
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
        let Some(at) = self.desk.waiting.iter().position(|(waiting, _)| *waiting == ticket) else { return };
        let (_, existed) = self.desk.waiting.swap_remove(at);
        let done = if outcome == Outcome::Ok { Done::Vhost { existed } } else { Done::VhostEnds };
        self.desk.done.push((ticket, done));
    }
}
