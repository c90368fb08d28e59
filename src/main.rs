//! `haremq`: arguments -> configuration -> one thread per shard -> wait for a signal.

use futures_lite::future::block_on;
use haremq::access::Salt;
use haremq::budget::{Budget, DiskFloor};
use haremq::config::{self, Command, Config, Listen, Start, Tcp, Unfit};
use haremq::connection::handshake::HandshakeConfig;
use haremq::ctl;
use haremq::ids::ShardId;
use haremq::inspect;
use haremq::limits::{RING_COMMANDS, TOPOLOGY_SEGMENT_BYTES, UNAUTHENTICATED_MAX};
use haremq::log::{self, Log, LogFile, Recent, Scribe};
use haremq::machine;
use haremq::management::{self, Door};
use haremq::mesh;
use haremq::net::listener::{self, HeldTo, Listener};
use haremq::net::valve::Valve;
use haremq::shard::restart::JournalConfig;
use haremq::shard::start::{Shards, Store, wall_ns};
use haremq::shard::{self, Shard, ShardConfig};
use haremq::systemd::{self, Notify, Sockets};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use socket2::Socket;
use std::env;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

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
    let arguments = ctl::arguments(env::args_os().collect());
    let start = match config::start(&arguments, &variable) {
        Ok(start) => start,
        Err(Unfit::CommandLine(answer)) => return not_parsed(&answer),
        Err(Unfit::Settings(wrong)) => return not_fit(&wrong),
    };
    match start.config.command {
        Some(Command::CheckConfig { .. }) => return tell_config(&start),
        Some(Command::Ctl(line)) => {
            let Config { data_dir, product_version, .. } = start.config;
            return ExitCode::from(ctl::run(line, ctl::Place { data_dir, product_version }));
        }
        Some(Command::Completions { shell }) => {
            config::completions(shell);
            return ExitCode::SUCCESS;
        }
        Some(Command::Man { folder }) => return write_manual(&folder),
        Some(Command::Store { .. }) | None => {}
    }
    let log = match log::start(&start.config.logs) {
        Ok(log) => log,
        Err(text) => return not_fit(&[text]),
    };
    die_loudly();
    if let Some(Command::Store { action }) = &start.config.command {
        return look_into_store(action);
    }
    start.files.iter().for_each(|file| tracing::info!(file = %file.display(), "settings read"));
    start.ignored.iter().for_each(|ignored| tracing::warn!("changes nothing: {ignored}"));
    let settings = start.in_force.iter().map(ToString::to_string).collect();
    let notify = match Notify::from_env(&variable) {
        Ok(notify) => Arc::new(notify),
        Err(error) => return not_fit(&[format!("NOTIFY_SOCKET: {error}")]),
    };
    match run(Arc::new(start.config), settings, log, &notify) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            tracing::error!("{}", failure.text);
            notify.failed(&failure.text);
            ExitCode::from(failure.code)
        }
    }
}

fn variable(name: &str) -> Option<String> {
    env::var(name).ok()
}

/// `--help` and `--version` come this way too, and are no errors.
fn not_parsed(answer: &clap::Error) -> ExitCode {
    let _ = answer.print();
    if answer.use_stderr() { ExitCode::from(USAGE) } else { ExitCode::SUCCESS }
}

/// There is no log yet: what it would be is among the settings.
fn not_fit(wrong: &[String]) -> ExitCode {
    wrong.iter().for_each(|wrong| eprintln!("error: {wrong}"));
    ExitCode::from(CONFIG)
}

fn tell_config(start: &Start) -> ExitCode {
    let mut out = io::stdout().lock();
    for in_force in &start.in_force {
        // Whoever reads may have enough.
        let _ = writeln!(out, "{in_force}");
    }
    start.ignored.iter().for_each(|ignored| eprintln!("warning: changes nothing: {ignored}"));
    ExitCode::SUCCESS
}

fn write_manual(folder: &Path) -> ExitCode {
    match config::manual(folder) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => not_fit(&[format!("{}: {error}", folder.display())]),
    }
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

