//! A pattern in a topic permission.

use std::fmt;

use crate::access::pattern::{Matcher, check_length, invalid};
use crate::limits::CLIENT_ID_BYTES_MAX;

/// A pattern in which `{username}`, `{vhost}` and `{client_id}` stand for the values of whoever asks, byte for byte,
/// whatever the bytes mean in a pattern.
///
/// The first two are known when the permission is set. The third only MQTT has; for AMQP it stands for itself.
#[derive(Clone)]
pub struct TopicPattern {
    text: Box<str>,
    /// The text with all but `{client_id}` filled in.
    filled: Box<str>,
    client_ids: usize,
    without_client: Matcher,
}

impl TopicPattern {
    /// The error is a text for the API.
    pub fn new(text: &str, vhost: &[u8], user: &[u8]) -> Result<TopicPattern, String> {
        check_length(text)?;
        let filled = text.replace("{username}", &literal(user)).replace("{vhost}", &literal(vhost));
        let without_client = Matcher::new(&filled.replace(CLIENT_ID, &literal(CLIENT_ID.as_bytes())))
            .map_err(|reason| invalid(text, &reason))?;
        let client_ids = filled.matches(CLIENT_ID).count();
        Ok(TopicPattern { text: text.into(), filled: filled.into(), client_ids, without_client })
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    /// Compiles the pattern if it names the client and there is one.
    pub fn matches(&self, key: &[u8], client_id: Option<&[u8]>) -> bool {
        // Filled in, an empty one would leave nothing that could differ from others.
        let client_id = client_id.filter(|id| self.client_ids > 0 && !id.is_empty());
        let Some(client_id) = client_id else { return self.without_client.matches(key) };
        if self.client_ids * client_id.len() > CLIENT_ID_BYTES_MAX {
            return false;
        }
        let filled = self.filled.replace(CLIENT_ID, &literal(client_id));
        Matcher::new(&filled).is_ok_and(|matcher| matcher.matches(key))
    }
}

impl PartialEq for TopicPattern {
    fn eq(&self, other: &TopicPattern) -> bool {
        (&self.text, &self.filled) == (&other.text, &other.filled)
    }
}

impl Eq for TopicPattern {}

impl fmt::Debug for TopicPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.text.fmt(f)
    }
}

/// A pattern for these bytes and nothing else, within a class too: an escaped byte is never an operator there.
fn literal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!(r"\x{byte:02x}")).collect()
}

const CLIENT_ID: &str = "{client_id}";

#[cfg(test)]
mod tests {
    use super::*;

    fn topic(text: &str) -> TopicPattern {
        TopicPattern::new(text, b"v", b"u").unwrap()
    }

    #[test]
    fn a_topic_pattern_names_who_asks() {
        let pattern = topic("^{vhost}\\.{username}\\.{client_id}$");
        assert!(pattern.matches(b"v.u.c", Some(b"c")));
        for wrong in [&b"v.u.d"[..], b"v.u.", b"v.u.cc", b"u.v.c", b"{vhost}.{username}.{client_id}"] {
            assert!(!pattern.matches(wrong, Some(b"c")), "{wrong:?}");
        }
    }

    #[test]
    fn an_error_repeats_the_pattern_as_it_was_given() {
        let error = TopicPattern::new("({username}", b"v", b"u").unwrap_err();
        assert_eq!(error, "invalid regexp '({username}': unclosed group");
    }

    #[test]
    fn without_a_client_its_placeholder_is_what_it_reads() {
        for client in [None, Some(&b""[..])] {
            assert!(topic("^{client_id}").matches(b"{client_id}.x", client));
            assert!(!topic("^{client_id}").matches(b"x", client));
        }
    }

    #[test]
    fn a_client_id_too_long_to_fill_in_is_refused() {
        let id = vec![b'c'; CLIENT_ID_BYTES_MAX / 2 + 1];
        assert!(topic("{client_id}|.*").matches(b"k", Some(&id)));
        assert!(!topic("{client_id}|{client_id}|.*").matches(b"k", Some(&id)));
    }

    const NASTY: [&[u8]; 16] = [
        b".*",
        b"a|b",
        b"a-z",
        b"]",
        b"^",
        b"\\",
        b"[^x",
        b"{vhost}",
        b"{client_id}",
        b"(?i)a",
        b"a)(b",
        b"$",
        b"\n",
        b"\xff\x00",
        "é".as_bytes(),
        b"a&&b",
    ];

    #[test]
    fn a_value_matches_itself_and_no_other() {
        for value in NASTY {
            let by_user = TopicPattern::new("^{username}$", b"v", value).unwrap();
            let by_client = topic("^{client_id}$");
            for key in NASTY {
                assert_eq!(by_user.matches(key, None), key == value, "{value:?} {key:?}");
                assert_eq!(by_client.matches(key, Some(value)), key == value, "{value:?} {key:?}");
            }
        }
    }

    #[test]
    fn in_a_class_a_value_is_its_bytes() {
        for value in NASTY {
            let by_user = TopicPattern::new("^[{username}]$", b"v", value).unwrap();
            let by_client = topic("^[{client_id}]$");
            for byte in 0..=255 {
                let expected = value.contains(&byte);
                assert_eq!(by_user.matches(&[byte], None), expected, "{value:?} {byte}");
                assert_eq!(by_client.matches(&[byte], Some(value)), expected, "{value:?} {byte}");
            }
        }
    }
}
