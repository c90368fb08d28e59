//! What clients do, each act drawn by its weight and told to the oracle as it is written.

use haremq::amqp::{Method, ShortStr, Table, TableWriter};
use haremq::ids::ChannelNumber;
use haremq::queue_args::Durability;

use crate::client::{Awaited, Channel, Phase};
use crate::letter;
use crate::oracle::{ChannelIx, Consuming, QueueIx, Style, Verdict, Wanted};
use crate::plan::Act;
use crate::rules::QueueRules;
use crate::wire::encode_content;
use crate::world::World;

/// Who acts, and on which channel.
#[derive(Clone, Copy)]
pub struct Actor {
    pub client: usize,
    pub number: u16,
    pub channel: ChannelIx,
}

impl World {
    pub fn client_acts(&mut self) -> Verdict {
        let others = (0..self.clients.len()).filter(|&at| at != self.looker);
        let living = others.filter(|&at| self.clients[at].phase != Phase::Gone).count();
        if living < self.plan.clients && self.dice.chance(20) {
            self.connect()?;
            return Ok(());
        }
        let open =
            (0..self.clients.len()).filter(|&at| at != self.looker && self.clients[at].phase == Phase::Open);
        let open: Vec<usize> = open.collect();
        let Some(&client) = self.dice.pick(&open) else { return Ok(()) };
        let number = 1 + self.dice.roll(usize::from(self.plan.channels)) as u16;
        for _ in 0..=self.dice.roll(3) {
            if self.clients[client].phase == Phase::Open
                && let Some(actor) = self.actor(client, number)
            {
                let act = self.plan.act(&mut self.dice);
                self.trace.note(act as u64);
                self.act(actor, act);
            }
        }
        Ok(())
    }

    /// The client on that channel, which is opened if need be; nobody, if it waits for too many answers.
    pub fn actor(&mut self, client: usize, number: u16) -> Option<Actor> {
        let connection = self.clients[client].connection;
        match self.clients[client].channels.get(&number) {
            Some(channel) if channel.closing || channel.awaited.len() >= self.plan.pipeline => None,
            Some(channel) => Some(Actor { client, number, channel: channel.at }),
            None => {
                let channel = self.oracle.open_channel(connection, number);
                self.clients[client].channels.insert(number, Channel::new(channel));
                self.say(client, number, &Method::ChannelOpen);
                (self.plan.pipeline > 1).then_some(Actor { client, number, channel })
            }
        }
    }

    fn act(&mut self, actor: Actor, act: Act) {
        match act {
            Act::Publish => self.publish_burst(actor),
            Act::Settle => self.settle(actor),
            Act::Consume => self.consume(actor),
            Act::Cancel => self.cancel(actor),
            Act::Get => self.get_one(actor),
            Act::Purge => self.purge(actor),
            Act::Declare => self.declare(actor),
            Act::Redeclare => self.redeclare(actor),
            Act::Passive => self.passive(actor),
            Act::Bind => self.bind(actor),
            Act::Unbind => self.unbind(actor),
            Act::Delete => self.delete(actor),
            Act::Contend => self.contend(actor),
            Act::Qos => self.set_prefetch(actor, false),
            Act::Limit => self.set_prefetch(actor, true),
            Act::Recover => self.recover(actor),
            Act::Confirm => self.select_confirms(actor),
            Act::Select => self.select_transactions(actor),
            Act::Commit => self.commit(actor),
            Act::Rollback => self.roll_back(actor),
            Act::CloseChannel => self.close_channel(actor),
            Act::CloseConnection => self.close_connection(actor.client),
            Act::Drop => self.drop_connection(actor.client),
            Act::Pause => self.clients[actor.client].pauses = self.dice.roll(60),
            Act::Err => self.err(actor),
            Act::Provoke => self.provoke(actor),
        }
    }

    pub fn await_reply(&mut self, actor: Actor, nowait: bool, awaited: Awaited) {
        if let Some(channel) = self.clients[actor.client].channels.get_mut(&actor.number)
            && !nowait
        {
            channel.awaited.push_back(awaited);
        }
    }

