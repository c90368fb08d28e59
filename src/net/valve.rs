//! A listening socket that is shut and opened again while the thread that accepts lives: shut, the kernel refuses
//! whoever connects, as if nobody listened.

use rustix::io::Errno;
use socket2::Socket;
use std::io;
use std::net::{Shutdown, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};

/// Lives on: shared by the listener's thread and that of HTTP.
pub struct Valve {
    pub(super) socket: Socket,
    address: SocketAddr,
    backlog: i32,
    /// Somebody else listens on it when we are gone, and must not find it shut.
    lent: bool,
    shut: AtomicBool,
}

impl Valve {
    /// Of a socket that listens on `address`.
    pub fn new(socket: Socket, address: SocketAddr, backlog: i32) -> Valve {
        Valve { socket, address, backlog, lent: false, shut: AtomicBool::new(false) }
    }

    /// Of a socket that was handed in, and goes back.
    pub fn lent(socket: Socket, address: SocketAddr, backlog: i32) -> Valve {
        Valve { lent: true, ..Valve::new(socket, address, backlog) }
    }

    /// Ends a waiting poll(2), and accept(2) fails with EINVAL, on Linux. What the kernel had taken for us is reset.
    pub fn shut(&self) {
        // Once: of a socket that does not listen the kernel would remember it, for all connections to come.
        if !self.shut.swap(true, Ordering::SeqCst) {
            let _ = self.socket.shutdown(Shutdown::Both);
        }
    }

    /// The end: nobody comes in any more, or waits in the kernel until the socket's owner has another take it.
    pub(super) fn leave(&self) {
        if !self.lent {
            self.shut();
        } else if self.is_shut()
            && let Err(error) = self.open()
        {
            tracing::warn!(%error, "the socket goes back shut");
        }
    }

    /// Listens again on the same address.
    pub fn open(&self) -> io::Result<()> {
        // A port that the kernel chose went with the shutdown; one that was asked for is bound still.
        match self.socket.bind(&self.address.into()) {
            Err(error) if error.raw_os_error() != Some(Errno::INVAL.raw_os_error()) => return Err(error),
            Ok(()) | Err(_) => {}
        }
        self.socket.listen(self.backlog)?;
        self.shut.store(false, Ordering::SeqCst);
        Ok(())
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn is_shut(&self) -> bool {
        self.shut.load(Ordering::SeqCst)
    }
}
