//! What is in a message: properties and body are made from its number, so that both ends know every octet.

use haremq::amqp::Table;
use haremq::amqp::{Properties, PropertiesWriter, ShortStr, TableWriter};

use crate::dice::mix;

/// Properties of a message that queues look at.
#[derive(Clone, Copy, Default, Debug)]
pub struct Style {
    pub priority: Option<u8>,
    pub expiration_ms: Option<u64>,
    /// Whatever its number.
    pub persistent: bool,
}

/// The body of a message. Eight octets and more begin with its number.
pub fn body(number: u64, len: usize) -> Vec<u8> {
    let mut body = vec![0; len];
    let mut word = number;
    for chunk in body.chunks_mut(8) {
        chunk.copy_from_slice(&word.to_be_bytes()[..chunk.len()]);
        word = word.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(0x2545_F491_4F6C_DD1D);
    }
    body
}

/// Its properties as on the wire. One with a short body has its number there.
pub fn properties(number: u64, len: usize, asked: Style) -> Vec<u8> {
    let expiration = asked.expiration_ms.map(|ms| ms.to_string());
    let expiration = expiration.as_deref().and_then(|text| ShortStr::new(text.as_bytes()));
    let delivery_mode = is_persistent(number, len, asked).then_some(2);
    let priority = asked.priority;
    let asked = PropertiesWriter { priority, expiration, delivery_mode, ..PropertiesWriter::default() };
    let style = mix(number) % 8;
    let name = number.to_string();
    let name = ShortStr::new(name.as_bytes()).expect("a number is short");
    if len >= NUMBER_BYTES && style < 4 {
        return asked.finish();
    }
    let headers = TableWriter::new().string("number", &*name).bool("even", number.is_multiple_of(2)).finish();
    let headers = Table::decode(&headers).expect("a table that we wrote");
    PropertiesWriter {
        message_id: Some(name),
        headers: (style.is_multiple_of(2)).then_some(headers),
        content_type: (style > 5).then_some("text/plain".into()),
        ..asked
    }
    .finish()
}

pub fn is_persistent(number: u64, len: usize, asked: Style) -> bool {
    let style = mix(number) % 8;
    asked.persistent || (style.is_multiple_of(3) && (len < NUMBER_BYTES || style >= 4))
}

/// Which message this is.
pub fn number(properties: &Properties<'_>, body: &[u8]) -> Option<u64> {
    if let Some(name) = properties.message_id() {
        return std::str::from_utf8(&name).ok()?.parse().ok();
    }
    Some(u64::from_be_bytes(*body.first_chunk()?))
}

const NUMBER_BYTES: usize = 8;
