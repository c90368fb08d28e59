//! The expiration property of a message: decimal digits in a short string.

use crate::amqp::refusal::string;
use crate::limits::EXPIRY_MS_MAX;
use crate::text::lossy;

/// How long the message may wait, ms. The error is the text of a 406 (rabbit_basic:parse_expiration, which reads as
/// Erlang's string:to_integer does).
pub fn parse_expiration(text: &[u8]) -> Result<u64, String> {
    read(text).map_err(|what| format!("invalid expiration '{}': {what}", lossy(text)))
}

fn read(text: &[u8]) -> Result<u64, String> {
    let (sign, unsigned) = match text {
        [b'-', unsigned @ ..] => ("-", unsigned),
        [b'+', unsigned @ ..] => ("", unsigned),
        unsigned => ("", unsigned),
    };
    let end = unsigned.iter().position(|octet| !octet.is_ascii_digit()).unwrap_or(unsigned.len());
    let (digits, leftover) = unsigned.split_at(end);
    if digits.is_empty() {
        return Err("no_integer".to_owned());
    }
    if !leftover.is_empty() {
        return Err(format!("{{leftover_string,{}}}", string(leftover)));
    }
    // An integer of Erlang's has any size, so what does not fit is one that is too large; it is shown without zeros.
    let shown = lossy(digits);
    let shown = shown.trim_start_matches('0');
    match shown.parse::<u64>() {
        _ if shown.is_empty() => Ok(0),
        _ if sign == "-" => Err(format!("{{value_negative,-{shown}}}")),
        Ok(number) if number <= EXPIRY_MS_MAX => Ok(number),
        Ok(_) | Err(_) => Err(format!("{{value_too_large,{shown}}}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_milliseconds() {
        for (text, ms) in [("0", 0), ("5", 5), ("05", 5), ("+5", 5), ("-0", 0), ("0000", 0)] {
            assert_eq!(parse_expiration(text.as_bytes()), Ok(ms), "{text}");
        }
        assert_eq!(parse_expiration(b"315360000000"), Ok(EXPIRY_MS_MAX));
    }

    #[test]
    fn what_is_no_number_is_refused_in_rabbitmqs_words() {
        for (text, what) in [
            ("", "no_integer"),
            ("abc", "no_integer"),
            ("-", "no_integer"),
            ("--5", "no_integer"),
            ("+-5", "no_integer"),
            (" 5", "no_integer"),
            ("\u{ff15}", "no_integer"),
            ("5 ", "{leftover_string,\" \"}"),
            ("12s", "{leftover_string,\"s\"}"),
            ("1.5", "{leftover_string,\".5\"}"),
            ("0x10", "{leftover_string,\"x10\"}"),
            ("5\"q\\", "{leftover_string,\"\\\"q\\\\\"}"),
            ("5\0", "{leftover_string,[0]}"),
            ("5\u{e9}", "{leftover_string,\"\u{e9}\"}"),
            ("5\u{20ac}", "{leftover_string,[226,130,172]}"),
            ("-1", "{value_negative,-1}"),
            ("-0005", "{value_negative,-5}"),
            ("000315360000001", "{value_too_large,315360000001}"),
            ("99999999999999999999999", "{value_too_large,99999999999999999999999}"),
            ("-99999999999999999999999", "{value_negative,-99999999999999999999999}"),
        ] {
            let expected = format!("invalid expiration '{text}': {what}");
            assert_eq!(parse_expiration(text.as_bytes()), Err(expected));
        }
    }
}
