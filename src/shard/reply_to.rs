//! Direct replies: an RPC client consumes a queue that is none, and whoever gets its request answers straight to its
//! channel.
//!
//! ```text
//! requester  consume amq.rabbitmq.reply-to; publish with that as reply-to
//!            -> the reply-to becomes amq.rabbitmq.reply-to.<where its channel is, and a key>
//! replier    publish to that name by the default exchange -> mesh -> the requester's channel
//! ```
//! The key is 128 bits of SipHash-2-4 under a secret of this process: who was not told a name cannot make it up, also
//! if it knows names of its own.

#[expect(deprecated, reason = "SipHash with a key of our own; the hasher that replaced it takes none")]
use std::hash::{Hasher, SipHasher};

use super::command::{Answer, Reply};
use super::requests::owned;
use super::{Command, Shard};
use crate::amqp::content::Properties;
use crate::amqp::method::Method;
use crate::amqp::reply::{ChannelError, ReplyCode};
use crate::amqp::wire::ShortStr;
use crate::connection::Failure;
use crate::connection::channel::Pending;
use crate::connection::publish::Publish;
use crate::connection::reply_to::ReplyConsumer;
use crate::ids::{ChannelNumber, ConnectionId, ReplyTo, Requester, ShardId};
use crate::message::Message;

type Result<T = ()> = std::result::Result<T, Failure>;

/// What an RPC client consumes, and names as reply-to.
pub const PSEUDO_QUEUE: &[u8] = b"amq.rabbitmq.reply-to";

/// Keys of reply consumers.
pub struct ReplyKeys {
    secret: [u64; 2],
    made: u64,
}

impl ReplyKeys {
    /// `secret` must be drawn anew for each process, from a source that nobody can guess.
    pub fn new(secret: [u64; 2]) -> ReplyKeys {
        ReplyKeys { secret, made: 0 }
    }

    fn make(&mut self, shard: ShardId) -> [u64; 2] {
        self.made += 1;
        [0, 1].map(|half| {
            #[expect(deprecated, reason = "as above")]
            let mut hasher = SipHasher::new_with_keys(self.secret[0], self.secret[1]);
            hasher.write_u64(self.made);
            hasher.write_u32(u32::from(shard.0) << 1 | half);
            hasher.finish()
        })
    }
}

impl Shard {
    /// basic.consume of the pseudo queue.
    pub(super) fn consume_replies(
        &mut self,
        slot: u32,
        number: ChannelNumber,
        tag: ShortStr<'_>,
        no_ack: bool,
        nowait: bool,
    ) -> Result {
        let tag = if tag.is_empty() { self.names.make("amq.ctag-") } else { owned(&tag) };
        self.refuse_tag_in_use(slot, number, &tag)?;
        let Some(connection) = self.rooms.outward.connections.get_mut(slot) else { return Ok(()) };
        let id = connection.id;
        let Some(channel) = connection.channel(number) else { return Ok(()) };
        if !no_ack {
            return Err(refused("reply consumer cannot acknowledge", (60, 20)));
        }
        if channel.reply_consumer.is_some() {
            return Err(refused("reply consumer already set", (60, 20)));
        }
        let key = self.reply_keys.make(self.id);
        let name = name_of(&ReplyTo { connection: id, channel: number, key });
        channel.reply_consumer = Some(Box::new(ReplyConsumer::new(number, tag.clone(), name, key)));
        self.reply(slot, number, nowait, &Method::BasicConsumeOk { consumer_tag: super::short(&tag) })
    }

    /// True if the tag was that of the channel's reply consumer, which is gone then.
    pub(super) fn cancel_replies(&mut self, slot: u32, number: ChannelNumber, tag: &[u8]) -> bool {
        self.channel(slot, number)
            .is_some_and(|channel| channel.reply_consumer.take_if(|consumer| *consumer.tag == *tag).is_some())
    }

    /// queue.declare of a name that begins like the pseudo queue, passive or not: a question whether it is there.
    pub(super) fn declare_reply_to(
        &mut self,
        slot: u32,
        number: ChannelNumber,
        name: &[u8],
        nowait: bool,
    ) -> Result {
        if name == PSEUDO_QUEUE {
            let queue = super::short(name);
            let ok = Method::QueueDeclareOk { queue, message_count: 0, consumer_count: 1 };
            return self.reply(slot, number, nowait, &ok);
        }
        let Some(to) = self.parse(name) else {
            return Err(self.no_queue(slot, name, (50, 10)));
        };
        let requester = self.requester(slot, number);
        self.park(slot, number, Pending::QueueCounts { nowait, name: owned(name) });
        self.send(to.connection.shard, Command::FindReplyTo(Box::new((requester, to))));
        Ok(())
    }

