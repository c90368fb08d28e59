//! JSON as Erlang's `~p` prints it once it is decoded, which RabbitMQ's texts show. Erlang would break long lines; we do not.

use serde_json::{Map, Value};

use crate::amqp::refusal::binary;

/// What a text of RabbitMQ shows of a value.
pub fn term(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Number(number) => shown(&number.to_string()),
        Value::String(text) => text_of(text),
        Value::Array(values) => list(values.iter().map(term)),
        Value::Object(map) => {
            let pairs = map.iter().map(|(key, value)| format!("{} => {}", text_of(key), term(value)));
            format!("#{{{}}}", pairs.collect::<Vec<_>>().join(","))
        }
    }
}

/// `[{<<"key">>,1}]`
pub(super) fn pairs(map: &Map<String, Value>) -> String {
    list(map.iter().map(|(key, value)| format!("{{{},{}}}", text_of(key), term(value))))
}

/// Erlang's floats have a point, and no sign before what is above zero.
fn shown(number: &str) -> String {
    let Some((mantissa, exponent)) = number.split_once('e') else { return number.to_owned() };
    let point = if mantissa.contains('.') { "" } else { ".0" };
    format!("{mantissa}{point}e{}", exponent.trim_start_matches('+'))
}

fn list(terms: impl Iterator<Item = String>) -> String {
    format!("[{}]", terms.collect::<Vec<_>>().join(","))
}

fn text_of(text: &str) -> String {
    binary(text.as_bytes())
}