    /// A queue that this channel has reason to believe in; seldom one that is not there or not its own.
    pub fn pick_queue(&mut self, actor: Actor) -> Option<QueueIx> {
        let bold = self.dice.chance(3);
        let connection = self.clients[actor.client].connection;
        let likely = |queue: &QueueIx| {
            let record = self.oracle.queue(*queue);
            let there = record.contended
                || record.fact.is_sure()
                || (record.fact.asked_by == Some(actor.channel) && record.fact.sure_until.is_none());
            !record.name.is_empty()
                && record.fact.gone.is_none()
                && (bold || (there && record.open_to(connection)))
        };
        let queues: Vec<QueueIx> = (0..self.oracle.queues.len()).filter(likely).collect();
        self.dice.pick(&queues).copied()
    }

    pub fn pick_queue_to_change(&mut self, actor: Actor) -> Option<QueueIx> {
        self.pick_queue(actor).filter(|&queue| self.oracle.may_change(actor.channel, queue))
    }

    fn publish_burst(&mut self, actor: Actor) {
        if self.oracle.publications.len() > MESSAGES_MAX {
            return self.settle(actor);
        }
        let (exchange, key) = self.pick_route(actor);
        let mandatory = self.dice.chance(40);
        let body = self.plan.body(&mut self.dice);
        let expires = self.dice.chance(self.plan.expiring);
        for _ in 0..self.plan.burst(&mut self.dice, body) {
            let dice = &mut self.dice;
            let style = Style {
                priority: dice.chance(self.plan.urgent).then(|| [0, 1, 3, 9, 255][dice.roll(5)]),
                expiration_ms: expires.then(|| [0, 1, 10, 50][dice.roll(4)]),
                persistent: self.plan.persistent > 0 && dice.chance(self.plan.persistent),
            };
            self.publish(actor, (exchange, &key), mandatory, body, style);
        }
    }

    fn pick_route(&mut self, actor: Actor) -> (&'static str, Vec<u8>) {
        let key = KEYS[self.dice.roll(KEYS.len())].as_bytes().to_vec();
        if self.plan.sparse && self.dice.chance(70) {
            return ("amq.fanout", key);
        }
        match self.dice.roll(10) {
            0..5 => {
                let queue = self.pick_queue(actor).map(|queue| self.oracle.queue(queue).name.clone());
                ("", queue.unwrap_or(key))
            }
            5..9 => (PERMANENT[self.dice.roll(PERMANENT.len())], key),
            _ if self.plan.acts[Act::Contend as usize] > 0 => (SHARED[self.dice.roll(SHARED.len())], key),
            _ => ("amq.direct", key),
        }
    }

