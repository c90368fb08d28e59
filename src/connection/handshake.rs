//! The server's side of the handshake: from the protocol header to `connection.open-ok`, or to a refusal.
//!
//! ```text
//!   client                                      server          state then
//!   protocol header                        ->                   header -> starting
//!                                          <-   start
//!   start-ok (who I am, name, password)    ->                   starting -> tuning, or -> judging
//!                      (a slow hash is made elsewhere)          judging -> tuning
//!                                          <-   tune
//!   tune-ok                                ->                   tuning -> opening
//!   open (vhost)                           ->                   opening -> over
//!                                          <-   open-ok
//! ```
//! It reads no clock: the connection that drives it limits its time (RabbitMQ: 10 s) and makes the delays of a
//! [`Refusal`]. The order of the checks, the codes and the texts are those of RabbitMQ's reader.

mod sasl;
#[cfg(test)]
mod tests;

use std::fmt;
use std::mem;
use std::sync::Arc;

use crate::access::{self, Access, AuthFailure, Claim, Verdict};
use crate::amqp::frame::PROTOCOL_HEADER;
use crate::amqp::{ConnectionError, LongStr, Method, ReplyCode, Table, TableWriter, Value};
use crate::ids::{ChannelNumber, Name};
use crate::text::lossy;

/// What the server offers and says of itself, the same for each connection.
#[derive(Clone, Debug)]
pub struct HandshakeConfig {
    /// The largest frame we accept, in octets; at least [`FRAME_MAX_LOWEST`].
    pub frame_max: u32,
    /// The largest number of channels a client may have open; 0 is no limit.
    pub channel_max: u16,
    /// Our suggestion; the client's answer counts.
    pub heartbeat_s: u16,
    /// Some clients branch on product and version: kombu chooses by them whether it asks for a global prefetch.
    pub product: Arc<str>,
    pub version: Arc<str>,
    pub haremq_version: &'static str,
    pub cluster_name: Arc<str>,
    /// SASL mechanisms that are offered, with spaces between.
    pub mechanisms: Arc<str>,
    /// Users who may only come from this machine.
    pub loopback_users: Arc<[Name]>,
}

/// What we call ourselves unless told otherwise: clients know it.
pub const PRODUCT: &str = "RabbitMQ";
/// The release whose behaviour we have.
pub const PRODUCT_VERSION: &str = "3.13.7";

impl Default for HandshakeConfig {
    fn default() -> HandshakeConfig {
        HandshakeConfig {
            frame_max: 131_072,
            channel_max: 2047,
            heartbeat_s: 60,
            product: PRODUCT.into(),
            version: PRODUCT_VERSION.into(),
            haremq_version: env!("CARGO_PKG_VERSION"),
            cluster_name: "haremq".into(),
            mechanisms: "PLAIN AMQPLAIN".into(),
            loopback_users: Arc::from([Name::from(access::GUEST)]),
        }
    }
}

/// One connection's handshake. Lives on: the connection's shard, until the session takes its place.
#[derive(Debug)]
pub struct Handshake {
    config: HandshakeConfig,
    peer_is_loopback: bool,
    /// The HTTP API has judged the password: what comes instead of it is the hash that it fits.
    is_vouched: bool,
    state: State,
    frame_max: u32,
    refused_login: Option<RefusedLogin>,
}

/// A login that was refused, for the log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RefusedLogin {
    pub mechanism: Box<[u8]>,
    pub user: Name,
    pub failure: AuthFailure,
}

impl fmt::Display for RefusedLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mechanism, user) = (lossy(&self.mechanism), lossy(&self.user));
        write!(f, "{mechanism} login refused: user '{user}' - {}", self.failure)
    }
}

#[derive(Debug)]
enum State {
    Header,
    Starting,
    /// A hash is being made that takes longer than a shard has. Nothing is read meanwhile.
    Judging(Box<Login>),
    Tuning(Box<Login>),
    Opening(Box<Login>, Tuned),
    /// Opened or refused.
    Over,
}

/// What start-ok told us of a client.
#[derive(Debug)]
struct Login {
    user: Name,
    mechanism: Box<[u8]>,
    capabilities: ClientCapabilities,
    connection_name: Option<Box<[u8]>>,
    client_properties: Box<[u8]>,
}

#[derive(Clone, Copy, Debug)]
struct Tuned {
    frame_max: u32,
    channel_max: u16,
    heartbeat_s: u16,
}

