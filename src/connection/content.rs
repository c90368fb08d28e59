//! A publish whose content comes in pieces: frame by frame, or a body frame in several reads.

use bytes::Bytes;

use super::Failure;
use crate::amqp::content::ContentHeader;
use crate::amqp::frame::{FrameKind, encode_frame};
use crate::amqp::reply::{ChannelError, ConnectionError, ReplyCode};
use crate::amqp::wire::ShortStr;
use crate::ids::ChannelNumber;
use crate::limits::PAGED_BYTES_MAX;

/// Where a channel stands within a content.
#[derive(Debug, Default)]
pub enum Assembly {
    #[default]
    Idle,
    Header {
        route: Vec<u8>,
        mandatory: bool,
    },
    /// `record` is the route and the frames so far, verbatim; `left` bytes of body are to come.
    Body {
        record: Vec<u8>,
        mandatory: bool,
        left: u64,
    },
}

/// A content that is complete: its record, ready to be routed.
pub struct Assembled {
    pub record: Bytes,
    pub mandatory: bool,
}

impl Assembly {
    /// basic.publish came; its content header is next.
    pub fn begin(&mut self, exchange: &ShortStr<'_>, routing_key: &ShortStr<'_>, mandatory: bool) {
        let mut route = Vec::with_capacity(2 + exchange.len() + routing_key.len());
        for name in [exchange, routing_key] {
            route.push(name.len() as u8);
            route.extend_from_slice(name);
        }
        *self = Assembly::Header { route, mandatory };
    }

    /// The content header. Nothing is allocated for the size it announces.
    pub fn header(
        &mut self,
        payload: &[u8],
        channel: ChannelNumber,
        body_max: u64,
    ) -> Result<Option<Assembled>, Failure> {
        let &mut Assembly::Header { ref mut route, mandatory } = self else { return Err(self.unexpected()) };
        let route = std::mem::take(route);
        check_head(payload)?;
        let header = ContentHeader::decode(payload).map_err(|_| syntax())?;
        if header.body_size > body_max {
            let text =
                format!("message size {} is larger than configured max size {body_max}", header.body_size);
            return Err(ChannelError::new(ReplyCode::PreconditionFailed, text, PUBLISH).into());
        }
        let mut record = route;
        encode_frame(&mut record, FrameKind::Header, channel, |out| out.extend_from_slice(payload));
        *self = Assembly::Body { record, mandatory, left: header.body_size };
        Ok(self.finish())
    }

    /// A body frame of `payload_bytes` begins; its frame head goes to the record as it came.
    pub fn body_begins(&mut self, head: &[u8], payload_bytes: u64) -> Result<(), Failure> {
        let Assembly::Body { record, left, .. } = self else {
            return Err(self.unexpected());
        };
        if payload_bytes > *left {
            let text = "content body frame exceeds remaining content size".to_owned();
            return Err(ConnectionError::new(ReplyCode::FrameError, text, PUBLISH).into());
        }
        *left -= payload_bytes;
        record.extend_from_slice(head);
        Ok(())
    }

    /// More bytes of the body frame that has begun, its end octet included.
    pub fn body_bytes(&mut self, bytes: &[u8]) {
        if let Assembly::Body { record, .. } = self {
            record.extend_from_slice(bytes);
        }
    }

    /// To be asked when a frame has ended.
    pub fn finish(&mut self) -> Option<Assembled> {
        let Assembly::Body { left: 0, .. } = self else { return None };
        let Assembly::Body { mut record, mandatory, .. } = std::mem::take(self) else { return None };
        if record.len() > PAGED_BYTES_MAX {
            // It stays as it is, so it should not hold twice its size.
            record.shrink_to_fit();
        }
        Some(Assembled { record: Bytes::from(record), mandatory })
    }

    /// 505 in RabbitMQ's words: what was expected here.
    pub fn unexpected(&self) -> Failure {
        let (text, method) = match self {
            Assembly::Idle => ("expected method frame, got non method frame instead", (0, 0)),
            Assembly::Header { .. } => {
                ("expected content header for class 60, got non content header frame instead", PUBLISH)
            }
            Assembly::Body { .. } => ("expected content body, got non content body frame instead", PUBLISH),
        };
        ConnectionError::new(ReplyCode::UnexpectedFrame, text, method).into()
    }

    pub fn in_body(&self) -> bool {
        matches!(self, Assembly::Body { .. })
    }
}

/// Class and weight are judged before the properties, which RabbitMQ reads later. A weight it takes for no header at all.
fn check_head(payload: &[u8]) -> Result<(), Failure> {
    match payload {
        [0, 60, 0, 0, ..] => Ok(()),
        &[high, low, 0, 0, ..] => {
            let class = u16::from_be_bytes([high, low]);
            let text = format!("expected content header for class 60, got one for class {class} instead");
            Err(ConnectionError::new(ReplyCode::UnexpectedFrame, text, PUBLISH).into())
        }
        _ => Err(Assembly::Header { route: Vec::new(), mandatory: false }.unexpected()),
    }
}

fn syntax() -> Failure {
    ConnectionError::new(ReplyCode::SyntaxError, "malformed content header", PUBLISH).into()
}

/// Class and method id of basic.publish.
const PUBLISH: (u16, u16) = (60, 40);
