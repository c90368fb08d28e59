//! What clients write: from then on it may be done.

use std::collections::VecDeque;

use super::*;
use crate::rules::QueueRules;

/// What a queue.declare asks for.
#[derive(Clone, Default, Debug)]
pub struct Wanted {
    pub contended: bool,
    pub durable: bool,
    pub auto_delete: bool,
    pub exclusive: bool,
    pub rules: QueueRules,
}

impl Oracle {
    pub fn open_channel(&mut self, connection: ConnectionIx, number: u16) -> ChannelIx {
        let channel = self.channels.len();
        self.channels.push(ChannelRecord {
            connection,
            number,
            state: Life::Open,
            told: VecDeque::new(),
            confirms: false,
            transaction: None,
            seqnos: Vec::new(),
            confirmed: 0,
            last_tag: 0,
            prefetch: 0,
            limit: 0,
            held: BTreeMap::new(),
            delivered: 0,
            recovering: 0,
            recovers_unseen: false,
            consumers: BTreeMap::new(),
            close_ok_due: false,
            leaving: None,
            left: 0,
        });
        self.connections[connection].channels.insert(number, channel);
        self.tell(channel, Request::Open);
        channel
    }

    pub fn close_channel(&mut self, channel: ChannelIx) {
        if self.channels[channel].state == Life::Refused {
            self.channels[channel].close_ok_due = true;
            return;
        }
        if self.tell(channel, Request::Close) {
            self.leave(channel);
            self.channels[channel].state = Life::Closing;
        }
    }

    pub fn select_confirms(&mut self, channel: ChannelIx, nowait: bool) {
        if self.tell(channel, Request::Confirm { nowait }) {
            self.channels[channel].confirms = true;
        }
    }

    /// A count for each consumer to come lifts the one of all together.
    pub fn set_prefetch(&mut self, channel: ChannelIx, prefetch: u16, global: bool) {
        if self.tell(channel, Request::Qos { limit: if global { prefetch } else { 0 } }) && !global {
            self.channels[channel].prefetch = prefetch;
        }
    }

    /// What the client has been sent until now goes back; what it is sent before the answer, too.
    pub fn recover(&mut self, channel: ChannelIx, nowait: bool) {
        let held = self.channels[channel].held.values();
        let copies = held.map(|held| (held.queue, held.message)).collect();
        let since = self.time + 1;
        if self.tell(channel, Request::Recover { copies, since, nowait }) {
            self.release(channel, since, Arrived::Behind(channel));
            self.channels[channel].recovering += u32::from(!nowait);
            self.channels[channel].recovers_unseen |= nowait;
            let connection = self.channels[channel].connection;
            self.connections[connection].has_recovered = true;
        }
    }

    /// A name that nobody else uses is new; an empty one is made by the server.
    pub fn declare(&mut self, channel: ChannelIx, name: &[u8], wanted: Wanted, nowait: bool) -> QueueIx {
        let queue = self.queues.len();
        let at = self.time + 1;
        let exclusive = wanted.exclusive.then_some(self.channels[channel].connection);
        self.queues.push(QueueRecord {
            name: name.to_vec(),
            contended: wanted.contended,
            durable: wanted.durable,
            auto_delete: wanted.auto_delete,
            exclusive,
            rules: wanted.rules,
            used_ns: self.now_ns,
            idle_by_ns: u64::MAX,
            maybe_idle: false,
            served_alone: None,
            fact: Fact::asked(at, Some(channel)),
            lock: None,
            bindings: Vec::new(),
            copies: BTreeMap::new(),
            lossy: Window::default(),
            hidden: Window::default(),
            purging: Window::default(),
            served: Window::default(),
            getting: Window::default(),
            had_consumer: false,
            had_exclusive_consumer: false,
            emptied: 0,
            row: BTreeSet::new(),
            deleted_on: None,
        });
        self.change(channel, queue, Request::Declare { queue, nowait, fresh: true });
        queue
    }

    pub fn redeclare(&mut self, channel: ChannelIx, queue: QueueIx, nowait: bool) {
        self.change(channel, queue, Request::Declare { queue, nowait, fresh: false });
    }

