//! The content header between a method and its body: how long the body is, and the message's properties.
//!
//! ```text
//! class id u16 | weight u16 | body size u64 | flags u16 | the properties whose flag is set, in flag order
//! ```
//! Properties are checked once and then kept as their bytes: a broker hands them on unchanged and looks at few of them.

use super::frame::{FrameKind, encode_frame};
use super::method::MethodError;
use super::table::Table;
use super::wire::{Field, Reader, ShortStr, Writer};
use crate::ids::ChannelNumber;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ContentHeader<'a> {
    pub class_id: u16,
    /// Unused by the protocol; anything but 0 is refused by who reads the sequence of frames.
    pub weight: u16,
    pub body_size: u64,
    pub properties: Properties<'a>,
}

impl<'a> ContentHeader<'a> {
    /// Reads a header frame's payload and checks the whole property list.
    pub fn decode(payload: &'a [u8]) -> Result<ContentHeader<'a>, MethodError> {
        let mut reader = Reader::new(payload);
        let (class_id, weight, body_size) =
            read_head(&mut reader).ok_or(syntax(0, "content header shorter than its fixed part"))?;
        let properties = Properties::decode(reader.rest()).map_err(|what| syntax(class_id, what))?;
        Ok(ContentHeader { class_id, weight, body_size, properties })
    }

    /// Appends the whole frame; the properties go out as they came in.
    pub fn encode(&self, channel: ChannelNumber, out: &mut Vec<u8>) {
        encode_frame(out, FrameKind::Header, channel, |out| {
            let mut writer = Writer::new(out);
            self.class_id.write(&mut writer);
            self.weight.write(&mut writer);
            self.body_size.write(&mut writer);
            writer.bytes(self.properties.as_bytes());
        });
    }
}

/// The flags of those properties that a broker looks at.
pub const HEADERS_FLAG: u16 = Property::Headers.flag();
pub const DELIVERY_MODE_FLAG: u16 = Property::DeliveryMode.flag();
pub const PRIORITY_FLAG: u16 = Property::Priority.flag();
pub const REPLY_TO_FLAG: u16 = Property::ReplyTo.flag();
pub const EXPIRATION_FLAG: u16 = Property::Expiration.flag();
pub const USER_ID_FLAG: u16 = Property::UserId.flag();

/// Where the properties stand in a header: behind class, weight and body size.
pub const PROPERTIES_AT: usize = 12;

fn read_head(reader: &mut Reader<'_>) -> Option<(u16, u16, u64)> {
    Some((u16::read(reader)?, u16::read(reader)?, u64::read(reader)?))
}

fn syntax(class_id: u16, what: &'static str) -> MethodError {
    MethodError::Syntax { class_id, method_id: 0, what }
}

/// The flags and the property values, verbatim. What is asked for is searched from the front each time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Properties<'a>(&'a [u8]);

impl<'a> Properties<'a> {
    /// No property at all.
    pub const EMPTY: Properties<'static> = Properties(&[0, 0]);

    /// Checks flags and values, the headers table included. The error says which part is wrong.
    pub fn decode(bytes: &'a [u8]) -> Result<Properties<'a>, &'static str> {
        let mut reader = Reader::new(bytes);
        let flags = u16::read(&mut reader).ok_or("property flags")?;
        // The lowest bit announces more flags, the next one a fifteenth property; basic has neither.
        if flags & 0b11 != 0 {
            return Err("unknown property flags");
        }
        for property in ALL.into_iter().filter(|property| flags & property.flag() != 0) {
            property.check(&mut reader).ok_or(property.name())?;
        }
        if !reader.is_empty() {
            return Err("octets after the last property");
        }
        Ok(Properties(bytes))
    }

    /// The properties in the payload of a content header that [`ContentHeader::decode`] has accepted before.
    #[inline]
    pub(crate) fn of_checked(payload: &'a [u8]) -> Properties<'a> {
        Properties::from_checked(&payload[PROPERTIES_AT..])
    }

    /// The properties that [`Properties::decode`] has accepted before, or that we have made of such.
    #[inline]
    pub(crate) fn from_checked(bytes: &'a [u8]) -> Properties<'a> {
        let properties = Properties(bytes);
        debug_assert!(properties.around(Property::ClusterId).is_some_and(|(_, after)| after.is_empty()));
        properties
    }

    /// Flags and values as on the wire.
    #[inline]
    pub fn as_bytes(&self) -> &'a [u8] {
        self.0
    }

    pub fn content_type(&self) -> Option<ShortStr<'a>> {
        self.field(Property::ContentType)
    }

