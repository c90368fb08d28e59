//! Between cores: one bounded ring per ordered pair of shards, and one doorbell per shard.

pub mod doorbell;
pub mod ring;
mod sync;
#[cfg(test)]
mod tests;
