//! Every knob of the server. Each is a flag, a variable `HAREMQ_...` and a key of a TOML file, and most have RabbitMQ's
//! name in `rabbitmq.conf`.
//!
//! ```text
//! flag > HAREMQ_... > RABBITMQ_... > haremq.toml > rabbitmq.conf > default          the first that speaks counts
//!                        env            toml        conf, keys
//!                         +--------------+-------------+-> layers: values by flag -> clap checks them as it does flags
//! ```
//! Exit code 64 answers a command line that does not parse; what parses and cannot be used answers 78.

mod amounts;
mod amqp;
mod conf;
mod env;
mod keys;
mod layers;
mod listen;
mod logs;
mod meaning;
mod places;
mod reference;
mod start;
#[cfg(test)]
mod tests;
mod toml;
mod users;

use crate::connection::handshake::{PRODUCT, PRODUCT_VERSION};
use crate::ctl;
use crate::inspect::Action;
use crate::limits::JOURNAL_SEGMENT_BYTES;
use crate::queue_args::Durability;
pub use amounts::{Bound, DiskFreeMin, MemoryHigh, bytes};
pub use amqp::{Amqp, Mechanism, Tcp};
use clap::{Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
pub use listen::{Listen, MaybeListen};
pub use logs::{LogConsole, LogFormat, LogLevel, Logs};
pub use reference::{completions, manual};
pub use start::{InForce, Start, Unfit, start};
use std::path::PathBuf;
pub use users::Users;

/// A RabbitMQ-compatible message broker, one thread per core.
#[derive(Parser, Clone, Debug)]
#[command(name = "haremq", version)]
pub struct Config {
    #[command(subcommand)]
    pub command: Option<Command>,

    /// A file with settings, .toml or .conf (RabbitMQ's), instead of those in the usual places; none reads no file
    ///
    /// The usual places: /etc/haremq/haremq.toml, and what RABBITMQ_CONFIG_FILE and RABBITMQ_CONFIG_FILES name, or
    /// /etc/rabbitmq/rabbitmq.conf and /etc/rabbitmq/conf.d/*.conf.
    #[arg(long, env = "HAREMQ_CONFIG", value_name = "FILE", value_delimiter = ',')]
    config: Vec<PathBuf>,

    /// Where AMQP 0-9-1 connections arrive: a port of every address, an address and a port, several of them, or none
    ///
    /// RabbitMQ: listeners.tcp.
    #[arg(
        long,
        env = "HAREMQ_AMQP_LISTEN",
        value_name = "[ADDR:]PORT",
        default_value = "5672",
        value_delimiter = ','
    )]
    amqp_listen: Vec<MaybeListen>,

    /// Where HTTP requests arrive
    ///
    /// RabbitMQ: management.tcp.ip and management.tcp.port.
    #[arg(long, env = "HAREMQ_HTTP_LISTEN", value_name = "[ADDR:]PORT", default_value = "15672")]
    pub http_listen: Listen,

    /// What all paths of the HTTP API begin with, such as /rabbit
    ///
    /// RabbitMQ: management.path_prefix.
    #[arg(long, env = "HAREMQ_HTTP_PATH_PREFIX", value_name = "PATH", default_value = "", value_parser = path_prefix,
          hide_default_value = true)]
    pub http_path_prefix: String,

    /// The largest body of a request over HTTP: bytes, with or without a unit
    ///
    /// RabbitMQ: management.http.max_body_size.
    #[arg(long, env = "HAREMQ_HTTP_BODY_BYTES_MAX", value_name = "BYTES", default_value = "20MB",
          value_parser = http_body_bytes)]
    pub http_body_bytes_max: usize,

    /// How long a login by the form of a page lasts: minutes
    ///
    /// RabbitMQ: management.login_session_timeout.
    #[arg(long, env = "HAREMQ_HTTP_LOGIN_MINUTES", value_name = "MINUTES", default_value = "480",
          value_parser = clap::value_parser!(u64).range(1..=525_600))]
    pub http_login_minutes: u64,

    /// Where Prometheus asks for metrics, or none
    ///
    /// RabbitMQ: prometheus.tcp.ip and prometheus.tcp.port.
    #[arg(long, env = "HAREMQ_PROMETHEUS_LISTEN", value_name = "[ADDR:]PORT", default_value = "15692")]
    pub prometheus_listen: MaybeListen,

    /// The folder for what outlives the process; one server at a time uses it
    ///
    /// RabbitMQ: RABBITMQ_MNESIA_DIR, RABBITMQ_MNESIA_BASE.
    #[arg(long, env = "HAREMQ_DATA_DIR", value_name = "DIR", default_value = "./haremq-data")]
    pub data_dir: PathBuf,

    /// A file of definitions that is read at each start
    ///
    /// RabbitMQ: load_definitions.
    #[arg(long, env = "HAREMQ_LOAD_DEFINITIONS", value_name = "FILE")]
    pub load_definitions: Option<PathBuf>,

    /// What a confirm of a persistent message means, for durable queues without the argument x-durability: that it is
    /// on disk (fsync), that the operating system has it (os), or that it is in memory (none)
    ///
    /// A queue keeps what it was declared with. RabbitMQ's classic queues are as os.
    #[arg(long, env = "HAREMQ_DURABILITY", value_name = "fsync|os|none", default_value = "fsync",
          value_parser = durability)]
    pub durability: Durability,

    /// With less room than this on the disk of the data folder publishers are held back: bytes, with or without a
    /// unit, or a multiple of the machine's memory (1.5)
    ///
    /// RabbitMQ: disk_free_limit.absolute and .relative.
    #[arg(long, env = "HAREMQ_DISK_FREE_MIN", value_name = "BYTES|MULTIPLE", default_value = "512MiB")]
    pub disk_free_min: DiskFreeMin,

    /// Size of a journal's segment; smaller ones are for tests, which shall see many of them
    #[arg(long, env = "HAREMQ_SEGMENT_BYTES", value_name = "BYTES", hide = true,
          default_value_t = JOURNAL_SEGMENT_BYTES, value_parser = segment_bytes)]
    pub segment_bytes: u32,

    /// How many shards, each with a thread; by default one per core of the affinity mask
    #[arg(long, env = "HAREMQ_SHARDS", value_name = "N",
          value_parser = clap::value_parser!(u16).range(1..=i64::from(SHARDS_MAX)))]
    shards: Option<u16>,

    /// Whether each shard's thread stays on a core of its own
    #[arg(long, env = "HAREMQ_PIN", value_name = "on|off", value_enum, default_value_t = Switch::On)]
    pub pin: Switch,

    /// From how much memory on publishers are held back: bytes, with or without a unit (2GB, 512MiB), or a
    /// fraction of the machine's memory or of the cgroup's limit, whichever is less
    ///
    /// RabbitMQ: vm_memory_high_watermark.relative and .absolute.
    #[arg(long, env = "HAREMQ_MEMORY_HIGH", value_name = "BYTES|FRACTION", default_value = "0.4")]
    pub memory_high: MemoryHigh,

    /// How much memory the machine counts as having; by default what it has, or the cgroup's limit if that is less
    ///
    /// RabbitMQ: total_memory_available_override_value.
    #[arg(long, env = "HAREMQ_MEMORY_TOTAL", value_name = "BYTES", value_parser = amounts::bytes)]
    pub memory_total: Option<u64>,

    /// The name of this server in the HTTP API; by default rabbit@ and the name of the machine
    ///
    /// RabbitMQ: RABBITMQ_NODENAME.
    #[arg(long, env = "HAREMQ_NODE_NAME", value_name = "NAME")]
    node_name: Option<String>,

    /// What clients are told as the name of the cluster
    ///
    /// RabbitMQ: cluster_name.
    #[arg(long, env = "HAREMQ_CLUSTER_NAME", value_name = "NAME", default_value = "haremq")]
    pub cluster_name: String,

    /// The product that clients are told; some change their ways by it
    ///
    /// RabbitMQ: product.name.
    #[arg(long, env = "HAREMQ_PRODUCT", value_name = "NAME", default_value = PRODUCT)]
    pub product: String,

    /// The version of that product; ours is in `haremq_version`
    ///
    /// RabbitMQ: product.version.
    #[arg(long, env = "HAREMQ_PRODUCT_VERSION", value_name = "VERSION", default_value = PRODUCT_VERSION)]
    pub product_version: String,

    #[command(flatten)]
    pub amqp: Amqp,

    #[command(flatten)]
    pub users: Users,

    #[command(flatten)]
    pub logs: Logs,
}

