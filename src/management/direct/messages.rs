//! Messages published to an exchange and got out of a queue.

use axum::body::Bytes;
use axum::extract::{Path, State};
use base64ct::{Base64, Encoding};
use serde_json::{Map, Value, json};

use super::super::answer::{self, Answer, Refusal};
use super::super::login::User;
use super::super::table;
use super::body::{Body, short, text};
use super::declare::exchange_name;
use super::session::{Failure, Got, Published, Session};
use crate::amqp::{Method, Properties, PropertiesWriter, ShortStr, Table};
use crate::limits::GET_BYTES_MAX;
use crate::shard::start::Common;

/// Answers whether a queue got it; a message that has to be kept is on disk then.
pub async fn publish(
    user: User,
    State(common): State<Common>,
    Path((vhost, exchange)): Path<(String, String)>,
    body: Bytes,
) -> Answer {
    let body = Body::read(&body)?;
    let [routing_key, properties, payload, encoding] =
        body.require(["routing_key", "properties", "payload", "payload_encoding"])?;
    let Value::String(payload) = payload else {
        return Err(Refusal::BadRequest("payload_not_string".to_owned()));
    };
    let properties = properties_bytes(properties)?;
    let payload = decoded(payload, encoding)?;
    let route = [exchange_name(&exchange)?, short("routing_key", text("routing_key", routing_key)?)?];
    let mut session = Session::open(&common, &user, &vhost).await?;
    let properties = Properties::decode(&properties).expect("we wrote it");
    let routed = match session.publish(route, properties, &payload).await.map_err(Failure::with_code)? {
        Published::Routed => true,
        Published::Unroutable => false,
        Published::Rejected => {
            let reason = "rejected Unable to publish message. Check queue limits.";
            return Err(Refusal::BadRequest(reason.to_owned()));
        }
    };
    answer::body(json!({"routed": routed}))
}

pub async fn get(
    user: User,
    State(common): State<Common>,
    Path((vhost, queue)): Path<(String, String)>,
    body: Bytes,
) -> Answer {
    let asked = Asked::read(&Body::read(&body)?)?;
    let queue = short("queue", &queue)?;
    let mut session = Session::open(&common, &user, &vhost).await?;
    let shown = asked.get(&mut session, queue).await.map_err(Failure::in_full)?;
    // What goes back is back when this returns.
    session.close().await?;
    answer::written(shown)
}

/// Whether a message goes through this vhost.
pub async fn aliveness(user: User, State(common): State<Common>, Path(vhost): Path<String>) -> Answer {
    let mut session = super::enter(&common, &user, &vhost).await.map_err(|refusal| match refusal {
        Refusal::Missing(_) => Refusal::NotFound,
        other => other,
    })?;
    let queue: ShortStr<'_> = "aliveness-test".into();
    let goes_through = async {
        let declare = Method::QueueDeclare {
            queue,
            passive: false,
            durable: false,
            exclusive: false,
            auto_delete: false,
            nowait: false,
            arguments: Table::EMPTY,
        };
        session.call(declare).await?;
        session.publish([ShortStr::EMPTY, queue], Properties::EMPTY, b"test_message").await?;
        session.get(queue, true).await
    };
    let got = goes_through.await.map_err(Failure::in_full)?;
    if got.is_some() { answer::body(json!({"status": "ok"})) } else { Err(Refusal::Unavailable) }
}

/// What a body asks to get.
struct Asked {
    /// None is all of them.
    count: Option<u64>,
    after: After,
    base64: bool,
    truncate: Option<usize>,
}

/// What becomes of messages that were got.
#[derive(Clone, Copy, PartialEq, Eq)]
enum After {
    Gone,
    BackByClose,
    Rejected { requeue: bool },
}

impl Asked {
    fn read(body: &Body) -> Result<Asked, Refusal> {
        // Before there was `ackmode` there was `requeue`.
        let (after, [count, encoding]) = match (body.find("ackmode"), body.find("requeue")) {
            (None, Some(_)) => {
                let after = if body.flag("requeue")? { After::BackByClose } else { After::Gone };
                (after, body.require(["count", "encoding"])?)
            }
            _ => {
                let [after, count, encoding] = body.require(["ackmode", "count", "encoding"])?;
                (After::read(after)?, [count, encoding])
            }
        };
        let base64 = match encoding.as_str() {
            Some("auto") => false,
            Some("base64") => true,
            _ => {
                let reason = "Unsupported encoding. Please use auto or base64.";
                return Err(Refusal::BadRequest(reason.to_owned()));
            }
        };
        let truncate = body.find("truncate").map(|value| {
            usize::try_from(integer(value)?).map_err(|_| Refusal::BadTerm("not_integer", value.clone()))
        });
        let count = u64::try_from(integer(count)?).ok();
        Ok(Asked { count, after, base64, truncate: truncate.transpose()? })
    }

