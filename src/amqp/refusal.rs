//! What RabbitMQ says of octets that it cannot read (rabbit_reader, rabbit_binary_parser), to the letter; and how Erlang
//! prints octets, as its texts show them.

use std::fmt::Write;

use super::frame::{FRAME_HEAD_LEN, Frame, FrameError};
use super::method::{MethodError, method_name};
use super::reply::{ConnectionError, ReplyCode};
use crate::ids::ChannelNumber;

/// 501 for a frame that is none. `bytes` begins with it.
pub fn frame_error(error: FrameError, bytes: &[u8]) -> ConnectionError {
    let (payload, what) = match error {
        FrameError::Unknown(_) => (payload_of(bytes), "unknown_frame".to_owned()),
        FrameError::TooLarge { size, max } => (&[][..], format!("{{frame_too_large,{size},{max}}}")),
        FrameError::BadEnd(octet) => (payload_of(bytes), format!("{{invalid_frame_end_marker,{octet}}}")),
    };
    let kind = bytes.first().copied().unwrap_or_default();
    ConnectionError::new(ReplyCode::FrameError, format!("{}: {what}", shown(kind, payload)), (0, 0))
}

/// 505 for a frame that does not belong where it came.
pub fn unexpected_frame(frame: &Frame<'_>) -> ConnectionError {
    ConnectionError::new(ReplyCode::UnexpectedFrame, shown(frame.kind.octet(), frame.payload), (0, 0))
}

/// 501 for arguments that are too short or too long for their method. What RabbitMQ's reader only crashes on gets an
/// answer of our own: 502 for what is wrong inside a table, and 503 for a method that there is not.
pub fn method_error(error: MethodError, frame: &Frame<'_>) -> ConnectionError {
    match error {
        MethodError::Unknown { class_id, method_id } => {
            let text = format!("unknown method {class_id}/{method_id}");
            ConnectionError::new(ReplyCode::CommandInvalid, text, (class_id, method_id))
        }
        MethodError::Length { class_id, method_id } => {
            let arguments = frame.payload.get(4..).unwrap_or_default();
            let text = format!("cannot decode {}", octets(arguments));
            ConnectionError::new(ReplyCode::FrameError, text, (class_id, method_id))
        }
        MethodError::Syntax { class_id, method_id, what } => {
            let name = method_name(class_id, method_id).unwrap_or("method");
            let text = format!("cannot decode {name}: {what}");
            ConnectionError::new(ReplyCode::SyntaxError, text, (class_id, method_id))
        }
        // Here RabbitMQ names the method on channel 0 alone.
        MethodError::Utf8 { class_id, method_id } => {
            let method = if frame.channel == ChannelNumber(0) { (class_id, method_id) } else { (0, 0) };
            ConnectionError::new(ReplyCode::FrameError, "Malformed UTF-8 in shortstr", method)
        }
    }
}

/// `~p` of a binary: as text if all of it is printable. Erlang would break the line at 80 columns; we do not.
pub fn binary(bytes: &[u8]) -> String {
    let printable = |octet: &u8| matches!(octet, b' '..=b'~' | 0x08..=0x0D | 0x1B);
    if bytes.is_empty() || !bytes.iter().all(printable) {
        return octets(bytes);
    }
    format!("<<\"{}\">>", escaped(bytes))
}

/// `~p` of a list of characters of one octet each: as text if all of it can be printed, else as a list of numbers. In
/// the text the octets stay what they are, as a client's text is UTF-8 more often than Latin-1.
pub fn string(characters: &[u8]) -> String {
    let printable = |octet: &u8| matches!(octet, b' '..=b'~' | 0xA0..=0xFF | 0x08..=0x0D | 0x1B);
    if characters.is_empty() || !characters.iter().all(printable) {
        return format!("[{}]", numbers(characters));
    }
    format!("\"{}\"", escaped(characters))
}

/// `~w` of a binary.
fn octets(bytes: &[u8]) -> String {
    format!("<<{}>>", numbers(bytes))
}

fn numbers(octets: &[u8]) -> String {
    let mut text = String::new();
    for (at, octet) in octets.iter().take(SHOWN_MAX).enumerate() {
        let comma = if at == 0 { "" } else { "," };
        write!(text, "{comma}{octet}").expect("a string takes all");
    }
    text
}

fn escaped(characters: &[u8]) -> String {
    let mut text = Vec::new();
    for octet in characters.iter().take(SHOWN_MAX) {
        match octet {
            b'"' | b'\\' => text.extend([b'\\', *octet]),
            0x08 => text.extend(b"\\b"),
            b'\t' => text.extend(b"\\t"),
            b'\n' => text.extend(b"\\n"),
            0x0B => text.extend(b"\\v"),
            0x0C => text.extend(b"\\f"),
            b'\r' => text.extend(b"\\r"),
            0x1B => text.extend(b"\\e"),
            octet => text.push(*octet),
        }
    }
    String::from_utf8_lossy(&text).into_owned()
}

