//! A pattern in a permission: a regular expression as RabbitMQ means it, run over the bytes of a name.
//!
//! RabbitMQ runs PCRE without options and without anchors: `.` is any byte but a line feed, letters and digits are those of
//! ASCII, and whoever wants the whole name writes `^` and `$`. Ours is another engine, whose time is linear in the name.
//! What it cannot do (look-around but where a name begins, back references) is refused when the permission is set, and so is what both would take
//! and read differently: operators inside `[...]`, and flag x. One difference is left, to the safe side: `$` is the end of
//! a name, not also the place in front of a line feed there.

use std::fmt;

use regex::bytes::{Regex, RegexBuilder};

use crate::access::ahead::Ahead;
use crate::limits::{PATTERN_BYTES_MAX, REGEX_BYTES_MAX, REGEX_DEPTH_MAX};

/// Equal to another if their texts are. Shards may share one: a match borrows memory from a pool in it and waits for nobody,
/// but the pool is shared too, so whoever asks per message keeps the answers.
#[derive(Clone)]
pub struct Pattern {
    text: Box<str>,
    matcher: Matcher,
}

#[derive(Clone)]
pub(super) enum Matcher {
    /// `.*`, which most permissions are.
    Any,
    /// The empty pattern is `^$`, which no queue or exchange is called.
    Empty,
    Regex(Regex),
    Ahead(Box<Ahead>),
}

impl Pattern {
    /// The error is a text for the API.
    pub fn new(text: &str) -> Result<Pattern, String> {
        check_length(text)?;
        let matcher = Matcher::new(text).map_err(|reason| invalid(text, &reason))?;
        Ok(Pattern { text: text.into(), matcher })
    }

    /// The pattern of a policy, where an empty one matches every name. The error is the reason alone.
    pub fn of_policy(text: &str) -> Result<Pattern, String> {
        check_length(text)?;
        let matcher = if text.is_empty() { Matcher::Any } else { Matcher::new(text)? };
        Ok(Pattern { text: text.into(), matcher })
    }

    /// `.*`
    pub fn any() -> Pattern {
        Pattern { text: ANY.into(), matcher: Matcher::Any }
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    pub fn matches(&self, name: &[u8]) -> bool {
        self.matcher.matches(name)
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Pattern) -> bool {
        self.text == other.text
    }
}

impl Eq for Pattern {}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.text.fmt(f)
    }
}

impl Matcher {
    /// The error is the reason, for [`invalid`].
    pub(super) fn new(text: &str) -> Result<Matcher, String> {
        Ok(match text {
            ANY => Matcher::Any,
            "" => Matcher::Empty,
            _ => match Ahead::new(text, compile) {
                Some(ahead) => Matcher::Ahead(Box::new(ahead?)),
                None => Matcher::Regex(compile(text)?),
            },
        })
    }

    pub(super) fn matches(&self, name: &[u8]) -> bool {
        match self {
            Matcher::Any => true,
            Matcher::Empty => name.is_empty(),
            Matcher::Regex(regex) => regex.is_match(name),
            Matcher::Ahead(ahead) => ahead.matches(name),
        }
    }
}

pub(super) fn check_length(text: &str) -> Result<(), String> {
    let too_long = || format!("a pattern has at most {PATTERN_BYTES_MAX} bytes");
    (text.len() <= PATTERN_BYTES_MAX).then_some(()).ok_or_else(too_long)
}

fn compile(text: &str) -> Result<Regex, String> {
    if let Some(reason) = read_otherwise(text) {
        return Err(reason.to_owned());
    }
    let mut builder = RegexBuilder::new(text);
    builder.unicode(false).size_limit(REGEX_BYTES_MAX).dfa_size_limit(REGEX_BYTES_MAX);
    builder.nest_limit(REGEX_DEPTH_MAX).build().map_err(|error| {
        // A syntax error is a drawing; its last line says what is wrong.
        let drawing = error.to_string();
        drawing.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned()
    })
}

/// A text for the API.
pub(super) fn invalid(text: &str, reason: &str) -> String {
    format!("invalid regexp '{text}': {reason}")
}

