//! The listener: a plain thread that accepts, and gives each connection to the shard that has the fewest.
//!
//! One acceptor spreads evenly where SO_REUSEPORT spreads by hash, by which few connections can all meet on
//! one shard.

use super::valve::Valve;
use crate::config::{Listen, Tcp};
use crossbeam_queue::ArrayQueue;
use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
use rustix::io::Errno;
use socket2::{Domain, Socket, Type};
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// A connection on its way from the listener to its shard.
pub struct Accepted {
    pub stream: TcpStream,
    pub peer: SocketAddr,
    pub local: SocketAddr,
    /// It is the server's own, for a user of the HTTP API who came from `peer`, and `stream` is an end of a socket pair.
    pub internal: bool,
    /// Who asks may do everything and is no user. Internal ones only.
    pub trusted: bool,
}

/// Where a shard finds its new connections.
pub struct Inbox {
    pub arrived: ArrayQueue<Accepted>,
    /// Handed over and not yet gone, without internal ones. The listener counts up, the shard down.
    pub connections: AtomicU32,
}

impl Default for Inbox {
    fn default() -> Self {
        Inbox { arrived: ArrayQueue::new(ARRIVED_MAX), connections: AtomicU32::new(0) }
    }
}

/// More than a shard takes in a turn; beyond it the listener waits, and the kernel's backlog after it.
const ARRIVED_MAX: usize = 1024;

/// How long to wait when descriptors or kernel memory have run out, until some connection has gone; and until a valve that
/// is shut is looked at again.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(50);

/// Binds and listens; answers the address with the port that was taken.
///
/// The backlog is what a burst of connects may run ahead of the listener (the kernel caps it at net.core.somaxconn).
pub fn bind(listen: Listen, tcp: &Tcp) -> io::Result<(Socket, SocketAddr)> {
    let no_ipv6 = |error: &io::Error| {
        matches!(
            error.raw_os_error().map(Errno::from_raw_os_error),
            Some(Errno::AFNOSUPPORT | Errno::ADDRNOTAVAIL)
        )
    };
    match (listen_on(listen.address, tcp), listen.fallback) {
        (Err(error), Some(fallback)) if no_ipv6(&error) => listen_on(fallback, tcp),
        (result, _) => result,
    }
}

fn listen_on(address: SocketAddr, tcp: &Tcp) -> io::Result<(Socket, SocketAddr)> {
    // socket2 sets CLOEXEC.
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    socket.bind(&address.into())?;
    listen_with(socket, tcp)
}

/// On a socket that is bound, and may listen already.
pub fn listen_with(socket: Socket, tcp: &Tcp) -> io::Result<(Socket, SocketAddr)> {
    // Connections inherit these. Windows are agreed on at their beginning, so the buffers must be there before.
    socket.set_keepalive(tcp.keepalive.is_on())?;
    tcp.sndbuf_bytes.map_or(Ok(()), |bytes| socket.set_send_buffer_size(bytes))?;
    tcp.recbuf_bytes.map_or(Ok(()), |bytes| socket.set_recv_buffer_size(bytes))?;
    socket.listen(tcp.backlog)?;
    let bound = socket.local_addr()?.as_socket().ok_or(Errno::AFNOSUPPORT)?;
    Ok((socket, bound))
}

/// What connections are held to from the start.
#[derive(Clone, Copy, Debug)]
pub struct HeldTo {
    pub tcp: Tcp,
    /// Of all listeners together.
    pub connections_max: usize,
}

/// The accepting thread.
pub struct Listener {
    valve: Arc<Valve>,
    stopping: Arc<AtomicBool>,
    /// Readable when it is time to stop.
    bell: Arc<OwnedFd>,
    thread: JoinHandle<()>,
}

impl Listener {
    /// `wake` tells a shard, by its index, to look into its inbox.
    pub fn start(
        valve: Arc<Valve>,
        held_to: HeldTo,
        inboxes: Arc<[Inbox]>,
        wake: impl Fn(usize) + Send + 'static,
    ) -> io::Result<Self> {
        let stopping = Arc::new(AtomicBool::new(false));
        let bell = Arc::new(eventfd(0, EventfdFlags::CLOEXEC)?);
        valve.socket.set_nonblocking(true)?;
        let mut accepting = Accepting {
            valve: valve.clone(),
            stopping: stopping.clone(),
            bell: bell.clone(),
            held_to,
            inboxes,
            wake,
            next: 0,
            exhausted: false,
        };
        let thread = thread::Builder::new().name("listener".into()).spawn(move || accepting.run())?;
        Ok(Listener { valve, stopping, bell, thread })
    }

