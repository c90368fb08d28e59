//! The name and the password inside a start-ok, in the two ways that clients wrap them.

use crate::amqp::{ReplyCode, Table, refusal};

type Refused = (ReplyCode, String);

/// Name and password from a response of the given mechanism, if it is one of those `offered`; else the reply code and its
/// text.
///
/// The text may repeat what the client sent, as RabbitMQ's does: it is for the client, not for a log.
pub fn credentials<'a>(
    mechanism: &[u8],
    response: &'a [u8],
    offered: &str,
) -> Result<(&'a [u8], &'a [u8]), Refused> {
    let is_offered = offered.split(' ').any(|name| name.as_bytes() == mechanism);
    match mechanism {
        b"PLAIN" if is_offered => plain(response).ok_or_else(|| {
            (ReplyCode::SyntaxError, format!("response {} invalid", refusal::binary(response)))
        }),
        b"AMQPLAIN" if is_offered => {
            amqplain(response).map_err(|what| (ReplyCode::SyntaxError, format!("AMQPLAIN auth info {what}")))
        }
        unknown => {
            let name = String::from_utf8_lossy(unknown);
            Err((ReplyCode::CommandInvalid, format!("unknown authentication mechanism '{name}'")))
        }
    }
}

/// `\0name\0password` (RFC 4616); in front of the first zero could stand an identity to act as, which must be empty.
fn plain(response: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut parts = response.split(|octet| *octet == 0);
    let (Some(b""), Some(user), Some(password), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return None;
    };
    Some((user, password))
}

/// A field table without its length, with LOGIN and PASSWORD.
fn amqplain(response: &[u8]) -> Result<(&[u8], &[u8]), &'static str> {
    let table = Table::decode(response).map_err(|_| "is no field table")?;
    let (Some(user), Some(password)) = (table.find(b"LOGIN"), table.find(b"PASSWORD")) else {
        return Err("is missing LOGIN or PASSWORD field");
    };
    let (Some(user), Some(password)) = (user.as_str(), password.as_str()) else {
        return Err("uses unsupported type for LOGIN or PASSWORD field");
    };
    Ok((user, password))
}
