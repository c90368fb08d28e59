//! A connection to one of the brokers, whose frames come as whole methods with their content.

use crate::common::wire::{Next, Reply, Wire};
use haremq::amqp::{ContentHeader, FrameKind, Method};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

pub struct Link {
    wire: Wire,
    /// Methods whose content is not all here, by channel.
    partial: BTreeMap<u16, Partial>,
    pub is_open: bool,
}

/// A method from a broker, and its content if it has any.
#[derive(Clone)]
pub struct Heard {
    pub channel: u16,
    pub payload: Vec<u8>,
    /// Properties and body.
    pub content: Option<(Vec<u8>, Vec<u8>)>,
}

struct Partial {
    heard: Heard,
    body_size: Option<u64>,
}

pub enum Word {
    Heard(Heard),
    Closed,
    Nothing,
    /// What came is no frame.
    Garbled,
}

impl Heard {
    pub fn method(&self) -> Method<'_> {
        Method::decode(&self.payload).expect("a broker sends methods that decode")
    }
}

impl Link {
    pub fn open(address: SocketAddr) -> Link {
        let mut wire = Wire::open(address);
        wire.set_patience(PATIENCE);
        wire.channel(OBSERVER);
        Link { wire, partial: BTreeMap::new(), is_open: true }
    }

    pub fn say(&mut self, bytes: &[u8]) {
        self.wire.bytes_if_open(bytes);
    }

    pub fn next(&mut self) -> Word {
        loop {
            // The wire panics at what is no frame, which is worth a line and a shorter history.
            let Ok(next) = catch_unwind(AssertUnwindSafe(|| self.wire.next())) else { return Word::Garbled };
            match next {
                Next::Frame(reply) => {
                    if let Some(heard) = self.take(reply) {
                        return Word::Heard(heard);
                    }
                }
                Next::Closed => return Word::Closed,
                Next::Nothing => return Word::Nothing,
                Next::Header(_) => panic!("a protocol header among frames"),
            }
        }
    }

    fn take(&mut self, reply: Reply) -> Option<Heard> {
        let channel = reply.channel;
        match reply.kind {
            FrameKind::Method => {
                let heard = Heard { channel, payload: reply.payload, content: None };
                if !heard.method().is_content() {
                    return Some(heard);
                }
                let before = self.partial.insert(channel, Partial { heard, body_size: None });
                assert!(before.is_none(), "content within content");
            }
            FrameKind::Header => {
                let partial = self.partial.get_mut(&channel).expect("a header follows its method");
                let header = ContentHeader::decode(&reply.payload).expect("a header that decodes");
                partial.body_size = Some(header.body_size);
                partial.heard.content = Some((header.properties.as_bytes().to_vec(), Vec::new()));
            }
            FrameKind::Body => {
                let partial = self.partial.get_mut(&channel).expect("a body follows its header");
                let (_, body) = partial.heard.content.as_mut().expect("a body follows its header");
                body.extend_from_slice(&reply.payload);
            }
            FrameKind::Heartbeat => unreachable!("the wire keeps heartbeats to itself"),
        }
        let partial = self.partial.get(&channel)?;
        let (_, body) = partial.heard.content.as_ref()?;
        let is_whole = partial.body_size == Some(body.len() as u64);
        is_whole.then(|| self.partial.remove(&channel)).flatten().map(|partial| partial.heard)
    }
}

/// A channel of each connection that only looks at queues.
pub const OBSERVER: u16 = 100;

/// Longer than any answer takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(8);
