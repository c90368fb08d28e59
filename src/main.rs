//! `haremq`: arguments -> configuration -> one thread per shard -> wait for a signal.

use clap::Parser;
use haremq::access::Access;
use haremq::budget::Budget;
use haremq::config::{Command, Config, Listen, LogFormat, Switch};
use haremq::connection::handshake::HandshakeConfig;
use haremq::ids::ShardId;
use haremq::inspect;
use haremq::limits::{CONNECTIONS_MAX, RING_COMMANDS, TOPOLOGY_SEGMENT_BYTES, UNAUTHENTICATED_MAX};
use haremq::machine;
use haremq::management;
use haremq::mesh;
use haremq::net::listener::{self, Listener};
use haremq::shard::restart::JournalConfig;
use haremq::shard::start::{Shards, Store, wall_ms};
use haremq::shard::{self, Shard, ShardConfig};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use socket2::Socket;
use std::io::{self, IsTerminal, Write};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};
use tracing_subscriber::EnvFilter;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Why the process ends: the codes of sysexits.h.
struct Failure {
    code: u8,
    text: String,
}

/// Of `haremq store`: something is not sound.
const DAMAGED: u8 = 1;
const USAGE: u8 = 64;
const UNAVAILABLE: u8 = 69;
const SOFTWARE: i32 = 70;
const CONFIG: u8 = 78;

/// From the signal to the end: the process has promised 5 s.
const STOP_MAX: Duration = Duration::from_millis(4_800);

fn main() -> ExitCode {
    let config = match Config::try_parse() {
        Ok(config) => config,
        Err(answer) => return not_parsed(&answer),
    };
    log_to_stderr(&config);
    die_loudly();
    if let Some(Command::Store { action }) = &config.command {
        return look_into_store(action);
    }
    match run(&config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            tracing::error!("{}", failure.text);
            ExitCode::from(failure.code)
        }
    }
}

/// `--help` and `--version` come this way too, and are no errors.
fn not_parsed(answer: &clap::Error) -> ExitCode {
    let _ = answer.print();
    if answer.use_stderr() { ExitCode::from(USAGE) } else { ExitCode::SUCCESS }
}

fn look_into_store(action: &inspect::Action) -> ExitCode {
    match inspect::run(action) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(DAMAGED),
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::from(CONFIG)
        }
    }
}

fn log_to_stderr(config: &Config) {
    // What libraries say below a warning is about themselves.
    let filter = EnvFilter::new(format!("warn,haremq={}", config.log_level.name()));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal());
    match config.log_format {
        LogFormat::Text => log.init(),
        LogFormat::Json => log.json().init(),
    }
}

/// A panic anywhere but in the HTTP thread ends the process: a broker without one of its shards would hold
/// its messages back in silence.
fn die_loudly() {
    std::panic::set_hook(Box::new(|panic| {
        let name = thread::current().name().unwrap_or("unnamed").to_owned();
        let trace = std::backtrace::Backtrace::force_capture();
        tracing::error!("thread '{name}' died: {panic}\n{trace}");
        if name != management::THREAD {
            std::process::exit(SOFTWARE);
        }
    }));
}

fn run(config: &Config) -> Result<(), Failure> {
    let began = Instant::now();
    let mut signals = Signals::new([SIGTERM, SIGINT]).map_err(|error| unfit(error.to_string()))?;
    let cores = machine::cores();
    let shards = config.shard_count(cores.len());
    machine::preflight(shards).map_err(unfit)?;
    let (amqp, amqp_address) = bind(config.amqp_listen(), "AMQP")?;
    let (http, http_address) = bind(config.http_listen(), "HTTP")?;
    let shards = start_shards(config, shards, &cores).map_err(unfit)?;
    let common = &shards.common;
    let bells = common.bells.clone();
    let listener = Listener::start(amqp, common.inboxes.clone(), move |shard| bells[shard].ring())
        .map_err(thread_failed)?;
    management::start(http.into(), common.clone()).map_err(thread_failed)?;
    announce(amqp_address, http_address, shards.common.published.len(), began);
    let signal = signals.forever().next().unwrap_or_default();
    tracing::info!(signal, "stopping");
    exit_at_the_next(signals);
    exit_after(STOP_MAX);
    listener.stop();
    shards.stop();
    tracing::info!("stopped");
    Ok(())
}