/// What the rest of the connection's life needs to know of its beginning.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Session {
    pub user: Name,
    pub vhost: Box<[u8]>,
    /// By which it logged in.
    pub mechanism: Box<str>,
    pub frame_max: u32,
    pub channel_max: u16,
    /// 0 is off.
    pub heartbeat_s: u16,
    pub capabilities: ClientCapabilities,
    /// The client property of that name.
    pub connection_name: Option<Box<[u8]>>,
    /// The bytes of a checked [`Table`].
    pub client_properties: Box<[u8]>,
}

/// The extensions that the client says it understands; each changes what we may send to it.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct ClientCapabilities {
    pub authentication_failure_close: bool,
    pub consumer_cancel_notify: bool,
    pub connection_blocked: bool,
    pub publisher_confirms: bool,
    pub basic_nack: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HeaderOutcome {
    /// connection.start was written.
    Accepted,
    /// The header that we do speak was written; once it is out, the socket is to be closed.
    Refused,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Progress {
    /// The next step was written, if it is ours.
    Continue,
    /// This is to be judged elsewhere, and then [`Handshake::on_verdict`] to be called; until then there is nothing to take.
    Judge(Claim),
    /// If there is such a vhost, open-ok is to be written.
    Open(Session),
}

/// How a handshake ends badly. Nothing was written for it yet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// Write connection.close and wait for close-ok, as after any other connection error.
    Close(ConnectionError),
    /// Write nothing, read nothing, and close the socket after [`REFUSAL_DELAY_S`].
    SilentAfter3s,
    /// Write connection.close at once, read nothing, and close the socket after [`REFUSAL_DELAY_S`].
    CloseAfter3s(ConnectionError),
}

/// A peer that is not logged in waits that long, so that it cannot guess passwords quickly (RabbitMQ's
/// SILENT_CLOSE_DELAY).
pub const REFUSAL_DELAY_S: u64 = 3;

/// The specification's frame-min-size: what every peer accepts, hence the limit until tune-ok. RabbitMQ has 8192 and
/// thereby refuses some older clients.
pub const FRAME_MAX_LOWEST: u32 = 4096;

impl Handshake {
    pub fn new(config: HandshakeConfig, peer_is_loopback: bool) -> Handshake {
        assert!(config.frame_max >= FRAME_MAX_LOWEST, "a frame_max that leaves no room for the handshake");
        Handshake {
            config,
            peer_is_loopback,
            is_vouched: false,
            state: State::Header,
            frame_max: FRAME_MAX_LOWEST,
            refused_login: None,
        }
    }

    /// Of the HTTP API, which logs in as a user whose password it has judged, by the hash that it fits ([`Access::vouch`]).
    pub fn vouched(config: HandshakeConfig, peer_is_loopback: bool) -> Handshake {
        Handshake { is_vouched: true, ..Handshake::new(config, peer_is_loopback) }
    }

    /// The limit for the client's next frame.
    pub fn frame_max(&self) -> u32 {
        self.frame_max
    }

    pub fn is_judging(&self) -> bool {
        matches!(self.state, State::Judging(_))
    }

    pub fn refused_login(&self) -> Option<&RefusedLogin> {
        self.refused_login.as_ref()
    }

    /// Takes the first eight octets. Call it once, before [`Handshake::on_method`].
    pub fn on_header(&mut self, bytes: &[u8; 8], out: &mut Vec<u8>) -> HeaderOutcome {
        debug_assert!(matches!(self.state, State::Header), "one header a connection");
        if *bytes != PROTOCOL_HEADER && *bytes != PROTOCOL_HEADER_0_9 {
            self.state = State::Over;
            out.extend_from_slice(&PROTOCOL_HEADER);
            return HeaderOutcome::Refused;
        }
        self.state = State::Starting;
        write_start(&self.config, out);
        HeaderOutcome::Accepted
    }

    /// Takes a method that came on channel 0. After a refusal or [`Progress::Open`] there is nothing more to take.
    pub fn on_method(
        &mut self,
        method: &Method<'_>,
        access: &Access,
        out: &mut Vec<u8>,
    ) -> Result<Progress, Refusal> {
        match (mem::replace(&mut self.state, State::Over), *method) {
            (
                State::Starting,
                Method::ConnectionStartOk { client_properties, mechanism, response, locale: _ },
            ) => {
                let (login, password) = self.introduced(client_properties, &mechanism, &response)?;
                if self.is_vouched {
                    let verdict = access.vouch(&login.user, password);
                    return self.log_in(login, &verdict, access, out);
                }
                let claim = access.claim(&login.user, password);
                if claim.is_slow() {
                    self.state = State::Judging(login);
                    return Ok(Progress::Judge(claim));
                }
                // RabbitMQ's hashes take 0.3 us, less than the way to another thread.
                self.log_in(login, &claim.judge(), access, out)
            }
            (State::Tuning(login), Method::ConnectionTuneOk { channel_max, frame_max, heartbeat }) => {
                self.accept_tuning(login, Tuned { frame_max, channel_max, heartbeat_s: heartbeat })?;
                Ok(Progress::Continue)
            }
            (State::Opening(login, tuned), Method::ConnectionOpen { virtual_host }) => {
                Ok(Progress::Open(session(*login, tuned, &virtual_host)))
            }
            (state, method) => Err(state.refuse(&method)),
        }
    }

