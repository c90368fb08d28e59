//! The AMQP 0-9-1 wire format, both ways. It knows no broker: bytes in, borrowed values out, and back.
//!
//! A frame holds a method ([`method`]), a content header ([`content`]), a piece of a body, or nothing (a heartbeat).
//! Methods and headers are made of the few field types of [`wire`]; one of them, the table, is a format of its own
//! ([`table`]). [`reply`] has the codes with which a method closes a channel or a connection, [`refusal`] the texts for
//! what cannot be read.
//! Nothing allocates while decoding, and what was decoded borrows from the receive buffer.

pub mod content;
pub mod frame;
pub mod method;
pub mod refusal;
pub mod reply;
pub mod table;
mod table_writer;
pub mod wire;

pub use content::{ContentHeader, Properties, PropertiesWriter};
pub use frame::{Frame, FrameError, FrameKind};
pub use method::{Method, MethodError};
pub use reply::{ChannelError, ConnectionError, ReplyCode};
pub use table::{Array, ArrayWriter, Table, TableWriter, Value};
pub use wire::{LongStr, ShortStr};