fn start_shards(config: &Config, shards: u16, cores: &[usize]) -> Result<Shards, String> {
    let memory_high = config.memory_high.resolve(machine::memory_bytes());
    tracing::info!(memory_high_bytes = memory_high, "from here on publishers are held back");
    let budget = Arc::new(Budget::new(usize::try_from(memory_high).unwrap_or(usize::MAX)));
    let random = || getrandom::u64().map_err(|error| format!("no random numbers: {error}"));
    let shard_config = ShardConfig {
        handshake: HandshakeConfig {
            product: config.product.as_str().into(),
            version: config.product_version.as_str().into(),
            ..HandshakeConfig::default()
        },
        connections_max: CONNECTIONS_MAX.div_ceil(usize::from(shards)),
        unauthenticated_max: UNAUTHENTICATED_MAX.div_ceil(usize::from(shards)),
        secret: [random()?, random()?],
        access: Access::guest(),
    };
    let seed = random()?;
    let ends = mesh::connect::<shard::Command>(shards, RING_COMMANDS);
    let bells = ends[0].bells();
    let journals = JournalConfig {
        segment_bytes: config.segment_bytes,
        topology_segment_bytes: config.segment_bytes.min(TOPOLOGY_SEGMENT_BYTES),
        disk_free_min: config.disk_free_min,
        durability: config.durability,
    };
    let (store, starts) =
        Store::open(&config.data_dir, journals, shards, &budget, shard_config.access.clone())?;
    let make = |(id, (end, start))| {
        let (config, budget) = (shard_config.clone(), budget.clone());
        move || {
            let mut shard = Shard::new(ShardId(id), config, end, budget, seed);
            shard.start_with(start, wall_ms());
            shard
        }
    };
    let makers = (0..shards).zip(ends.into_iter().zip(starts)).map(make).collect();
    Shards::start(makers, store, bells, if config.pin == Switch::On { cores } else { &[] })
}

fn bind(listen: Listen, what: &str) -> Result<(Socket, SocketAddr), Failure> {
    listener::bind(listen).map_err(|error| {
        let code = if error.kind() == io::ErrorKind::AddrInUse { UNAVAILABLE } else { CONFIG };
        Failure { code, text: format!("cannot listen for {what} on {}: {error}", listen.address) }
    })
}

fn unfit(text: String) -> Failure {
    Failure { code: CONFIG, text }
}

fn thread_failed(error: io::Error) -> Failure {
    unfit(format!("a thread could not be started: {error}"))
}

fn announce(amqp: SocketAddr, http: SocketAddr, shards: usize, began: Instant) {
    let took_ms = began.elapsed().as_millis();
    let line = format!("Server startup complete; amqp {amqp}, http {http}, {shards} shards, {took_ms} ms");
    tracing::info!("{line}");
    // Whoever started us may have closed our standard output.
    let _ = writeln!(io::stdout().lock(), "{line}");
}

/// The shards keep their own deadlines, which a shard that hangs would not.
fn exit_after(time: Duration) {
    thread::spawn(move || {
        thread::sleep(time);
        tracing::error!("a shard does not end; not waiting for it");
        std::process::exit(SOFTWARE);
    });
}

fn exit_at_the_next(mut signals: Signals) {
    thread::spawn(move || {
        if let Some(signal) = signals.forever().next() {
            tracing::warn!(signal, "second signal: not waiting for anybody");
            std::process::exit(128 + signal);
        }
    });
}