    /// Takes what came of the claim. Call it once, after [`Progress::Judge`].
    pub fn on_verdict(
        &mut self,
        verdict: &Verdict,
        access: &Access,
        out: &mut Vec<u8>,
    ) -> Result<Progress, Refusal> {
        match mem::replace(&mut self.state, State::Over) {
            State::Judging(login) => self.log_in(login, verdict, access, out),
            State::Header | State::Starting | State::Tuning(_) | State::Opening(..) | State::Over => {
                unreachable!("a verdict that nobody asked for")
            }
        }
    }

    /// Who it says to be, and the password.
    fn introduced<'a>(
        &self,
        properties: Table<'_>,
        mechanism: &[u8],
        response: &'a [u8],
    ) -> Result<(Box<Login>, &'a [u8]), Refusal> {
        let (user, password) = sasl::credentials(mechanism, response, &self.config.mechanisms)
            .map_err(|(code, text)| Refusal::CloseAfter3s(ConnectionError::new(code, text, START_OK)))?;
        let connection_name = properties.find(b"connection_name").and_then(|name| name.as_str());
        let login = Login {
            user: user.into(),
            mechanism: mechanism.into(),
            capabilities: ClientCapabilities::of(properties),
            connection_name: connection_name.map(Box::from),
            client_properties: properties.as_bytes().into(),
        };
        Ok((Box::new(login), password))
    }

    fn log_in(
        &mut self,
        mut login: Box<Login>,
        verdict: &Verdict,
        access: &Access,
        out: &mut Vec<u8>,
    ) -> Result<Progress, Refusal> {
        match access.admit(verdict, self.peer_is_loopback, &self.config.loopback_users) {
            Ok(user) => {
                // One copy of the name for all of its connections.
                login.user = user.name.clone();
                let HandshakeConfig { channel_max, frame_max, heartbeat_s: heartbeat, .. } = self.config;
                Method::ConnectionTune { channel_max, frame_max, heartbeat }.encode(ChannelNumber(0), out);
                self.state = State::Tuning(login);
                Ok(Progress::Continue)
            }
            Err(failure) => {
                let Login { user, mechanism, capabilities, .. } = *login;
                let refusal = refuse_login(capabilities, &mechanism);
                self.refused_login = Some(RefusedLogin { mechanism, user, failure });
                Err(refusal)
            }
        }
    }

    /// The client may choose less than was offered, not more; 0 asks for no limit and so for more.
    fn accept_tuning(&mut self, login: Box<Login>, tuned: Tuned) -> Result<(), Refusal> {
        let Tuned { frame_max, channel_max, heartbeat_s } = tuned;
        if frame_max != 0 && frame_max < FRAME_MAX_LOWEST {
            return Err(refuse_tuning("frame_max", frame_max, "lower than the minimum", FRAME_MAX_LOWEST));
        }
        if frame_max == 0 || frame_max > self.config.frame_max {
            return Err(refuse_tuning(
                "frame_max",
                frame_max,
                "higher than the maximum",
                self.config.frame_max,
            ));
        }
        let channel_max_offered = self.config.channel_max;
        if channel_max_offered != 0 && (channel_max == 0 || channel_max > channel_max_offered) {
            let (asked, offered) = (channel_max.into(), channel_max_offered.into());
            return Err(refuse_tuning("channel_max", asked, "higher than the maximum", offered));
        }
        let channel_max = if channel_max == 0 { u16::MAX } else { channel_max };
        self.frame_max = frame_max;
        self.state = State::Opening(login, Tuned { frame_max, channel_max, heartbeat_s });
        Ok(())
    }
}

