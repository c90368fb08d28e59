//! What a broker says, as lines in which nothing is left that only chance decides.

use haremq::amqp::{Method, Properties, Table, Value};
use std::collections::BTreeMap;
use std::fmt;

/// What one step made a broker say.
pub type Answer = BTreeMap<Place, Vec<String>>;

/// Where something was heard. Lines of one place have an order; those of different places have none.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Place {
    /// Methods that answer, and errors; channel 0 is the connection.
    Replies(usize, u16),
    Returns(usize, u16),
    /// The publishes that were acked and nacked, in the order of their numbers.
    Confirms(usize, u16),
    /// To a consumer; by its tag.
    Deliveries(usize, u16, String),
    /// What a passive declare says of a queue.
    Queue(String),
    /// What was left in a queue.
    Rest(String),
}

impl Place {
    /// Whether it is looked at after each step.
    pub fn is_state(&self) -> bool {
        matches!(self, Place::Queue(_))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Replies(connection, 0) => write!(f, "connection {connection}"),
            Place::Replies(connection, channel) => write!(f, "connection {connection}, channel {channel}"),
            Place::Returns(connection, channel) => {
                write!(f, "connection {connection}, channel {channel}: returned")
            }
            Place::Confirms(connection, channel) => {
                write!(f, "connection {connection}, channel {channel}: confirms")
            }
            Place::Deliveries(connection, channel, tag) => {
                write!(f, "connection {connection}, channel {channel}: consumer {tag}")
            }
            Place::Queue(queue) => write!(f, "queue {queue}"),
            Place::Rest(queue) => write!(f, "left in queue {queue}"),
        }
    }
}

/// A method that answers, or an error.
pub fn reply(method: &Method<'_>) -> String {
    match *method {
        Method::QueueDeclareOk { queue, message_count, consumer_count } => {
            format!("declare-ok {queue}: {message_count} messages, {consumer_count} consumers")
        }
        Method::ChannelClose { reply_code, reply_text, class_id, method_id }
        | Method::ConnectionClose { reply_code, reply_text, class_id, method_id } => {
            format!("{} {reply_code} {reply_text} ({class_id},{method_id})", method.name())
        }
        _ => format!("{method:?}"),
    }
}

/// The content of a delivery, a return or an answer to get.
pub fn message((properties, body): &(Vec<u8>, Vec<u8>)) -> String {
    let properties = Properties::decode(properties).expect("they were decoded before");
    let cut = body.iter().position(|octet| *octet == b'.').unwrap_or(body.len());
    let name = String::from_utf8_lossy(&body[..cut]);
    format!("{name} of {} octets {{{}}}", body.len(), of_properties(&properties))
}

fn of_properties(properties: &Properties<'_>) -> String {
    let mut out = Vec::new();
    let mut add = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            out.push(format!("{name}: {value}"));
        }
    };
    add("content-type", properties.content_type().map(|it| it.to_string()));
    add("content-encoding", properties.content_encoding().map(|it| it.to_string()));
    add("headers", properties.headers().map(|it| of_table(it, false)));
    add("delivery-mode", properties.delivery_mode().map(|it| it.to_string()));
    add("priority", properties.priority().map(|it| it.to_string()));
    add("correlation-id", properties.correlation_id().map(|it| it.to_string()));
    add("reply-to", properties.reply_to().map(|it| it.to_string()));
    add("expiration", properties.expiration().map(|it| it.to_string()));
    add("message-id", properties.message_id().map(|it| it.to_string()));
    add("timestamp", properties.timestamp().map(|it| it.to_string()));
    add("type", properties.type_().map(|it| it.to_string()));
    add("user-id", properties.user_id().map(|it| it.to_string()));
    add("app-id", properties.app_id().map(|it| it.to_string()));
    add("cluster-id", properties.cluster_id().map(|it| it.to_string()));
    out.join(", ")
}

/// In the order in which it came. A death's time is left out.
fn of_table(table: Table<'_>, is_death: bool) -> String {
    let entries: Vec<String> = table
        .iter()
        .map(|(name, value)| match value {
            Value::Timestamp(_) if is_death && name.as_bytes() == b"time" => format!("{name}: then"),
            Value::Array(deaths) if name.as_bytes() == b"x-death" => {
                let deaths: Vec<String> = deaths.iter().map(|death| of_value(&death, true)).collect();
                format!("{name}: [{}]", deaths.join(", "))
            }
            value => format!("{name}: {}", of_value(&value, false)),
        })
        .collect();
    format!("{{{}}}", entries.join(", "))
}

fn of_value(value: &Value<'_>, is_death: bool) -> String {
    match value {
        Value::LongString(text) => format!("\"{}\"", text.escape_ascii()),
        Value::Table(table) => of_table(*table, is_death),
        Value::Array(values) => {
            let values: Vec<String> = values.iter().map(|value| of_value(&value, false)).collect();
            format!("[{}]", values.join(", "))
        }
        other => format!("{other:?}"),
    }
}