    pub fn content_encoding(&self) -> Option<ShortStr<'a>> {
        self.field(Property::ContentEncoding)
    }

    /// These properties with other headers, which are the bytes of a table; there may have been none before.
    pub fn with_headers(&self, headers: &[u8]) -> Vec<u8> {
        let (before, after) = self.around(Property::Headers).expect("properties are checked");
        let mut out = Vec::with_capacity(self.0.len() + 4 + headers.len());
        out.extend_from_slice(&(self.flags() | HEADERS_FLAG).to_be_bytes());
        out.extend_from_slice(before);
        Writer::new(&mut out).long_bytes(headers);
        out.extend_from_slice(after);
        out
    }

    /// These properties for a message that lives as long as its queue lets it.
    pub fn without_expiration(&self) -> Vec<u8> {
        let (before, after) = self.around(Property::Expiration).expect("properties are checked");
        [&(self.flags() & !EXPIRATION_FLAG).to_be_bytes(), before, after].concat()
    }

    pub fn headers(&self) -> Option<Table<'a>> {
        let bytes = self.locate(Property::Headers)?.long_bytes()?;
        Some(Table::from_checked(bytes))
    }

    /// 1 is transient, 2 is persistent.
    pub fn delivery_mode(&self) -> Option<u8> {
        self.field(Property::DeliveryMode)
    }

    pub fn priority(&self) -> Option<u8> {
        self.field(Property::Priority)
    }

    pub fn correlation_id(&self) -> Option<ShortStr<'a>> {
        self.field(Property::CorrelationId)
    }

    pub fn reply_to(&self) -> Option<ShortStr<'a>> {
        self.field(Property::ReplyTo)
    }

    /// Milliseconds, as text.
    pub fn expiration(&self) -> Option<ShortStr<'a>> {
        self.field(Property::Expiration)
    }

    pub fn message_id(&self) -> Option<ShortStr<'a>> {
        self.field(Property::MessageId)
    }

    /// Seconds since 1970.
    pub fn timestamp(&self) -> Option<u64> {
        self.field(Property::Timestamp)
    }

    pub fn type_(&self) -> Option<ShortStr<'a>> {
        self.field(Property::Type)
    }

    pub fn user_id(&self) -> Option<ShortStr<'a>> {
        self.field(Property::UserId)
    }

    pub fn app_id(&self) -> Option<ShortStr<'a>> {
        self.field(Property::AppId)
    }

    pub fn cluster_id(&self) -> Option<ShortStr<'a>> {
        self.field(Property::ClusterId)
    }

    /// The same with another reply-to; none if there is none.
    pub fn with_reply_to(&self, name: ShortStr<'_>) -> Option<Vec<u8>> {
        let mut reader = self.locate(Property::ReplyTo)?;
        let before = self.0.len() - reader.rest().len();
        Property::ReplyTo.skip(&mut reader)?;
        let mut bytes = self.0[..before].to_vec();
        name.write(&mut Writer::new(&mut bytes));
        bytes.extend_from_slice(reader.rest());
        Some(bytes)
    }

    fn flags(&self) -> u16 {
        u16::from_be_bytes([self.0[0], self.0[1]])
    }

    /// The values before that of `property`, and those behind it, whether it is there or not.
    fn around(&self, property: Property) -> Option<(&'a [u8], &'a [u8])> {
        let mut reader = Reader::new(self.0);
        let flags = u16::read(&mut reader)?;
        let values = reader.rest();
        for earlier in ALL.into_iter().take(property as usize).filter(|earlier| flags & earlier.flag() != 0) {
            earlier.skip(&mut reader)?;
        }
        let before = &values[..values.len() - reader.rest().len()];
        if flags & property.flag() != 0 {
            property.skip(&mut reader)?;
        }
        Some((before, reader.rest()))
    }

    fn field<T: Field<'a>>(&self, property: Property) -> Option<T> {
        T::read(&mut self.locate(property)?)
    }

    /// A reader that stands at the value of `property`, if it is there.
    fn locate(&self, property: Property) -> Option<Reader<'a>> {
        let mut reader = Reader::new(self.0);
        let flags = u16::read(&mut reader)?;
        if flags & property.flag() == 0 {
            return None;
        }
        for earlier in ALL.into_iter().take(property as usize).filter(|earlier| flags & earlier.flag() != 0) {
            earlier.skip(&mut reader)?;
        }
        Some(reader)
    }
}

/// The properties of the class basic; the order is that of the flags, from the highest bit down.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Property {
    ContentType,
    ContentEncoding,
    Headers,
    DeliveryMode,
    Priority,
    CorrelationId,
    ReplyTo,
    Expiration,
    MessageId,
    Timestamp,
    Type,
    UserId,
    AppId,
    ClusterId,
}