impl State {
    /// RabbitMQ's name of the state, as its error texts have it.
    fn name(&self) -> &'static str {
        match self {
            State::Header => "pre_init",
            State::Starting | State::Judging(_) => "starting",
            State::Tuning(_) => "tuning",
            State::Opening(..) => "opening",
            State::Over => "closed",
        }
    }

    fn refuse(&self, method: &Method<'_>) -> Refusal {
        let text = format!("unexpected method in connection state {}", self.name());
        let error = ConnectionError::new(ReplyCode::ChannelError, text, method.ids());
        match self {
            State::Tuning(_) | State::Opening(..) => Refusal::Close(error),
            State::Header | State::Starting | State::Judging(_) | State::Over => Refusal::CloseAfter3s(error),
        }
    }
}

impl ClientCapabilities {
    fn of(client_properties: Table<'_>) -> ClientCapabilities {
        let table =
            client_properties.find(b"capabilities").and_then(|value| value.as_table()).unwrap_or_default();
        let has = |name: &str| table.find(name.as_bytes()) == Some(Value::Bool(true));
        ClientCapabilities {
            authentication_failure_close: has("authentication_failure_close"),
            consumer_cancel_notify: has("consumer_cancel_notify"),
            connection_blocked: has("connection.blocked"),
            publisher_confirms: has("publisher_confirms"),
            basic_nack: has("basic.nack"),
        }
    }
}

fn session(login: Login, tuned: Tuned, vhost: &[u8]) -> Session {
    Session {
        user: login.user,
        mechanism: String::from_utf8_lossy(&login.mechanism).into(),
        vhost: vhost.into(),
        frame_max: tuned.frame_max,
        channel_max: tuned.channel_max,
        heartbeat_s: tuned.heartbeat_s,
        capabilities: login.capabilities,
        connection_name: login.connection_name,
        client_properties: login.client_properties,
    }
}

/// A client that does not know the capability takes any answer to a login for success or garbage: it gets none.
fn refuse_login(capabilities: ClientCapabilities, mechanism: &[u8]) -> Refusal {
    if !capabilities.authentication_failure_close {
        return Refusal::SilentAfter3s;
    }
    let text = format!(
        "Login was refused using authentication mechanism {}. For details see the broker logfile.",
        mechanism.escape_ascii()
    );
    Refusal::CloseAfter3s(ConnectionError::new(ReplyCode::AccessRefused, text, (0, 0)))
}

fn refuse_tuning(field: &str, asked: u32, relation: &str, bound: u32) -> Refusal {
    let detail = if asked == 0 { " (no limit)" } else { "" };
    let text = format!("negotiated {field} = {asked}{detail} is {relation} allowed value ({bound})");
    Refusal::Close(ConnectionError::new(ReplyCode::NotAllowed, text, TUNE))
}

/// Who wants to enter a vhost that is not there.
pub fn no_vhost(vhost: &[u8]) -> ConnectionError {
    let text = format!("vhost {} not found", String::from_utf8_lossy(vhost));
    ConnectionError::new(ReplyCode::NotAllowed, text, OPEN)
}

fn write_start(config: &HandshakeConfig, out: &mut Vec<u8>) {
    let properties = server_properties(config);
    let start = Method::ConnectionStart {
        version_major: 0,
        version_minor: 9,
        server_properties: Table::decode(&properties).expect("we nest our own table twice"),
        mechanisms: LongStr(config.mechanisms.as_bytes()),
        locales: LongStr(b"en_US"),
    };
    start.encode(ChannelNumber(0), out);
}

/// RabbitMQ's properties under its names and in its order, and one of our own that says who really answers.
fn server_properties(config: &HandshakeConfig) -> Vec<u8> {
    let information = "HareMQ, a RabbitMQ-compatible broker. Licensed under the Apache License 2.0.";
    TableWriter::new()
        .table("capabilities", |table| CAPABILITIES.iter().fold(table, |table, name| table.bool(name, true)))
        .string("cluster_name", &*config.cluster_name)
        .string("copyright", "Copyright (c) the HareMQ authors")
        .string("haremq_version", config.haremq_version)
        .string("information", information)
        .string("platform", "Rust")
        .string("product", &*config.product)
        .string("version", &*config.version)
        .finish()
}

const CAPABILITIES: [&str; 9] = [
    "publisher_confirms",
    "exchange_exchange_bindings",
    "basic.nack",
    "consumer_cancel_notify",
    "connection.blocked",
    "consumer_priorities",
    "authentication_failure_close",
    "per_consumer_qos",
    "direct_reply_to",
];

/// 0-9 differs so little that RabbitMQ takes its header too.
const PROTOCOL_HEADER_0_9: [u8; 8] = *b"AMQP\x01\x01\x00\x09";

const START_OK: (u16, u16) = (10, 11);
const TUNE: (u16, u16) = (10, 30);
const OPEN: (u16, u16) = (10, 40);