/// Why our engine would read a pattern otherwise than RabbitMQ's, if it would. In a class some of what is itself to RabbitMQ
/// is an operator to us: `[^a&&b]` is all but three bytes to RabbitMQ and every byte to us.
fn read_otherwise(text: &str) -> Option<&'static str> {
    let mut rest = text.as_bytes();
    let mut in_class = false;
    while let Some((_, behind)) = rest.split_first() {
        rest = match (in_class, rest) {
            (_, [b'\\', _, rest @ ..]) => rest,
            (false, [b'(', b'?', rest @ ..]) if sets_flag_x(rest) => return Some("flag x is not supported"),
            // A bracket that is the first in a class is one of its bytes.
            (false, [b'[', b'^', b']', rest @ ..] | [b'[', b']', rest @ ..] | [b'[', rest @ ..]) => {
                in_class = true;
                rest
            }
            (true, [b'[', named @ ..]) => match behind_named_class(named) {
                Some(rest) => rest,
                None => return Some(CLASS_OPERATOR),
            },
            (true, [b'&', b'&', ..] | [b'-', b'-', ..] | [b'~', b'~', ..]) => return Some(CLASS_OPERATOR),
            (true, [b']', rest @ ..]) => {
                in_class = false;
                rest
            }
            _ => behind,
        };
    }
    None
}

/// It lets us skip spaces in a class, and RabbitMQ's not.
fn sets_flag_x(flags: &[u8]) -> bool {
    flags.iter().take_while(|byte| byte.is_ascii_alphabetic() || **byte == b'-').any(|byte| *byte == b'x')
}

/// What follows `[:alpha:]` or `[:^alpha:]`, whose first bracket is behind us.
fn behind_named_class(rest: &[u8]) -> Option<&[u8]> {
    let rest = rest.strip_prefix(b":")?;
    let rest = rest.strip_prefix(b"^").unwrap_or(rest);
    let letters = rest.iter().take_while(|byte| byte.is_ascii_alphabetic()).count();
    rest[letters..].strip_prefix(b":]")
}

const CLASS_OPERATOR: &str = "inside [...] put a backslash before [ and before doubled &, - and ~";
const ANY: &str = ".*";

#[cfg(test)]
mod tests {
    use super::*;

    /// As RabbitMQ's `re:run(Name, Pattern, [{capture, none}])` answers, but for the empty pattern, which it makes `^$`.
    #[test]
    fn a_pattern_matches_what_it_matches_at_rabbitmq() {
        let table: [(&str, &[u8], bool); 36] = [
            ("", b"", true),
            ("", b"q", false),
            ("^$", b"", true),
            ("^$", b"q", false),
            (".*", b"", true),
            (".*", b"q", true),
            (".*", b"a\nb\xff", true),
            ("^.*$", b"q", true),
            ("^.*$", b"a\nb", false),
            ("q", b"my queue", true),
            ("^q", b"my queue", false),
            ("^my", b"my queue", true),
            ("queue$", b"my queue", true),
            ("q$", b"my queue", false),
            ("Q", b"q", false),
            ("(?i)Q", b"q", true),
            ("^(a|b)-.*", b"b-1", true),
            ("^(a|b)-.*", b"c-1", false),
            ("^amq\\.gen.*", b"amq.gen-x", true),
            ("^amq\\.gen.*", b"amqXgen-x", false),
            ("^a{2,3}$", b"aaa", true),
            ("^a{2,3}$", b"aaaa", false),
            ("^.$", b"\xff", true),
            ("^.$", "é".as_bytes(), false),
            ("^..$", "é".as_bytes(), true),
            ("é", "café".as_bytes(), true),
            ("^\\w+$", "é".as_bytes(), false),
            ("^\\d$", "٣".as_bytes(), false),
            ("^[[:alpha:]]+$", b"abc", true),
            ("^[]a]+$", b"a]", true),
            ("^[^]a]+$", b"a]", false),
            ("^[a\\[]+$", b"a[", true),
            ("^[\\w.-]+$", b"a.b-c", true),
            ("^team--.*", b"team--q", true),
            ("\\x41", b"A", true),
            ("$^", b"", true),
        ];
        for (pattern, name, expected) in table {
            assert_eq!(Pattern::new(pattern).unwrap().matches(name), expected, "{pattern:?} {name:?}");
        }
    }

