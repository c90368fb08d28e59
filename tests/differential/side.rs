//! One of the two brokers, with its two connections.

use crate::act::{Act, Step};
use crate::common::wire::{encoded, look_at, short};
use crate::ledger::{Held, Ledger};
use crate::link::{Heard, Link, OBSERVER, Word};
use crate::render::{self, Answer, Place};
use crate::speak::{self, Ending, PROBE, Ready};
use haremq::amqp::Method;
use std::collections::VecDeque;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

pub struct Side {
    address: SocketAddr,
    /// RabbitMQ's word that none of its processes has anything to do.
    quiet: Option<TcpStream>,
    links: [Link; 2],
    /// Queues about which each connection was asked and has not answered.
    asked: [VecDeque<String>; 2],
    pub ledger: Ledger,
    /// What the step under way has made it say.
    pub answer: Answer,
}

impl Side {
    pub fn open(address: SocketAddr, quiet: Option<SocketAddr>) -> Side {
        let quiet = quiet.map(|address| {
            let socket = TcpStream::connect(address).expect("RabbitMQ's watcher listens");
            socket.set_nodelay(true).expect("a TCP socket");
            socket
        });
        let links = [Link::open(address), Link::open(address)];
        Side {
            address,
            quiet,
            links,
            asked: Default::default(),
            ledger: Ledger::default(),
            answer: Answer::new(),
        }
    }

    /// Says the step.
    pub fn say(&mut self, ready: &Ready, tag: u64) {
        self.answer.clear();
        self.ledger.said(&ready.step, tag);
        let mut bytes = speak::frames(&ready.step, tag, &|name| self.ledger.own(name));
        if ready.step.ending() == Ending::Probe {
            bytes.extend(encoded(ready.step.channel, PROBE));
        }
        self.links[ready.step.connection].say(&bytes);
    }

    /// Hears what is answered to the step.
    pub fn hear_answer(&mut self, step: &Step) {
        let ending = step.ending();
        self.listen(step.connection, Some(step), |heard| {
            let here = heard.channel == step.channel || heard.channel == 0;
            here && match ending {
                Ending::Answer => is_answer(&heard.method()),
                Ending::Probe => is_end(&heard.method()),
            }
        });
        self.ledger.done(step);
        self.revive();
    }

    /// Opens a channel that both brokers have closed.
    pub fn open_channel(&mut self, connection: usize, channel: u16) {
        self.links[connection].say(&encoded(channel, Method::ChannelOpen));
        self.listen(connection, None, |heard| {
            heard.channel == channel && matches!(heard.method(), Method::ChannelOpenOk)
        });
        self.ledger.opened(connection, channel);
    }

    /// Hears what comes until `is_last`, or until the connection ends.
    fn listen(&mut self, connection: usize, step: Option<&Step>, is_last: impl Fn(&Heard) -> bool) {
        while self.links[connection].is_open {
            match self.links[connection].next() {
                Word::Heard(heard) => {
                    let last = is_last(&heard);
                    self.hear(connection, step, heard);
                    if last {
                        break;
                    }
                }
                Word::Closed => self.lost(connection, "the socket closed"),
                Word::Nothing => self.lost(connection, "nothing came"),
                Word::Garbled => self.lost(connection, "what came is no frame"),
            }
        }
    }

    fn lost(&mut self, connection: usize, how: &str) {
        self.note(Place::Replies(connection, 0), how.to_owned());
        self.links[connection].is_open = false;
        self.ledger.connection_gone(connection);
    }

    fn note(&mut self, place: Place, line: String) {
        self.answer.entry(place).or_default().push(line);
    }

