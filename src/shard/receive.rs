//! Bytes of one socket become frames, and each frame runs to its end.

use super::Shard;
use super::notes::{What, without_octets};
use crate::access::Access;
use crate::amqp::frame::{self, FRAME_HEAD_LEN, FRAME_OVERHEAD, Frame, FrameError, FrameKind};
use crate::amqp::method::Method;
use crate::amqp::refusal::{frame_error, method_error, unexpected_frame};
use crate::amqp::reply::{ConnectionError, ReplyCode};
use crate::connection::channel::{Blocked, ChannelState, CloseOk};
use crate::connection::content::Assembly;
use crate::connection::handshake::{Handshake, HeaderOutcome, Progress, Refusal, no_vhost};
use crate::connection::publish::{self, Limits, Scan};
use crate::connection::{ClosedBy, Connection, Failure, Partial, Phase};
use crate::ids::ChannelNumber;
use crate::limits::{FLUSH_BYTES, READ_BYTES, REFUSAL_DELAY_NS, REQUEUES};

/// What became of the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// Bytes that are done with. The rest must be handed in again, in front of what comes next.
    pub consumed: usize,
    pub rest: Rest,
}

/// What the bytes wait for that were not consumed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rest {
    /// The end of their frame, or the end of what holds the connection back, or a verdict.
    More,
    /// Output has piled up: flush, then hand them in at once.
    Flush,
    /// It has been much work: others have their turn.
    Turn,
}

/// How far one step came.
enum Step {
    Took(usize),
    /// The frame is not all here.
    NeedMore,
}

impl Shard {
    /// Takes what came from the socket: every complete frame is run to its end.
    pub fn receive(&mut self, slot: u32, bytes: &[u8], now: u64) -> Received {
        self.begin(now);
        self.see_alarm();
        if let Some(connection) = self.rooms.outward.connections.get_mut(slot) {
            connection.heartbeat.received(now);
        }
        let (mut consumed, mut rest) = (0, Rest::More);
        self.requeued = 0;
        while consumed < bytes.len() {
            // But for the first frame: else a backlog that is served at the end of each batch could keep a reader waiting.
            if consumed > 0 && self.rooms.outward.unflushed >= FLUSH_BYTES {
                rest = Rest::Flush;
                break;
            }
            if self.requeued >= REQUEUES {
                rest = Rest::Turn;
                break;
            }
            match self.step(slot, &bytes[consumed..]) {
                Step::Took(count) => consumed += count,
                Step::NeedMore => break,
            }
        }
        if let Some(connection) = self.rooms.outward.connections.get_mut(slot) {
            connection.octets.received += consumed as u64;
            connection.octets.receives += 1;
        }
        self.end_batch();
        Received { consumed, rest }
    }

    fn step(&mut self, slot: u32, bytes: &[u8]) -> Step {
        let Some(connection) = self.rooms.outward.connections.get_mut(slot) else {
            return Step::Took(bytes.len());
        };
        match &connection.phase {
            // What comes after connection.close is not for us, but by whole frames: one of ours may still be answered.
            Phase::Open if connection.leaving.is_some() => match frame::decode(bytes, connection.frame_max) {
                Ok(Some((_, taken))) => Step::Took(taken),
                Ok(None) => Step::NeedMore,
                Err(_) => Step::Took(bytes.len()),
            },
            // Also when the channel or the connection has ended meanwhile: the next frame begins behind it.
            Phase::Open | Phase::Closing(_) if connection.partial.is_some() => self.partial_body(slot, bytes),
            Phase::Open if self.alarmed => self.frame_step(slot, bytes),
            Phase::Open => {
                let body_max = self.config.message_bytes_max;
                let limits = Limits { frame_max: connection.frame_max, body_max };
                match publish::scan(bytes, limits) {
                    Scan::Publish(publish, taken) => {
                        if let Some(channel) = connection.channel(publish.channel)
                            && channel.takes_publish()
                        {
                            channel.traffic.publish += 1;
                            let confirms = channel.confirms.is_some();
                            if let Err(failure) = self.publish(slot, &publish, None, confirms) {
                                self.fail(slot, publish.channel, failure);
                            } else if !confirms && self.local.is_empty() {
                                return Step::Took(
                                    taken + self.publish_run(slot, bytes, &publish, taken, limits),
                                );
                            }
                            self.run_local();
                            return Step::Took(taken);
                        }
                    }
                    Scan::Incomplete
                        if connection
                            .channel(channel_of(bytes))
                            .is_some_and(|channel| channel.takes_publish()) =>
                    {
                        return Step::NeedMore;
                    }
                    Scan::Incomplete | Scan::Other => {}
                }
                self.frame_step(slot, bytes)
            }
            Phase::Header => self.protocol_header(slot, bytes),
            Phase::Handshake(_) if connection.is_judged() => Step::NeedMore,
            Phase::Handshake(_) | Phase::Closing(_) => self.frame_step(slot, bytes),
            Phase::Refused { .. } => Step::Took(bytes.len()),
        }
    }