    pub fn publish(
        &mut self,
        actor: Actor,
        (exchange, key): (&'static str, &[u8]),
        mandatory: bool,
        len: usize,
        style: Style,
    ) {
        let message = self.oracle.publish(actor.channel, exchange, key, mandatory, len, style) as u64;
        let method = Method::BasicPublish {
            exchange: exchange.into(),
            routing_key: short(key),
            mandatory,
            immediate: false,
        };
        let frame_max = self.clients[actor.client].frame_max as usize;
        let channel = ChannelNumber(actor.number);
        for _ in 0..self.faults.publishes() {
            self.say(actor.client, actor.number, &method);
            let mut bytes = Vec::new();
            let dice = &mut self.dice;
            let small = dice.chance(10);
            let cut = || if small { 1 + dice.roll(frame_max - 8) } else { frame_max - 8 };
            let (properties, body) = (letter::properties(message, len, style), letter::body(message, len));
            encode_content(channel, &properties, &body, cut, &mut bytes);
            self.write(actor.client, &bytes);
        }
    }

    pub fn settle(&mut self, actor: Actor) {
        let Some(channel) = self.clients[actor.client].channels.get_mut(&actor.number) else { return };
        if channel.recovers() {
            return;
        }
        let Some(&tag) = self.dice.pick(&channel.tags) else { return self.want_more(actor) };
        let multiple = self.dice.chance(40);
        let is_settled = |other: &u64| if multiple { *other <= tag } else { *other == tag };
        let settled = channel.tags.extract_if(.., |other| is_settled(other));
        let in_tx_mode = self.oracle.channels[actor.channel].transaction.is_some();
        channel.uncommitted.extend(settled.filter(|_| in_tx_mode));
        let ack = self.dice.roll(10) < self.plan.acks as usize;
        let requeue = !ack && self.dice.roll(10) < self.plan.requeues;
        let reject = !ack && !multiple && self.dice.chance(50);
        let method = match (ack, reject) {
            (true, _) => Method::BasicAck { delivery_tag: tag, multiple },
            (false, true) => Method::BasicReject { delivery_tag: tag, requeue },
            (false, false) => Method::BasicNack { delivery_tag: tag, multiple, requeue },
        };
        self.oracle.tally.settled += 1;
        self.oracle.settle(actor.channel, tag, multiple, requeue, method.ids());
        self.say(actor.client, actor.number, &method);
    }

    /// There is nothing to settle.
    fn want_more(&mut self, actor: Actor) {
        let consumers =
            self.clients[actor.client].channels.get(&actor.number).map_or(0, |it| it.consumers.len());
        if consumers < 3 && self.plan.acts[Act::Consume as usize] > 0 {
            self.consume(actor);
        }
    }

    fn consume(&mut self, actor: Actor) {
        let Some(queue) = self.pick_queue(actor) else { return };
        let no_ack = self.dice.chance(self.plan.no_ack);
        let exclusive = self.dice.chance(4);
        let nowait = self.dice.chance(20);
        let tag = if nowait || self.dice.chance(70) { self.name("c") } else { Vec::new() };
        let priority = [-1, 0, 1, 5][self.dice.roll(4)];
        let priority = if self.dice.chance(self.plan.preferred) { priority } else { 0 };
        let consumer = self.oracle.consume(actor.channel, queue, &tag, (no_ack, exclusive, nowait), priority);
        let mut arguments = TableWriter::new();
        if priority != 0 {
            let told = self.faults.preference(priority);
            arguments = arguments.i32("x-priority", told as i32);
        }
        let arguments = arguments.finish();
        self.say(
            actor.client,
            actor.number,
            &Method::BasicConsume {
                queue: short(&self.oracle.queue(queue).name.clone()),
                consumer_tag: short(&tag),
                no_local: false,
                no_ack,
                exclusive,
                nowait,
                arguments: Table::decode(&arguments).expect("a table that we wrote"),
            },
        );
        self.await_reply(actor, nowait, Awaited::Consume(consumer));
        if nowait && let Some(channel) = self.clients[actor.client].channels.get_mut(&actor.number) {
            channel.consumers.push(consumer);
        }
    }

    fn cancel(&mut self, actor: Actor) {
        let Some(channel) = self.clients[actor.client].channels.get_mut(&actor.number) else { return };
        if channel.consumers.is_empty() {
            return;
        }
        let consumer = channel.consumers.swap_remove(self.dice.roll(channel.consumers.len()));
        let nowait = self.dice.chance(20);
        let tag = self.oracle.consumers[consumer].tag.clone();
        if self.oracle.consumers[consumer].state == Consuming::Ended {
            // Its queue went with it; the server answers all the same, which is nothing to learn from.
            return;
        }
        self.oracle.cancel(actor.channel, consumer, nowait);
        self.say(actor.client, actor.number, &Method::BasicCancel { consumer_tag: short(&tag), nowait });
        self.await_reply(actor, nowait, Awaited::Other);
    }

    fn get_one(&mut self, actor: Actor) {
        if let Some(queue) = self.pick_queue(actor) {
            let no_ack = self.dice.chance(40);
            self.get(actor, queue, no_ack);
        }
    }

    pub fn get(&mut self, actor: Actor, queue: QueueIx, no_ack: bool) {
        self.oracle.get(actor.channel, queue, no_ack);
        let name = self.oracle.queue(queue).name.clone();
        self.say(actor.client, actor.number, &Method::BasicGet { queue: short(&name), no_ack });
        self.await_reply(actor, false, Awaited::Get { no_ack });
    }

    fn purge(&mut self, actor: Actor) {
        let Some(queue) = self.pick_queue(actor) else { return };
        let nowait = self.dice.chance(20);
        self.oracle.purge(actor.channel, queue, nowait);
        let name = self.oracle.queue(queue).name.clone();
        self.say(actor.client, actor.number, &Method::QueuePurge { queue: short(&name), nowait });
        self.await_reply(actor, nowait, Awaited::Other);
    }

    fn set_prefetch(&mut self, actor: Actor, global: bool) {
        let counts = if global { [0, 1, 2, 5, 20] } else { [0, 1, 2, 10, 300] };
        let prefetch_count = counts[self.dice.roll(counts.len())];
        self.oracle.set_prefetch(actor.channel, prefetch_count, global);
        let qos = Method::BasicQos { prefetch_size: 0, prefetch_count, global };
        self.say(actor.client, actor.number, &qos);
        self.await_reply(actor, false, Awaited::Other);
    }

    /// A recover-async has no answer: a recover behind it has.
    fn recover(&mut self, actor: Actor) {
        if self.dice.chance(30) {
            self.oracle.recover(actor.channel, true);
            self.say(actor.client, actor.number, &Method::BasicRecoverAsync { requeue: true });
        }
        let Some(channel) = self.clients[actor.client].channels.get_mut(&actor.number) else { return };
        let held = std::mem::take(&mut channel.tags);
        if let Some(&delivery_tag) = held.first()
            && !channel.recovers()
            && self.faults.recover_loses_one()
        {
            let lost = Method::BasicNack { delivery_tag, multiple: false, requeue: false };
            self.say(actor.client, actor.number, &lost);
        }
        self.oracle.recover(actor.channel, false);
        self.say(actor.client, actor.number, &Method::BasicRecover { requeue: true });
        self.await_reply(actor, false, Awaited::Recover);
    }

    fn select_confirms(&mut self, actor: Actor) {
        if self.oracle.channels[actor.channel].transaction.is_some() {
            return;
        }
        let nowait = self.dice.chance(30);
        self.oracle.select_confirms(actor.channel, nowait);
        self.say(actor.client, actor.number, &Method::ConfirmSelect { nowait });
        self.await_reply(actor, nowait, Awaited::Other);
    }

    pub fn close_channel(&mut self, actor: Actor) {
        self.oracle.close_channel(actor.channel);
        let close =
            Method::ChannelClose { reply_code: 200, reply_text: "bye".into(), class_id: 0, method_id: 0 };
        self.say(actor.client, actor.number, &close);
        if let Some(channel) = self.clients[actor.client].channels.get_mut(&actor.number) {
            channel.closing = true;
            channel.tags.clear();
        }
    }

    pub fn close_connection(&mut self, client: usize) {
        self.oracle.close_connection(self.clients[client].connection);
        let close =
            Method::ConnectionClose { reply_code: 200, reply_text: "bye".into(), class_id: 0, method_id: 0 };
        self.say(client, 0, &close);
        self.clients[client].phase = Phase::Closing;
    }

    /// The client goes without a word; some of what it wrote may be lost on the way.
    pub fn drop_connection(&mut self, client: usize) {
        let lost = self.dice.chance(50);
        let gone = &mut self.clients[client];
        gone.phase = Phase::Gone;
        gone.channels.clear();
        gone.inbox.clear();
        let (host, slot) = (gone.host, gone.slot);
        if let Some(socket) = self.hosts[host].socket(slot) {
            socket.hung_up = true;
            if lost {
                let kept = self.dice.roll(socket.uplink.len() + 1);
                socket.uplink.truncate(kept);
            }
        }
    }

    /// What costs a channel: a tag that does not exist, or a queue or exchange that does not.
    fn err(&mut self, actor: Actor) {
        let nowhere = ShortStr::from("nowhere");
        let method = match self.dice.roll(4) {
            0 => Method::BasicAck { delivery_tag: 1 << 40, multiple: self.dice.chance(50) },
            1 => Method::BasicNack { delivery_tag: 0, multiple: false, requeue: true },
            2 => Method::QueueBind {
                queue: nowhere,
                exchange: "amq.direct".into(),
                routing_key: nowhere,
                nowait: self.dice.chance(50),
                arguments: Table::EMPTY,
            },
            _ => Method::ExchangeDeclare {
                exchange: nowhere,
                type_: "direct".into(),
                passive: true,
                durable: false,
                auto_delete: false,
                internal: false,
                nowait: self.dice.chance(50),
                arguments: Table::EMPTY,
            },
        };
        match method {
            Method::BasicAck { .. } | Method::BasicNack { .. } => {
                self.oracle.settle_wrongly(actor.channel, method.ids());
            }
            Method::QueueBind { nowait, .. } | Method::ExchangeDeclare { nowait, .. } => {
                self.oracle.about_exchange(actor.channel, method.ids(), nowait, true);
                self.await_reply(actor, nowait, Awaited::Other);
            }
            _ => {}
        }
        self.say(actor.client, actor.number, &method);
    }

    /// What costs the connection: RabbitMQ does not do that either.
    fn provoke(&mut self, actor: Actor) {
        self.oracle.connections[self.clients[actor.client].connection].provoked = true;
        let flow = Method::ChannelFlow { active: false };
        self.oracle.about_exchange(actor.channel, flow.ids(), true, true);
        self.say(actor.client, actor.number, &flow);
    }

    pub fn name(&mut self, prefix: &str) -> Vec<u8> {
        self.names += 1;
        format!("{prefix}{}", self.names).into_bytes()
    }

    fn declare(&mut self, actor: Actor) {
        let living =
            self.oracle.queues.iter().filter(|queue| !queue.contended && queue.fact.gone.is_none()).count();
        if living >= QUEUES_MAX {
            return self.delete(actor);
        }
        let exclusive = self.dice.chance(20);
        let name = if exclusive && self.dice.chance(50) { Vec::new() } else { self.name("q") };
        let mut wanted = Wanted {
            contended: false,
            durable: self.dice.chance(self.plan.durable),
            auto_delete: self.dice.chance(15),
            exclusive,
            rules: self.draw_rules(&name),
        };
        if self.store.is_some() && wanted.durable && self.dice.chance(25) {
            wanted.rules.durability = Some(
                [Durability::Fsync, Durability::Os, Durability::Os, Durability::None][self.dice.roll(4)],
            );
        }
        let nowait = !name.is_empty() && self.dice.chance(20);
        let queue = self.oracle.declare(actor.channel, &name, wanted, nowait);
        self.say_declare(actor, queue, false, nowait);
    }

    fn draw_rules(&mut self, own: &[u8]) -> QueueRules {
        if !self.dice.chance(self.plan.ruled) {
            return QueueRules::default();
        }
        let living = self.oracle.queues.iter().filter(|queue| queue.fact.gone.is_none());
        let named = living.clone().filter(|queue| !queue.name.is_empty());
        let names: Vec<Vec<u8>> = named.map(|queue| queue.name.clone()).collect();
        let is_wide = |rules: &QueueRules| rules.graveyard.as_ref().is_some_and(|to| !to.is_narrow());
        let wide = living.filter(|queue| is_wide(&queue.rules)).count();
        let mut rules = QueueRules::draw(&mut self.dice, own, &names, wide >= WIDE_MAX);
        if self.plan.sparse && self.dice.chance(40) {
            rules.keep_nothing(&mut self.dice);
        }
        rules
    }

    pub fn say_declare(&mut self, actor: Actor, queue: QueueIx, passive: bool, nowait: bool) {
        let record = self.oracle.queue(queue);
        let (durable, exclusive, auto_delete) =
            (record.durable, record.exclusive.is_some(), record.auto_delete);
        let name = record.name.clone();
        let rules = if passive { QueueRules::default() } else { record.rules.clone() };
        let arguments = self.faults.rules(rules).arguments();
        self.say(
            actor.client,
            actor.number,
            &Method::QueueDeclare {
                queue: short(&name),
                passive,
                durable,
                exclusive,
                auto_delete,
                nowait,
                arguments: Table::decode(&arguments).expect("a table that we wrote"),
            },
        );
        self.await_reply(actor, nowait, Awaited::Other);
    }
}

pub fn short(bytes: &[u8]) -> ShortStr<'_> {
    ShortStr::new(bytes).expect("names are short")
}

const KEYS: [&str; 4] = ["k0", "k1", "k2", "k3"];
/// Exchanges that nobody deletes.
pub const PERMANENT: [&str; 4] = ["amq.direct", "amq.fanout", "x.direct", "x.fanout"];
/// Exchanges that anybody declares and deletes at any time.
pub const SHARED: [&str; 2] = ["e0", "e1"];
const QUEUES_MAX: usize = 8;
/// Queues whose dead may go to several: with more of them letters multiply.
const WIDE_MAX: usize = 2;
/// A run with more takes long and shows no more.
const MESSAGES_MAX: usize = 6_000;