/// `settings`: what the API tells of them.
fn run(config: Arc<Config>, settings: Vec<String>, log: Log, notify: &Arc<Notify>) -> Result<(), Failure> {
    let began = Instant::now();
    let handed_in = Sockets::from_env(&variable).map_err(unfit)?;
    let mut signals = Signals::new([SIGTERM, SIGINT, SIGHUP]).map_err(|error| unfit(error.to_string()))?;
    let cores = machine::cores();
    let shards = config.shard_count(cores.len());
    machine::preflight(shards, config.pin.is_on()).map_err(unfit)?;
    let tcp = config.amqp.tcp;
    let Sockets { amqp, http, prometheus } = handed_in;
    let amqp = if amqp.is_empty() { bind_amqp(&config, &tcp)? } else { take_amqp(amqp, &tcp)? };
    let (http, http_address) = match http {
        Some(socket) => take(socket, &tcp)?,
        None => bind(config.http_listen, &tcp, "HTTP")?,
    };
    let prometheus = match prometheus {
        Some(socket) => Some(take(socket, &tcp)?),
        None => bind_prometheus(&config, &tcp)?,
    };
    let (budget, disk_free_min) = (memory_budget(&config), disk_free_min(&config));
    let shards = start_shards(&config, shards, &cores, &budget, &disk_free_min).map_err(unfit)?;
    let common = &shards.common;
    let node = config.node_name(&machine::host_name());
    let scribe = Scribe::start(common.board.clone(), node).map_err(thread_failed)?;
    let mut site = site(&config, &amqp, http_address, (budget, disk_free_min), log.recent, began);
    site.settings = settings;
    site.listening
        .extend(prometheus.as_ref().map(|(_, address)| *address).map(management::Listening::prometheus));
    let (_door, ctl) = open_door(&config).unzip();
    let listeners = management::Listeners {
        http: http.into(),
        prometheus: prometheus.map(|(socket, _)| socket.into()),
        ctl,
    };
    let load_definitions = config.load_definitions.as_deref();
    management::start(listeners, common.clone(), site, load_definitions).map_err(unfit)?;
    let listeners = amqp.iter().cloned().map(|valve| {
        let held_to = HeldTo { tcp, connections_max: config.amqp.connections_max };
        let bells = common.bells.clone();
        Listener::start(valve, held_to, common.inboxes.clone(), move |shard| bells[shard].ring())
    });
    let listeners = listeners.collect::<Result<Vec<_>, _>>().map_err(thread_failed)?;
    notify.ready(&announce(&amqp, http_address, shards.common.published.len(), began));
    if let Some(patience) = systemd::patience(&variable) {
        systemd::watch(patience, notify.clone(), common.clone()).map_err(thread_failed)?;
    }
    let signal = wait_for_the_end(&mut signals, log.file.as_deref());
    tracing::info!(signal, "stopping");
    notify.stopping();
    exit_at_the_next(signals);
    exit_after(STOP_MAX);
    listeners.into_iter().for_each(Listener::stop);
    shards.stop();
    scribe.stop();
    tracing::info!("stopped");
    Ok(())
}

/// None, and a word in the log, if the path is too long for a socket, say: clients do not need it.
fn open_door(config: &Config) -> Option<(Door, UnixListener)> {
    let opened = Door::open(&config.data_dir);
    let told = |error: &io::Error| {
        tracing::warn!(data_dir = %config.data_dir.display(), "no socket for `haremq ctl`: {error}");
    };
    opened.inspect_err(told).ok()
}

fn bind_amqp(config: &Config, tcp: &Tcp) -> Result<Vec<Arc<Valve>>, Failure> {
    let bound = config.amqp_listen().map(|listen| bind(listen, tcp, "AMQP"));
    bound.map(|bound| bound.map(|(socket, at)| Arc::new(Valve::new(socket, at, tcp.backlog)))).collect()
}

fn take_amqp(sockets: Vec<Socket>, tcp: &Tcp) -> Result<Vec<Arc<Valve>>, Failure> {
    let taken = sockets.into_iter().map(|socket| take(socket, tcp));
    taken.map(|taken| taken.map(|(socket, at)| Arc::new(Valve::lent(socket, at, tcp.backlog)))).collect()
}

/// A socket that was handed in.
fn take(socket: Socket, tcp: &Tcp) -> Result<(Socket, SocketAddr), Failure> {
    listener::listen_with(socket, tcp)
        .map_err(|error| unfit(format!("cannot listen on a socket that was handed in: {error}")))
}

/// None if nobody wants it, or if another server on this machine has the port that nobody has named.
fn bind_prometheus(config: &Config, tcp: &Tcp) -> Result<Option<(Socket, SocketAddr)>, Failure> {
    let Some(listen) = config.prometheus_listen.0 else { return Ok(None) };
    match bind(listen, tcp, "Prometheus") {
        Err(Failure { code: UNAVAILABLE, text }) if listen.fallback.is_some() => {
            tracing::warn!("no metrics on a port of their own: {text}");
            Ok(None)
        }
        bound => bound.map(Some),
    }
}

/// What the API tells of the server.
fn site(
    config: &Config,
    amqp: &[Arc<Valve>],
    http: SocketAddr,
    (budget, disk_free_min): (Arc<Budget>, DiskFloor),
    recent: Arc<Recent>,
    started: Instant,
) -> management::Site {
    let listening = |protocol, address| management::Listening { protocol, address };
    let listens = amqp.iter().map(|valve| listening("amqp", valve.address()));
    management::Site {
        node: config.node_name(&machine::host_name()),
        cluster: config.cluster_name.clone(),
        listening: listens.chain([listening("http", http)]).collect(),
        data_dir: config.data_dir.clone(),
        disk_free_min,
        budget,
        app: management::App::new(amqp.to_vec()),
        log: management::LogLines::new(recent),
        product_version: config.product_version.clone(),
        started,
        settings: Vec::new(),
    }
}

fn disk_free_min(config: &Config) -> DiskFloor {
    DiskFloor::new(config.disk_free_min.resolve(config.memory_bytes(machine::memory_bytes())))
}

