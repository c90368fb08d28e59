//! What AMQP connections are offered, and what they are held to.

use super::Switch;
use super::amounts::{self, Bound};
use crate::limits::{
    BODY_BYTES_MAX, CHANNELS_MAX, CONNECTIONS_MAX, FRAME_MAX_BYTES, FRAME_MIN_BYTES, HEARTBEAT_S,
};
use clap::{Args, ValueEnum};

#[derive(Args, Clone, Debug)]
pub struct Amqp {
    /// Seconds between heartbeats that clients are offered; 0 is off
    ///
    /// RabbitMQ: heartbeat.
    #[arg(long = "heartbeat", env = "HAREMQ_HEARTBEAT", value_name = "SECONDS", default_value_t = HEARTBEAT_S)]
    pub heartbeat_s: u16,

    /// Channels that one connection may have open; 0 is as many as there are numbers
    ///
    /// RabbitMQ: channel_max.
    #[arg(long, env = "HAREMQ_CHANNEL_MAX", value_name = "N", default_value_t = CHANNELS_MAX)]
    pub channel_max: u16,

    /// The largest frame
    ///
    /// RabbitMQ: frame_max.
    #[arg(long, env = "HAREMQ_FRAME_MAX", value_name = "BYTES", default_value_t = FRAME_MAX_BYTES,
          value_parser = frame_bytes)]
    pub frame_max: u32,

    /// The largest message
    ///
    /// RabbitMQ: max_message_size.
    #[arg(long, env = "HAREMQ_MESSAGE_BYTES_MAX", value_name = "BYTES", default_value_t = BODY_BYTES_MAX,
          value_parser = message_bytes)]
    pub message_bytes_max: u64,

    /// Connections of this server
    ///
    /// RabbitMQ: connection_max.
    #[arg(long, env = "HAREMQ_CONNECTIONS_MAX", value_name = "N", default_value_t = CONNECTIONS_MAX,
          value_parser = connections)]
    pub connections_max: usize,

    /// How long a client may take for the handshake
    ///
    /// RabbitMQ: handshake_timeout.
    #[arg(long = "handshake-timeout", env = "HAREMQ_HANDSHAKE_TIMEOUT", value_name = "MS", default_value_t = 10_000,
          value_parser = clap::value_parser!(u64).range(1..=MS_MAX))]
    pub handshake_timeout_ms: u64,

    /// How long a consumer may keep a message without settling it, where its queue does not say (x-consumer-timeout)
    ///
    /// RabbitMQ: consumer_timeout.
    #[arg(long = "consumer-timeout", env = "HAREMQ_CONSUMER_TIMEOUT", value_name = "MS|none", default_value = "none",
          value_parser = consumer_timeout)]
    consumer_timeout: Bound,

    /// The ways to log in that clients are offered
    ///
    /// RabbitMQ: auth_mechanisms.
    #[arg(long, env = "HAREMQ_AUTH_MECHANISMS", value_name = "NAME", value_enum,
          value_delimiter = ',', default_values = ["PLAIN", "AMQPLAIN"])]
    pub auth_mechanisms: Vec<Mechanism>,

    #[command(flatten)]
    pub tcp: Tcp,
}

/// Of the sockets that AMQP connections arrive by.
#[derive(Args, Clone, Copy, Debug)]
pub struct Tcp {
    /// How many connections may wait to be accepted; the kernel has a limit too, net.core.somaxconn
    ///
    /// RabbitMQ: tcp_listen_options.backlog.
    #[arg(long = "tcp-backlog", env = "HAREMQ_TCP_BACKLOG", value_name = "N", default_value_t = 4_096,
          value_parser = clap::value_parser!(i32).range(1..))]
    pub backlog: i32,

    /// Whether small segments are sent at once
    ///
    /// RabbitMQ: tcp_listen_options.nodelay.
    #[arg(long = "tcp-nodelay", env = "HAREMQ_TCP_NODELAY", value_name = "on|off", value_enum,
          default_value_t = Switch::On)]
    pub nodelay: Switch,

    /// Whether the kernel asks silent peers for a sign of life
    ///
    /// RabbitMQ: tcp_listen_options.keepalive.
    #[arg(long = "tcp-keepalive", env = "HAREMQ_TCP_KEEPALIVE", value_name = "on|off", value_enum,
          default_value_t = Switch::Off)]
    pub keepalive: Switch,

    /// The kernel's buffer for what a connection sends; by default it chooses
    ///
    /// RabbitMQ: tcp_listen_options.sndbuf.
    #[arg(long = "tcp-sndbuf", env = "HAREMQ_TCP_SNDBUF", value_name = "BYTES", value_parser = buffer_bytes)]
    pub sndbuf_bytes: Option<usize>,

    /// The kernel's buffer for what a connection receives; by default it chooses
    ///
    /// RabbitMQ: tcp_listen_options.recbuf.
    #[arg(long = "tcp-recbuf", env = "HAREMQ_TCP_RECBUF", value_name = "BYTES", value_parser = buffer_bytes)]
    pub recbuf_bytes: Option<usize>,
}

/// A SASL mechanism that we speak.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Mechanism {
    #[value(name = "PLAIN")]
    Plain,
    #[value(name = "AMQPLAIN")]
    AmqPlain,
}

impl Mechanism {
    pub fn name(self) -> &'static str {
        match self {
            Mechanism::Plain => "PLAIN",
            Mechanism::AmqPlain => "AMQPLAIN",
        }
    }
}

/// A day: what is longer is a mistake in the unit.
const MS_MAX: u64 = 24 * 60 * 60 * 1_000;

impl Amqp {
    /// None: for ever.
    pub fn consumer_timeout_ms(&self) -> Option<u64> {
        self.consumer_timeout.0
    }
}

fn frame_bytes(text: &str) -> Result<u32, String> {
    // A shard's buffers are made for frames of this size.
    let bytes = amounts::bytes_within(text, FRAME_MIN_BYTES.into(), FRAME_MAX_BYTES.into())?;
    u32::try_from(bytes).map_err(|error| error.to_string())
}

fn message_bytes(text: &str) -> Result<u64, String> {
    amounts::bytes_within(text, 0, BODY_BYTES_MAX)
}

fn buffer_bytes(text: &str) -> Result<usize, String> {
    let bytes = amounts::bytes_within(text, 1_024, i32::MAX as u64)?;
    usize::try_from(bytes).map_err(|error| error.to_string())
}

/// No bound means the most that we can have.
fn connections(text: &str) -> Result<usize, String> {
    match text.parse::<Bound>()? {
        Bound(None) => Ok(CONNECTIONS_MAX),
        Bound(Some(number)) => {
            let fits = usize::try_from(number).ok().filter(|number| *number <= CONNECTIONS_MAX);
            fits.ok_or_else(|| format!("{number} is more than the {CONNECTIONS_MAX} that we can have"))
        }
    }
}

fn consumer_timeout(text: &str) -> Result<Bound, String> {
    let bound = text.parse::<Bound>()?;
    let fits = bound.0.is_none_or(|ms| ms <= crate::limits::EXPIRY_MS_MAX);
    fits.then_some(bound).ok_or_else(|| "more than ten years".to_owned())
}
