//! An AMQP session with the server itself, as the user who asks: whatever is done by it is permitted, limited and refused
//! as for any client.
//!
//! ```text
//! HTTP thread = socket pair = shard: a connection from where the HTTP client is, logged in as its user, with one channel
//! ```
//! The session ends when its value goes, whatever the HTTP client does.

use std::io;
use std::time::Duration;

use tokio::net::UnixStream;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

use super::super::login::{Proof, User};
use crate::access::{INSIDER, INSIDERS_PASSWORD};
use crate::amqp::content::PROPERTIES_AT;
use crate::amqp::frame::{self, FRAME_OVERHEAD, Frame, FrameKind, PROTOCOL_HEADER, encode_frame};
use crate::amqp::{ContentHeader, LongStr, Method, Properties, ReplyCode, ShortStr, Table, TableWriter};
use crate::ids::ChannelNumber;
use crate::limits::{SESSION_WAIT_MS, SESSIONS_MAX};
use crate::shard::start::Common;

/// An open channel, numbered 1.
pub struct Session {
    stream: UnixStream,
    /// Bytes that came and were not looked at: `unread..`.
    input: Vec<u8>,
    unread: usize,
    output: Vec<u8>,
    frame_max: u32,
    _permit: SemaphorePermit<'static>,
}

/// Why a session came to nothing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Failure {
    /// The channel or the connection was closed, with RabbitMQ's code and text.
    Closed { code: u16, text: String },
    /// No answer: the server stops, has run out of memory for publishers, or has too many sessions.
    Silent,
}

/// A method as it came.
#[derive(Debug)]
pub struct Reply(Vec<u8>);

impl Reply {
    pub fn method(&self) -> Method<'_> {
        Method::decode(&self.0).expect("it was read before")
    }
}

/// A message out of a queue.
#[derive(Debug)]
pub struct Got {
    get_ok: Reply,
    /// The content header's payload.
    header: Vec<u8>,
    pub body: Vec<u8>,
}

impl Got {
    /// What `basic.get-ok` says.
    pub fn method(&self) -> Method<'_> {
        self.get_ok.method()
    }

    pub fn properties(&self) -> Properties<'_> {
        Properties::decode(&self.header[PROPERTIES_AT..]).expect("it was read before")
    }
}

impl Session {
    /// A refused entry to the vhost is a [`Failure::Closed`], as is a password that has changed meanwhile.
    pub async fn open(common: &Common, user: &User, vhost: &str) -> Result<Session, Failure> {
        static SESSIONS: Semaphore = Semaphore::const_new(SESSIONS_MAX);
        let permit = wait(async { SESSIONS.acquire().await.map_err(io::Error::other) }).await?;
        let stream = common.connect(user.peer, user.is_trusted()).and_then(UnixStream::from_std);
        let mut session = Session {
            stream: stream.map_err(|_| Failure::Silent)?,
            input: Vec::new(),
            unread: 0,
            output: PROTOCOL_HEADER.to_vec(),
            frame_max: u32::MAX,
            _permit: permit,
        };
        session.log_in(user, vhost).await?;
        session.open_channel().await?;
        Ok(session)
    }

    async fn log_in(&mut self, user: &User, vhost: &str) -> Result<(), Failure> {
        self.reply().await?;
        let hash = user.user.password.text();
        let (name, proof): (&[u8], &[u8]) = match user.proof {
            Proof::Password => (&user.user.name, hash.as_bytes()),
            Proof::Socket => (INSIDER, INSIDERS_PASSWORD),
        };
        let response = [b"\0", name, b"\0", proof].concat();
        // Else a refusal would have to be waited for.
        let properties = TableWriter::new()
            .table("capabilities", |table| table.bool("authentication_failure_close", true))
            .finish();
        let start_ok = Method::ConnectionStartOk {
            client_properties: Table::decode(&properties).expect("we wrote it"),
            mechanism: "PLAIN".into(),
            response: LongStr(&response),
            locale: "en_US".into(),
        };
        let tune = self.call_on(ChannelNumber(0), start_ok).await?;
        let Method::ConnectionTune { channel_max, frame_max, .. } = tune.method() else {
            return Err(Failure::Silent);
        };
        self.frame_max = frame_max;
        // The socket pair breaks at once if either side goes.
        let tune_ok = Method::ConnectionTuneOk { channel_max, frame_max, heartbeat: 0 };
        tune_ok.encode(ChannelNumber(0), &mut self.output);
        let virtual_host = ShortStr::new(vhost.as_bytes()).ok_or_else(|| no_vhost(vhost))?;
        self.call_on(ChannelNumber(0), Method::ConnectionOpen { virtual_host }).await?;
        Ok(())
    }

    async fn open_channel(&mut self) -> Result<(), Failure> {
        self.call(Method::ChannelOpen {}).await.map(drop)
    }

    /// After a method has closed the channel, another one.
    pub async fn reopen(&mut self) -> Result<(), Failure> {
        Method::ChannelCloseOk {}.encode(CHANNEL, &mut self.output);
        self.open_channel().await
    }

    /// Asks by a method that is answered by one.
    pub async fn call(&mut self, method: Method<'_>) -> Result<Reply, Failure> {
        self.call_on(CHANNEL, method).await
    }

    async fn call_on(&mut self, channel: ChannelNumber, method: Method<'_>) -> Result<Reply, Failure> {
        method.encode(channel, &mut self.output);
        self.reply().await
    }