    /// As `re:run` answers.
    #[test]
    fn a_look_ahead_where_a_name_begins_is_one() {
        let table: [(&str, &[u8], bool); 20] = [
            ("^(?!amq\\.).*", b"q", true),
            ("^(?!amq\\.).*", b"amq.gen-x", false),
            ("^(?!amq\\.).*", b"", true),
            ("^(?!amq\\.).*", b"my amq.x", true),
            ("^(?!amq\\.|mq-)q", b"q", true),
            ("^(?!amq\\.|mq-)", b"mq-q", false),
            ("^(?!a)(?!b)(?=.c)", b"cc", true),
            ("^(?!a)(?!b)(?=.c)", b"bc", false),
            ("^(?!a)(?!b)(?=.c)", b"cb", false),
            ("^(?=a)b", b"ab", false),
            ("^(?![)]x)q|q", b"q", true),
            ("^(?![]a)]x)q", b")x", false),
            ("^(?!\\)x)\\)q", b")q", true),
            ("^(?!(a|b)c)[|]", b"|", true),
            ("^(?!(a|b)c).(d|e)$", b"ad", true),
            ("^(?!(a|b)c).(d|e)$", b"bc", false),
            ("^(?![[:alpha:])])", b"a", false),
            ("^(?![[:alpha:])])", b"1", true),
            ("^(?!)", b"q", false),
            ("^(?!q$)", b"qq", true),
        ];
        for (pattern, name, expected) in table {
            match Pattern::new(pattern) {
                Ok(pattern) => assert_eq!(pattern.matches(name), expected, "{pattern:?} {name:?}"),
                Err(error) => assert!(pattern.ends_with("q|q") && error.contains("look-around"), "{error}"),
            }
        }
        for pattern in ["^(?!a", "^(?!(a)", "^(?!a[)", "^(?!(?!a)b)c", "^(?!(a)\\1)"] {
            assert!(Pattern::new(pattern).is_err(), "{pattern}");
        }
    }

    #[test]
    fn an_empty_pattern_is_an_empty_name_to_a_permission_and_every_name_to_a_policy() {
        assert!(!Pattern::new("").unwrap().matches(b"q"));
        assert!(Pattern::of_policy("").unwrap().matches(b"q"));
        assert_eq!(Pattern::of_policy("(").unwrap_err(), "unclosed group");
    }

    #[test]
    fn the_end_is_never_in_front_of_a_line_feed() {
        assert!(!Pattern::new("^q$").unwrap().matches(b"q\n"));
    }

    #[test]
    fn what_cannot_be_compiled_is_an_error_that_says_why() {
        let table = [
            ("(", "invalid regexp '(': unclosed group"),
            ("*", "invalid regexp '*': repetition operator missing expression"),
            (
                "q(?!a)",
                "invalid regexp 'q(?!a)': look-around, including look-ahead and look-behind, is not supported",
            ),
            ("(a)\\1", "invalid regexp '(a)\\1': backreferences are not supported"),
        ];
        for (pattern, expected) in table {
            assert_eq!(Pattern::new(pattern), Err(expected.to_owned()));
        }
        let long = "a".repeat(PATTERN_BYTES_MAX + 1);
        assert_eq!(Pattern::new(&long), Err("a pattern has at most 4096 bytes".to_owned()));
        let large = Pattern::new("(.{1000}){1000}").unwrap_err();
        assert!(large.contains("size limit"), "{large}");
        let deep = format!("{}a{}", "(".repeat(60), ")".repeat(60));
        assert!(Pattern::new(&deep).unwrap_err().contains("nest"), "{deep}");
    }

    #[test]
    fn what_rabbitmq_reads_otherwise_is_refused() {
        for pattern in [
            "[^a&&b]",
            "[a--b]",
            "[^a~~b]",
            "[a[b]",
            "[]a&&b]",
            "[^]a&&b]",
            "[[:alpha:]&&b]",
            r"\\[a&&b]",
            "[[:a]&&b:]",
            "[a:][^a&&b]",
        ] {
            assert_eq!(Pattern::new(pattern), Err(invalid(pattern, CLASS_OPERATOR)));
        }
        for pattern in ["(?x)[ ^a]", "(?i-x:a)", "a(?sx:b)"] {
            assert_eq!(Pattern::new(pattern), Err(invalid(pattern, "flag x is not supported")));
        }
        for pattern in [
            "a&&b",
            "a--b",
            "[a]&&[b]",
            r"\[a&&b\]",
            r"[a\&&b]",
            "[a-z&-]",
            "[a:][b]",
            "[[:^alpha:]&][b]",
            "(?i)x",
            r"\(?x",
            "(?P<x>a)",
            "[(?x)]",
        ] {
            assert!(Pattern::new(pattern).is_ok(), "{pattern}");
        }
    }
}