fn memory_budget(config: &Config) -> Arc<Budget> {
    let memory_bytes = config.memory_bytes(machine::memory_bytes());
    let memory_high = config.memory_high.resolve(memory_bytes);
    tracing::info!(memory_high_bytes = memory_high, "from here on publishers are held back");
    Arc::new(Budget::new(usize::try_from(memory_high).unwrap_or(usize::MAX)))
}

fn start_shards(
    config: &Arc<Config>,
    shards: u16,
    cores: &[usize],
    budget: &Arc<Budget>,
    disk_free_min: &DiskFloor,
) -> Result<Shards, String> {
    let random = || getrandom::u64().map_err(|error| format!("no random numbers: {error}"));
    let mut salt = [0; 16];
    getrandom::fill(&mut salt).map_err(|error| format!("no random numbers: {error}"))?;
    let shard_config = ShardConfig {
        handshake: handshake(config),
        access: config.users.founding(Salt(salt), brings_users(config))?,
        connections_max: config.amqp.connections_max.div_ceil(usize::from(shards)),
        unauthenticated_max: UNAUTHENTICATED_MAX.div_ceil(usize::from(shards)),
        handshake_timeout_ns: config.amqp.handshake_timeout_ms * 1_000_000,
        message_bytes_max: config.amqp.message_bytes_max,
        consumer_timeout_ms: config.amqp.consumer_timeout_ms(),
        secret: [random()?, random()?],
    };
    let seed = random()?;
    let ends = mesh::connect::<shard::Command>(shards, RING_COMMANDS);
    let bells = ends[0].bells();
    let journals = JournalConfig {
        segment_bytes: config.segment_bytes,
        topology_segment_bytes: config.segment_bytes.min(TOPOLOGY_SEGMENT_BYTES),
        disk_free_min: disk_free_min.clone(),
        durability: config.durability,
    };
    let (store, starts) =
        Store::open(&config.data_dir, journals, shards, budget, shard_config.access.clone())?;
    let make = |(id, (end, start))| {
        let (config, budget) = (shard_config.clone(), budget.clone());
        move || {
            let mut shard = Shard::new(ShardId(id), config, end, budget, seed);
            shard.start_with(start, wall_ns());
            shard
        }
    };
    let makers = (0..shards).zip(ends.into_iter().zip(starts)).map(make).collect();
    let (lacks_users, is_new) = (store.lacks_users(), store.is_new());
    let cores = if config.pin.is_on() { cores } else { &[] };
    let shards = Shards::start(makers, store, bells, cores, config.clone())?;
    if lacks_users {
        block_on(shards.common.found(config.users.default_vhost(), is_new))?;
    }
    Ok(shards)
}

/// Whether the definitions of the start say who the users are. What is wrong with them is told when they are loaded.
fn brings_users(config: &Config) -> bool {
    let read = config.load_definitions.as_deref().and_then(|file| std::fs::read(file).ok());
    read.is_some_and(|read| management::brings_users(&read))
}

fn handshake(config: &Config) -> HandshakeConfig {
    let mechanisms: Vec<&str> = config.amqp.auth_mechanisms.iter().map(|it| it.name()).collect();
    HandshakeConfig {
        frame_max: config.amqp.frame_max,
        channel_max: config.amqp.channel_max,
        heartbeat_s: config.amqp.heartbeat_s,
        product: config.product.as_str().into(),
        version: config.product_version.as_str().into(),
        cluster_name: config.cluster_name.as_str().into(),
        mechanisms: mechanisms.join(" ").into(),
        loopback_users: config.users.loopback_users().into(),
        ..HandshakeConfig::default()
    }
}

fn bind(listen: Listen, tcp: &Tcp, what: &str) -> Result<(Socket, SocketAddr), Failure> {
    listener::bind(listen, tcp).map_err(|error| {
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

/// Answers what it says.
fn announce(amqp: &[Arc<Valve>], http: SocketAddr, shards: usize, began: Instant) -> String {
    let took_ms = began.elapsed().as_millis();
    let amqp: String = amqp.iter().map(|valve| format!("amqp {}, ", valve.address())).collect();
    let line = format!("Server startup complete; {amqp}http {http}, {shards} shards, {took_ms} ms");
    tracing::info!("{line}");
    // Whoever started us may have closed our standard output.
    let _ = writeln!(io::stdout().lock(), "{line}");
    line
}

/// Answers the signal that ends us; at SIGHUP the log's file is opened anew.
fn wait_for_the_end(signals: &mut Signals, log_file: Option<&LogFile>) -> i32 {
    let end = signals.forever().find(|signal| {
        if *signal == SIGHUP {
            log_file.inspect(|file| file.reopen());
        }
        *signal != SIGHUP
    });
    end.unwrap_or_default()
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
        if let Some(signal) = signals.forever().find(|signal| *signal != SIGHUP) {
            tracing::warn!(signal, "second signal: not waiting for anybody");
            std::process::exit(128 + signal);
        }
    });
}
