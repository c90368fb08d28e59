//! Connections from inside the server: to a shard they are like those that the listener brings.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::atomic::Ordering;

use super::Common;
use crate::net::listener::Accepted;

impl Common {
    /// A new connection to the shard that has the fewest, on behalf of somebody who came from `peer`. It does not block, and
    /// has everything still to say: AMQP from the protocol header on. If it is trusted, it logs in as the insider.
    pub fn connect(&self, peer: SocketAddr, trusted: bool) -> io::Result<UnixStream> {
        let (ours, theirs) = UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        let load = |shard: &usize| self.inboxes[*shard].connections.load(Ordering::Relaxed);
        let shard = (0..self.inboxes.len()).min_by_key(load).expect("there is a shard");
        // Of a stream socket the shard asks nothing that only TCP has.
        let stream = TcpStream::from(OwnedFd::from(theirs));
        let accepted = Accepted { stream, peer, local: peer, internal: true, trusted };
        self.inboxes[shard].arrived.push(accepted).map_err(|_| io::ErrorKind::WouldBlock)?;
        self.bells[shard].ring();
        Ok(ours)
    }
}