    fn protocol_header(&mut self, slot: u32, bytes: &[u8]) -> Step {
        let mut config = self.config.handshake.clone();
        if let Some(name) = self.parameters.cluster_name() {
            config.cluster_name = name.into();
        }
        let Some(connection) = self.rooms.outward.connections.get_mut(slot) else { return Step::NeedMore };
        if connection.internal {
            // It has a secret to give, whatever clients are offered.
            config.mechanisms = "PLAIN".into();
        }
        let Some(header) = bytes.first_chunk::<8>() else {
            // Whoever does not even begin like us is told so at once.
            return if b"AMQP".starts_with(&bytes[..bytes.len().min(4)]) {
                Step::NeedMore
            } else {
                self.wrong_header(slot)
            };
        };
        let loopback = crate::access::is_loopback(connection.address.ip());
        let vouches = connection.internal && !connection.trusted;
        let start = if vouches { Handshake::vouched } else { Handshake::new };
        let mut handshake = Box::new(start(config, loopback));
        let outcome = handshake.on_header(header, connection.outbox.buffer());
        self.rooms.outward.touch(slot);
        match outcome {
            HeaderOutcome::Accepted => {
                if let Some(connection) = self.rooms.outward.connections.get_mut(slot) {
                    connection.phase = Phase::Handshake(handshake);
                }
                Step::Took(8)
            }
            HeaderOutcome::Refused => self.end_without_words(slot, bytes.len()),
        }
    }

    fn wrong_header(&mut self, slot: u32) -> Step {
        if let Some(connection) = self.rooms.outward.connections.get_mut(slot) {
            connection.outbox.buffer().extend_from_slice(&frame::PROTOCOL_HEADER);
        }
        self.rooms.outward.touch(slot);
        self.end_without_words(slot, 0)
    }

    /// What was written goes out, then the socket closes.
    fn end_without_words(&mut self, slot: u32, bytes: usize) -> Step {
        self.note(slot, What::BadHeader);
        self.begin_close(slot, ClosedBy::Gone);
        Step::Took(bytes)
    }

    /// One frame by the general way.
    fn frame_step(&mut self, slot: u32, bytes: &[u8]) -> Step {
        let Some(connection) = self.rooms.outward.connections.get_mut(slot) else {
            return Step::Took(bytes.len());
        };
        let frame_max = match &connection.phase {
            Phase::Handshake(handshake) => handshake.frame_max(),
            Phase::Header | Phase::Open | Phase::Closing(_) | Phase::Refused { .. } => connection.frame_max,
        };
        match frame::decode(bytes, frame_max) {
            Ok(Some((frame, taken))) => self.frame(slot, &frame, &bytes[..taken]),
            Ok(None) => self.incomplete(slot, bytes),
            Err(error) => {
                self.fail(slot, ChannelNumber(0), frame_error(error, bytes).into());
                Step::Took(bytes.len())
            }
        }
    }

