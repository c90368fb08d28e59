//! Reads single arguments: the value that is meant, or what is wrong with it as Erlang prints it.

use crate::amqp::refusal::string;
use crate::amqp::{Table, Value};
use crate::limits::EXPIRY_MS_MAX;
use crate::queue_args::QueueKind;
use crate::text;

/// The arguments of one method, and the queue that it names.
pub(super) struct Arguments<'a> {
    pub vhost: text::Vhost<'a>,
    pub queue: &'a [u8],
    pub table: Table<'a>,
}

impl<'a> Arguments<'a> {
    pub fn read<T>(
        &self,
        name: &str,
        check: impl FnOnce(Value<'a>) -> Result<T, String>,
    ) -> Result<Option<T>, String> {
        let value = self.table.find(name.as_bytes()).map(check).transpose();
        value.map_err(|what| format!("invalid arg '{name}' for {}: {what}", self.vhost.queue(self.queue)))
    }

    /// Refuses the first argument, in wire order, that queues of other types have and those of this one have not.
    pub fn refuse(&self, foreign: &[&str], kind: QueueKind) -> Result<(), String> {
        let mut names = self.table.iter().map(|(name, _)| name);
        let Some(name) = names.find(|name| foreign.iter().any(|foreign| foreign.as_bytes() == &**name))
        else {
            return Ok(());
        };
        Err(format!(
            "invalid arg '{name}' for {} of queue type {}",
            self.vhost.queue(self.queue),
            module(kind)
        ))
    }
}

/// RabbitMQ's module for the type, which its texts name.
pub(super) fn module(kind: QueueKind) -> &'static str {
    match kind {
        QueueKind::Classic => "rabbit_classic_queue",
        QueueKind::Quorum => "rabbit_quorum_queue",
    }
}

pub(super) fn integer(value: Value<'_>) -> Result<i64, String> {
    value.as_integer().ok_or_else(|| format!("\"expected integer, got {}\"", value.type_name()))
}

pub(super) fn count(value: Value<'_>) -> Result<u64, String> {
    let number = integer(value)?;
    u64::try_from(number).map_err(|_| format!("{{value_negative,{number}}}"))
}

pub(super) fn count_above_zero(value: Value<'_>) -> Result<u64, String> {
    match count(value)? {
        0 => Err("{value_zero,0}".to_owned()),
        number => Ok(number),
    }
}

/// Milliseconds.
pub(super) fn expiry(value: Value<'_>) -> Result<u64, String> {
    match count(value)? {
        number if number > EXPIRY_MS_MAX => Err(format!("{{value_too_large,{number}}}")),
        number => Ok(number),
    }
}

/// Milliseconds.
pub(super) fn expiry_above_zero(value: Value<'_>) -> Result<u64, String> {
    count_above_zero(value)?;
    expiry(value)
}

pub(super) fn priority_max(value: Value<'_>) -> Result<u8, String> {
    let number = count(value)?;
    u8::try_from(number).map_err(|_| format!("{{max_value_exceeded,{number}}}"))
}

pub(super) fn boolean(value: Value<'_>) -> Result<bool, String> {
    value.as_bool().ok_or_else(|| unacceptable_type(&value))
}

pub(super) fn text(value: Value<'_>) -> Result<&[u8], String> {
    value.as_str().ok_or_else(|| unacceptable_type(&value))
}

/// One of these texts, else `otherwise`.
pub(super) fn one_of<'a>(
    known: &[&str],
    otherwise: &str,
) -> impl FnOnce(Value<'a>) -> Result<&'a [u8], String> {
    move |value| {
        let value = text(value)?;
        let is_known = known.iter().any(|known| known.as_bytes() == value);
        if is_known { Ok(value) } else { Err(otherwise.to_owned()) }
    }
}

/// `"unsupported queue mode 'x'"`
pub(super) fn unsupported(what: &str, value: &[u8]) -> String {
    string(&[b"unsupported queue ", what.as_bytes(), b" '", value, b"'"].concat())
}

fn unacceptable_type(value: &Value<'_>) -> String {
    format!("{{unacceptable_type,{}}}", value.type_name())
}
