//! The consumer of direct replies: a channel that consumes `amq.rabbitmq.reply-to` gets them without any queue.

use super::Connection;
use super::channel::ChannelState;
use super::deliver::Template;
use crate::amqp::wire::ShortStr;
use crate::ids::{ChannelNumber, ReplyTo};
use crate::limits::REPLY_BYTES_MAX;
use crate::message::Message;

/// Lives on: the connection's shard.
pub struct ReplyConsumer {
    pub tag: Box<[u8]>,
    /// The name that replies are published to.
    name: Box<[u8]>,
    /// Whoever knows it was told the name.
    key: [u64; 2],
    template: Template,
}

impl ReplyConsumer {
    pub fn new(channel: ChannelNumber, tag: Box<[u8]>, name: Box<[u8]>, key: [u64; 2]) -> ReplyConsumer {
        ReplyConsumer { template: Template::new(channel, &tag), tag, name, key }
    }

    pub fn name(&self) -> ShortStr<'_> {
        ShortStr::new(&self.name).expect("a name that we made is short")
    }
}

impl Connection {
    /// Whether somebody waits for replies there.
    pub fn awaits_replies(&mut self, to: &ReplyTo) -> bool {
        self.channel(to.channel).is_some_and(|channel| {
            channel.state == ChannelState::Open
                && channel.reply_consumer.as_ref().is_some_and(|consumer| consumer.key == to.key)
        })
    }

    /// Encodes a reply. False if it is dropped: nobody waits for it, or the client has left REPLY_BYTES_MAX unread.
    /// A queue would keep what its consumer has no room for; here is none, so replies come at most once.
    pub fn deliver_reply(&mut self, to: &ReplyTo, message: &Message<'_>) -> bool {
        if !self.awaits_replies(to) || self.outbox.len() > REPLY_BYTES_MAX {
            return false;
        }
        let frame_max = self.frame_max;
        let Some(channel) = self.channels[usize::from(to.channel.0)].as_deref_mut() else { return false };
        let tag = channel.take_tag();
        let Some(consumer) = &mut channel.reply_consumer else { return false };
        consumer.template.encode(message, tag, false, frame_max, self.outbox.buffer());
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{ConnectionId, ShardId};

    fn waiting() -> (Connection, ReplyTo) {
        let id = ConnectionId { shard: ShardId(0), slot: 0, generation: 1 };
        let mut connection = Connection::new(id, "127.0.0.1:1".parse().unwrap(), 0);
        connection.open_channel(ChannelNumber(1));
        let to = ReplyTo { connection: id, channel: ChannelNumber(1), key: [1, 2] };
        let consumer = ReplyConsumer::new(to.channel, Box::from(&b"t"[..]), Box::from(&b"name"[..]), to.key);
        connection.channel(to.channel).unwrap().reply_consumer = Some(Box::new(consumer));
        (connection, to)
    }

    #[test]
    fn a_reply_with_another_key_is_dropped() {
        let (mut connection, to) = waiting();
        let message = Message { route: b"\0\0", content: &[2, 0, 1, 0, 0, 0, 0, 0xCE] };
        for key in [[2, 1], [1, 0], [0, 0]] {
            assert!(!connection.deliver_reply(&ReplyTo { key, ..to }, &message));
        }
        assert!(!connection.deliver_reply(&ReplyTo { channel: ChannelNumber(2), ..to }, &message));
        assert!(connection.deliver_reply(&to, &message));
    }

    #[test]
    fn who_does_not_read_gets_no_more_than_its_bound() {
        let (mut connection, to) = waiting();
        let content = [&[2, 0, 1, 0, 0xF, 0x42, 0x40][..], &[0; 1_000_000], &[0xCE]].concat();
        let message = Message { route: b"\0\0", content: &content };
        let taken = (0..100).filter(|_| connection.deliver_reply(&to, &message)).count();
        assert!((10..100).contains(&taken));
        assert!(connection.outbox.len() <= REPLY_BYTES_MAX + 1_100_000);
        let unsent = connection.outbox.len();
        connection.outbox.sent(unsent);
        assert!(connection.deliver_reply(&to, &message));
    }
}
