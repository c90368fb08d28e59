//! A connection to the broker that asks and waits for the answer.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use haremq::amqp::frame::{self, PROTOCOL_HEADER};
use haremq::amqp::{FrameKind, LongStr, Method, ShortStr, Table, TableWriter};
use haremq::ids::ChannelNumber;
use socket2::SockRef;

use crate::uri::Uri;

/// Lives from connect to close, or until [`Session::into_parts`] hands the socket to the engine.
pub struct Session {
    stream: TcpStream,
    /// What was received and not yet read as frames.
    input: Vec<u8>,
    output: Vec<u8>,
    frame_max: u32,
}

#[derive(Debug)]
pub enum ClientError {
    /// No connection, or it broke.
    Unreachable(String),
    /// The broker closed the channel or the connection with this code and text.
    Closed(String),
    /// The broker said what it may not say.
    Protocol(String),
}

impl Session {
    /// Connects, authenticates and opens the vhost.
    pub fn open(uri: &Uri, name: &str) -> Result<Session, ClientError> {
        let stream = connect(uri)?;
        let mut session = Session { stream, input: Vec::new(), output: Vec::new(), frame_max: FRAME_MAX };
        session.output.extend_from_slice(&PROTOCOL_HEADER);
        session.flush()?;
        session.wait(0, |method| matches!(method, Method::ConnectionStart { .. }).then_some(()))?;
        session.authenticate(uri, name);
        session.flush()?;
        let (channel_max, frame_max) = session.wait(0, |method| match *method {
            Method::ConnectionTune { channel_max, frame_max, .. } => Some((channel_max, frame_max)),
            _ => None,
        })?;
        // 0 is "no limit" on the broker's side.
        session.frame_max = if frame_max == 0 { FRAME_MAX } else { frame_max };
        let frame_max = session.frame_max;
        // No heartbeats: the load itself shows whether the peer is alive.
        session.send(0, &Method::ConnectionTuneOk { channel_max, frame_max, heartbeat: 0 });
        session.send(0, &Method::ConnectionOpen { virtual_host: short(&uri.vhost)? });
        session.flush()?;
        session.wait(0, |method| matches!(method, Method::ConnectionOpenOk {}).then_some(()))?;
        Ok(session)
    }

    pub fn open_channel(&mut self, channel: u16) -> Result<(), ClientError> {
        let answered = |method: &Method| matches!(method, Method::ChannelOpenOk {}).then_some(());
        self.call(channel, &Method::ChannelOpen {}, answered)
    }