    /// Says what has no answer; it goes out with the next call.
    pub fn tell(&mut self, method: Method<'_>) {
        method.encode(CHANNEL, &mut self.output);
    }

    /// Whether it was routed to a queue, and taken by all that it was routed to.
    pub async fn publish(
        &mut self,
        [exchange, routing_key]: [ShortStr<'_>; 2],
        properties: Properties<'_>,
        body: &[u8],
    ) -> Result<Published, Failure> {
        self.call(Method::ConfirmSelect { nowait: false }).await?;
        self.tell(Method::BasicPublish { exchange, routing_key, mandatory: true, immediate: false });
        ContentHeader { class_id: BASIC, weight: 0, body_size: body.len() as u64, properties }
            .encode(CHANNEL, &mut self.output);
        for piece in body.chunks(self.frame_max as usize - FRAME_OVERHEAD) {
            encode_frame(&mut self.output, FrameKind::Body, CHANNEL, |out| out.extend_from_slice(piece));
        }
        let mut routed = true;
        loop {
            let reply = self.reply().await?;
            match reply.method() {
                Method::BasicReturn { .. } => {
                    self.content().await?;
                    routed = false;
                }
                Method::BasicAck { .. } if routed => return Ok(Published::Routed),
                Method::BasicAck { .. } => return Ok(Published::Unroutable),
                Method::BasicNack { .. } => return Ok(Published::Rejected),
                _ => {}
            }
        }
    }

    /// The first message of a queue.
    pub async fn get(&mut self, queue: ShortStr<'_>, no_ack: bool) -> Result<Option<Got>, Failure> {
        let get_ok = self.call(Method::BasicGet { queue, no_ack }).await?;
        let Method::BasicGetOk { .. } = get_ok.method() else { return Ok(None) };
        let (header, body) = self.content().await?;
        Ok(Some(Got { get_ok, header, body }))
    }

    /// Everything is done and true everywhere when this returns: what was not acknowledged is back in its queue.
    pub async fn close(mut self) -> Result<(), Failure> {
        let close =
            Method::ConnectionClose { reply_code: 200, reply_text: "bye".into(), class_id: 0, method_id: 0 };
        let mut reply = self.call_on(ChannelNumber(0), close).await?;
        while reply.method() != (Method::ConnectionCloseOk {}) {
            reply = self.reply().await?;
        }
        Ok(())
    }

    async fn reply(&mut self) -> Result<Reply, Failure> {
        let (_, payload) = self.frame().await?;
        match Method::decode(&payload) {
            Ok(
                Method::ChannelClose { reply_code: code, reply_text, .. }
                | Method::ConnectionClose { reply_code: code, reply_text, .. },
            ) => Err(Failure::Closed { code, text: reply_text.to_string() }),
            Ok(_) => Ok(Reply(payload)),
            Err(_) => Err(Failure::Silent),
        }
    }

    /// The header's payload, and the body.
    async fn content(&mut self) -> Result<(Vec<u8>, Vec<u8>), Failure> {
        let (_, header) = self.frame().await?;
        let size = ContentHeader::decode(&header).map_err(|_| Failure::Silent)?.body_size;
        let mut body = Vec::new();
        while (body.len() as u64) < size {
            let (_, piece) = self.frame().await?;
            body.extend_from_slice(&piece);
        }
        Ok((header, body))
    }

    async fn frame(&mut self) -> Result<(FrameKind, Vec<u8>), Failure> {
        self.send().await?;
        loop {
            let unread = &self.input[self.unread..];
            let decoded = frame::decode(unread, self.frame_max).map_err(|_| Failure::Silent)?;
            if let Some((Frame { kind, payload, .. }, taken)) = decoded {
                let payload = payload.to_vec();
                self.unread += taken;
                return Ok((kind, payload));
            }
            self.receive().await?;
        }
    }

    async fn receive(&mut self) -> Result<(), Failure> {
        self.input.drain(..self.unread);
        self.unread = 0;
        let mut chunk = [0; CHUNK_BYTES];
        let count = wait(async {
            loop {
                self.stream.readable().await?;
                match self.stream.try_read(&mut chunk) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    done => return done,
                }
            }
        });
        let count = count.await?;
        self.input.extend_from_slice(&chunk[..count]);
        if count == 0 { Err(Failure::Silent) } else { Ok(()) }
    }

    async fn send(&mut self) -> Result<(), Failure> {
        let mut sent = 0;
        while sent < self.output.len() {
            let count = wait(async {
                loop {
                    self.stream.writable().await?;
                    match self.stream.try_write(&self.output[sent..]) {
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                        done => return done,
                    }
                }
            });
            sent += count.await?;
        }
        self.output.clear();
        Ok(())
    }
}

/// What became of a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Published {
    Routed,
    Unroutable,
    /// By a full queue.
    Rejected,
}

async fn wait<T>(what: impl Future<Output = io::Result<T>>) -> Result<T, Failure> {
    let done = timeout(Duration::from_millis(SESSION_WAIT_MS), what).await;
    done.ok().and_then(Result::ok).ok_or(Failure::Silent)
}

fn no_vhost(vhost: &str) -> Failure {
    Failure::Closed {
        code: ReplyCode::NotAllowed.code(),
        text: format!("NOT_ALLOWED - vhost {vhost} not found"),
    }
}

const CHANNEL: ChannelNumber = ChannelNumber(1);
/// The class of messages.
const BASIC: u16 = 60;
const CHUNK_BYTES: usize = 16 * 1024;
