//! Walks the frames that a broker sends, in place in the receive buffer, and hands on whole messages and methods.
//!
//! Every frame is looked at: kind, channel, size, end octet, and the order method, header, body. The common case is a
//! delivery whose three frames lie complete in the buffer ([`whole_delivery`]); bodies of several frames and messages
//! cut by the end of the buffer are collected per channel.

use haremq::amqp::frame::{FRAME_END, FRAME_HEAD_LEN, FRAME_OVERHEAD};

/// Takes what the parser finds.
pub trait Sink {
    fn delivered(&mut self, delivery: Delivery, body: &[u8]);
    /// A message that could not be routed came back, on this channel.
    fn returned(&mut self, channel: u16, body: &[u8]);
    /// Any method without content; `Err` ends the parsing.
    fn method(&mut self, channel: u16, payload: &[u8]) -> Result<(), String>;
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Delivery {
    pub channel: u16,
    pub tag: u64,
    pub redelivered: bool,
}

/// What is under way on one connection.
#[derive(Default)]
pub struct Parser {
    /// By channel number.
    contents: Vec<Content>,
    /// The body frame that the buffer ended in: its channel, and how many bytes of payload are still to come.
    cut: Option<(u16, usize)>,
}

/// A message of which frames are still to come.
#[derive(Default)]
struct Content {
    state: State,
    body: Vec<u8>,
}

#[derive(Clone, Copy, Default)]
enum State {
    #[default]
    Idle,
    Header(Origin),
    Body(Origin, u64),
}

#[derive(Clone, Copy)]
enum Origin {
    Delivery(Delivery),
    Return,
}

impl Parser {
    /// Parses as many frames as are complete, and pieces of a body frame that is not. Returns how many bytes were
    /// taken; the rest is to be handed in again in front of what comes next, and is shorter than a method frame.
    pub fn parse(&mut self, bytes: &[u8], sink: &mut impl Sink) -> Result<usize, String> {
        let mut at = 0;
        loop {
            let rest = &bytes[at..];
            if self.cut.is_none()
                && let Some((delivery, body, len)) = whole_delivery(rest)
            {
                self.refuse_nested(delivery.channel)?;
                sink.delivered(delivery, body);
                at += len;
                continue;
            }
            match self.step(rest, sink)? {
                0 => return Ok(at),
                taken => at += taken,
            }
        }
    }

    /// A delivery may not begin before the content of the last one on its channel is complete.
    #[inline]
    fn refuse_nested(&self, channel: u16) -> Result<(), String> {
        match self.contents.get(usize::from(channel)) {
            None | Some(Content { state: State::Idle, .. }) => Ok(()),
            Some(_) => Err(format!("channel {channel}: a method where a content frame was due")),
        }
    }

    /// One frame, or a piece of a body; 0 if more bytes are needed.
    fn step(&mut self, bytes: &[u8], sink: &mut impl Sink) -> Result<usize, String> {
        if let Some((channel, left)) = self.cut {
            return self.body_piece(channel, left, bytes, sink);
        }
        let Some(head) = bytes.first_chunk::<FRAME_HEAD_LEN>() else { return Ok(0) };
        let channel = u16::from_be_bytes([head[1], head[2]]);
        let size = u32::from_be_bytes([head[3], head[4], head[5], head[6]]) as usize;
        if size > PAYLOAD_BYTES_MAX {
            return Err(format!("channel {channel}: a frame of {size} bytes"));
        }
        if head[0] == BODY {
            self.cut = Some((channel, size));
            return Ok(FRAME_HEAD_LEN);
        }
        let Some(&end) = bytes.get(FRAME_HEAD_LEN + size) else { return Ok(0) };
        if end != FRAME_END {
            return Err(format!("channel {channel}: a frame ends with {end:#04x}"));
        }
        let payload = &bytes[FRAME_HEAD_LEN..FRAME_HEAD_LEN + size];
        match head[0] {
            METHOD => self.method(channel, payload, sink)?,
            HEADER => self.header(channel, payload, sink)?,
            HEARTBEAT => {}
            kind => return Err(format!("a frame of kind {kind}")),
        }
        Ok(FRAME_OVERHEAD + size)
    }

    fn method(&mut self, channel: u16, payload: &[u8], sink: &mut impl Sink) -> Result<(), String> {
        self.refuse_nested(channel)?;
        let origin = match payload.first_chunk::<4>() {
            Some(&BASIC_DELIVER) => {
                Origin::Delivery(delivery(channel, payload).ok_or("a basic.deliver with a wrong length")?)
            }
            Some(&BASIC_RETURN) => Origin::Return,
            Some(_) | None => return sink.method(channel, payload),
        };
        self.content(channel).state = State::Header(origin);
        Ok(())
    }

    fn header(&mut self, channel: u16, payload: &[u8], sink: &mut impl Sink) -> Result<(), String> {
        let content = self.content(channel);
        let State::Header(origin) = content.state else {
            return Err(format!("channel {channel}: a content header without its method"));
        };
        let size = body_size(payload).ok_or("a content header too short or not of class basic")?;
        if size > BODY_BYTES_MAX {
            return Err(format!("channel {channel}: a body of {size} bytes"));
        }
        content.state = State::Body(origin, size);
        content.body.clear();
        content.finish_if_whole(channel, sink);
        Ok(())
    }

