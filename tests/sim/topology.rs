//! The acts that change queues, exchanges and bindings.

use haremq::amqp::{Method, Table};

use crate::acts::{Actor, PERMANENT, SHARED, short};
use crate::client::Awaited;
use crate::oracle::{QueueIx, Wanted};
use crate::world::World;

impl World {
    pub fn redeclare(&mut self, actor: Actor) {
        let Some(queue) = self.pick_queue_to_change(actor) else { return };
        let record = self.oracle.queue(queue);
        // One that is going, as with its last consumer, may be made anew by this: nobody knows.
        let stays = !record.auto_delete && record.fact.sure_until.is_none();
        let can_be = !record.name.starts_with(b"amq.") && (stays || record.contended);
        let nowait = self.dice.chance(20);
        if can_be {
            self.oracle.redeclare(actor.channel, queue, nowait);
            self.say_declare(actor, queue, false, nowait);
        }
    }

    pub fn passive(&mut self, actor: Actor) {
        if let Some(queue) = self.pick_queue(actor) {
            self.look_at(actor, queue);
        }
    }

    pub fn look_at(&mut self, actor: Actor, queue: QueueIx) {
        self.oracle.passive(actor.channel, queue);
        self.say_declare(actor, queue, true, false);
    }

    pub fn bind(&mut self, actor: Actor) {
        let Some(queue) = self.pick_queue_to_change(actor) else { return };
        let shared = self.dice.chance(10) && self.plan.acts[crate::plan::Act::Contend as usize] > 0;
        let exchange = if shared {
            SHARED[self.dice.roll(2)]
        } else if self.plan.sparse {
            "amq.fanout"
        } else {
            PERMANENT[self.dice.roll(4)]
        };
        let key = format!("k{}", self.dice.roll(4));
        let nowait = self.dice.chance(20);
        self.oracle.bind(actor.channel, queue, exchange, key.as_bytes(), nowait);
        let name = self.oracle.queue(queue).name.clone();
        self.say(
            actor.client,
            actor.number,
            &Method::QueueBind {
                queue: short(&name),
                exchange: exchange.into(),
                routing_key: short(key.as_bytes()),
                nowait,
                arguments: Table::EMPTY,
            },
        );
        self.await_reply(actor, nowait, Awaited::Other);
    }

    pub fn unbind(&mut self, actor: Actor) {
        let Some(queue) = self.pick_queue_to_change(actor) else { return };
        let sure = |binding: &usize| self.oracle.bindings[*binding].fact.is_sure();
        let bound: Vec<usize> = self.oracle.queue(queue).bindings.iter().copied().filter(sure).collect();
        let Some(&binding) = self.dice.pick(&bound) else { return };
        self.oracle.unbind(actor.channel, binding);
        let (name, record) = (self.oracle.queue(queue).name.clone(), &self.oracle.bindings[binding]);
        let (exchange, key) = (record.exchange, record.key.clone());
        self.say(
            actor.client,
            actor.number,
            &Method::QueueUnbind {
                queue: short(&name),
                exchange: exchange.into(),
                routing_key: short(&key),
                arguments: Table::EMPTY,
            },
        );
        self.await_reply(actor, false, Awaited::Other);
    }

    pub fn delete(&mut self, actor: Actor) {
        if let Some(queue) = self.pick_queue_to_change(actor) {
            let (if_unused, if_empty) = (self.dice.chance(20), self.dice.chance(20));
            let nowait = self.dice.chance(20);
            self.delete_queue(actor, queue, (if_unused, if_empty, nowait));
        }
    }

    pub fn delete_queue(
        &mut self,
        actor: Actor,
        queue: QueueIx,
        (if_unused, if_empty, nowait): (bool, bool, bool),
    ) {
        self.oracle.delete(actor.channel, queue, if_unused || if_empty, nowait);
        let name = self.oracle.queue(queue).name.clone();
        let delete = Method::QueueDelete { queue: short(&name), if_unused, if_empty, nowait };
        self.say(actor.client, actor.number, &delete);
        self.await_reply(actor, nowait, Awaited::Other);
    }

    /// Something about the names that everybody fights for.
    pub fn contend(&mut self, actor: Actor) {
        match self.dice.roll(4) {
            0 | 1 => self.contend_for_queue(actor),
            2 => self.declare_shared_exchange(actor),
            _ => self.delete_shared_exchange(actor),
        }
    }

    fn contend_for_queue(&mut self, actor: Actor) {
        let name = format!("s{}", self.dice.roll(3)).into_bytes();
        let nowait = self.dice.chance(20);
        let known = self.oracle.queues.iter().position(|queue| queue.name == name);
        match known {
            Some(queue) if self.dice.chance(40) => self.delete_queue(actor, queue, (false, false, nowait)),
            Some(queue) => {
                self.oracle.redeclare(actor.channel, queue, nowait);
                self.say_declare(actor, queue, false, nowait);
            }
            None => {
                let auto_delete = name == b"s1";
                let wanted = Wanted { contended: true, auto_delete, ..Wanted::default() };
                let queue = self.oracle.declare(actor.channel, &name, wanted, nowait);
                self.say_declare(actor, queue, false, nowait);
            }
        }
    }

    fn declare_shared_exchange(&mut self, actor: Actor) {
        let type_ = if self.dice.chance(50) { "direct" } else { "fanout" };
        let declare = Method::ExchangeDeclare {
            exchange: SHARED[self.dice.roll(2)].into(),
            type_: type_.into(),
            passive: false,
            durable: false,
            auto_delete: self.dice.chance(30),
            internal: false,
            nowait: self.dice.chance(20),
            arguments: Table::EMPTY,
        };
        self.say_of_exchange(actor, &declare);
    }

    fn delete_shared_exchange(&mut self, actor: Actor) {
        let exchange = SHARED[self.dice.roll(2)].into();
        let (if_unused, nowait) = (self.dice.chance(50), self.dice.chance(20));
        self.say_of_exchange(actor, &Method::ExchangeDelete { exchange, if_unused, nowait });
    }

    fn say_of_exchange(&mut self, actor: Actor, method: &Method<'_>) {
        let (Method::ExchangeDeclare { nowait, .. } | Method::ExchangeDelete { nowait, .. }) = *method else {
            return;
        };
        self.oracle.about_exchange(actor.channel, method.ids(), nowait, true);
        self.say(actor.client, actor.number, method);
        self.await_reply(actor, nowait, Awaited::Other);
    }
}