    /// The answer's text. A long one is not made to its end: who asks again gets the rest.
    async fn get(&self, session: &mut Session, queue: ShortStr<'_>) -> Result<Vec<u8>, Failure> {
        let (mut shown, mut count, mut last_tag) = (b"[".to_vec(), 0, 0);
        while self.count.is_none_or(|most| count < most) && shown.len() < GET_BYTES_MAX {
            let Some(got) = session.get(queue, self.after == After::Gone).await? else { break };
            if let Method::BasicGetOk { delivery_tag, .. } = got.method() {
                last_tag = delivery_tag;
            }
            if count > 0 {
                shown.push(b',');
            }
            serde_json::to_writer(&mut shown, &self.shown(&got)).expect("a value is JSON");
            count += 1;
        }
        shown.push(b']');
        if let After::Rejected { requeue } = self.after
            && last_tag > 0
        {
            session.tell(Method::BasicNack { delivery_tag: last_tag, multiple: true, requeue });
        }
        Ok(shown)
    }

    fn shown(&self, got: &Got) -> Value {
        let Method::BasicGetOk { redelivered, exchange, routing_key, message_count, .. } = got.method()
        else {
            unreachable!("what was got came with get-ok")
        };
        let payload = &got.body[..self.truncate.unwrap_or(usize::MAX).min(got.body.len())];
        let (payload, encoding) = shown_payload(payload, self.base64);
        json!({
            "payload_bytes": got.body.len(),
            "redelivered": redelivered,
            "exchange": table::text(&exchange),
            "routing_key": table::text(&routing_key),
            "message_count": message_count,
            "properties": shown_properties(got.properties()),
            "payload": payload,
            "payload_encoding": encoding,
        })
    }
}

impl After {
    fn read(mode: &Value) -> Result<After, Refusal> {
        Ok(match mode.as_str() {
            Some("ack_requeue_false") => After::Gone,
            Some("ack_requeue_true") => After::BackByClose,
            Some("reject_requeue_false") => After::Rejected { requeue: false },
            Some("reject_requeue_true") => After::Rejected { requeue: true },
            _ => return Err(Refusal::BadTerm("unknown_ackmode", mode.clone())),
        })
    }
}

fn decoded(payload: &str, encoding: &Value) -> Result<Vec<u8>, Refusal> {
    match encoding.as_str() {
        Some("string") => Ok(payload.as_bytes().to_vec()),
        Some("base64") => {
            let mut packed = payload.to_owned();
            packed.retain(|c| !c.is_ascii_whitespace());
            Base64::decode_vec(&packed).map_err(|_| Refusal::BadTerm("not_base64", payload.into()))
        }
        _ => Err(Refusal::BadTerm("unsupported_encoding", encoding.clone())),
    }
}

