//! The body of a request as RabbitMQ reads it: an object, or nothing, and what stands under its keys.

use serde_json::{Map, Value};

use super::super::answer::Refusal;
use super::super::table;
use crate::amqp::ShortStr;

pub struct Body(Map<String, Value>);

impl Body {
    /// No body is an empty object; some clients send `null`.
    pub fn read(bytes: &[u8]) -> Result<Body, Refusal> {
        if matches!(bytes, b"" | b"null" | b"undefined") {
            return Ok(Body(Map::new()));
        }
        match serde_json::from_slice(bytes) {
            Ok(Value::Object(entries)) => Ok(Body(entries)),
            Ok(Value::String(_)) => Err(Refusal::BadRequest(DOUBLY_ENCODED.to_owned())),
            Ok(_) | Err(_) => Err(Refusal::BadRequest("not_json".to_owned())),
        }
    }

    /// All of these keys, or what RabbitMQ says of those that are not there.
    pub fn require<const N: usize>(&self, keys: [&'static str; N]) -> Result<[&Value; N], Refusal> {
        let missing: Vec<_> = keys.iter().filter(|key| !self.0.contains_key(**key)).collect();
        if missing.is_empty() {
            return Ok(keys.map(|key| &self.0[key]));
        }
        let missing: Vec<_> = missing.iter().map(|key| format!("{{key_missing,{key}}}")).collect();
        let line = format!("[{}]", missing.join(","));
        // Erlang breaks the line.
        let fits = line.len() <= LINE_CHARS;
        Err(Refusal::BadRequest(if fits { line } else { format!("[{}]", missing.join(",\n ")) }))
    }

    pub fn find(&self, key: &str) -> Option<&Value> {
        self.0.get(key)
    }

    /// False if it is not there.
    pub fn flag(&self, key: &str) -> Result<bool, Refusal> {
        match self.0.get(key) {
            None => Ok(false),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(Value::String(text)) if text == "true" => Ok(true),
            Some(Value::String(text)) if text == "false" => Ok(false),
            Some(other) => Err(Refusal::BadTerm("not_boolean", other.clone())),
        }
    }

    /// The bytes of a table, empty if there is none.
    pub fn arguments(&self) -> Result<Vec<u8>, Refusal> {
        self.0.get("arguments").map_or(Ok(Vec::new()), table::written).map_err(Refusal::BadRequest)
    }

    /// A name or a key; `otherwise` if it is not there.
    pub fn short<'a>(&'a self, key: &'static str, otherwise: &'static str) -> Result<ShortStr<'a>, Refusal> {
        match self.0.get(key) {
            None => Ok(otherwise.into()),
            Some(value) => short(key, text(key, value)?),
        }
    }
}

pub fn text<'a>(key: &'static str, value: &'a Value) -> Result<&'a str, Refusal> {
    value.as_str().ok_or(Refusal::BadTerm("not_string", key.into()))
}

/// What AMQP has no room for is refused as by RabbitMQ.
pub fn short<'a>(what: &str, text: &'a str) -> Result<ShortStr<'a>, Refusal> {
    ShortStr::new(text.as_bytes()).ok_or_else(|| {
        Refusal::BadRequest(format!("{what} should be less than 255 bytes, actually was {}", text.len()))
    })
}

const DOUBLY_ENCODED: &str =
    "invalid payload: the request body JSON-decoded to a string. Is the input doubly-JSON-encoded?";

const LINE_CHARS: usize = 80;

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn body(value: Value) -> Body {
        Body::read(value.to_string().as_bytes()).unwrap()
    }

    fn reason<T>(refused: Result<T, Refusal>) -> Value {
        match refused {
            Err(Refusal::BadRequest(reason)) => reason.into(),
            Err(Refusal::BadTerm(what, given)) => json!([what, given]),
            _ => panic!("it was not refused so"),
        }
    }

    #[test]
    fn a_body_is_an_object_or_nothing() {
        for empty in ["", "null", "undefined", "{}"] {
            assert!(Body::read(empty.as_bytes()).is_ok_and(|body| body.0.is_empty()));
        }
        for broken in ["[1]", "{", "1"] {
            assert_eq!(reason(Body::read(broken.as_bytes())), "not_json");
        }
        assert_eq!(reason(Body::read(b"\"{}\"")), DOUBLY_ENCODED);
    }

    #[test]
    fn missing_keys_are_told_as_erlang_writes_them() {
        let body = body(json!({"count": 1}));
        let keys = body.require(["ackmode", "count", "encoding"]);
        assert_eq!(reason(keys), "[{key_missing,ackmode},{key_missing,encoding}]");
        let keys = body.require(["routing_key", "properties", "payload", "payload_encoding"]);
        let lines = "[{key_missing,routing_key},\n {key_missing,properties},\n {key_missing,payload},\n \
            {key_missing,payload_encoding}]";
        assert_eq!(reason(keys), lines);
        assert!(body.require(["count"]).is_ok_and(|[count]| *count == 1));
    }

    #[test]
    fn flags_may_be_texts() {
        let body = body(json!({"a": "true", "b": "false", "c": true, "d": "maybe", "e": 1}));
        assert_eq!(["a", "b", "c", "z"].map(|key| body.flag(key).unwrap()), [true, false, true, false]);
        assert_eq!(reason(body.flag("d")), json!(["not_boolean", "maybe"]));
        assert_eq!(reason(body.flag("e")), json!(["not_boolean", 1]));
    }
}