    /// No connection is accepted after this.
    pub fn stop(self) {
        self.stopping.store(true, Ordering::SeqCst);
        let rung = rustix::io::write(&self.bell, &1u64.to_ne_bytes());
        debug_assert_eq!(rung, Ok(8), "a counter of 0 has room for 1");
        let _ = self.thread.join();
        self.valve.leave();
    }
}

struct Accepting<W> {
    valve: Arc<Valve>,
    stopping: Arc<AtomicBool>,
    bell: Arc<OwnedFd>,
    held_to: HeldTo,
    inboxes: Arc<[Inbox]>,
    wake: W,
    /// Where the search for the least loaded shard begins, so that ties go round.
    next: usize,
    /// The last accept failed, and that was logged.
    exhausted: bool,
}

impl<W: Fn(usize)> Accepting<W> {
    fn run(&mut self) {
        while !self.stopping.load(Ordering::SeqCst) {
            match self.valve.socket.accept() {
                Ok((socket, peer)) => {
                    self.exhausted = false;
                    self.take(socket, peer.as_socket());
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.wait(),
                Err(error) => self.pause(&error),
            }
        }
    }

    /// Until there is a connection, the valve is shut, or it is time to stop.
    fn wait(&self) {
        let sources = [&self.valve.socket as &dyn AsFd, &self.bell];
        let mut sources = sources.map(|source| PollFd::from_borrowed_fd(source.as_fd(), PollFlags::IN));
        // Whatever goes wrong, the next accept tells.
        let _ = poll(&mut sources, None);
    }

    /// A socket whose peer has already gone again has no addresses, and is dropped.
    fn take(&mut self, socket: Socket, peer: Option<SocketAddr>) {
        prepare(&socket, &self.held_to.tcp);
        let local = socket.local_addr().ok().and_then(|address| address.as_socket());
        if let (Some(peer), Some(local)) = (peer, local) {
            self.hand_over(Accepted { stream: socket.into(), peer, local, internal: false, trusted: false });
        }
    }

    /// Beyond the most that there may be, the socket is closed.
    fn hand_over(&mut self, mut accepted: Accepted) {
        let counts = self.inboxes.iter().map(|inbox| inbox.connections.load(Ordering::Relaxed));
        if counts.clone().map(|count| count as usize).sum::<usize>() >= self.held_to.connections_max {
            return;
        }
        let shard = least_loaded(counts, self.next);
        self.next = shard + 1;
        let inbox = &self.inboxes[shard];
        inbox.connections.fetch_add(1, Ordering::Relaxed);
        while let Err(back) = inbox.arrived.push(accepted) {
            if self.stopping.load(Ordering::SeqCst) {
                return;
            }
            accepted = back;
            (self.wake)(shard);
            thread::sleep(Duration::from_millis(1));
        }
        (self.wake)(shard);
    }

    fn pause(&mut self, error: &io::Error) {
        if self.stopping.load(Ordering::SeqCst) {
            return;
        }
        if self.valve.is_shut() {
            // When it opens, the kernel takes connections meanwhile.
            return thread::sleep(EXHAUSTED_PAUSE);
        }
        let aborted = [Errno::CONNABORTED, Errno::INTR, Errno::PROTO].map(|errno| errno.raw_os_error());
        if error.raw_os_error().is_some_and(|errno| aborted.contains(&errno)) {
            return;
        }
        if !std::mem::replace(&mut self.exhausted, true) {
            tracing::warn!(%error, "connections cannot be accepted; trying on");
        }
        thread::sleep(EXHAUSTED_PAUSE);
    }
}

/// Neither setting can fail for a reason that would make the connection useless.
fn prepare(socket: &Socket, tcp: &Tcp) {
    let _ = socket.set_tcp_nodelay(tcp.nodelay.is_on());
    // Where the host's default is bbr, its pacing costs 20 % of the CPU per message of 1 KB (measured).
    let _ = socket.set_tcp_congestion(b"cubic");
}

/// The first index with the least count, in a round that begins at `from`.
fn least_loaded(counts: impl ExactSizeIterator<Item = u32>, from: usize) -> usize {
    let shards = counts.len();
    let after = |index: usize| (index + shards - from % shards) % shards;
    counts.enumerate().min_by_key(|&(index, count)| (count, after(index))).map_or(0, |(index, _)| index)
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use super::*;
    use crate::config::Config;

    fn held_to() -> HeldTo {
        HeldTo { tcp: Config::default().amqp.tcp, connections_max: 1_000 }
    }

    fn valve(socket: Socket, address: SocketAddr) -> Arc<Valve> {
        Arc::new(Valve::new(socket, address, 16))
    }

    #[test]
    fn ties_go_round_and_the_fewest_come_first() {
        let choose = |counts: &[u32], from| least_loaded(counts.iter().copied(), from);
        assert_eq!([0, 1, 2, 3, 4].map(|from| choose(&[5, 5, 5], from)), [0, 1, 2, 0, 1]);
        assert_eq!(choose(&[3, 1, 2], 0), 1);
        assert_eq!(choose(&[1, 2, 1], 1), 2);
        assert_eq!(choose(&[7], 9), 0);
    }

    #[test]
    fn connections_are_spread_evenly_and_none_is_accepted_after_stop() {
        let inboxes: Arc<[Inbox]> = (0..3).map(|_| Inbox::default()).collect();
        let listen = Listen { address: "127.0.0.1:0".parse().unwrap(), fallback: None };
        let held_to = held_to();
        let (socket, address) = bind(listen, &held_to.tcp).unwrap();
        let valve = valve(socket, address);
        let listener = Listener::start(valve, held_to, inboxes.clone(), |_| ()).unwrap();
        let clients: Vec<_> = (0..30).map(|_| TcpStream::connect(address).unwrap()).collect();
        while inboxes.iter().map(|inbox| inbox.arrived.len()).sum::<usize>() < clients.len() {
            thread::yield_now();
        }
        assert!(inboxes.iter().all(|inbox| inbox.arrived.len() == 10));
        let first = inboxes[0].arrived.pop().unwrap();
        assert!(clients.iter().any(|client| client.local_addr().unwrap() == first.peer));
        assert_eq!(first.local, address);
        listener.stop();
        assert!(TcpStream::connect(address).is_err());
    }

    #[test]
    fn a_valve_that_is_shut_refuses_and_opens_again_on_its_port() {
        let inboxes: Arc<[Inbox]> = [Inbox::default()].into();
        // A port that the kernel chose, and one that was asked for, are not the same to it.
        let (_, free) = bind("127.0.0.1:0".parse().unwrap(), &held_to().tcp).unwrap();
        for listen in ["127.0.0.1:0".to_owned(), free.to_string()] {
            let (socket, address) = bind(listen.parse().unwrap(), &held_to().tcp).unwrap();
            let valve = valve(socket, address);
            let listener = Listener::start(valve.clone(), held_to(), inboxes.clone(), |_| ()).unwrap();
            for _ in 0..3 {
                valve.shut();
                valve.shut();
                assert!(TcpStream::connect(address).is_err());
                valve.open().unwrap();
                let client = TcpStream::connect(address).unwrap();
                let taken = loop {
                    if let Some(taken) = inboxes[0].arrived.pop() {
                        break taken;
                    }
                    thread::yield_now();
                };
                assert_eq!(taken.peer, client.local_addr().unwrap());
                (&taken.stream).write_all(b"x").unwrap();
                (&client).read_exact(&mut [0]).unwrap();
            }
            listener.stop();
        }
    }

    #[test]
    fn beyond_the_most_that_there_may_be_a_connection_is_closed() {
        let inboxes: Arc<[Inbox]> = (0..2).map(|_| Inbox::default()).collect();
        let held_to = HeldTo { connections_max: 3, ..held_to() };
        let (socket, address) = bind("127.0.0.1:0".parse().unwrap(), &held_to.tcp).unwrap();
        let valve = valve(socket, address);
        let listener = Listener::start(valve, held_to, inboxes.clone(), |_| ()).unwrap();
        let _within: Vec<_> = (0..3).map(|_| TcpStream::connect(address).unwrap()).collect();
        let mut beyond = TcpStream::connect(address).unwrap();
        assert_eq!(std::io::Read::read(&mut beyond, &mut [0]).unwrap(), 0);
        assert_eq!(inboxes.iter().map(|inbox| inbox.arrived.len()).sum::<usize>(), 3);
        listener.stop();
    }

    #[test]
    fn an_address_that_is_taken_is_an_error_even_with_a_fallback() {
        let (_first, address) =
            bind(Listen { address: "127.0.0.1:0".parse().unwrap(), fallback: None }, &held_to().tcp).unwrap();
        let second = bind(Listen { address, fallback: Some("127.0.0.1:0".parse().unwrap()) }, &held_to().tcp);
        assert_eq!(second.unwrap_err().kind(), io::ErrorKind::AddrInUse);
    }
}