fn shown(kind: u8, payload: &[u8]) -> String {
    match payload.get(..SNIPPET_LEN) {
        Some(first) if payload.len() > SNIPPET_LEN => {
            format!("type {kind}, first 16 octets = {}", binary(first))
        }
        _ => format!("type {kind}, all octets = {}", binary(payload)),
    }
}

fn payload_of(frame: &[u8]) -> &[u8] {
    let Some(&[_, _, _, a, b, c, d]) = frame.first_chunk::<FRAME_HEAD_LEN>() else { return &[] };
    let size = u32::from_be_bytes([a, b, c, d]) as usize;
    frame.get(FRAME_HEAD_LEN..FRAME_HEAD_LEN + size).unwrap_or_default()
}

const SNIPPET_LEN: usize = 16;
/// A reply text has room for 255 octets, so the rest would be cut off anyway.
const SHOWN_MAX: usize = 255;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::amqp::frame::{self, FrameKind};
    use crate::amqp::method::Method;

    fn refused(bytes: &[u8]) -> String {
        let error = frame::decode(bytes, 4096).unwrap_err();
        frame_error(error, bytes).reply_text()
    }

    #[test]
    fn a_frame_that_is_none_is_shown_as_rabbitmq_shows_it() {
        let text = "FRAME_ERROR - type 4, all octets = <<\"text\">>: unknown_frame";
        assert_eq!(refused(b"\x04\0\x01\0\0\0\x04text\xCE"), text);
        let text = "FRAME_ERROR - type 1, all octets = <<0,10>>: unknown_frame";
        assert_eq!(refused(b"\x01\0\x01\0\0\0\x02\0\x0A\xCE"), text);
        let text = "FRAME_ERROR - type 3, all octets = <<>>: {frame_too_large,4097,4088}";
        assert_eq!(refused(b"\x03\0\x01\0\0\x10\x01abc"), text);
        let text = "FRAME_ERROR - type 8, all octets = <<>>: {invalid_frame_end_marker,7}";
        assert_eq!(refused(b"\x08\0\0\0\0\0\0\x07"), text);
    }

    #[test]
    fn of_a_long_frame_the_beginning_is_shown() {
        let payload = b"seventeen octets.";
        let frame = Frame { kind: FrameKind::Body, channel: ChannelNumber(0), payload };
        let text = "UNEXPECTED_FRAME - type 3, first 16 octets = <<\"seventeen octets\">>";
        assert_eq!(unexpected_frame(&frame).reply_text(), text);
    }

    #[test]
    fn a_method_is_refused_by_what_is_wrong_with_it() {
        for (payload, text) in [
            (&b"\0\x32\0\x0A\0\0\x05tas"[..], "FRAME_ERROR - cannot decode <<0,0,5,116,97,115>>"),
            (b"\0\x5A\0\x0A\0", "FRAME_ERROR - cannot decode <<0>>"),
            (
                b"\0\x32\0\x0A\0\0\x01q\0\0\0\0\x03\x01a?",
                "SYNTAX_ERROR - cannot decode queue.declare: arguments",
            ),
            (b"\0\x28\0\x29", "COMMAND_INVALID - unknown method 40/41"),
            (b"\0\x32\0\x1E\0\0\x02q\xFF\0", "FRAME_ERROR - Malformed UTF-8 in shortstr"),
        ] {
            let error = Method::decode_from_client(payload).unwrap_err();
            let frame = Frame { kind: FrameKind::Method, channel: ChannelNumber(1), payload };
            assert_eq!(method_error(error, &frame).reply_text(), text);
        }
    }

    #[test]
    fn octets_are_printed_as_text_if_they_are_text() {
        assert_eq!(binary(b""), "<<>>");
        assert_eq!(binary(b"say \"hi\"\n"), r#"<<"say \"hi\"\n">>"#);
        assert_eq!(binary(b"\0guest"), "<<0,103,117,101,115,116>>");
    }

    #[test]
    fn characters_are_printed_as_text_if_latin_1_can_print_them() {
        assert_eq!(string(b""), "[]");
        assert_eq!(string(b"say \"hi\"\\\n"), r#""say \"hi\"\\\n""#);
        assert_eq!(string("\u{e9}".as_bytes()), "\"\u{e9}\"");
        assert_eq!(string("\u{20ac}".as_bytes()), "[226,130,172]");
        assert_eq!(string(b"\x7F"), "[127]");
    }
}
