//! The routing keys of a message: the one of its publish, and those that its headers CC and BCC add (a RabbitMQ extension).

use crate::amqp::{Array, Table, Value};

/// All keys route on the same exchange, and on those it leads to.
#[derive(Clone, Copy, Debug)]
pub struct RoutingKeys<'a> {
    pub routing_key: &'a [u8],
    cc: Array<'a>,
    bcc: Array<'a>,
    has_bcc: bool,
}

/// A CC or BCC header that is no array: its name, and RabbitMQ's name of its type.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct UnacceptableHeader {
    pub header: &'static str,
    pub kind: &'static str,
}

impl<'a> RoutingKeys<'a> {
    pub fn one(routing_key: &'a [u8]) -> RoutingKeys<'a> {
        RoutingKeys { routing_key, cc: Array::EMPTY, bcc: Array::EMPTY, has_bcc: false }
    }

    pub fn of(routing_key: &'a [u8], headers: Table<'a>) -> Result<RoutingKeys<'a>, UnacceptableHeader> {
        let (mut cc, mut bcc) = (None, None);
        for (name, value) in headers {
            match &*name {
                b"CC" => _ = cc.get_or_insert(value),
                b"BCC" => _ = bcc.get_or_insert(value),
                _ => {}
            }
        }
        let has_bcc = bcc.is_some();
        Ok(RoutingKeys { routing_key, cc: array("CC", cc)?, bcc: array("BCC", bcc)?, has_bcc })
    }

    /// Whether the routing key of the publish is all there is to it.
    pub fn is_one(&self) -> bool {
        self.cc.is_empty() && self.bcc.is_empty()
    }

    /// Whether there is a header that no consumer may see.
    pub fn has_bcc(&self) -> bool {
        self.has_bcc
    }

    /// What is in CC and BCC and no string is passed over.
    pub fn iter(&self) -> impl Iterator<Item = &'a [u8]> {
        let more = self.cc.iter().chain(self.bcc.iter()).filter_map(|value| value.as_str());
        std::iter::once(self.routing_key).chain(more)
    }
}

fn array<'a>(header: &'static str, value: Option<Value<'a>>) -> Result<Array<'a>, UnacceptableHeader> {
    match value {
        None => Ok(Array::EMPTY),
        Some(Value::Array(keys)) => Ok(keys),
        Some(value) => Err(UnacceptableHeader { header, kind: value.type_name() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::amqp::TableWriter;

    #[test]
    fn cc_and_bcc_add_keys_and_what_is_no_string_in_them_adds_none() {
        let headers = TableWriter::new()
            .array("BCC", |array| array.string("hidden"))
            .array("CC", |array| array.string("copy").i32(7))
            .finish();
        let keys = RoutingKeys::of(b"main", Table::decode(&headers).unwrap()).unwrap();
        assert_eq!(keys.iter().collect::<Vec<_>>(), [&b"main"[..], b"copy", b"hidden"]);
        assert!(keys.has_bcc() && !keys.is_one());
    }

    #[test]
    fn a_header_that_is_no_array_is_named_with_its_type() {
        let headers = TableWriter::new().string("CC", "key").finish();
        let error = RoutingKeys::of(b"main", Table::decode(&headers).unwrap()).unwrap_err();
        assert_eq!(error, UnacceptableHeader { header: "CC", kind: "longstr" });
    }
}
