//! lapin, the Rust client: many tasks on many channels and connections at once.

// What the broker refuses fails the test, here as in a test function itself.
#![allow(clippy::unwrap_used)]

use super::Target;
use futures_lite::StreamExt;
use lapin::options::*;
use lapin::types::{FieldTable, ShortString};
use lapin::{BasicProperties, Channel, Confirmation, Connection, ConnectionProperties, Consumer};
use std::collections::BTreeMap;
use std::future::Future;
use std::time::Duration;

#[test]
fn lapin_keeps_order_between_many_publishers_and_consumers() {
    const QUEUES: usize = 8;
    const MESSAGES: u32 = 1_000;
    run(|target| async move {
        let mut tasks = Vec::new();
        let (publishing, consuming) = (connections(&target, 3).await, connections(&target, 3).await);
        for number in 0..QUEUES {
            let queue = format!("lapin-order-{number}");
            let sender = publishing[number % 3].create_channel().await.unwrap();
            declare(&sender, &queue).await;
            let receiver = consuming[(number + 1) % 3].create_channel().await.unwrap();
            tasks.push(tokio::spawn(publish_numbers(sender, queue.clone(), MESSAGES)));
            tasks.push(tokio::spawn(expect_numbers(receiver, queue, MESSAGES)));
        }
        for task in tasks {
            task.await.unwrap();
        }
    });
}

/// All confirmed, with up to a hundred confirms outstanding.
async fn publish_numbers(channel: Channel, queue: String, count: u32) {
    channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
    let mut confirms = Vec::new();
    for number in 0..count {
        confirms.push(publish(&channel, "", &queue, &number.to_be_bytes()).await);
        if confirms.len() == 100 {
            for confirm in confirms.drain(..) {
                assert_eq!(confirm.await.unwrap(), Confirmation::Ack(None));
            }
        }
    }
}

async fn expect_numbers(channel: Channel, queue: String, count: u32) {
    channel.basic_qos(50, BasicQosOptions::default()).await.unwrap();
    let mut consumer = consume(&channel, &queue, "numbers").await;
    for number in 0..count {
        let delivery = consumer.next().await.unwrap().unwrap();
        assert_eq!(
            (delivery.data.as_slice(), delivery.redelivered),
            (&number.to_be_bytes()[..], false),
            "{queue}"
        );
        delivery.ack(BasicAckOptions::default()).await.unwrap();
    }
    assert_eq!(delete(&channel, &queue).await, 0);
}

#[test]
fn lapin_shares_a_queue_among_consumers_that_give_some_back() {
    const MESSAGES: u32 = 2_000;
    const CONSUMERS: usize = 4;
    run(|target| async move {
        let connections = connections(&target, 3).await;
        let publisher = connections[0].create_channel().await.unwrap();
        let queue = "lapin-shared".to_owned();
        declare(&publisher, &queue).await;
        let mut sharing = Vec::new();
        for number in 0..CONSUMERS {
            let channel = connections[number % 3].create_channel().await.unwrap();
            sharing.push(tokio::spawn(settle_until_silence(channel, queue.clone())));
        }
        publish_numbers(publisher, queue.clone(), MESSAGES).await;
        let mut acked = BTreeMap::new();
        for consumer in sharing {
            for number in consumer.await.unwrap() {
                *acked.entry(number).or_insert(0) += 1;
            }
        }
        assert_eq!(acked, (0..MESSAGES).map(|number| (number, 1)).collect());
        let channel = connections[0].create_channel().await.unwrap();
        assert_eq!(delete(&channel, &queue).await, 0);
    });
}

