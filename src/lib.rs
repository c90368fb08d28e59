//! HareMQ: a RabbitMQ-compatible message broker, one thread per core.

pub mod amqp;
pub mod config;
pub mod exchange;
pub mod ids;
pub mod machine;
pub mod mesh;
pub mod topology;