const ALL: [Property; 14] = [
    Property::ContentType,
    Property::ContentEncoding,
    Property::Headers,
    Property::DeliveryMode,
    Property::Priority,
    Property::CorrelationId,
    Property::ReplyTo,
    Property::Expiration,
    Property::MessageId,
    Property::Timestamp,
    Property::Type,
    Property::UserId,
    Property::AppId,
    Property::ClusterId,
];

impl Property {
    #[inline]
    const fn flag(self) -> u16 {
        0x8000 >> self as u16
    }

    fn name(self) -> &'static str {
        match self {
            Property::ContentType => "content-type",
            Property::ContentEncoding => "content-encoding",
            Property::Headers => "headers",
            Property::DeliveryMode => "delivery-mode",
            Property::Priority => "priority",
            Property::CorrelationId => "correlation-id",
            Property::ReplyTo => "reply-to",
            Property::Expiration => "expiration",
            Property::MessageId => "message-id",
            Property::Timestamp => "timestamp",
            Property::Type => "type",
            Property::UserId => "user-id",
            Property::AppId => "app-id",
            Property::ClusterId => "cluster-id",
        }
    }

    /// Steps over a value without looking inside it.
    #[inline]
    fn skip(self, reader: &mut Reader<'_>) -> Option<()> {
        match self {
            Property::Headers => reader.long_bytes().map(drop),
            Property::DeliveryMode | Property::Priority => u8::read(reader).map(drop),
            Property::Timestamp => u64::read(reader).map(drop),
            Property::ContentType
            | Property::ContentEncoding
            | Property::CorrelationId
            | Property::ReplyTo
            | Property::Expiration
            | Property::MessageId
            | Property::Type
            | Property::UserId
            | Property::AppId
            | Property::ClusterId => ShortStr::read(reader).map(drop),
        }
    }

    /// Steps over a value and checks what is inside it.
    #[inline]
    fn check(self, reader: &mut Reader<'_>) -> Option<()> {
        match self {
            Property::Headers => Table::read(reader).map(drop),
            _ => self.skip(reader),
        }
    }
}

/// The properties of a message to be sent: set what it shall have and leave the rest.
#[derive(Clone, Copy, PartialEq, Default, Debug)]
pub struct PropertiesWriter<'a> {
    pub content_type: Option<ShortStr<'a>>,
    pub content_encoding: Option<ShortStr<'a>>,
    pub headers: Option<Table<'a>>,
    pub delivery_mode: Option<u8>,
    pub priority: Option<u8>,
    pub correlation_id: Option<ShortStr<'a>>,
    pub reply_to: Option<ShortStr<'a>>,
    pub expiration: Option<ShortStr<'a>>,
    pub message_id: Option<ShortStr<'a>>,
    pub timestamp: Option<u64>,
    pub type_: Option<ShortStr<'a>>,
    pub user_id: Option<ShortStr<'a>>,
    pub app_id: Option<ShortStr<'a>>,
    pub cluster_id: Option<ShortStr<'a>>,
}

impl<'a> PropertiesWriter<'a> {
    /// Flags and values, as [`Properties::decode`] takes them.
    pub fn finish(&self) -> Vec<u8> {
        let mut out = vec![0, 0];
        let mut writer = Writer::new(&mut out);
        let flags = write_if(&mut writer, Property::ContentType, self.content_type)
            | write_if(&mut writer, Property::ContentEncoding, self.content_encoding)
            | write_if(&mut writer, Property::Headers, self.headers)
            | write_if(&mut writer, Property::DeliveryMode, self.delivery_mode)
            | write_if(&mut writer, Property::Priority, self.priority)
            | write_if(&mut writer, Property::CorrelationId, self.correlation_id)
            | write_if(&mut writer, Property::ReplyTo, self.reply_to)
            | write_if(&mut writer, Property::Expiration, self.expiration)
            | write_if(&mut writer, Property::MessageId, self.message_id)
            | write_if(&mut writer, Property::Timestamp, self.timestamp)
            | write_if(&mut writer, Property::Type, self.type_)
            | write_if(&mut writer, Property::UserId, self.user_id)
            | write_if(&mut writer, Property::AppId, self.app_id)
            | write_if(&mut writer, Property::ClusterId, self.cluster_id);
        out[..2].copy_from_slice(&flags.to_be_bytes());
        out
    }
}