    /// Binding what is bound already changes nothing.
    pub fn bind(
        &mut self,
        channel: ChannelIx,
        queue: QueueIx,
        exchange: &'static str,
        key: &[u8],
        nowait: bool,
    ) {
        let binding = self.binding(queue, exchange, key).unwrap_or_else(|| {
            let fact = Fact::asked(self.time + 1, Some(channel));
            self.bindings.push(BindingRecord { exchange, key: key.to_vec(), queue, fact });
            self.queues[queue].bindings.push(self.bindings.len() - 1);
            self.bindings.len() - 1
        });
        self.change(channel, queue, Request::Bind { binding, nowait });
    }

    pub fn unbind(&mut self, channel: ChannelIx, binding: BindingIx) {
        let queue = self.bindings[binding].queue;
        if self.change(channel, queue, Request::Unbind { binding }) {
            self.bindings[binding].fact.doubt(self.time, Some(channel));
        }
    }

    pub fn delete(&mut self, channel: ChannelIx, queue: QueueIx, conditional: bool, nowait: bool) {
        if self.change(channel, queue, Request::Delete { queue, nowait, conditional }) {
            self.queues[queue].fact.doubt(self.time, Some(channel));
        }
    }

    pub fn passive(&mut self, channel: ChannelIx, queue: QueueIx) {
        self.tell(channel, Request::Passive { queue });
    }

    pub fn purge(&mut self, channel: ChannelIx, queue: QueueIx, nowait: bool) {
        if self.tell(channel, Request::Purge { queue, nowait }) {
            self.queues[queue].purging.open();
        }
    }

    pub fn get(&mut self, channel: ChannelIx, queue: QueueIx, no_ack: bool) {
        if self.tell(channel, Request::Get { queue, no_ack }) {
            self.queues[queue].getting.open();
        }
    }

    /// With an empty tag the server makes one.
    pub fn consume(
        &mut self,
        channel: ChannelIx,
        queue: QueueIx,
        tag: &[u8],
        (no_ack, exclusive, nowait): (bool, bool, bool),
        priority: i64,
    ) -> ConsumerIx {
        let consumer = self.consumers.len();
        let prefetch = self.channels[channel].prefetch;
        let (tag, state, awaits_ok) = (tag.to_vec(), Consuming::Asked, !nowait);
        let named = !tag.is_empty();
        self.consumers.push(ConsumerRecord {
            queue,
            channel,
            tag: tag.clone(),
            no_ack,
            prefetch,
            awaits_ok,
            state,
            active_from: None,
            ended: None,
            held: 0,
            priority,
            since_ns: self.now_ns,
        });
        if !self.tell(channel, Request::Consume { consumer, nowait, exclusive }) {
            self.consumers[consumer].state = Consuming::Ended;
            return consumer;
        }
        if named {
            self.channels[channel].consumers.insert(tag, consumer);
        }
        let record = &mut self.queues[queue];
        record.served.open();
        record.had_exclusive_consumer |= exclusive;
        consumer
    }

    pub fn cancel(&mut self, channel: ChannelIx, consumer: ConsumerIx, nowait: bool) {
        if self.tell(channel, Request::Cancel { consumer, nowait }) {
            self.consumer_leaves(consumer);
        }
    }

    pub fn publish(
        &mut self,
        channel: ChannelIx,
        exchange: &'static str,
        key: &[u8],
        mandatory: bool,
        len: usize,
        style: Style,
    ) -> PublicationIx {
        let message = self.publications.len();
        self.some_expire |= style.expiration_ms.is_some();
        self.publications.push(Publication {
            channel,
            exchange,
            key: key.to_vec(),
            mandatory,
            len,
            priority: style.priority,
            expiration_ms: style.expiration_ms,
            persistent: crate::letter::is_persistent(message as u64, len, style),
            letter: None,
            at: self.time + 1,
            at_ns: self.now_ns,
            state: Routing::Never,
            returned: false,
            held: false,
            seqno: None,
            confirmed: false,
            acked: false,
            doubled: false,
        });
        if self.channels[channel].transaction.is_some() {
            self.hold(channel, message);
        } else if self.tell(channel, Request::Publish(message)) {
            self.tally.published += 1;
            let record = &mut self.channels[channel];
            self.publications[message].state = Routing::Written;
            if record.confirms {
                record.seqnos.push(message);
                self.publications[message].seqno = Some(record.seqnos.len() as u64);
            }
        }
        message
    }