/// Gives back each tenth message the first time it sees it; returns what it has acknowledged.
async fn settle_until_silence(channel: Channel, queue: String) -> Vec<u32> {
    channel.basic_qos(10, BasicQosOptions::default()).await.unwrap();
    let mut consumer = consume(&channel, &queue, "sharing").await;
    let mut acked = Vec::new();
    while let Ok(Some(delivery)) = tokio::time::timeout(Duration::from_secs(2), consumer.next()).await {
        let delivery = delivery.unwrap();
        let number = u32::from_be_bytes(delivery.data.as_slice().try_into().unwrap());
        if number.is_multiple_of(10) && !delivery.redelivered {
            delivery.nack(BasicNackOptions { requeue: true, ..Default::default() }).await.unwrap();
        } else {
            delivery.ack(BasicAckOptions::default()).await.unwrap();
            acked.push(number);
        }
    }
    acked
}

#[test]
fn lapin_gets_returned_messages_with_their_confirms() {
    run(|target| async move {
        let connection = connections(&target, 1).await.remove(0);
        let channel = connection.create_channel().await.unwrap();
        channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
        for size in [0, 10, 500_000] {
            let body = vec![7; size];
            let options = BasicPublishOptions { mandatory: true, ..Default::default() };
            let nowhere = ("amq.fanout".into(), "lapin-nowhere".into());
            let sent =
                channel.basic_publish(nowhere.0, nowhere.1, options, &body, BasicProperties::default());
            let Confirmation::Ack(Some(returned)) = sent.await.unwrap().await.unwrap() else {
                panic!("the message was not returned before its confirm")
            };
            assert_eq!((returned.reply_code, returned.delivery.data == body), (312, true));
        }
    });
}

#[test]
fn lapin_opens_a_hundred_channels_at_once() {
    run(|target| async move {
        let connection = connections(&target, 1).await.remove(0);
        let mut tasks = Vec::new();
        for _ in 0..100 {
            let channel = connection.create_channel().await.unwrap();
            tasks.push(tokio::spawn(async move {
                let options = QueueDeclareOptions { exclusive: true, ..Default::default() };
                let queue = channel.queue_declare("".into(), options, FieldTable::default()).await.unwrap();
                let queue = queue.name().to_string();
                channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
                publish(&channel, "", &queue, queue.as_bytes()).await.await.unwrap();
                let options = BasicGetOptions { no_ack: true };
                let got = channel.basic_get(queue.as_str().into(), options).await.unwrap().unwrap();
                assert_eq!(got.delivery.data, queue.as_bytes());
                channel.close(200, "".into()).await.unwrap();
            }));
        }
        for task in tasks {
            task.await.unwrap();
        }
    });
}

/// A test that waits for what never comes fails with this.
const TIME_FOR_A_TEST: Duration = Duration::from_secs(120);

fn run<F: Future<Output = ()>>(test: impl FnOnce(String) -> F) {
    let target = Target::start();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let limited = async { tokio::time::timeout(TIME_FOR_A_TEST, test(target.uri.clone())).await };
    runtime.block_on(limited).expect("it ends in time");
}

async fn connections(uri: &str, count: usize) -> Vec<Connection> {
    let mut connections = Vec::new();
    for _ in 0..count {
        connections.push(Connection::connect(uri, ConnectionProperties::default()).await.unwrap());
    }
    connections
}

async fn declare(channel: &Channel, queue: &str) {
    channel.queue_declare(queue.into(), QueueDeclareOptions::default(), FieldTable::default()).await.unwrap();
}

/// How many messages were left in it.
async fn delete(channel: &Channel, queue: &str) -> u32 {
    channel.queue_delete(queue.into(), QueueDeleteOptions::default()).await.unwrap()
}

async fn publish(channel: &Channel, exchange: &str, key: &str, body: &[u8]) -> lapin::PublisherConfirm {
    let (options, properties) = (BasicPublishOptions::default(), BasicProperties::default());
    channel.basic_publish(exchange.into(), key.into(), options, body, properties).await.unwrap()
}

async fn consume(channel: &Channel, queue: &str, tag: &str) -> Consumer {
    let (options, arguments) = (BasicConsumeOptions::default(), FieldTable::default());
    let tag: ShortString = tag.into();
    channel.basic_consume(queue.into(), tag, options, arguments).await.unwrap()
}