/// Writes a value if there is one, and gives the flag to set for it.
fn write_if<'a>(writer: &mut Writer<'_>, property: Property, value: Option<impl Field<'a>>) -> u16 {
    value.map_or(0, |value| {
        value.write(writer);
        property.flag()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Class 60, body of 5 octets; content-type, headers, delivery-mode and message-id.
    const HEADER: &[u8] = b"\0\x3C\0\0\0\0\0\0\0\0\0\x05\xB0\x80\x0Atext/plain\0\0\0\x04\x01kt\x01\x02\x02m1";

    #[test]
    fn properties_are_found_behind_the_ones_before_them() {
        let header = ContentHeader::decode(HEADER).unwrap();
        assert_eq!((header.class_id, header.weight, header.body_size), (60, 0, 5));
        let properties = header.properties;
        assert_eq!(properties.content_type(), Some("text/plain".into()));
        assert_eq!(properties.content_encoding(), None);
        assert_eq!(properties.headers().unwrap().find(b"k").unwrap().as_bool(), Some(true));
        assert_eq!(properties.delivery_mode(), Some(2));
        assert_eq!(properties.priority(), None);
        assert_eq!(properties.message_id(), Some("m1".into()));
        assert_eq!(properties.cluster_id(), None);
    }

    #[test]
    fn headers_are_replaced_and_the_other_properties_stay() {
        let header = ContentHeader::decode(HEADER).unwrap();
        let bytes = header.properties.with_headers(b"\x01zV");
        let changed = Properties::decode(&bytes).unwrap();
        assert_eq!(changed.headers().unwrap().as_bytes(), b"\x01zV");
        assert_eq!(changed.content_type(), Some("text/plain".into()));
        assert_eq!((changed.delivery_mode(), changed.message_id()), (Some(2), Some("m1".into())));
    }

    #[test]
    fn headers_are_put_in_where_there_were_none() {
        assert_eq!(Properties::EMPTY.with_headers(b"\x01zV"), b"\x20\0\0\0\0\x03\x01zV");
        let others =
            PropertiesWriter { content_type: Some("a".into()), delivery_mode: Some(2), ..no_properties() };
        let with_headers = PropertiesWriter { headers: Some(Table::EMPTY), ..others };
        assert_eq!(Properties::decode(&others.finish()).unwrap().with_headers(b""), with_headers.finish());
    }

    #[test]
    fn an_expiration_is_taken_out_and_the_other_properties_stay() {
        let others = PropertiesWriter { priority: Some(3), message_id: Some("m1".into()), ..no_properties() };
        let expiring = PropertiesWriter { expiration: Some("1000".into()), ..others };
        for properties in [others, expiring] {
            let bytes = properties.finish();
            assert_eq!(Properties::decode(&bytes).unwrap().without_expiration(), others.finish());
        }
    }

    fn no_properties() -> PropertiesWriter<'static> {
        PropertiesWriter::default()
    }

    #[test]
    fn a_header_goes_out_as_it_came_in() {
        let mut out = Vec::new();
        ContentHeader::decode(HEADER).unwrap().encode(ChannelNumber(1), &mut out);
        assert_eq!(out[7..out.len() - 1], *HEADER);
    }

    #[test]
    fn a_header_cut_anywhere_is_refused() {
        for cut in 0..HEADER.len() {
            assert!(ContentHeader::decode(&HEADER[..cut]).is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn octets_behind_the_last_property_are_refused() {
        let longer = [HEADER, b"\0"].concat();
        let error = ContentHeader::decode(&longer).unwrap_err();
        assert_eq!(error, syntax(60, "octets after the last property"));
    }

    #[test]
    fn flags_that_basic_does_not_have_are_refused() {
        for flags in [1, 2] {
            assert_eq!(Properties::decode(&[0, flags]), Err("unknown property flags"));
        }
        assert_eq!(Properties::decode(&[0, 0]), Ok(Properties::EMPTY));
    }

    #[test]
    fn a_bad_headers_table_is_refused() {
        assert_eq!(Properties::decode(b"\x20\0\0\0\0\x03\x01k?"), Err("headers"));
    }

    #[test]
    fn written_properties_read_back() {
        let written = PropertiesWriter {
            delivery_mode: Some(2),
            timestamp: Some(1_700_000_000),
            cluster_id: Some("c".into()),
            ..PropertiesWriter::default()
        };
        let bytes = written.finish();
        let properties = Properties::decode(&bytes).unwrap();
        assert_eq!(properties.delivery_mode(), Some(2));
        assert_eq!(properties.timestamp(), Some(1_700_000_000));
        assert_eq!(properties.cluster_id(), Some("c".into()));
        assert_eq!(properties.type_(), None);
    }
}
