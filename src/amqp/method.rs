//! All methods of AMQP 0-9-1 with RabbitMQ's extensions, as one table: ids, who sends it, and its arguments in order.

use super::frame::{FrameKind, encode_frame};
use super::table::Table;
use super::wire::{Field, LongStr, Reader, ShortStr, Writer};
use crate::ids::ChannelNumber;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MethodError {
    Unknown {
        class_id: u16,
        method_id: u16,
    },
    /// The bytes end before the last argument, or after it.
    Length {
        class_id: u16,
        method_id: u16,
    },
    /// `what` is the argument, long enough, in which something is wrong.
    Syntax {
        class_id: u16,
        method_id: u16,
        what: &'static str,
    },
    /// A short string that is no text. Only clients are asked for it.
    Utf8 {
        class_id: u16,
        method_id: u16,
    },
}

impl<'a> Method<'a> {
    /// Reads a method frame's payload; it must hold one method and nothing more.
    #[inline]
    pub fn decode(payload: &'a [u8]) -> Result<Method<'a>, MethodError> {
        let mut reader = Reader::new(payload);
        let Some((class_id, method_id)) = read_ids(&mut reader) else {
            return Err(MethodError::Length { class_id: 0, method_id: 0 });
        };
        let arguments = reader;
        let method = Method::decode_arguments(class_id, method_id, &mut reader);
        match method {
            Ok(method) if reader.is_empty() => Ok(method),
            Err(MethodError::Syntax { .. }) if Method::fits(class_id, method_id, arguments) => method,
            Err(MethodError::Unknown { .. }) => method,
            Ok(_) | Err(_) => Err(MethodError::Length { class_id, method_id }),
        }
    }

    /// Like [`Method::decode`], and names must be text: what a client calls things is shown to others. Those in a publish
    /// name what is there or nothing, and looking at them would cost each message.
    #[inline]
    pub fn decode_from_client(payload: &'a [u8]) -> Result<Method<'a>, MethodError> {
        let method = Method::decode(payload)?;
        match method {
            Method::BasicPublish { .. } => Ok(method),
            method if method.is_text() => Ok(method),
            method => {
                let (class_id, method_id) = method.ids();
                Err(MethodError::Utf8 { class_id, method_id })
            }
        }
    }

    /// Appends the whole frame.
    #[inline]
    pub fn encode(&self, channel: ChannelNumber, out: &mut Vec<u8>) {
        let (class_id, method_id) = self.ids();
        encode_frame(out, FrameKind::Method, channel, |out| {
            let mut writer = Writer::new(out);
            class_id.write(&mut writer);
            method_id.write(&mut writer);
            self.encode_arguments(&mut writer);
        });
    }

    /// Whether a content header and a body follow.
    pub fn is_content(&self) -> bool {
        matches!(
            self,
            Method::BasicPublish { .. }
                | Method::BasicReturn { .. }
                | Method::BasicDeliver { .. }
                | Method::BasicGetOk { .. }
        )
    }

    /// Whether a client may send it; a server refuses the others.
    pub fn sent_by_client(&self) -> bool {
        match self.sender() {
            Sender::Client | Sender::Both => true,
            Sender::Server => false,
        }
    }
}

/// Who may send a method.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sender {
    Client,
    Server,
    Both,
}

#[inline]
fn read_ids(reader: &mut Reader<'_>) -> Option<(u16, u16)> {
    Some((u16::read(reader)?, u16::read(reader)?))
}

/// Turns the table below into the enum [`Method`] and the matches that decode and encode it.
///
/// A row is `(class id, method id) Variant Sender "spec.name" [reserved] { argument: type, .. } [reserved];`, without
/// the braces if there is no argument. The types in brackets are arguments that the specification no longer uses
/// (tickets, capabilities ..), before or after the ones we keep: they are read and forgotten, and written as zero or empty.
macro_rules! methods {
    ($($ids:tt $variant:ident $sender:ident $name:literal
        [$($before:ty),*] $({ $($field:ident: $type:ty),* })? [$($after:ty),*];)*) => {
        /// A method with its arguments, named as in the specification. It borrows from the frame it was read from.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum Method<'a> {
            $($variant $({ $($field: $type),* })?,)*
        }

        impl<'a> Method<'a> {
            #[inline]
            fn decode_arguments(
                class_id: u16,
                method_id: u16,
                reader: &mut Reader<'a>,
            ) -> Result<Method<'a>, MethodError> {
                let syntax = |what| MethodError::Syntax { class_id, method_id, what };
                match (class_id, method_id) {
                    $($ids => {
                        $(<$before>::read(reader).ok_or_else(|| syntax("reserved"))?;)*
                        $($(let $field = <$type>::read(reader).ok_or_else(|| syntax(stringify!($field)))?;)*)?
                        $(<$after>::read(reader).ok_or_else(|| syntax("reserved"))?;)*
                        Ok(Method::$variant $({ $($field),* })?)
                    })*
                    _ => Err(MethodError::Unknown { class_id, method_id }),
                }
            }

            /// Whether the bytes are as long as the arguments are, whatever stands in the tables.
            fn fits(class_id: u16, method_id: u16, mut reader: Reader<'a>) -> bool {
                let fields = |reader: &mut Reader<'a>| {
                    match (class_id, method_id) {
                        $($ids => {
                            $(<$before>::skip(reader)?;)*
                            $($(<$type>::skip(reader)?;)*)?
                            $(<$after>::skip(reader)?;)*
                        })*
                        _ => return None,
                    }
                    Some(())
                };
                fields(&mut reader).is_some() && reader.is_empty()
            }

