//! Publishes orders and takes them: confirms, acknowledgements by hand, and a queue for what nobody can take.
//!
//!     cargo run --example orders -- consume 100
//!     cargo run --example orders -- publish 100
//!
//! In a project of your own: `cargo add lapin futures-lite`, `cargo add tokio --features rt,time`. AMQP_URI says where the broker is.

use futures_lite::StreamExt;
use lapin::message::Delivery;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions, BasicRejectOptions,
    ConfirmSelectOptions, QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Confirmation, Connection, ConnectionProperties};
use std::error::Error;
use std::time::Duration;

const QUEUE: &str = "orders";
const REJECTED: &str = "orders.rejected";
const PERSISTENT: u8 = 2;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    match arguments[..] {
        ["publish", count] => runtime.block_on(publish(count.parse()?)),
        ["consume", count] => runtime.block_on(consume(count.parse()?)),
        _ => Err("usage: orders publish|consume COUNT".into()),
    }
}

async fn connect() -> lapin::Result<Connection> {
    let uri = std::env::var("AMQP_URI").unwrap_or_else(|_| "amqp://guest:guest@127.0.0.1:5672".into());
    Connection::connect(&uri, ConnectionProperties::default()).await
}

/// Both sides declare: whoever comes first makes the queues, the other one finds the same.
async fn declare(channel: &Channel) -> lapin::Result<()> {
    let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    channel.queue_declare(REJECTED.into(), durable, FieldTable::default()).await?;
    let mut arguments = FieldTable::default();
    arguments.insert("x-dead-letter-exchange".into(), AMQPValue::LongString("".into()));
    arguments.insert("x-dead-letter-routing-key".into(), AMQPValue::LongString(REJECTED.into()));
    channel.queue_declare(QUEUE.into(), durable, arguments).await?;
    Ok(())
}

async fn publish(count: u32) -> Result<(), Box<dyn Error>> {
    let connection = connect().await?;
    let channel = connection.create_channel().await?;
    declare(&channel).await?;
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    let mut unconfirmed = Vec::new();
    for number in 1..=count {
        let order = format!("order {number}: {} pieces", number % 10);
        let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
        let properties = BasicProperties::default().with_delivery_mode(PERSISTENT);
        let confirm =
            channel.basic_publish("".into(), QUEUE.into(), options, order.as_bytes(), properties).await?;
        unconfirmed.push((order, confirm));
        if unconfirmed.len() == 1_000 || number == count {
            for (order, confirm) in unconfirmed.drain(..) {
                // If the connection is lost meanwhile nobody knows whether the broker has it: publish it again, and let
                // consumers expect it twice.
                match confirm.await? {
                    Confirmation::Ack(None) => println!("confirmed {order}"),
                    refused => return Err(format!("{order}: {refused:?}").into()),
                }
            }
        }
    }
    connection.close(200, "done".into()).await?;
    Ok(())
}

async fn consume(count: u32) -> Result<(), Box<dyn Error>> {
    let mut left = count;
    while left > 0 {
        if let Err(lost) = take(&mut left).await {
            // What was delivered and not acknowledged is in the queue again.
            eprintln!("connection lost: {lost}");
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }
    Ok(())
}

async fn take(left: &mut u32) -> lapin::Result<()> {
    let connection = connect().await?;
    let channel = connection.create_channel().await?;
    declare(&channel).await?;
    channel.basic_qos(50, BasicQosOptions::default()).await?;
    let mut orders = channel
        .basic_consume(QUEUE.into(), "".into(), BasicConsumeOptions::default(), FieldTable::default())
        .await?;
    println!("waiting");
    while *left > 0 {
        // None is a consumer that was cancelled: its queue was deleted. A new one is made with the next connection.
        let Some(delivery) = orders.next().await else { break };
        settle(delivery?).await?;
        *left -= 1;
    }
    connection.close(200, "done".into()).await
}

async fn settle(delivery: Delivery) -> lapin::Result<()> {
    let order = String::from_utf8_lossy(&delivery.data);
    if order.ends_with(": 0 pieces") {
        delivery.reject(BasicRejectOptions { requeue: false }).await?;
        println!("rejected {order}");
    } else {
        // Only when the work is done: whoever dies before gets it again.
        delivery.ack(BasicAckOptions::default()).await?;
        println!("took {order}");
    }
    Ok(())
}
