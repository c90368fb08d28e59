//! What systemd asks of a service: readiness, a watchdog that tells the truth, and sockets that it hands in.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::ptrace;
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;

use crate::client::{Client, publish};
use crate::server::{Server, TempDir, command, command_by, refusal};

/// The socket that a service tells how it is.
struct Manager {
    socket: UnixDatagram,
    path: PathBuf,
    _folder: TempDir,
}

impl Manager {
    fn new() -> Manager {
        let folder = TempDir::new();
        fs::create_dir(&folder.0).unwrap();
        let path = folder.0.join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        Manager { socket, path, _folder: folder }
    }

    fn told_by(&self, mut command: Command) -> Command {
        command.env("NOTIFY_SOCKET", &self.path);
        command
    }

    fn with_watchdog(&self, arguments: &[&str]) -> Server {
        let mut command = self.told_by(command(arguments));
        command.env("WATCHDOG_USEC", PATIENCE.as_micros().to_string());
        let server = Server::of(command);
        self.until("READY=1");
        server
    }

    /// What it hears next, if it does in time.
    fn next(&self, time: Duration) -> Option<String> {
        self.socket.set_read_timeout(Some(time)).unwrap();
        let mut datagram = [0; 1_000];
        let count = self.socket.recv(&mut datagram).ok()?;
        Some(String::from_utf8(datagram[..count].to_vec()).unwrap())
    }

    fn until(&self, what: &str) -> String {
        loop {
            let told = self.next(Duration::from_secs(10)).unwrap_or_else(|| panic!("never heard {what}"));
            if told.starts_with(what) {
                return told;
            }
        }
    }

    /// That it is well, at least as often as it must.
    fn is_reassured_for(&self, time: Duration) {
        let until = Instant::now() + time;
        while Instant::now() < until {
            assert_eq!(self.next(PATIENCE).as_deref(), Some("WATCHDOG=1"));
        }
    }
}

const PATIENCE: Duration = Duration::from_secs(1);

#[test]
fn it_says_when_it_is_ready_when_it_stops_and_why_it_cannot_start() {
    let manager = Manager::new();
    let server = Server::of(manager.told_by(command(&["--shards", "2"])));
    let ready = manager.until("READY=1");
    assert!(ready.contains("\nSTATUS=Server startup complete; amqp 127.0.0.1:"), "{ready}");
    let taken = server.amqp.to_string();
    let (code, _) = refusal(manager.told_by(command(&["--amqp-listen", &taken])));
    assert_eq!(code, Some(69));
    // Nobody has asked for a watchdog.
    let why = manager.next(PATIENCE).unwrap();
    assert!(why.starts_with(&format!("STATUS=cannot listen for AMQP on {taken}")), "{why}");
    server.stop();
    manager.until("STOPPING=1");
}

#[test]
fn the_watchdog_is_fed_while_it_idles_and_while_it_is_busy() {
    let manager = Manager::new();
    let server = manager.with_watchdog(&["--shards", "2"]);
    manager.is_reassured_for(PATIENCE * 3);
    let until = Instant::now() + PATIENCE * 3;
    let hosing = [(); 2].map(|()| {
        let mut client = Client::connect(server.amqp);
        thread::spawn(move || {
            let block = publish("nowhere", &[0; 16]).repeat(2_000);
            while Instant::now() < until {
                std::io::Write::write_all(&mut client.socket, &block).unwrap();
            }
        })
    });
    manager.is_reassured_for(PATIENCE * 3);
    hosing.into_iter().for_each(|hosing| hosing.join().unwrap());
    server.stop();
}

#[test]
fn a_shard_that_stands_still_silences_the_watchdog() {
    let manager = Manager::new();
    let server = manager.with_watchdog(&["--shards", "2"]);
    manager.is_reassured_for(PATIENCE);
    let shard = server.thread("shard-1");
    let thread = Pid::from_raw(shard);
    // One thread of many is stopped by nobody but a debugger.
    ptrace::seize(thread, ptrace::Options::empty()).unwrap();
    ptrace::interrupt(thread).unwrap();
    waitpid(thread, Some(WaitPidFlag::__WALL)).unwrap();
    // One may be on its way.
    let _ = manager.next(PATIENCE);
    let told = manager.next(PATIENCE * 3);
    ptrace::detach(thread, None).unwrap();
    assert_eq!(told, None);
    manager.is_reassured_for(PATIENCE * 2);
    server.stop();
}

/// Sockets that a manager opened, on ports of its own.
struct Opened {
    amqp: TcpListener,
    http: TcpListener,
}

impl Opened {
    fn new() -> Opened {
        let open = || TcpListener::bind("127.0.0.1:0").unwrap();
        Opened { amqp: open(), http: open() }
    }

    /// Descriptors have their numbers only in the child: they go in as 0 and 2, and become 3 and 4.
    fn start(&self, names: &str) -> Command {
        let script = format!(
            "exec 3<&0 4<&2 2>/dev/null; LISTEN_FDS=2 LISTEN_FDNAMES={names} LISTEN_PID=$$ exec \"$0\" \"$@\""
        );
        let mut command = command_by(&script, &["--shards", "2"]);
        let handed = |listener: &TcpListener| Stdio::from(OwnedFd::from(listener.try_clone().unwrap()));
        command.stdin(handed(&self.amqp)).stderr(handed(&self.http));
        command
    }

    fn address(&self) -> SocketAddr {
        self.amqp.local_addr().unwrap()
    }
}

#[test]
fn sockets_that_are_handed_in_are_served_and_go_back_as_they_came() {
    let opened = Opened::new();
    let address = opened.address();
    // Who came before there was a server is served as well.
    let early = thread::spawn(move || Client::connect(address).declare("q"));
    let server = Server::of(opened.start("amqp:http"));
    assert_eq!(server.amqp, address);
    early.join().unwrap();
    assert_eq!(server.get("/health/ready").0, 200);
    server.stop();
    // And who comes while there is none.
    let between = thread::spawn(move || Client::connect(address).declare("q"));
    let server = Server::of(opened.start("amqp:http"));
    between.join().unwrap();
    // It is shut for a time, and at the end.
    server.ctl(&["stop_app"]);
    assert!(std::net::TcpStream::connect(address).is_err());
    server.ctl(&["start_app"]);
    Client::connect(address).declare("q");
    server.ctl(&["stop_app"]);
    server.stop();
    let after = thread::spawn(move || Client::connect(address).declare("q"));
    let server = Server::of(opened.start("amqp:http"));
    after.join().unwrap();
    server.stop();
}

#[test]
fn a_socket_whose_name_says_nothing_is_78() {
    assert_eq!(refusal(Opened::new().start("amqp:haremq.socket")).0, Some(78));
}