            /// Whether each short string is UTF-8.
            fn is_text(&self) -> bool {
                match self {
                    $(Method::$variant $({ $($field),* })? => true $($(&& $field.is_text())*)?,)*
                }
            }

            #[inline]
            fn encode_arguments(&self, writer: &mut Writer<'_>) {
                match *self {
                    $(Method::$variant $({ $($field),* })? => {
                        $(<$before>::default().write(writer);)*
                        $($($field.write(writer);)*)?
                        $(<$after>::default().write(writer);)*
                    })*
                }
            }

            /// Class id and method id.
            #[inline]
            pub fn ids(&self) -> (u16, u16) {
                match self {
                    $(Method::$variant { .. } => $ids,)*
                }
            }

            /// The specification's name, as in `queue.declare`.
            pub fn name(&self) -> &'static str {
                match self {
                    $(Method::$variant { .. } => $name,)*
                }
            }

            fn sender(&self) -> Sender {
                match self {
                    $(Method::$variant { .. } => Sender::$sender,)*
                }
            }
        }

        /// The name of the method with these ids, if there is one.
        pub fn method_name(class_id: u16, method_id: u16) -> Option<&'static str> {
            match (class_id, method_id) {
                $($ids => Some($name),)*
                _ => None,
            }
        }
    };
}

type Short<'a> = ShortStr<'a>;
type Long<'a> = LongStr<'a>;