    /// Takes what is there of a body frame, and its end octet with the last piece.
    fn body_piece(
        &mut self,
        channel: u16,
        left: usize,
        bytes: &[u8],
        sink: &mut impl Sink,
    ) -> Result<usize, String> {
        if bytes.is_empty() {
            return Ok(0);
        }
        let content = self.content(channel);
        let State::Body(_, size) = content.state else {
            return Err(format!("channel {channel}: a body frame that nothing announced"));
        };
        let (piece, end) = bytes.split_at(left.min(bytes.len()));
        content.body.extend_from_slice(piece);
        if content.body.len() as u64 > size {
            return Err(format!("channel {channel}: more body than the {size} bytes announced"));
        }
        match end.first() {
            None => {
                self.cut = Some((channel, left - piece.len()));
                Ok(piece.len())
            }
            Some(&FRAME_END) => {
                content.finish_if_whole(channel, sink);
                self.cut = None;
                Ok(piece.len() + 1)
            }
            Some(end) => Err(format!("channel {channel}: a body frame ends with {end:#04x}")),
        }
    }

    fn content(&mut self, channel: u16) -> &mut Content {
        let index = usize::from(channel);
        if index >= self.contents.len() {
            self.contents.resize_with(index + 1, Content::default);
        }
        &mut self.contents[index]
    }
}

impl Content {
    fn finish_if_whole(&mut self, channel: u16, sink: &mut impl Sink) {
        let State::Body(origin, size) = self.state else { return };
        if self.body.len() as u64 != size {
            return;
        }
        match origin {
            Origin::Delivery(delivery) => sink.delivered(delivery, &self.body),
            Origin::Return => sink.returned(channel, &self.body),
        }
        self.state = State::Idle;
    }
}

/// A delivery of one body frame at the start of `bytes`, complete and without fault: itself, its body, its length.
/// None leaves the judgement to [`Parser::step`].
#[inline]
fn whole_delivery(bytes: &[u8]) -> Option<(Delivery, &[u8], usize)> {
    let (method, rest) = frame(bytes, METHOD)?;
    let channel = &bytes[1..3];
    if *method.first_chunk::<4>()? != BASIC_DELIVER {
        return None;
    }
    let delivery = delivery(u16::from_be_bytes([channel[0], channel[1]]), method)?;
    let (header, after) = frame(rest, HEADER)?;
    let (body, end) = frame(after, BODY)?;
    let whole = rest[1..3] == *channel && after[1..3] == *channel && body_size(header)? == body.len() as u64;
    whole.then_some((delivery, body, bytes.len() - end.len()))
}

/// The payload of the frame at the start of `bytes` and what follows it, if it is complete and of that kind.
#[inline]
fn frame(bytes: &[u8], kind: u8) -> Option<(&[u8], &[u8])> {
    let (head, rest) = bytes.split_first_chunk::<FRAME_HEAD_LEN>()?;
    let size = u32::from_be_bytes([head[3], head[4], head[5], head[6]]) as usize;
    let (payload, rest) = rest.split_at_checked(size)?;
    let (&end, rest) = rest.split_first()?;
    (head[0] == kind && end == FRAME_END).then_some((payload, rest))
}

/// Reads class, method, consumer tag, delivery tag, redelivered, exchange, routing key; None unless they fill the
/// payload exactly.
#[inline]
fn delivery(channel: u16, payload: &[u8]) -> Option<Delivery> {
    let after_consumer_tag = skip_short_string(payload.get(4..)?)?;
    let (tag, rest) = after_consumer_tag.split_first_chunk::<8>()?;
    let (&redelivered, rest) = rest.split_first()?;
    let rest = skip_short_string(skip_short_string(rest)?)?;
    let delivery = Delivery { channel, tag: u64::from_be_bytes(*tag), redelivered: redelivered & 1 != 0 };
    rest.is_empty().then_some(delivery)
}

#[inline]
fn skip_short_string(bytes: &[u8]) -> Option<&[u8]> {
    let (&len, rest) = bytes.split_first()?;
    rest.get(usize::from(len)..)
}

/// Class, weight, body size, property flags.
#[inline]
fn body_size(header: &[u8]) -> Option<u64> {
    let fixed = header.first_chunk::<14>()?;
    let (class, rest) = fixed.split_first_chunk::<4>()?;
    (*class == [0, CLASS_BASIC, 0, 0]).then_some(u64::from_be_bytes(*rest.first_chunk()?))
}

const METHOD: u8 = 1;
const HEADER: u8 = 2;
const BODY: u8 = 3;
const HEARTBEAT: u8 = 8;
const CLASS_BASIC: u8 = 60;
const BASIC_RETURN: [u8; 4] = [0, CLASS_BASIC, 0, 50];
const BASIC_DELIVER: [u8; 4] = [0, CLASS_BASIC, 0, 60];
/// No broker negotiates larger frames; a larger size means that the stream is out of step.
const PAYLOAD_BYTES_MAX: usize = 16 << 20;
/// RabbitMQ's highest limit for a message.
const BODY_BYTES_MAX: u64 = 512 << 20;

#[cfg(test)]
mod tests;