    fn hear(&mut self, connection: usize, step: Option<&Step>, heard: Heard) {
        self.ledger.learn_from(&heard);
        let channel = heard.channel;
        let is_about =
            |step: &&Step| step.connection == connection && (step.channel == channel || channel == 0);
        let step = step.filter(is_about);
        match heard.method() {
            Method::BasicDeliver { .. } => self.delivered(connection, &heard),
            Method::BasicReturn { reply_code, reply_text, exchange, routing_key } => {
                let late = self.is_confirmed(connection, channel);
                let content = render::message(heard.content.as_ref().expect("it has content"));
                let line = format!("{reply_code} {reply_text} {exchange} {routing_key} {content}{late}");
                self.say_of(Place::Returns(connection, channel), line);
            }
            Method::BasicAck { delivery_tag, multiple } => {
                self.confirmed(connection, channel, delivery_tag, multiple, "ack");
            }
            Method::BasicNack { delivery_tag, multiple, .. } => {
                self.confirmed(connection, channel, delivery_tag, multiple, "nack");
            }
            Method::BasicCancel { consumer_tag, .. } => {
                let tag = self.ledger.canonical(&consumer_tag.to_string());
                let known = self.ledger.connections[connection].get_mut(&channel);
                known.map(|channel| channel.consumers.remove(&tag));
                self.note(Place::Deliveries(connection, channel, tag), "cancelled by the broker".into());
            }
            Method::AccessRequestOk { .. } if !step.is_some_and(|step| step.act == Act::Access) => {}
            Method::ChannelOpenOk if step.is_none() => {}
            Method::ChannelClose { .. } => {
                self.say_of(Place::Replies(connection, channel), render::reply(&heard.method()));
                self.links[connection].say(&encoded(channel, Method::ChannelCloseOk));
                self.ledger.connections[connection].remove(&channel);
            }
            Method::ConnectionClose { .. } => {
                self.say_of(Place::Replies(connection, 0), render::reply(&heard.method()));
                self.links[connection].say(&encoded(0, Method::ConnectionCloseOk));
                self.ended(connection);
            }
            Method::ConnectionCloseOk => {
                // RabbitMQ leaves it to the client to close the socket.
                self.note(Place::Replies(connection, 0), "close-ok".into());
                self.links[connection].is_open = false;
                self.ledger.connection_gone(connection);
            }
            method => {
                if let Some(step) = step {
                    self.ledger.answered(step, &heard);
                }
                if matches!(method, Method::ChannelCloseOk) {
                    self.ledger.connections[connection].remove(&channel);
                }
                let mut line = render::reply(&method);
                if let (
                    Method::BasicGetOk { delivery_tag, .. },
                    Some(Step { act: Act::Get { queue, flags }, .. }),
                ) = (method, step)
                {
                    let queue = self.ledger.named(step.expect("it is one"), queue);
                    line = self.got(connection, &heard, &queue, flags.has("no-ack"), delivery_tag);
                }
                self.say_of(Place::Replies(connection, channel), line);
            }
        }
    }

    /// Notes a line in which names of the broker's own may be.
    fn say_of(&mut self, place: Place, line: String) {
        let line = self.ledger.canonical(&line);
        self.note(place, line);
    }

    /// After the close and its answer, the socket must close and nothing else come.
    fn ended(&mut self, connection: usize) {
        let line = match self.links[connection].next() {
            Word::Closed => None,
            Word::Nothing => Some("the socket stays open after the end".to_owned()),
            Word::Garbled => Some("what came after the end is no frame".to_owned()),
            Word::Heard(heard) => Some(format!("{} after the end", heard.method().name())),
        };
        line.into_iter().for_each(|line| self.note(Place::Replies(connection, 0), line));
        self.links[connection].is_open = false;
        self.ledger.connection_gone(connection);
    }