/// What to do instead of serving.
#[derive(Subcommand, Clone, Debug)]
pub enum Command {
    /// Reads the configuration as a start would, and prints what is in force and where it comes from
    CheckConfig {
        /// Instead of those in the usual places
        files: Vec<PathBuf>,
    },
    /// Looks into a data folder that no server uses
    Store {
        #[command(subcommand)]
        action: Action,
    },
    /// Asks or tells the server of the data folder what `rabbitmqctl` would; so does `haremq` called by that name
    Ctl(ctl::Line),
    /// Prints a script by which a shell completes commands and flags
    Completions { shell: Shell },
    /// Writes the pages of the manual into a folder
    #[command(hide = true)]
    Man { folder: PathBuf },
}

/// The mesh has a ring per ordered pair of shards.
pub const SHARDS_MAX: u16 = 128;

impl Config {
    /// None at all if the user said `none`.
    pub fn amqp_listen(&self) -> impl Iterator<Item = Listen> {
        self.amqp_listen.iter().filter_map(|listen| listen.0)
    }

    /// `cores`: those of the affinity mask.
    pub fn shard_count(&self, cores: usize) -> u16 {
        self.shards.unwrap_or_else(|| u16::try_from(cores).unwrap_or(SHARDS_MAX).clamp(1, SHARDS_MAX))
    }

