//! Why a channel or a connection was closed: the reply codes, and the close methods that carry them.

use super::method::Method;
use super::wire::ShortStr;
use crate::ids::ChannelNumber;

/// The codes of the specification, 1.3. A soft one closes a channel, a hard one the connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u16)]
pub enum ReplyCode {
    ReplySuccess = 200,
    ContentTooLarge = 311,
    /// Only in basic.return, like `NoConsumers`.
    NoRoute = 312,
    NoConsumers = 313,
    ConnectionForced = 320,
    InvalidPath = 402,
    AccessRefused = 403,
    NotFound = 404,
    ResourceLocked = 405,
    PreconditionFailed = 406,
    FrameError = 501,
    SyntaxError = 502,
    CommandInvalid = 503,
    ChannelError = 504,
    UnexpectedFrame = 505,
    ResourceError = 506,
    NotAllowed = 530,
    NotImplemented = 540,
    InternalError = 541,
}

impl ReplyCode {
    pub fn code(self) -> u16 {
        self as u16
    }

    pub fn name(self) -> &'static str {
        match self {
            ReplyCode::ReplySuccess => "REPLY_SUCCESS",
            ReplyCode::ContentTooLarge => "CONTENT_TOO_LARGE",
            ReplyCode::NoRoute => "NO_ROUTE",
            ReplyCode::NoConsumers => "NO_CONSUMERS",
            ReplyCode::ConnectionForced => "CONNECTION_FORCED",
            ReplyCode::InvalidPath => "INVALID_PATH",
            ReplyCode::AccessRefused => "ACCESS_REFUSED",
            ReplyCode::NotFound => "NOT_FOUND",
            ReplyCode::ResourceLocked => "RESOURCE_LOCKED",
            ReplyCode::PreconditionFailed => "PRECONDITION_FAILED",
            ReplyCode::FrameError => "FRAME_ERROR",
            ReplyCode::SyntaxError => "SYNTAX_ERROR",
            ReplyCode::CommandInvalid => "COMMAND_INVALID",
            ReplyCode::ChannelError => "CHANNEL_ERROR",
            ReplyCode::UnexpectedFrame => "UNEXPECTED_FRAME",
            ReplyCode::ResourceError => "RESOURCE_ERROR",
            ReplyCode::NotAllowed => "NOT_ALLOWED",
            ReplyCode::NotImplemented => "NOT_IMPLEMENTED",
            ReplyCode::InternalError => "INTERNAL_ERROR",
        }
    }

    /// Soft codes close a channel, hard ones the connection. 200 is neither, but may stand in either close.
    ///
    /// 403 is soft, and yet RabbitMQ closes a connection with it when a login fails.
    pub fn is_soft(self) -> bool {
        match self {
            ReplyCode::ContentTooLarge
            | ReplyCode::NoRoute
            | ReplyCode::NoConsumers
            | ReplyCode::AccessRefused
            | ReplyCode::NotFound
            | ReplyCode::ResourceLocked
            | ReplyCode::PreconditionFailed => true,
            ReplyCode::ReplySuccess
            | ReplyCode::ConnectionForced
            | ReplyCode::InvalidPath
            | ReplyCode::FrameError
            | ReplyCode::SyntaxError
            | ReplyCode::CommandInvalid
            | ReplyCode::ChannelError
            | ReplyCode::UnexpectedFrame
            | ReplyCode::ResourceError
            | ReplyCode::NotAllowed
            | ReplyCode::NotImplemented
            | ReplyCode::InternalError => false,
        }
    }
}

/// What closes a channel. `text` is the explanation without the code's name; the ids are those of the method at fault.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ChannelError {
    pub code: ReplyCode,
    pub text: String,
    pub class_id: u16,
    pub method_id: u16,
}

impl ChannelError {
    /// `method` is the class and method id at fault, `(0, 0)` if there is none.
    pub fn new(code: ReplyCode, text: impl Into<String>, method: (u16, u16)) -> ChannelError {
        debug_assert!(code.is_soft(), "{code:?} closes a connection");
        ChannelError { code, text: text.into(), class_id: method.0, method_id: method.1 }
    }

