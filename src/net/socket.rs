//! One accepted TCP socket, polled without blocking on the shard that owns it.

use futures_lite::io::{AsyncRead, AsyncWrite};
use std::io;
use std::net::TcpStream;
use std::pin::Pin;
use std::task::{Context, Poll};

/// Lives on: the connection's shard, and only within its glommio executor.
pub struct Socket(glommio::net::TcpStream);

impl Socket {
    pub fn adopt(stream: TcpStream) -> Self {
        // glommio takes a socket from outside only as socket2's type of its own, older version.
        Socket(socket2_04::Socket::from(stream).into())
    }

    /// `recv(2)` without blocking. Less than the buffer: glommio has already asked for the next readiness, so
    /// that the next poll is pending and costs no system call.
    pub fn poll_receive(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }

    /// `send(2)` without blocking, from whatever task; pending: the waker of `cx` is called when there is room.
    ///
    /// A peer that is gone is an error here and no signal: Rust's runtime ignores SIGPIPE.
    pub fn poll_send(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    /// Says that nothing more will be sent. glommio's close is `shutdown(SHUT_WR)`, at once.
    pub fn finish_sending(&mut self, cx: &mut Context<'_>) {
        // An error means that the peer has gone, and then nobody needs to be told.
        let _ = Pin::new(&mut self.0).poll_close(cx);
    }
}
