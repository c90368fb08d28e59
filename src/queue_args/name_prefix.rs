//! What a client may choose of a name that the server makes.

use super::check::{self, Arguments};
use crate::amqp::{Table, Value};
use crate::limits::NAME_PREFIX_BYTES_MAX;
use crate::text::Vhost;

/// What stands before the `-` of a queue's name that the server makes, instead of `amq.gen` (x-name-prefix). The error
/// is the text of a 406: prefixes come with RabbitMQ 4.4, whose own text we do not know.
pub fn name_prefix<'a>(arguments: Table<'a>, vhost: Vhost<'a>) -> Result<Option<&'a [u8]>, String> {
    Arguments { vhost, queue: b"", table: arguments }.read("x-name-prefix", prefix)
}

/// The name has to be one that the client could have declared itself.
fn prefix(value: Value<'_>) -> Result<&[u8], String> {
    let prefix = check::text(value)?;
    if prefix.len() > NAME_PREFIX_BYTES_MAX {
        return Err(format!("{{value_too_large,{}}}", prefix.len()));
    }
    if prefix.starts_with(b"amq.") {
        return Err("reserved_prefix".to_owned());
    }
    if std::str::from_utf8(prefix).is_err() || prefix.iter().any(|byte| matches!(byte, b'\r' | b'\n')) {
        return Err("invalid_prefix".to_owned());
    }
    Ok(prefix)
}
