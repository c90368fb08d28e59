//! The task of one connection: woken by its socket, it passes the gate and has its turn.

use super::gate::Pass;
use super::shell::Shell;
use crate::net::listener::Accepted;
use crate::net::{Leave, Socket, Turn};
use glommio::timer::Timer;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};
use std::time::Duration;

/// Lives on: the connection's shard.
pub struct Serve {
    /// Dropped last of all: it counts the connection, unless that is internal.
    _counted: Option<Counted>,
    shell: Rc<Shell>,
    slot: u32,
    pass: Pass,
    lingering: Option<Lingering>,
}

impl Serve {
    /// None: the shard takes no more connections.
    pub fn new(shell: Rc<Shell>, accepted: Accepted) -> Option<Self> {
        let counted = (!accepted.internal).then(|| Counted(shell.clone()));
        let slot = shell.open(accepted)?;
        Some(Serve { _counted: counted, shell, slot, pass: Pass::default(), lingering: None })
    }

    fn turn(&mut self, cx: &mut Context<'_>, now: u64) -> Poll<()> {
        match self.shell.turn(self.slot, cx, now) {
            Turn::Wait => Poll::Pending,
            Turn::Again => again(cx),
            Turn::Over => {
                self.shell.gate.spend();
                again(cx)
            }
            Turn::Leave(Leave::Gone) => Poll::Ready(()),
            Turn::Leave(Leave::Finish(socket)) => self.lingering.insert(Lingering::new(socket, cx)).poll(cx),
        }
    }
}

impl Future for Serve {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let now = ready!(this.shell.gate.poll_pass(&mut this.pass, cx, &this.shell.published().turns));
        match &mut this.lingering {
            Some(lingering) => lingering.poll(cx),
            None => this.turn(cx, now),
        }
    }
}

/// Yields: the others that are ready come first.
fn again(cx: &Context<'_>) -> Poll<()> {
    cx.waker().wake_by_ref();
    Poll::Pending
}

/// The listener counted the connection when it chose the shard.
struct Counted(Rc<Shell>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.inbox().connections.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A socket that the server has finished with: open until the peer closes too, because closing it with unread
/// bytes resets the connection, and the reset may overtake the last frame (a close-ok, the protocol header).
struct Lingering {
    socket: Socket,
    deadline: Timer,
}

/// Long enough for a round trip and a close on the other side; a peer that sends on is cut off after it.
const LINGER: Duration = Duration::from_secs(1);

/// What is thrown away at a time.
const DISCARD_BYTES: usize = 16 << 10;

impl Lingering {
    fn new(mut socket: Socket, cx: &mut Context<'_>) -> Self {
        socket.finish_sending(cx);
        Lingering { socket, deadline: Timer::new(LINGER) }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if Pin::new(&mut self.deadline).poll(cx).is_ready() {
            return Poll::Ready(());
        }
        let mut discarded = [0; DISCARD_BYTES];
        match ready!(self.socket.poll_receive(cx, &mut discarded)) {
            Ok(count) if count > 0 => again(cx),
            Ok(_) | Err(_) => Poll::Ready(()),
        }
    }
}