    fn is_confirmed(&self, connection: usize, channel: u16) -> &'static str {
        let channel = self.ledger.connections[connection].get(&channel);
        let late = channel.is_some_and(|it| it.published > 0 && !it.unconfirmed.contains(&it.published));
        if late { " after its confirm" } else { "" }
    }

    fn confirmed(&mut self, connection: usize, channel: u16, tag: u64, multiple: bool, what: &str) {
        let known = self.ledger.connections[connection].get_mut(&channel);
        let seqnos = known.map(|known| known.confirmed(tag, multiple)).unwrap_or_default();
        let place = Place::Confirms(connection, channel);
        if seqnos.is_empty() {
            self.note(place, format!("{what} of {tag}, which is no unconfirmed publish"));
            return;
        }
        let lines = self.answer.entry(place).or_default();
        lines.extend(seqnos.into_iter().map(|seqno| format!("{seqno:08} {what}")));
        lines.sort();
    }

    fn delivered(&mut self, connection: usize, heard: &Heard) {
        let Method::BasicDeliver { consumer_tag, delivery_tag, redelivered, exchange, routing_key } =
            heard.method()
        else {
            unreachable!("the caller looked")
        };
        let content = heard.content.as_ref().expect("a delivery has content");
        let tag = self.ledger.canonical(&consumer_tag.to_string());
        let again = if redelivered { " again" } else { "" };
        let mut line = format!("{exchange} {routing_key} {}{again}", render::message(content));
        if let Some(channel) = self.ledger.connections[connection].get_mut(&heard.channel) {
            line += &channel.count(delivery_tag);
            channel.has_reply =
                channel.consumers.get(&tag).is_some_and(|it| it.queue == "amq.rabbitmq.reply-to");
            match channel.consumers.get(&tag) {
                Some(consumer) if !consumer.no_ack => {
                    let (queue, body) = (consumer.queue.clone(), content.1.clone());
                    channel.unacked.push(Held { queue, consumer: tag.clone(), body, tag: delivery_tag });
                }
                Some(_) => {}
                None => line += " to a consumer that is not there",
            }
        }
        self.say_of(Place::Deliveries(connection, heard.channel, tag), line);
    }

    fn got(&mut self, connection: usize, heard: &Heard, queue: &str, no_ack: bool, tag: u64) -> String {
        let content = heard.content.as_ref().expect("an answer to get has content");
        let mut line = got(heard);
        if let Some(channel) = self.ledger.connections[connection].get_mut(&heard.channel) {
            line += &channel.count(tag);
            channel.has_reply = false;
            if !no_ack {
                let held =
                    Held { queue: queue.to_owned(), consumer: String::new(), body: content.1.clone(), tag };
                channel.unacked.push(held);
            }
        }
        line
    }

    /// Connections that have ended are opened again.
    fn revive(&mut self) {
        for connection in 0..2 {
            if !self.links[connection].is_open {
                self.links[connection] = Link::open(self.address);
            }
        }
    }

    /// Waits until nothing is under way in RabbitMQ. Elsewhere what follows is asked until it is so.
    pub fn come_to_rest(&mut self) {
        if let Some(quiet) = &mut self.quiet {
            let mut rounds = [0; 4];
            let asked = quiet.write_all(b"?").and_then(|()| quiet.read_exact(&mut rounds));
            asked.expect("RabbitMQ's watcher answers");
        }
    }

    /// Asks how every queue is, through one of the connections if it is not exclusive to the other. What was on its way
    /// before is heard before the answers.
    pub fn ask(&mut self, first: usize) {
        for connection in [first, 1 - first] {
            let is_seen = |owner: &Option<usize>| owner.unwrap_or(first) == connection;
            let queues = self.ledger.queues.iter().filter(|(_, owner)| is_seen(owner));
            self.asked[connection] = queues.map(|(queue, _)| queue.clone()).collect();
            self.ask_rest(connection);
        }
    }

    fn ask_rest(&mut self, connection: usize) {
        let mut bytes = Vec::new();
        for queue in &self.asked[connection] {
            bytes.extend(encoded(OBSERVER, look_at(&self.ledger.own(queue))));
        }
        bytes.extend(encoded(OBSERVER, PROBE));
        self.links[connection].say(&bytes);
    }

    /// Hears how the queues are.
    pub fn observe(&mut self) {
        (0..2).for_each(|connection| self.look(connection));
        self.revive();
    }

    fn look(&mut self, connection: usize) {
        while self.links[connection].is_open {
            let heard = match self.links[connection].next() {
                Word::Heard(heard) if heard.channel == OBSERVER => heard,
                Word::Heard(heard) => {
                    self.hear(connection, None, heard);
                    continue;
                }
                Word::Closed => return self.lost(connection, "the socket closed"),
                Word::Nothing => return self.lost(connection, "nothing came"),
                Word::Garbled => return self.lost(connection, "what came is no frame"),
            };
            match heard.method() {
                Method::QueueDeclareOk { message_count, consumer_count, .. } => {
                    let queue = self.asked[connection].pop_front().expect("one answer to each question");
                    let line = format!("{message_count} messages, {consumer_count} consumers");
                    self.answer.insert(Place::Queue(queue), vec![line]);
                }
                Method::ChannelClose { .. } => {
                    let queue = self.asked[connection].pop_front().expect("one answer to each question");
                    self.ledger.queue_gone(&queue);
                    let line = self.ledger.canonical(&render::reply(&heard.method()));
                    self.answer.insert(Place::Queue(queue), vec![line]);
                    self.links[connection].say(&encoded(OBSERVER, Method::ChannelCloseOk));
                    self.links[connection].say(&encoded(OBSERVER, Method::ChannelOpen));
                    self.ask_rest(connection);
                }
                Method::AccessRequestOk { .. } => return,
                _ => {}
            }
        }
    }

    /// Closes a connection as a client does, and opens it again.
    pub fn close(&mut self, connection: usize) {
        self.links[connection].say(&encoded(0, speak::close_connection()));
        self.listen(connection, None, |heard| matches!(heard.method(), Method::ConnectionCloseOk));
        self.revive();
    }

    pub fn close_channel(&mut self, connection: usize, channel: u16) {
        self.links[connection].say(&encoded(channel, speak::close_channel()));
        let is_last =
            |heard: &Heard| heard.channel == channel && matches!(heard.method(), Method::ChannelCloseOk);
        self.listen(connection, None, is_last);
    }

    /// Takes what is left in the queues that are exclusive to a connection, or in those that are not exclusive.
    pub fn drain(&mut self, owner: Option<usize>) {
        self.come_to_rest();
        let connection = owner.unwrap_or(0);
        let queues = self.ledger.queues.iter().filter(|(_, owned)| **owned == owner);
        let queues: Vec<String> = queues.map(|(queue, _)| queue.clone()).collect();
        for queue in queues {
            let own = self.ledger.own(&queue);
            let mut lines = Vec::new();
            loop {
                let get = Method::BasicGet { queue: short(&own), no_ack: true };
                self.links[connection].say(&encoded(OBSERVER, get));
                let Word::Heard(heard) = self.observed(connection) else { break };
                match heard.method() {
                    Method::BasicGetOk { .. } => {
                        self.ledger.learn_from(&heard);
                        lines.push(self.ledger.canonical(&got(&heard)));
                    }
                    Method::BasicGetEmpty => break,
                    other => {
                        // The other connection may have taken it with it.
                        lines.push(self.ledger.canonical(&render::reply(&other)));
                        self.links[connection].say(&encoded(OBSERVER, Method::ChannelCloseOk));
                        self.links[connection].say(&encoded(OBSERVER, Method::ChannelOpen));
                        self.observed(connection);
                        break;
                    }
                }
            }
            self.answer.insert(Place::Rest(queue), lines);
        }
    }

    /// The next that is said on the observer's channel.
    fn observed(&mut self, connection: usize) -> Word {
        loop {
            match self.links[connection].next() {
                Word::Heard(heard) if heard.channel != OBSERVER => self.hear(connection, None, heard),
                word => return word,
            }
        }
    }

    /// Deletes all that a run may have made.
    pub fn wipe(&mut self, queues: &[String], exchanges: &[&str], unbinds: &[Step]) {
        let side = self;
        side.answer.clear();
        (0..2).for_each(|connection| side.close(connection));
        let link = &mut side.links[0];
        for queue in queues {
            let queue = side.ledger.own(queue);
            let (if_unused, if_empty, nowait) = (false, false, true);
            link.say(&encoded(
                OBSERVER,
                Method::QueueDelete { queue: short(&queue), if_unused, if_empty, nowait },
            ));
        }
        for exchange in exchanges {
            let exchange = short(exchange);
            link.say(&encoded(OBSERVER, Method::ExchangeDelete { exchange, if_unused: false, nowait: true }));
        }
        for unbind in unbinds {
            let unbind = Step { channel: OBSERVER, ..unbind.clone() };
            link.say(&speak::frames(&unbind, 0, &|name| side.ledger.own(name)));
        }
        link.say(&encoded(OBSERVER, PROBE));
        let Word::Heard(heard) = side.observed(0) else { panic!("nothing came after the deletes") };
        assert_eq!(heard.method().name(), "access.request-ok", "{:?}", heard.method());
        (0..2).for_each(|connection| side.close(connection));
        side.come_to_rest();
    }

    /// Whether publishes are not confirmed yet.
    pub fn owes_confirms(&self) -> bool {
        let mut channels = self.ledger.connections.iter().flat_map(|channels| channels.values());
        channels.any(|channel| !channel.unconfirmed.is_empty())
    }
}

fn got(heard: &Heard) -> String {
    let Method::BasicGetOk { redelivered, exchange, routing_key, message_count, .. } = heard.method() else {
        unreachable!("the caller looked")
    };
    let content = heard.content.as_ref().expect("an answer to get has content");
    let again = if redelivered { " again" } else { "" };
    format!("get-ok {exchange} {routing_key} {}{again}, {message_count} left", render::message(content))
}

fn is_answer(method: &Method<'_>) -> bool {
    !matches!(
        method,
        Method::BasicDeliver { .. }
            | Method::BasicReturn { .. }
            | Method::BasicAck { .. }
            | Method::BasicNack { .. }
            | Method::BasicCancel { .. }
            | Method::ConnectionBlocked { .. }
            | Method::ConnectionUnblocked
    )
}

/// The probe's answer, or what comes in its place.
fn is_end(method: &Method<'_>) -> bool {
    matches!(
        method,
        Method::AccessRequestOk { .. } | Method::ChannelClose { .. } | Method::ConnectionClose { .. }
    )
}