    pub(super) fn find_reply_to(&mut self, requester: Requester, to: &ReplyTo) {
        let connection = self.rooms.outward.connection(to.connection);
        let reply = if connection.is_some_and(|connection| connection.awaits_replies(to)) {
            Reply::Counts { messages: 0, consumers: 1 }
        } else {
            Reply::NotFound
        };
        self.send(requester.connection.shard, Command::Answer(Box::new(Answer { requester, reply })));
    }

    /// A message that no queue takes may be a direct reply. True if its routing key says so.
    pub(super) fn reply_directly(&mut self, message: &Message<'_>) -> bool {
        if !message.exchange().is_empty() {
            return false;
        }
        let Some(to) = self.parse(message.routing_key()) else { return false };
        self.rooms.outward.reply(&to, message, None);
        true
    }

    /// The record of a request with the channel's own name as reply-to, if it asks for that.
    pub(super) fn with_own_reply_to(&mut self, slot: u32, publish: &Publish<'_>) -> Result<Option<Vec<u8>>> {
        let message = &publish.message;
        let properties = Properties::of_checked(message.header());
        if properties.reply_to().is_none_or(|name| *name != *PSEUDO_QUEUE) {
            return Ok(None);
        }
        let Some(channel) = self.channel(slot, publish.channel) else { return Ok(None) };
        let Some(consumer) = &channel.reply_consumer else {
            return Err(refused("fast reply consumer does not exist", (60, 40)));
        };
        let Some(properties) = properties.with_reply_to(consumer.name()) else { return Ok(None) };
        Ok(Some(message.with_properties(&properties)))
    }

    fn parse(&self, name: &[u8]) -> Option<ReplyTo> {
        parse(name).filter(|to| to.connection.shard.0 < self.rooms.outward.mesh.shards())
    }
}

/// `amq.rabbitmq.reply-to.` and 28 octets in URL-safe base64.
fn name_of(to: &ReplyTo) -> Box<[u8]> {
    let ReplyTo { connection, channel, key } = to;
    let mut octets = Vec::with_capacity(ADDRESS_BYTES);
    octets.extend(connection.shard.0.to_be_bytes());
    octets.extend(connection.slot.to_be_bytes());
    octets.extend(connection.generation.to_be_bytes());
    octets.extend(channel.0.to_be_bytes());
    octets.extend(key[0].to_be_bytes());
    octets.extend(key[1].to_be_bytes());
    [PSEUDO_QUEUE, b".", &base64::encode(&octets)].concat().into_boxed_slice()
}

/// Takes exactly what `name_of` makes.
fn parse(name: &[u8]) -> Option<ReplyTo> {
    let token = name.strip_prefix(PSEUDO_QUEUE)?.strip_prefix(b".")?;
    let octets: [u8; ADDRESS_BYTES] = base64::decode(token)?.try_into().ok()?;
    let (shard, rest) = octets.split_first_chunk::<2>()?;
    let (slot, rest) = rest.split_first_chunk::<4>()?;
    let (generation, rest) = rest.split_first_chunk::<4>()?;
    let (channel, rest) = rest.split_first_chunk::<2>()?;
    let (first, rest) = rest.split_first_chunk::<8>()?;
    let connection = ConnectionId {
        shard: ShardId(u16::from_be_bytes(*shard)),
        slot: u32::from_be_bytes(*slot),
        generation: u32::from_be_bytes(*generation),
    };
    let key = [u64::from_be_bytes(*first), u64::from_be_bytes(*rest.first_chunk()?)];
    Some(ReplyTo { connection, channel: ChannelNumber(u16::from_be_bytes(*channel)), key })
}

fn refused(text: &str, method: (u16, u16)) -> Failure {
    ChannelError::new(ReplyCode::PreconditionFailed, text, method).into()
}

/// Shard, slot, generation, channel, key.
const ADDRESS_BYTES: usize = 2 + 4 + 4 + 2 + 16;

/// URL-safe, without padding.
mod base64 {
    use crate::shard::names::ALPHABET;