    /// A body frame may be larger than a read: of an open content its beginning is taken as it comes.
    fn incomplete(&mut self, slot: u32, bytes: &[u8]) -> Step {
        let Some(connection) = self.rooms.outward.connections.get_mut(slot) else { return Step::NeedMore };
        let Some(head) = bytes.first_chunk::<FRAME_HEAD_LEN>() else { return Step::NeedMore };
        let payload = u32::from_be_bytes([head[3], head[4], head[5], head[6]]) as usize;
        if head[0] != FrameKind::Body.octet() || payload + FRAME_OVERHEAD <= READ_BYTES / 2 {
            return Step::NeedMore;
        }
        let number = channel_of(head);
        let Some(channel) = connection.channel(number) else { return Step::NeedMore };
        if channel.is_parked() || self.alarmed || channel.blocked != Blocked::No {
            return Step::NeedMore;
        }
        if channel.state != ChannelState::Open || !channel.assembly.in_body() {
            return Step::NeedMore;
        }
        if let Err(failure) = channel.assembly.body_begins(head, payload as u64) {
            self.fail(slot, number, failure);
            return Step::Took(bytes.len());
        }
        connection.partial = Some(Partial { channel: number, left: payload + 1 });
        Step::Took(FRAME_HEAD_LEN)
    }

    fn partial_body(&mut self, slot: u32, bytes: &[u8]) -> Step {
        let Some(connection) = self.rooms.outward.connections.get_mut(slot) else {
            return Step::Took(bytes.len());
        };
        let Some(partial) = &mut connection.partial else { return Step::Took(0) };
        let taken = bytes.len().min(partial.left);
        partial.left -= taken;
        let (number, ended) = (partial.channel, partial.left == 0);
        if ended {
            connection.partial = None;
            if bytes[taken - 1] != frame::FRAME_END {
                // Its payload is not kept apart, so that RabbitMQ's text ends here without its first octets.
                let error = frame_error(FrameError::BadEnd(bytes[taken - 1]), &[FrameKind::Body.octet()]);
                self.fail(slot, number, error.into());
                return Step::Took(bytes.len());
            }
        }
        if let Some(channel) = connection.channel(number) {
            channel.assembly.body_bytes(&bytes[..taken]);
            if ended {
                self.content_frame_ended(slot, number);
            }
        }
        Step::Took(taken)
    }

    fn frame(&mut self, slot: u32, frame: &Frame<'_>, raw: &[u8]) -> Step {
        let Some(connection) = self.rooms.outward.connections.get_mut(slot) else {
            return Step::Took(raw.len());
        };
        let number = frame.channel;
        if frame.kind == FrameKind::Heartbeat {
            if number != ChannelNumber(0) {
                self.fail(slot, number, unexpected_frame(frame).into());
            }
            return Step::Took(raw.len());
        }
        if connection.is_open()
            && let Some(channel) = connection.channel(number)
            && channel.is_parked()
        {
            // What is read is kept; from PARKED_BYTES_MAX on `may_read` says no.
            channel.parked.push(raw);
            connection.parked_bytes += raw.len();
            return Step::Took(raw.len());
        }
        if self.waits_for_alarm(slot, frame, raw) {
            return Step::Took(raw.len());
        }
        if let Err(failure) = self.run_frame(slot, frame, raw) {
            self.fail(slot, number, failure);
        }
        self.run_local();
        Step::Took(raw.len())
    }

    /// A frame whose turn it is.
    pub(super) fn run_frame(&mut self, slot: u32, frame: &Frame<'_>, raw: &[u8]) -> Result<(), Failure> {
        let Some(connection) = self.rooms.outward.connections.get_mut(slot) else { return Ok(()) };
        match (&connection.phase, frame.channel) {
            (Phase::Closing(_), ChannelNumber(0)) => self.frame_while_closing(slot, frame),
            (Phase::Closing(_), _) => Ok(()),
            (_, ChannelNumber(0)) => self.connection_frame(slot, frame),
            (Phase::Open, number) => self.channel_frame(slot, number, frame, raw),
            (Phase::Header | Phase::Handshake(_) | Phase::Refused { .. }, _) => {
                Err(unexpected_frame(frame).into())
            }
        }
    }

    fn frame_while_closing(&mut self, slot: u32, frame: &Frame<'_>) -> Result<(), Failure> {
        if frame.kind != FrameKind::Method {
            return Ok(());
        }
        match Method::decode(frame.payload) {
            Ok(Method::ConnectionCloseOk {}) => self.close_ok_received(slot),
            // Both sides closed at once: each answers the other.
            Ok(Method::ConnectionClose { .. }) => {
                if let Some(connection) = self.rooms.outward.connections.get_mut(slot) {
                    connection.reply(ChannelNumber(0), &Method::ConnectionCloseOk {});
                    self.rooms.outward.touch(slot);
                }
            }
            Ok(_) | Err(_) => {}
        }
        Ok(())
    }

