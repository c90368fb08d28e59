//! For which charts a request asks samples, and how they are added to what it is shown.

use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::super::answer::Refusal;
use super::history::{History, Point, Span};
use super::{Subject, Watch};
use crate::stats::Traffic;

/// Spans of lengths of queues, of messages that pass, and of octets.
#[derive(Clone, Copy, Default, Debug)]
pub struct Ages {
    lengths: Option<Span>,
    msg_rates: Option<Span>,
    data_rates: Option<Span>,
}

/// How old, and how far apart, s.
#[derive(Deserialize, Default)]
struct Asked {
    lengths_age: Option<String>,
    lengths_incr: Option<String>,
    msg_rates_age: Option<String>,
    msg_rates_incr: Option<String>,
    data_rates_age: Option<String>,
    data_rates_incr: Option<String>,
}

impl<S: Send + Sync> FromRequestParts<S> for Ages {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Ages, Refusal> {
        let asked = Query::<Asked>::try_from_uri(&parts.uri);
        asked.map_err(|error| Refusal::BadRequest(error.body_text()))?.0.spans()
    }
}

impl Asked {
    fn spans(&self) -> Result<Ages, Refusal> {
        Ok(Ages {
            lengths: span(self.lengths_age.as_deref(), self.lengths_incr.as_deref())?,
            msg_rates: span(self.msg_rates_age.as_deref(), self.msg_rates_incr.as_deref())?,
            data_rates: span(self.data_rates_age.as_deref(), self.data_rates_incr.as_deref())?,
        })
    }
}

/// As RabbitMQ has it: without both numbers there is none, and what makes no sense is refused.
fn span(age: Option<&str>, incr: Option<&str>) -> Result<Option<Span>, Refusal> {
    let number = |text: Option<&str>| text.and_then(|text| text.parse::<i64>().ok());
    let (Some(age), Some(incr)) = (number(age), number(incr)) else { return Ok(None) };
    if age <= 0 || incr <= 0 || age / incr > SAMPLES_MAX {
        return Err(Refusal::BadRequest(format!("Invalid range parameters: age {age}, incr {incr}")));
    }
    Ok(Some(Span { age_s: age as u64, every_s: incr as u64 }))
}

impl Ages {
    /// Adds to one object; it is watched from now on.
    pub fn add_samples(&self, watch: &Watch, of: Subject, shown: &mut Value) {
        let asked = [self.lengths, self.msg_rates, self.data_rates];
        if let (true, Value::Object(shown)) = (asked.iter().any(Option::is_some), shown) {
            watch.of_one(of, |history| {
                self.add_lengths(history, shown);
                self.add_octets(history, shown);
                if let Some(stats) = shown.get_mut("message_stats") {
                    self.add_stats(history, stats);
                }
            });
        }
    }

    pub fn add_lengths(&self, history: &History, lengths: &mut Map<String, Value>) {
        add(history, self.lengths, lengths, "messages", |point| point.ready + point.unacked);
        add(history, self.lengths, lengths, "messages_ready", |point| point.ready);
        add(history, self.lengths, lengths, "messages_unacknowledged", |point| point.unacked);
    }

    /// To `message_stats`, which those of an exchange are called as well.
    pub fn add_stats(&self, history: &History, stats: &mut Value) {
        let Value::Object(stats) = stats else { return };
        for (index, name) in Traffic::NAMES.iter().enumerate() {
            add(history, self.msg_rates, stats, name, |point| point.traffic.values()[index]);
        }
        add(history, self.msg_rates, stats, "deliver_get", |point| point.traffic.delivered());
        add(history, self.msg_rates, stats, "publish_in", |point| point.passed.published);
        add(history, self.msg_rates, stats, "publish_out", |point| point.passed.routed);
    }

    fn add_octets(&self, history: &History, octets: &mut Map<String, Value>) {
        add(history, self.data_rates, octets, "recv_oct", |point| point.received_octets);
        add(history, self.data_rates, octets, "send_oct", |point| point.sent_octets);
    }
}

fn add(
    history: &History,
    span: Option<Span>,
    into: &mut Map<String, Value>,
    name: &str,
    read: impl Fn(&Point) -> u64,
) {
    if let (Some(span), Some(Value::Object(details))) = (span, into.get_mut(&format!("{name}_details"))) {
        history.describe(span, details, read);
    }
}

/// RabbitMQ's.
const SAMPLES_MAX: i64 = 500;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_asked_for_by_two_numbers_that_make_sense() {
        let asked = |age, incr| span(Some(age), Some(incr)).map(|span| span.map(|it| (it.age_s, it.every_s)));
        assert_eq!(asked("60", "5").unwrap(), Some((60, 5)));
        assert_eq!(asked("5", "60").unwrap(), Some((5, 60)));
        assert_eq!(asked("2500", "5").unwrap(), Some((2500, 5)));
        assert_eq!(asked("soon", "5").unwrap(), None);
        assert!(span(Some("60"), None).unwrap().is_none());
        for (age, incr) in [("60", "0"), ("0", "5"), ("-5", "5"), ("2505", "5")] {
            let Err(Refusal::BadRequest(why)) = asked(age, incr) else { panic!("{age}, {incr}") };
            assert_eq!(why, format!("Invalid range parameters: age {age}, incr {incr}"));
        }
    }
}