// The order of the arguments is the order on the wire; neighbouring bools share an octet.
#[rustfmt::skip]
methods! {
    (10, 10) ConnectionStart Server "connection.start" [] {
        version_major: u8, version_minor: u8, server_properties: Table<'a>, mechanisms: Long<'a>, locales: Long<'a>
    } [];
    (10, 11) ConnectionStartOk Client "connection.start-ok" [] {
        client_properties: Table<'a>, mechanism: Short<'a>, response: Long<'a>, locale: Short<'a>
    } [];
    (10, 20) ConnectionSecure Server "connection.secure" [] { challenge: Long<'a> } [];
    (10, 21) ConnectionSecureOk Client "connection.secure-ok" [] { response: Long<'a> } [];
    (10, 30) ConnectionTune Server "connection.tune" [] { channel_max: u16, frame_max: u32, heartbeat: u16 } [];
    (10, 31) ConnectionTuneOk Client "connection.tune-ok" [] { channel_max: u16, frame_max: u32, heartbeat: u16 } [];
    // Reserved: capabilities, insist.
    (10, 40) ConnectionOpen Client "connection.open" [] { virtual_host: Short<'a> } [Short<'a>, bool];
    // Reserved: known-hosts.
    (10, 41) ConnectionOpenOk Server "connection.open-ok" [] [Short<'a>];
    (10, 50) ConnectionClose Both "connection.close" [] {
        reply_code: u16, reply_text: Short<'a>, class_id: u16, method_id: u16
    } [];
    (10, 51) ConnectionCloseOk Both "connection.close-ok" [] [];
    (10, 60) ConnectionBlocked Server "connection.blocked" [] { reason: Short<'a> } [];
    (10, 61) ConnectionUnblocked Server "connection.unblocked" [] [];
    (10, 70) ConnectionUpdateSecret Client "connection.update-secret" [] {
        new_secret: Long<'a>, reason: Short<'a>
    } [];
    (10, 71) ConnectionUpdateSecretOk Server "connection.update-secret-ok" [] [];

    // Reserved: out-of-band, and in the answer channel-id.
    (20, 10) ChannelOpen Client "channel.open" [] [Short<'a>];
    (20, 11) ChannelOpenOk Server "channel.open-ok" [] [Long<'a>];
    (20, 20) ChannelFlow Both "channel.flow" [] { active: bool } [];
    (20, 21) ChannelFlowOk Both "channel.flow-ok" [] { active: bool } [];
    (20, 40) ChannelClose Both "channel.close" [] {
        reply_code: u16, reply_text: Short<'a>, class_id: u16, method_id: u16
    } [];
    (20, 41) ChannelCloseOk Both "channel.close-ok" [] [];

    // Gone from 0-9-1, but some old clients still ask for a ticket, and RabbitMQ gives it.
    (30, 10) AccessRequest Client "access.request" [] {
        realm: Short<'a>, exclusive: bool, passive: bool, active: bool, write: bool, read: bool
    } [];
    (30, 11) AccessRequestOk Server "access.request-ok" [] { ticket: u16 } [];

    // Reserved at the front of many methods from here on: the ticket.
    (40, 10) ExchangeDeclare Client "exchange.declare" [u16] {
        exchange: Short<'a>, type_: Short<'a>, passive: bool, durable: bool, auto_delete: bool, internal: bool,
        nowait: bool, arguments: Table<'a>
    } [];
    (40, 11) ExchangeDeclareOk Server "exchange.declare-ok" [] [];
    (40, 20) ExchangeDelete Client "exchange.delete" [u16] { exchange: Short<'a>, if_unused: bool, nowait: bool } [];
    (40, 21) ExchangeDeleteOk Server "exchange.delete-ok" [] [];
    (40, 30) ExchangeBind Client "exchange.bind" [u16] {
        destination: Short<'a>, source: Short<'a>, routing_key: Short<'a>, nowait: bool, arguments: Table<'a>
    } [];
    (40, 31) ExchangeBindOk Server "exchange.bind-ok" [] [];
    (40, 40) ExchangeUnbind Client "exchange.unbind" [u16] {
        destination: Short<'a>, source: Short<'a>, routing_key: Short<'a>, nowait: bool, arguments: Table<'a>
    } [];
    (40, 51) ExchangeUnbindOk Server "exchange.unbind-ok" [] [];

    (50, 10) QueueDeclare Client "queue.declare" [u16] {
        queue: Short<'a>, passive: bool, durable: bool, exclusive: bool, auto_delete: bool, nowait: bool,
        arguments: Table<'a>
    } [];
    (50, 11) QueueDeclareOk Server "queue.declare-ok" [] {
        queue: Short<'a>, message_count: u32, consumer_count: u32
    } [];
    (50, 20) QueueBind Client "queue.bind" [u16] {
        queue: Short<'a>, exchange: Short<'a>, routing_key: Short<'a>, nowait: bool, arguments: Table<'a>
    } [];
    (50, 21) QueueBindOk Server "queue.bind-ok" [] [];
    (50, 30) QueuePurge Client "queue.purge" [u16] { queue: Short<'a>, nowait: bool } [];
    (50, 31) QueuePurgeOk Server "queue.purge-ok" [] { message_count: u32 } [];
    (50, 40) QueueDelete Client "queue.delete" [u16] {
        queue: Short<'a>, if_unused: bool, if_empty: bool, nowait: bool
    } [];
    (50, 41) QueueDeleteOk Server "queue.delete-ok" [] { message_count: u32 } [];
    (50, 50) QueueUnbind Client "queue.unbind" [u16] {
        queue: Short<'a>, exchange: Short<'a>, routing_key: Short<'a>, arguments: Table<'a>
    } [];
    (50, 51) QueueUnbindOk Server "queue.unbind-ok" [] [];

    (60, 10) BasicQos Client "basic.qos" [] { prefetch_size: u32, prefetch_count: u16, global: bool } [];
    (60, 11) BasicQosOk Server "basic.qos-ok" [] [];
    (60, 20) BasicConsume Client "basic.consume" [u16] {
        queue: Short<'a>, consumer_tag: Short<'a>, no_local: bool, no_ack: bool, exclusive: bool, nowait: bool,
        arguments: Table<'a>
    } [];
    (60, 21) BasicConsumeOk Server "basic.consume-ok" [] { consumer_tag: Short<'a> } [];
    (60, 30) BasicCancel Both "basic.cancel" [] { consumer_tag: Short<'a>, nowait: bool } [];
    (60, 31) BasicCancelOk Both "basic.cancel-ok" [] { consumer_tag: Short<'a> } [];
    (60, 40) BasicPublish Client "basic.publish" [u16] {
        exchange: Short<'a>, routing_key: Short<'a>, mandatory: bool, immediate: bool
    } [];
    (60, 50) BasicReturn Server "basic.return" [] {
        reply_code: u16, reply_text: Short<'a>, exchange: Short<'a>, routing_key: Short<'a>
    } [];
    (60, 60) BasicDeliver Server "basic.deliver" [] {
        consumer_tag: Short<'a>, delivery_tag: u64, redelivered: bool, exchange: Short<'a>, routing_key: Short<'a>
    } [];
    (60, 70) BasicGet Client "basic.get" [u16] { queue: Short<'a>, no_ack: bool } [];
    (60, 71) BasicGetOk Server "basic.get-ok" [] {
        delivery_tag: u64, redelivered: bool, exchange: Short<'a>, routing_key: Short<'a>, message_count: u32
    } [];
    // Reserved: cluster-id.
    (60, 72) BasicGetEmpty Server "basic.get-empty" [] [Short<'a>];
    (60, 80) BasicAck Both "basic.ack" [] { delivery_tag: u64, multiple: bool } [];
    (60, 90) BasicReject Client "basic.reject" [] { delivery_tag: u64, requeue: bool } [];
    (60, 100) BasicRecoverAsync Client "basic.recover-async" [] { requeue: bool } [];
    (60, 110) BasicRecover Client "basic.recover" [] { requeue: bool } [];
    (60, 111) BasicRecoverOk Server "basic.recover-ok" [] [];
    (60, 120) BasicNack Both "basic.nack" [] { delivery_tag: u64, multiple: bool, requeue: bool } [];

    (85, 10) ConfirmSelect Client "confirm.select" [] { nowait: bool } [];
    (85, 11) ConfirmSelectOk Server "confirm.select-ok" [] [];

    (90, 10) TxSelect Client "tx.select" [] [];
    (90, 11) TxSelectOk Server "tx.select-ok" [] [];
    (90, 20) TxCommit Client "tx.commit" [] [];
    (90, 21) TxCommitOk Server "tx.commit-ok" [] [];
    (90, 30) TxRollback Client "tx.rollback" [] [];
    (90, 31) TxRollbackOk Server "tx.rollback-ok" [] [];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_declare_is_read_from_its_bytes() {
        let payload = b"\0\x32\0\x0A\0\0\x05tasks\x12\0\0\0\x0E\x05x-ttlI\0\0\0\x0A\x01aV";
        let Ok(Method::QueueDeclare { queue, passive, durable, exclusive, auto_delete, nowait, arguments }) =
            Method::decode(payload)
        else {
            panic!("not a queue.declare")
        };
        assert_eq!(queue.as_bytes(), b"tasks");
        assert_eq!((passive, durable, exclusive, auto_delete, nowait), (false, true, false, false, true));
        assert_eq!(arguments.find(b"x-ttl").unwrap().as_integer(), Some(10));
    }

    #[test]
    fn an_encoded_method_is_a_whole_frame() {
        let mut out = Vec::new();
        Method::BasicAck { delivery_tag: 258, multiple: true }.encode(ChannelNumber(1), &mut out);
        assert_eq!(out, b"\x01\0\x01\0\0\0\x0D\0\x3C\0\x50\0\0\0\0\0\0\x01\x02\x01\xCE");
    }

    #[test]
    fn arguments_that_are_too_short_or_too_long_are_told_from_a_wrong_table() {
        let error = |payload| Method::decode(payload).unwrap_err();
        let length = MethodError::Length { class_id: 50, method_id: 10 };
        assert_eq!(error(b"\0\x32\0\x0A\0\0\x05tas"), length);
        assert_eq!(error(b"\0\x32\0\x0A\0\0\0\0\0\0\0\x03\x01a"), length);
        assert_eq!(error(b"\0\x32\0\x0A\0\0\0\0\0\0\0\x02\x01aV"), length);
        let syntax = MethodError::Syntax { class_id: 50, method_id: 10, what: "arguments" };
        assert_eq!(error(b"\0\x32\0\x0A\0\0\0\0\0\0\0\x02\x01a"), syntax);
        assert_eq!(error(b"\0\x5A\0\x0A\0"), MethodError::Length { class_id: 90, method_id: 10 });
    }

    #[test]
    fn a_method_without_ids_or_with_unknown_ones_is_refused() {
        assert!(matches!(Method::decode(b"\0\x5A\0"), Err(MethodError::Length { .. })));
        let unknown = MethodError::Unknown { class_id: 40, method_id: 41 };
        assert_eq!(Method::decode(b"\0\x28\0\x29"), Err(unknown));
        assert_eq!(method_name(40, 41), None);
    }

    #[test]
    fn names_that_clients_give_are_text() {
        let purge = b"\0\x32\0\x1E\0\0\x02q\xFF\0";
        assert!(Method::decode(purge).is_ok());
        let error = MethodError::Utf8 { class_id: 50, method_id: 30 };
        assert_eq!(Method::decode_from_client(purge), Err(error));
        assert!(Method::decode_from_client(b"\0\x32\0\x1E\0\0\x02\xC3\xA9\0").is_ok());
    }

    #[test]
    fn deliveries_are_not_sent_by_clients() {
        let deliver = Method::BasicDeliver {
            consumer_tag: "t".into(),
            delivery_tag: 1,
            redelivered: false,
            exchange: ShortStr::EMPTY,
            routing_key: ShortStr::EMPTY,
        };
        assert!(!deliver.sent_by_client() && deliver.is_content());
        assert!(Method::BasicNack { delivery_tag: 1, multiple: false, requeue: false }.sent_by_client());
    }
}