    fn connection_frame(&mut self, slot: u32, frame: &Frame<'_>) -> Result<(), Failure> {
        if frame.kind != FrameKind::Method {
            return Err(unexpected_frame(frame).into());
        }
        let method = method_of(frame)?;
        let Some(connection) = self.rooms.outward.connections.get_mut(slot) else { return Ok(()) };
        match &mut connection.phase {
            Phase::Handshake(handshake) => {
                let insider = connection.trusted.then(Access::insider);
                let access = insider.as_ref().unwrap_or(&self.access);
                let progress = handshake.on_method(&method, access, connection.outbox.buffer());
                self.rooms.outward.touch(slot);
                self.handshake_progress(slot, progress);
                Ok(())
            }
            Phase::Header | Phase::Open | Phase::Closing(_) | Phase::Refused { .. } => {
                self.connection_method(slot, &method)
            }
        }
    }

    pub(super) fn handshake_progress(&mut self, slot: u32, progress: Result<Progress, Refusal>) {
        let now = self.now;
        let Some(connection) = self.rooms.outward.connections.get_mut(slot) else { return };
        match progress {
            Ok(Progress::Continue) => {}
            Ok(Progress::Judge(claim)) => self.claim(slot, claim),
            Ok(Progress::Open(session)) => {
                let Some(router) = self.routers.enter(&session.vhost) else {
                    return self.fail(slot, ChannelNumber(0), no_vhost(&session.vhost).into());
                };
                let max = self.parameters.limits(&session.vhost).max_connections;
                let entered = if connection.trusted {
                    Ok(None)
                } else if connection.internal {
                    self.access.check_entry(&session.user, &session.vhost).map(|()| None)
                } else {
                    self.access.enter(&session.user, &session.vhost, max).map(Some)
                };
                connection.seat = match entered {
                    Ok(seat) => seat,
                    Err(text) => {
                        let error = ConnectionError::new(ReplyCode::NotAllowed, text, (10, 40));
                        return self.fail(slot, ChannelNumber(0), error.into());
                    }
                };
                self.memos[slot as usize].router = router;
                connection.reply(ChannelNumber(0), &Method::ConnectionOpenOk);
                connection.frame_max = session.frame_max;
                connection.heartbeat.set_interval(session.heartbeat_s, now);
                connection.session = Some(Box::new(session));
                connection.phase = Phase::Open;
                self.unauthenticated -= 1;
                self.rooms.outward.counters.logins += u64::from(!connection.internal);
                self.set_permit(slot);
                self.note(slot, What::Entered);
                let Some(connection) = self.rooms.outward.connections.get_mut(slot) else { return };
                let next = connection.heartbeat.next(now);
                connection.heartbeat.due_at = u64::MAX;
                if let Some(at) = next {
                    self.schedule(slot, at);
                }
            }
            Err(Refusal::Close(error)) => self.fail(slot, ChannelNumber(0), error.into()),
            Err(Refusal::CloseAfter3s(error)) => {
                error.encode(connection.outbox.buffer());
                self.refuse(slot, without_octets(&error.reply_text()));
            }
            // Whoever is told nothing was refused a login, of which there is more to tell.
            Err(Refusal::SilentAfter3s) => self.refuse(slot, String::new()),
        }
    }

    /// The socket stays open for a while, so that guessing passwords is slow. `text`: why, if it was not the login.
    fn refuse(&mut self, slot: u32, text: String) {
        let mut longer = 0;
        if let Some(connection) = self.rooms.outward.connections.get(slot)
            && let Phase::Handshake(handshake) = &connection.phase
        {
            let refused = handshake.refused_login();
            if refused.is_some() && !connection.internal {
                let max = self.config.unauthenticated_max;
                longer = self.guesses.failed(connection.address.ip(), self.now, max);
            }
            let text = refused.map_or(text, ToString::to_string);
            self.note_failure(slot, ChannelNumber(0), text);
        }
        self.rooms.outward.counters.logins_refused += 1;
        let close_at = self.now + REFUSAL_DELAY_NS + longer;
        if let Some(connection) = self.rooms.outward.connections.get_mut(slot) {
            connection.phase = Phase::Refused { close_at, later: longer > 0 };
        }
        self.rooms.outward.touch(slot);
        self.schedule(slot, close_at);
    }