    /// Sends a method and waits for the one that `answer` accepts.
    pub fn call<T>(
        &mut self,
        channel: u16,
        method: &Method<'_>,
        answer: impl Fn(&Method<'_>) -> Option<T>,
    ) -> Result<T, ClientError> {
        self.send(channel, method);
        self.flush()?;
        self.wait(channel, answer)
    }

    /// Sends many methods, at most [`PIPELINED_MAX`] ahead of their answers.
    pub fn call_all<'m>(
        &mut self,
        channel: u16,
        methods: impl Iterator<Item = Method<'m>>,
        answer: impl Fn(&Method<'_>) -> bool,
    ) -> Result<(), ClientError> {
        let answer = |method: &Method<'_>| answer(method).then_some(());
        let mut ahead = 0;
        for method in methods {
            self.send(channel, &method);
            ahead += 1;
            if ahead == PIPELINED_MAX {
                self.flush()?;
                (0..ahead / 2).try_for_each(|_| self.wait(channel, answer))?;
                ahead -= ahead / 2;
            }
        }
        self.flush()?;
        (0..ahead).try_for_each(|_| self.wait(channel, answer))
    }

    /// The orderly end.
    pub fn close(mut self) -> Result<(), ClientError> {
        let reply_text = ShortStr::from("done");
        let close = Method::ConnectionClose { reply_code: 200, reply_text, class_id: 0, method_id: 0 };
        self.call(0, &close, |method| matches!(method, Method::ConnectionCloseOk {}).then_some(()))
    }

    /// The socket, and what arrived on it behind the last answer.
    pub fn into_parts(self) -> (TcpStream, Vec<u8>) {
        (self.stream, self.input)
    }

    pub fn frame_max(&self) -> u32 {
        self.frame_max
    }

    fn authenticate(&mut self, uri: &Uri, name: &str) {
        let capabilities = |table: TableWriter| {
            CAPABILITIES.iter().fold(table, |table, capability| table.bool(capability, true))
        };
        let properties = TableWriter::new()
            .string("product", "loadgen")
            .string("version", env!("CARGO_PKG_VERSION"))
            .string("connection_name", name)
            .table("capabilities", capabilities)
            .finish();
        let response = format!("\0{}\0{}", uri.user, uri.password);
        let start_ok = Method::ConnectionStartOk {
            client_properties: Table::decode(&properties).unwrap_or(Table::EMPTY),
            mechanism: ShortStr::from("PLAIN"),
            response: LongStr(response.as_bytes()),
            locale: ShortStr::from("en_US"),
        };
        self.send(0, &start_ok);
    }

    fn send(&mut self, channel: u16, method: &Method<'_>) {
        method.encode(ChannelNumber(channel), &mut self.output);
    }

    fn flush(&mut self) -> Result<(), ClientError> {
        self.stream.write_all(&self.output)?;
        self.output.clear();
        Ok(())
    }

    /// Reads until `answer` accepts a method on `channel`. Whatever else may come meanwhile is passed over.
    fn wait<T>(&mut self, channel: u16, answer: impl Fn(&Method<'_>) -> Option<T>) -> Result<T, ClientError> {
        loop {
            let mut taken = 0;
            while let Some((frame, len)) = frame::decode(&self.input[taken..], self.frame_max)? {
                taken += len;
                if frame.kind == FrameKind::Heartbeat {
                    continue;
                }
                if frame.kind != FrameKind::Method {
                    return Err(ClientError::Protocol("content where a method was due".to_owned()));
                }
                let method =
                    Method::decode(frame.payload).map_err(|e| ClientError::Protocol(format!("{e:?}")))?;
                if frame.channel.0 == channel
                    && let Some(answer) = answer(&method)
                {
                    self.input.drain(..taken);
                    return Ok(answer);
                }
                pass_over(&method)?;
            }
            self.input.drain(..taken);
            self.receive()?;
        }
    }

    fn receive(&mut self) -> Result<(), ClientError> {
        let mut bytes = [0; 16 * 1024];
        match self.stream.read(&mut bytes)? {
            0 => Err(ClientError::Unreachable("the broker closed the socket without a word".to_owned())),
            len => {
                self.input.extend_from_slice(&bytes[..len]);
                Ok(())
            }
        }
    }
}

/// A text of an AMQP short string's length.
pub fn short(text: &str) -> Result<ShortStr<'_>, ClientError> {
    ShortStr::new(text.as_bytes())
        .ok_or_else(|| ClientError::Protocol(format!("longer than 255 bytes: {text}")))
}

fn connect(uri: &Uri) -> Result<TcpStream, ClientError> {
    let address = format!("{}:{}", uri.host, uri.port);
    let unreachable = |error| ClientError::Unreachable(format!("{address}: {error}"));
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for address in (uri.host.as_str(), uri.port).to_socket_addrs().map_err(unreachable)? {
        match TcpStream::connect_timeout(&address, CONNECT_TIMEOUT) {
            Ok(stream) => {
                prepare(&stream)?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(unreachable(last))
}

fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
    stream.set_write_timeout(Some(ANSWER_TIMEOUT))?;
    // Where the system's default is bbr, its pacing costs the sender CPU that a loopback or a lab network does not
    // repay. Where cubic is not to be had, the default stays.
    _ = SockRef::from(stream).set_tcp_congestion(b"cubic");
    Ok(())
}

fn pass_over(method: &Method<'_>) -> Result<(), ClientError> {
    match method {
        Method::ConnectionClose { reply_code, reply_text, .. }
        | Method::ChannelClose { reply_code, reply_text, .. } => {
            Err(ClientError::Closed(format!("{} {reply_code} {reply_text}", method.name())))
        }
        Method::ConnectionBlocked { .. } | Method::ConnectionUnblocked {} => Ok(()),
        _ => Err(ClientError::Protocol(format!("{} out of turn", method.name()))),
    }
}

impl From<io::Error> for ClientError {
    fn from(error: io::Error) -> ClientError {
        match error.kind() {
            io::ErrorKind::WouldBlock => {
                ClientError::Unreachable(format!("no answer within {ANSWER_TIMEOUT:?}"))
            }
            _ => ClientError::Unreachable(error.to_string()),
        }
    }
}

impl From<frame::FrameError> for ClientError {
    fn from(error: frame::FrameError) -> ClientError {
        ClientError::Protocol(format!("{error:?}"))
    }
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ClientError::Unreachable(what) => write!(f, "broker unreachable: {what}"),
            ClientError::Closed(what) => write!(f, "the broker answered {what}"),
            ClientError::Protocol(what) => write!(f, "protocol violated: {what}"),
        }
    }
}

const CAPABILITIES: [&str; 5] = [
    "publisher_confirms",
    "basic.nack",
    "consumer_cancel_notify",
    "connection.blocked",
    "authentication_failure_close",
];
/// RabbitMQ's default; asked for where the broker sets no limit.
const FRAME_MAX: u32 = 131_072;
/// Small enough that neither side's socket buffers fill while both only write.
const PIPELINED_MAX: usize = 500;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// RabbitMQ takes 3 s to refuse a login; a queue with a deep backlog takes some to be purged or deleted.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
