//! HareMQ: a RabbitMQ-compatible message broker, one thread per core.

pub mod exchange;
pub mod ids;
pub mod mesh;
