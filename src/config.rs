//! Every knob of the server: the command line, and for each flag a variable `HAREMQ_...`.
//!
//! Exit code 64 answers what does not parse; what parses and cannot be used answers 78 (see `shard::start`).

use crate::connection::handshake::{PRODUCT, PRODUCT_VERSION};
use crate::inspect::Action;
use crate::limits::JOURNAL_SEGMENT_BYTES;
use crate::queue_args::Durability;
use clap::{Parser, Subcommand, ValueEnum};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::str::FromStr;

/// A RabbitMQ-compatible message broker, one thread per core.
#[derive(Parser, Clone, Debug)]
#[command(name = "haremq", version)]
pub struct Config {
    #[command(subcommand)]
    pub command: Option<Command>,

    /// Where AMQP 0-9-1 connections arrive; by default port 5672 of `[::]`, without IPv6 of `0.0.0.0`
    ///
    /// RabbitMQ: listeners.tcp.
    #[arg(long, env = "HAREMQ_AMQP_LISTEN", value_name = "ADDR:PORT", value_parser = address)]
    amqp_listen: Option<SocketAddr>,

    /// Where HTTP requests arrive; by default port 15672 of `[::]`, without IPv6 of `0.0.0.0`
    ///
    /// RabbitMQ: management.tcp.ip and management.tcp.port.
    #[arg(long, env = "HAREMQ_HTTP_LISTEN", value_name = "ADDR:PORT", value_parser = address)]
    http_listen: Option<SocketAddr>,

    /// The folder for what outlives the process; one server at a time uses it
    ///
    /// RabbitMQ: RABBITMQ_MNESIA_BASE.
    #[arg(long, env = "HAREMQ_DATA_DIR", value_name = "DIR", default_value = "./haremq-data")]
    pub data_dir: PathBuf,

    /// What a confirm of a persistent message means, for durable queues without the argument x-durability: that it is
    /// on disk (fsync), that the operating system has it (os), or that it is in memory (none)
    ///
    /// A queue keeps what it was declared with. RabbitMQ's classic queues are as os.
    #[arg(long, env = "HAREMQ_DURABILITY", value_name = "fsync|os|none", default_value = "fsync",
          value_parser = durability)]
    pub durability: Durability,

    /// With less room than this on the disk of the data folder publishers are held back: bytes, with or without a unit
    ///
    /// RabbitMQ: disk_free_limit.absolute.
    #[arg(long, env = "HAREMQ_DISK_FREE_MIN", value_name = "BYTES", default_value = "512MiB", value_parser = bytes)]
    pub disk_free_min: u64,

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

    /// The product that clients are told; some change their ways by it
    #[arg(long, env = "HAREMQ_PRODUCT", value_name = "NAME", default_value = PRODUCT)]
    pub product: String,

    /// The version of that product; ours is in `haremq_version`
    #[arg(long, env = "HAREMQ_PRODUCT_VERSION", value_name = "VERSION", default_value = PRODUCT_VERSION)]
    pub product_version: String,

    /// The shape of log lines
    #[arg(long, env = "HAREMQ_LOG_FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,

    /// The least severe level that is logged
    #[arg(long, env = "HAREMQ_LOG_LEVEL", value_name = "LEVEL", value_enum, default_value_t = LogLevel::Info)]
    pub log_level: LogLevel,
}

/// What to do instead of serving.
#[derive(Subcommand, Clone, Debug)]
pub enum Command {
    /// Looks into a data folder that no server uses
    Store {
        #[command(subcommand)]
        action: Action,
    },
}

/// The mesh has a ring per ordered pair of shards.
pub const SHARDS_MAX: u16 = 128;

impl Config {
    pub fn amqp_listen(&self) -> Listen {
        Listen::of(self.amqp_listen, 5672)
    }

    pub fn http_listen(&self) -> Listen {
        Listen::of(self.http_listen, 15672)
    }

    /// `cores`: those of the affinity mask.
    pub fn shard_count(&self, cores: usize) -> u16 {
        self.shards.unwrap_or_else(|| u16::try_from(cores).unwrap_or(SHARDS_MAX).clamp(1, SHARDS_MAX))
    }
}

/// An address to bind, and the one that takes its place on a machine without IPv6.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Listen {
    pub address: SocketAddr,
    /// None if the user named the address.
    pub fallback: Option<SocketAddr>,
}

