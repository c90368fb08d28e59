//! The journal: what a shard must not forget, as records in groups in segment files, and how it is read again.
//!
//! ```text
//! shard -> Group -> link -> flusher -> write -> fdatasync -> link -> shard
//!                                       start: reader -> record -> shard
//! ```
//! A shard hands groups of records to the flusher, a thread of its own, so that the next group forms while the last
//! one is synced.

pub mod disk;
pub mod flusher;
pub mod layout;
pub mod link;
#[cfg(test)]
mod memory;
pub mod position;
pub mod reader;

pub use disk::{Disk, OsDisk};
pub use flusher::{Failure, Flusher, FlusherConfig};
pub use link::{Group, Link};
pub use position::Position;
pub use reader::{Damage, Rot, Scan, SegmentInfo, read_journal, set_aside};