    fn channel_frame(
        &mut self,
        slot: u32,
        number: ChannelNumber,
        frame: &Frame<'_>,
        raw: &[u8],
    ) -> Result<(), Failure> {
        let Some(connection) = self.rooms.outward.connections.get_mut(slot) else { return Ok(()) };
        let Some(channel) = connection.channel(number) else { return self.unopened(slot, number, frame) };
        if let ChannelState::Closing { close_ok, .. } = channel.state {
            return self.frame_while_channel_closes(slot, number, close_ok, frame);
        }
        match frame.kind {
            FrameKind::Method => {
                // Behind a content that waits for the alarm to go, only what settles comes here.
                if !matches!(channel.assembly, Assembly::Idle) && channel.blocked == Blocked::No {
                    return Err(channel.assembly.unexpected());
                }
                let method = method_of(frame)?;
                self.channel_method(slot, number, &method)
            }
            FrameKind::Header => {
                let assembled =
                    channel.assembly.header(frame.payload, number, self.config.message_bytes_max)?;
                self.assembled(slot, number, assembled)
            }
            FrameKind::Body => {
                channel.assembly.body_begins(&raw[..FRAME_HEAD_LEN], frame.payload.len() as u64)?;
                channel.assembly.body_bytes(&raw[FRAME_HEAD_LEN..]);
                self.content_frame_ended(slot, number);
                Ok(())
            }
            FrameKind::Heartbeat => Ok(()),
        }
    }

    fn content_frame_ended(&mut self, slot: u32, number: ChannelNumber) {
        let Some(connection) = self.rooms.outward.connections.get_mut(slot) else { return };
        let Some(channel) = connection.channel(number) else { return };
        let assembled = channel.assembly.finish();
        if let Err(failure) = self.assembled(slot, number, assembled) {
            self.fail(slot, number, failure);
        }
    }

    /// The first method on a channel number can only be channel.open.
    fn unopened(&mut self, slot: u32, number: ChannelNumber, frame: &Frame<'_>) -> Result<(), Failure> {
        let method = match frame.kind {
            FrameKind::Method => method_of(frame)?,
            FrameKind::Header | FrameKind::Body | FrameKind::Heartbeat => {
                return Err(Assembly::Idle.unexpected());
            }
        };
        match method {
            Method::ChannelOpen {} => self.channel_open(slot, number),
            // A close-ok for a channel that both sides closed at once.
            Method::ChannelCloseOk {} => Ok(()),
            _ => {
                Err(ConnectionError::new(ReplyCode::ChannelError, "expected 'channel.open'", method.ids())
                    .into())
            }
        }
    }

    /// After a channel error everything is ignored until close-ok; a crossing close is answered.
    fn frame_while_channel_closes(
        &mut self,
        slot: u32,
        number: ChannelNumber,
        close_ok: CloseOk,
        frame: &Frame<'_>,
    ) -> Result<(), Failure> {
        if close_ok != CloseOk::ClientOwes || frame.kind != FrameKind::Method {
            return Ok(());
        }
        match Method::decode(frame.payload) {
            Ok(Method::ChannelCloseOk {}) => self.no_more_close_ok(slot, number),
            Ok(Method::ChannelClose { .. }) => {
                if let Some(connection) = self.rooms.outward.connections.get_mut(slot) {
                    connection.reply(number, &Method::ChannelCloseOk {});
                    self.rooms.outward.touch(slot);
                }
            }
            Ok(_) | Err(_) => {}
        }
        Ok(())
    }
}

fn channel_of(frame: &[u8]) -> ChannelNumber {
    ChannelNumber(u16::from_be_bytes([frame[1], frame[2]]))
}

fn method_of<'a>(frame: &Frame<'a>) -> Result<Method<'a>, ConnectionError> {
    Method::decode_from_client(frame.payload).map_err(|error| method_error(error, frame))
}

impl Connection {
    pub(super) fn channel_max(&self) -> u16 {
        self.session.as_ref().map_or(0, |session| session.channel_max)
    }
}