    /// `NAME - explanation`, cut with `...` to what a short string holds, as RabbitMQ does.
    pub fn reply_text(&self) -> String {
        reply_text(self.code, &self.text)
    }

    /// Appends a channel.close frame.
    pub fn encode(&self, channel: ChannelNumber, out: &mut Vec<u8>) {
        debug_assert!(self.code.is_soft(), "{:?} closes a connection", self.code);
        let text = self.reply_text();
        let close = Method::ChannelClose {
            reply_code: self.code.code(),
            reply_text: short(&text),
            class_id: self.class_id,
            method_id: self.method_id,
        };
        close.encode(channel, out);
    }
}

/// What closes a connection; the fields are those of [`ChannelError`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConnectionError {
    pub code: ReplyCode,
    pub text: String,
    pub class_id: u16,
    pub method_id: u16,
}

impl ConnectionError {
    /// `method` is the class and method id at fault, `(0, 0)` if there is none.
    pub fn new(code: ReplyCode, text: impl Into<String>, method: (u16, u16)) -> ConnectionError {
        debug_assert!(code.closes_connection(), "{code:?} closes a channel");
        ConnectionError { code, text: text.into(), class_id: method.0, method_id: method.1 }
    }

    /// `NAME - explanation`, cut with `...` to what a short string holds, as RabbitMQ does.
    pub fn reply_text(&self) -> String {
        reply_text(self.code, &self.text)
    }

    /// Appends a connection.close frame, which always goes out on channel 0.
    pub fn encode(&self, out: &mut Vec<u8>) {
        debug_assert!(self.code.closes_connection(), "{:?} closes a channel", self.code);
        let text = self.reply_text();
        let close = Method::ConnectionClose {
            reply_code: self.code.code(),
            reply_text: short(&text),
            class_id: self.class_id,
            method_id: self.method_id,
        };
        close.encode(ChannelNumber(0), out);
    }
}

impl ReplyCode {
    fn closes_connection(self) -> bool {
        !self.is_soft() || self == ReplyCode::AccessRefused
    }
}

fn reply_text(code: ReplyCode, explanation: &str) -> String {
    let mut text = format!("{} - {explanation}", code.name());
    if text.len() > ShortStr::LEN_MAX {
        text.truncate(text.floor_char_boundary(ShortStr::LEN_MAX - 3));
        text.push_str("...");
    }
    text
}

fn short(text: &str) -> ShortStr<'_> {
    ShortStr::new(text.as_bytes()).expect("a reply text was cut to fit")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_text_begins_with_the_name_of_its_code() {
        let error = ChannelError::new(ReplyCode::NotFound, "no queue 'q' in vhost '/'", (50, 10));
        assert_eq!(error.reply_text(), "NOT_FOUND - no queue 'q' in vhost '/'");
    }

    #[test]
    fn a_long_reply_text_is_cut_between_characters() {
        let error = ConnectionError::new(ReplyCode::NotAllowed, "\u{e4}".repeat(200), (10, 40));
        let text = error.reply_text();
        assert_eq!(text.len(), 255, "14 octets of name and dash, then 119 whole characters");
        assert!(text.ends_with("\u{e4}..."));
    }

    #[test]
    fn a_channel_close_names_the_method_at_fault() {
        let mut out = Vec::new();
        ChannelError::new(ReplyCode::NotFound, "x", (50, 10)).encode(ChannelNumber(3), &mut out);
        assert_eq!(out, b"\x01\0\x03\0\0\0\x18\0\x14\0\x28\x01\x94\x0DNOT_FOUND - x\0\x32\0\x0A\xCE");
    }

    #[test]
    fn a_connection_close_goes_out_on_channel_zero() {
        let mut out = Vec::new();
        ConnectionError::new(ReplyCode::FrameError, "", (0, 0)).encode(&mut out);
        assert_eq!(out, b"\x01\0\0\0\0\0\x19\0\x0A\0\x32\x01\xF5\x0EFRAME_ERROR - \0\0\0\0\xCE");
    }
}