    /// An ack, nack or reject of a tag that the client has read.
    pub fn settle(&mut self, channel: ChannelIx, tag: u64, multiple: bool, requeue: bool, ids: (u16, u16)) {
        let record = &mut self.channels[channel];
        if record.state != Life::Open {
            return;
        }
        let from = if multiple { 0 } else { tag };
        let settled: Vec<(u64, Held)> =
            record.held.range(from..=tag).map(|(tag, held)| (*tag, *held)).collect();
        for (tag, _) in &settled {
            record.held.remove(tag);
        }
        let settlement = Settlement { tags: settled, requeue, ids };
        match &mut record.transaction {
            Some(transaction) => transaction.settlements.push(settlement),
            None => self.settled(channel, settlement),
        }
    }

    /// It is to be done now.
    pub(super) fn settled(&mut self, channel: ChannelIx, settlement: Settlement) {
        let Settlement { tags, requeue, ids } = settlement;
        let copies = tags.iter().map(|(_, held)| (held.queue, held.message)).collect();
        let serial = self.time;
        if !self.tell(channel, Request::Settle { serial, copies, requeue, ids, wrong: false }) {
            return;
        }
        for (tag, Held { queue, message, consumer, .. }) in tags {
            if let Some(consumer) = consumer {
                self.consumers[consumer].held -= 1;
                self.channels[channel].delivered -= 1;
            }
            let at = self.time;
            let has_timeout = self.queues[queue].rules.timeout_ms.is_some();
            let Some(copy) = self.queues[queue].copies.get_mut(&message) else { continue };
            copy.rejected |= has_timeout && !requeue && ids != ACK;
            if copy.state != CopyState::Held(channel) || copy.tag != tag {
                continue;
            }
            if requeue {
                (copy.state, copy.since, copy.arrived) = (CopyState::Ready, at, Arrived::Behind(channel));
                copy.returns += 1;
            } else {
                copy.state = CopyState::Acking(serial);
                copy.rejected = ids != ACK;
            }
        }
    }

    pub fn settle_wrongly(&mut self, channel: ChannelIx, ids: (u16, u16)) {
        self.tell(
            channel,
            Request::Settle { serial: self.time, copies: Vec::new(), requeue: false, ids, wrong: true },
        );
    }

    pub fn about_exchange(&mut self, channel: ChannelIx, ids: (u16, u16), nowait: bool, risky: bool) {
        self.tell(channel, Request::Exchange { ids, nowait, risky });
    }

    /// Whether that channel may change the queue and its bindings: one at a time, so that the order is known.
    pub fn may_change(&self, channel: ChannelIx, queue: QueueIx) -> bool {
        let record = &self.queues[queue];
        record.contended || record.lock.is_none_or(|(holder, _)| holder == channel)
    }

    /// The binding of that identity, unless it is being taken away.
    fn binding(&self, queue: QueueIx, exchange: &str, key: &[u8]) -> Option<BindingIx> {
        self.queues[queue].bindings.iter().copied().find(|&at| {
            let binding = &self.bindings[at];
            binding.exchange == exchange && binding.key == key && binding.fact.sure_until.is_none()
        })
    }

    fn change(&mut self, channel: ChannelIx, queue: QueueIx, request: Request) -> bool {
        let told = self.tell(channel, request);
        if told && !self.queues[queue].contended {
            let lock = self.queues[queue].lock.get_or_insert((channel, 0));
            assert_eq!(lock.0, channel, "one channel at a time changes a queue");
            lock.1 += 1;
        }
        told
    }

    /// False if the server has closed the channel, which the client does not know yet: the request is never done.
    pub(super) fn tell(&mut self, channel: ChannelIx, request: Request) -> bool {
        let at = self.tick();
        let record = &mut self.channels[channel];
        let open = record.state == Life::Open && self.connections[record.connection].state == Life::Open;
        let used = match request {
            Request::Declare { queue, .. } | Request::Passive { queue } | Request::Get { queue, .. } => {
                Some(queue)
            }
            Request::Consume { consumer, .. } | Request::Cancel { consumer, .. } => {
                Some(self.consumers[consumer].queue)
            }
            _ => None,
        };
        if open {
            record.told.push_back(Told { at, at_ns: self.now_ns, request });
            used.into_iter().for_each(|queue| self.may_be_used(queue));
        }
        open
    }
}

/// basic.ack
pub(super) const ACK: (u16, u16) = (60, 80);
