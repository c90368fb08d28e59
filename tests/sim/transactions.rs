//! Clients in tx mode: what they publish and settle is to be done with the commit, all of it, or not at all.

use haremq::amqp::Method;

use crate::acts::Actor;
use crate::client::Awaited;
use crate::world::World;

impl World {
    pub fn select_transactions(&mut self, actor: Actor) {
        if self.oracle.channels[actor.channel].confirms {
            return;
        }
        self.oracle.select_transactions(actor.channel);
        self.say(actor.client, actor.number, &Method::TxSelect);
        self.await_reply(actor, false, Awaited::Other);
    }

    pub fn commit(&mut self, actor: Actor) {
        if self.oracle.channels[actor.channel].transaction.is_none() {
            return;
        }
        self.oracle.commit(actor.channel);
        if let Some(channel) = self.clients[actor.client].channels.get_mut(&actor.number) {
            channel.uncommitted.clear();
        }
        self.say(actor.client, actor.number, &Method::TxCommit);
        self.await_reply(actor, false, Awaited::Other);
    }

    pub fn roll_back(&mut self, actor: Actor) {
        if self.oracle.channels[actor.channel].transaction.is_none() {
            return;
        }
        self.oracle.roll_back(actor.channel);
        if let Some(channel) = self.clients[actor.client].channels.get_mut(&actor.number) {
            channel.tags.append(&mut channel.uncommitted);
            channel.tags.sort_unstable();
        }
        self.say(actor.client, actor.number, &Method::TxRollback);
        self.await_reply(actor, false, Awaited::Other);
    }
}