/// A number, or a text of one, as RabbitMQ takes them.
fn integer(value: &Value) -> Result<i64, Refusal> {
    let given = match value {
        Value::Number(number) => number.as_i64().or(number.as_f64().map(|float| float as i64)),
        Value::String(text) => text.parse().ok(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    };
    given.ok_or_else(|| Refusal::BadTerm("not_integer", value.clone()))
}

/// As text if it may be and is one; and which it is.
pub fn shown_payload(payload: &[u8], base64: bool) -> (String, &'static str) {
    match std::str::from_utf8(payload).ok().filter(|_| !base64) {
        Some(text) => (text.to_owned(), "string"),
        None => (Base64::encode_string(payload), "base64"),
    }
}

/// No property at all is an empty list, as with RabbitMQ.
pub fn shown_properties(properties: Properties<'_>) -> Value {
    let mut shown = Map::new();
    let texts = [
        ("content_type", properties.content_type()),
        ("content_encoding", properties.content_encoding()),
        ("correlation_id", properties.correlation_id()),
        ("reply_to", properties.reply_to()),
        ("expiration", properties.expiration()),
        ("message_id", properties.message_id()),
        ("type", properties.type_()),
        ("user_id", properties.user_id()),
        ("app_id", properties.app_id()),
        ("cluster_id", properties.cluster_id()),
    ];
    let numbers = [
        ("delivery_mode", properties.delivery_mode().map(u64::from)),
        ("priority", properties.priority().map(u64::from)),
        ("timestamp", properties.timestamp()),
    ];
    let texts = texts.into_iter().filter_map(|(name, text)| Some((name, table::text(&text?).into())));
    let numbers = numbers.into_iter().filter_map(|(name, number)| Some((name, number?.into())));
    let headers = properties.headers().map(|headers| ("headers", table::shown(headers)));
    shown.extend(texts.chain(numbers).chain(headers).map(|(name, value)| (name.to_owned(), value)));
    if shown.is_empty() { json!([]) } else { Value::Object(shown) }
}

/// As [`Properties::decode`] takes them. What RabbitMQ does not know it passes over.
fn properties_bytes(given: &Value) -> Result<Vec<u8>, Refusal> {
    let none = Map::new();
    let given = match given {
        Value::Object(given) => given,
        Value::Array(list) if list.is_empty() => &none,
        Value::Null => &none,
        _ => return Err(Refusal::BadTerm("not_properties", given.clone())),
    };
    let text = |name: &'static str| given.get(name).map(|value| short(name, text(name, value)?)).transpose();
    let number = |name: &'static str| {
        let number = |value: &Value| value.as_u64().ok_or(Refusal::BadTerm("not_int", name.into()));
        given.get(name).map(number).transpose()
    };
    let octet = |name: &'static str| {
        let octet = |number| u8::try_from(number).map_err(|_| Refusal::BadTerm("not_int", name.into()));
        number(name)?.map(octet).transpose()
    };
    let headers = given.get("headers").map(table::written).transpose().map_err(Refusal::BadRequest)?;
    let properties = PropertiesWriter {
        content_type: text("content_type")?,
        content_encoding: text("content_encoding")?,
        headers: headers.as_deref().map(|bytes| Table::decode(bytes).expect("it was checked")),
        delivery_mode: octet("delivery_mode")?,
        priority: octet("priority")?,
        correlation_id: text("correlation_id")?,
        reply_to: text("reply_to")?,
        expiration: text("expiration")?,
        message_id: text("message_id")?,
        timestamp: number("timestamp")?,
        type_: text("type")?,
        user_id: text("user_id")?,
        app_id: text("app_id")?,
        cluster_id: text("cluster_id")?,
    };
    Ok(properties.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_come_back_as_they_went() {
        let all = json!({
            "content_type": "a/b", "content_encoding": "ce", "headers": {"a": 1, "f": {"g": {}}},
            "delivery_mode": 2, "priority": 3, "correlation_id": "ci", "reply_to": "rt", "expiration": "60000",
            "message_id": "mi", "timestamp": 1_700_000_000, "type": "t", "user_id": "guest", "app_id": "ai",
            "cluster_id": "cl",
        });
        for given in [all, json!([]), json!({"headers": {}})] {
            let bytes = properties_bytes(&given).unwrap();
            assert_eq!(shown_properties(Properties::decode(&bytes).unwrap()), given);
        }
        assert_eq!(properties_bytes(&json!({"unknown": 1})).unwrap(), Properties::EMPTY.as_bytes());
    }

    #[test]
    fn properties_of_another_type_are_refused() {
        for (given, what, name) in [
            (json!({"delivery_mode": "2"}), "not_int", "delivery_mode"),
            (json!({"priority": 256}), "not_int", "priority"),
            (json!({"timestamp": -1}), "not_int", "timestamp"),
            (json!({"message_id": 2}), "not_string", "message_id"),
        ] {
            let refused = properties_bytes(&given).unwrap_err();
            assert!(matches!(refused, Refusal::BadTerm(why, value) if why == what && value == name));
        }
        let too_long = properties_bytes(&json!({"app_id": "x".repeat(256)}));
        assert!(matches!(too_long, Err(Refusal::BadRequest(_))));
    }

    #[test]
    fn numbers_may_be_texts() {
        assert!(matches!(integer(&json!("-1")), Ok(-1)));
        assert!(matches!(integer(&json!(1.5)), Ok(1)));
        for no_number in [json!("x"), json!(null), json!([1])] {
            assert!(
                matches!(integer(&no_number), Err(Refusal::BadTerm("not_integer", given)) if given == no_number)
            );
        }
    }

    #[test]
    fn payloads_are_texts_or_base64() {
        assert_eq!(decoded("é", &json!("string")).unwrap(), "é".as_bytes());
        assert_eq!(decoded(" AA\nH/ ", &json!("base64")).unwrap(), [0, 1, 255]);
        assert!(matches!(decoded("AAH", &json!("base64")), Err(Refusal::BadTerm("not_base64", _))));
        assert!(matches!(decoded("", &json!(1)), Err(Refusal::BadTerm("unsupported_encoding", _))));
    }
}