impl Listen {
    fn of(named: Option<SocketAddr>, port: u16) -> Self {
        let any = |ip: IpAddr| SocketAddr::new(ip, port);
        match named {
            Some(address) => Listen { address, fallback: None },
            None => Listen {
                address: any(Ipv6Addr::UNSPECIFIED.into()),
                fallback: Some(any(Ipv4Addr::UNSPECIFIED.into())),
            },
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Switch {
    On,
    Off,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum LogFormat {
    Text,
    Json,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum LogLevel {
    Error,
    #[value(alias = "warning")]
    Warn,
    Info,
    Debug,
    Trace,
}

impl LogLevel {
    pub fn name(self) -> &'static str {
        match self {
            LogLevel::Error => "error",
            LogLevel::Warn => "warn",
            LogLevel::Info => "info",
            LogLevel::Debug => "debug",
            LogLevel::Trace => "trace",
        }
    }
}

/// RabbitMQ's vm_memory_high_watermark: relative or absolute.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum MemoryHigh {
    /// In (0, 1].
    Fraction(f64),
    Bytes(u64),
}

impl MemoryHigh {
    /// Bytes, of a machine that has `memory_bytes`.
    pub fn resolve(self, memory_bytes: u64) -> u64 {
        match self {
            MemoryHigh::Fraction(fraction) => (memory_bytes as f64 * fraction) as u64,
            MemoryHigh::Bytes(bytes) => bytes.min(memory_bytes),
        }
    }
}

impl FromStr for MemoryHigh {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.contains('.') {
            let fraction = text.parse::<f64>().ok().filter(|fraction| *fraction > 0.0 && *fraction <= 1.0);
            return fraction.map(MemoryHigh::Fraction).ok_or_else(|| "a fraction lies in (0, 1]".to_owned());
        }
        match bytes(text).ok() {
            Some(bytes) if bytes >= MEMORY_HIGH_BYTES_MIN => Ok(MemoryHigh::Bytes(bytes)),
            Some(_) => {
                Err("less than 64 MiB leaves no room for messages; write a fraction as 0.4".to_owned())
            }
            None => {
                Err("expected a fraction such as 0.4, or bytes such as 2147483648, 2GB, 512MiB".to_owned())
            }
        }
    }
}

/// Below this even an idle server would be in alarm.
const MEMORY_HIGH_BYTES_MIN: u64 = 64 << 20;

fn bytes(text: &str) -> Result<u64, String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let bytes = number.parse::<u64>().ok().zip(unit_bytes(unit)).and_then(|(n, unit)| n.checked_mul(unit));
    bytes.ok_or_else(|| "expected bytes such as 2147483648, 2GB, 512MiB".to_owned())
}

fn segment_bytes(text: &str) -> Result<u32, String> {
    let size = bytes(text)?;
    let fits =
        |size: &u32| size.is_multiple_of(4_096) && (SEGMENT_BYTES_MIN..=JOURNAL_SEGMENT_BYTES).contains(size);
    let size = u32::try_from(size).ok().filter(fits);
    size.ok_or_else(|| "a segment has 64 KiB to 64 MiB, in pages of 4096 bytes".to_owned())
}

/// Below this a segment is hardly more than its two pages of headers.
const SEGMENT_BYTES_MIN: u32 = 64 * 1024;

/// The units of RabbitMQ's rabbitmq.conf.
fn unit_bytes(unit: &str) -> Option<u64> {
    Some(match unit {
        "" => 1,
        "k" | "ki" | "kib" | "K" | "Ki" | "KiB" => 1 << 10,
        "m" | "mi" | "mib" | "M" | "Mi" | "MiB" => 1 << 20,
        "g" | "gi" | "gib" | "G" | "Gi" | "GiB" => 1 << 30,
        "t" | "ti" | "tib" | "T" | "Ti" | "TiB" => 1 << 40,
        "kb" | "kB" | "KB" => 1_000,
        "mb" | "MB" => 1_000_000,
        "gb" | "GB" => 1_000_000_000,
        "tb" | "TB" => 1_000_000_000_000,
        _ => return None,
    })
}

fn durability(text: &str) -> Result<Durability, String> {
    Durability::parse(text.as_bytes()).ok_or_else(|| "expected fsync, os or none".to_owned())
}

fn address(text: &str) -> Result<SocketAddr, String> {
    let mut addresses = text.to_socket_addrs().map_err(|error| format!("not an ADDR:PORT: {error}"))?;
    addresses.next().ok_or_else(|| "the name has no address".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Result<Config, clap::Error> {
        Config::try_parse_from([&["haremq"], arguments].concat())
    }

    #[test]
    fn without_arguments_it_listens_as_rabbitmq_does_and_may_fall_back() {
        let config = parse(&[]).unwrap();
        assert_eq!(config.amqp_listen().address.to_string(), "[::]:5672");
        assert_eq!(config.amqp_listen().fallback.unwrap().to_string(), "0.0.0.0:5672");
        assert_eq!(config.http_listen().address.to_string(), "[::]:15672");
        assert_eq!(config.memory_high, MemoryHigh::Fraction(0.4));
        assert_eq!((config.pin, config.shard_count(6)), (Switch::On, 6));
        assert_eq!(config.durability, Durability::Fsync);
    }

    #[test]
    fn a_named_address_has_no_fallback() {
        let config = parse(&["--amqp-listen", "[::]:5672", "--http-listen=127.0.0.1:0"]).unwrap();
        assert_eq!(config.amqp_listen().fallback, None);
        assert_eq!(config.http_listen().address.to_string(), "127.0.0.1:0");
    }

    #[test]
    fn nonsense_is_refused() {
        for arguments in [
            ["--shards", "0"],
            ["--shards", "129"],
            ["--pin", "maybe"],
            ["--amqp-listen", "5672"],
            ["--memory-high", "1.5"],
            ["--memory-high", "0.0"],
            ["--memory-high", "4"],
            ["--memory-high", "3 bananas"],
            ["--log-level", "loud"],
            ["--durability", "disk"],
        ] {
            assert!(parse(&arguments).is_err(), "{arguments:?}");
        }
    }

    #[test]
    fn memory_is_given_in_bytes_or_as_a_fraction() {
        let high = |text: &str| text.parse::<MemoryHigh>().unwrap().resolve(8 << 30);
        assert_eq!(high("0.5"), 4 << 30);
        assert_eq!(high("1.0"), 8 << 30);
        assert_eq!(high("1073741824"), 1 << 30);
        assert_eq!(high("512MiB"), 512 << 20);
        assert_eq!(high("2GB"), 2_000_000_000);
        assert_eq!(high("900GiB"), 8 << 30);
    }

    #[test]
    fn every_flag_is_a_variable_too() {
        use clap::CommandFactory;
        let command = Config::command();
        for argument in
            command.get_arguments().filter(|it| !["help", "version"].contains(&it.get_id().as_str()))
        {
            let flag = argument.get_long().unwrap().replace('-', "_").to_uppercase();
            assert_eq!(argument.get_env().unwrap().to_str().unwrap(), format!("HAREMQ_{flag}"));
        }
    }
}