    pub fn encode(octets: &[u8]) -> Vec<u8> {
        let mut text = Vec::with_capacity(octets.len().div_ceil(3) * 4);
        for chunk in octets.chunks(3) {
            let word =
                (0..3).fold(0u32, |word, at| word << 8 | u32::from(chunk.get(at).copied().unwrap_or(0)));
            let digits = (0..=chunk.len()).map(|at| ALPHABET[(word >> (18 - 6 * at) & 63) as usize]);
            text.extend(digits);
        }
        text
    }

    /// None unless `encode` makes just this text.
    pub fn decode(text: &[u8]) -> Option<Vec<u8>> {
        let mut octets = Vec::with_capacity(text.len() / 4 * 3 + 2);
        for chunk in text.chunks(4) {
            let mut word = 0u32;
            for (at, letter) in chunk.iter().enumerate() {
                let digit = ALPHABET.iter().position(|other| other == letter)?;
                word |= (digit as u32) << (18 - 6 * at);
            }
            octets.extend(&word.to_be_bytes()[1..][..chunk.len() * 6 / 8]);
        }
        (encode(&octets) == text).then_some(octets)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::amqp::content::{ContentHeader, PropertiesWriter};
    use crate::amqp::frame::{FrameKind, encode_frame};

    fn somewhere() -> ReplyTo {
        let connection = ConnectionId { shard: ShardId(3), slot: 70_000, generation: 9 };
        ReplyTo { connection, channel: ChannelNumber(2047), key: [u64::MAX - 5, 7] }
    }

    #[test]
    fn a_name_says_where_its_replies_go() {
        let name = name_of(&somewhere());
        assert_eq!(name.len(), 22 + 38);
        assert_eq!(parse(&name), Some(somewhere()));
    }

    #[test]
    fn a_name_that_we_did_not_make_leads_nowhere() {
        let name = name_of(&somewhere());
        for cut in 0..name.len() {
            assert_eq!(parse(&name[..cut]), None, "cut at {cut}");
        }
        assert_eq!(parse(&[&name[..], b"A"].concat()), None);
        assert_eq!(parse(&[&name[..], b"="].concat()), None);
        // The last letter has four bits that stand for nothing.
        let mut other = name.to_vec();
        *other.last_mut().unwrap() ^= 1;
        assert_eq!(parse(&other), None);
    }

    #[test]
    fn keys_follow_their_secret_and_do_not_repeat() {
        let (mut keys, mut same) = (ReplyKeys::new([1, 2]), ReplyKeys::new([1, 2]));
        let first = keys.make(ShardId(0));
        assert_eq!(first, same.make(ShardId(0)));
        assert_ne!(first, keys.make(ShardId(0)));
        assert_ne!(first, ReplyKeys::new([1, 2]).make(ShardId(1)));
        assert_ne!(first, ReplyKeys::new([1, 3]).make(ShardId(0)));
        assert_ne!(first[0], first[1]);
    }

    #[test]
    fn a_request_keeps_everything_but_its_reply_to() {
        let before = PropertiesWriter {
            correlation_id: Some("7".into()),
            reply_to: Some("amq.rabbitmq.reply-to".into()),
            message_id: Some("m".into()),
            ..PropertiesWriter::default()
        };
        let mut content = Vec::new();
        encode_frame(&mut content, FrameKind::Header, ChannelNumber(1), |out| {
            out.extend([0, 60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2]);
            out.extend(before.finish());
        });
        encode_frame(&mut content, FrameKind::Body, ChannelNumber(1), |out| out.extend(b"hi"));
        let message = Message { route: b"\0\x01q", content: &content };
        let properties = ContentHeader::decode(message.header()).unwrap().properties;
        let changed = properties.with_reply_to("amq.rabbitmq.reply-to.x".into()).unwrap();
        let record = message.with_properties(&changed);
        let request = Message::from_record(&record);
        let header = ContentHeader::decode(request.header()).unwrap();
        let expected =
            PropertiesWriter { reply_to: Some("amq.rabbitmq.reply-to.x".into()), ..before }.finish();
        assert_eq!((header.body_size, header.properties), (2, Properties::decode(&expected).unwrap()));
        assert_eq!(
            (request.route, &request.content[request.content.len() - 10..]),
            (message.route, &content[content.len() - 10..])
        );
    }
}