    /// `host`: the machine's name.
    pub fn node_name(&self, host: &str) -> String {
        // RabbitMQ's names end at the first dot, unless long ones are asked for.
        let host = host.split('.').next().unwrap_or(host);
        match self.node_name.as_deref() {
            Some(name) if name.contains('@') => name.to_owned(),
            Some(name) => format!("{name}@{host}"),
            None => format!("rabbit@{host}"),
        }
    }

    /// What the machine has, unless it is told to count as having less or more.
    pub fn memory_bytes(&self, machine: u64) -> u64 {
        self.memory_total.unwrap_or(machine)
    }
}

impl Default for Config {
    /// What a server has that is told nothing.
    fn default() -> Config {
        Config::parse_from(["haremq"])
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Switch {
    #[value(alias = "true")]
    On,
    #[value(alias = "false")]
    Off,
}

impl Switch {
    pub fn is_on(self) -> bool {
        self == Switch::On
    }
}

fn segment_bytes(text: &str) -> Result<u32, String> {
    let size = amounts::bytes(text)?;
    let fits =
        |size: &u32| size.is_multiple_of(4_096) && (SEGMENT_BYTES_MIN..=JOURNAL_SEGMENT_BYTES).contains(size);
    let size = u32::try_from(size).ok().filter(fits);
    size.ok_or_else(|| "a segment has 64 KiB to 64 MiB, in pages of 4096 bytes".to_owned())
}

/// Below this a segment is hardly more than its two pages of headers.
const SEGMENT_BYTES_MIN: u32 = 64 * 1024;

fn durability(text: &str) -> Result<Durability, String> {
    Durability::parse(text.as_bytes()).ok_or_else(|| "expected fsync, os or none".to_owned())
}

fn http_body_bytes(text: &str) -> Result<usize, String> {
    let bytes = amounts::bytes_within(text, 1_024, 1 << 30)?;
    usize::try_from(bytes).map_err(|error| error.to_string())
}

/// With a `/` in front and none behind, or empty.
fn path_prefix(text: &str) -> Result<String, String> {
    let plain = |octet: u8| octet.is_ascii_alphanumeric() || b"/-_.~".contains(&octet);
    if !text.bytes().all(plain) || text.contains("//") {
        return Err("a prefix is a path of letters, digits and -_.~".to_owned());
    }
    let text = text.trim_matches('/');
    Ok(if text.is_empty() { String::new() } else { format!("/{text}") })
}
