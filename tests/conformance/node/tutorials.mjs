// What RabbitMQ's first four tutorials do, with amqplib's promises.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { channelOf, connect, consumer, nameOf, numbered, pause } from './support.mjs';

test('1: a message reaches the consumer', async (t) => {
  const queue = nameOf('hello');
  const sending = await channelOf(await connect(t));
  await sending.assertQueue(queue, { durable: false });
  sending.sendToQueue(queue, Buffer.from('Hello World!'));
  const receiving = await channelOf(await connect(t));
  const { arrived } = await consumer(receiving, queue, { noAck: true });
  const [message] = await arrived(1);
  assert.equal(message.content.toString(), 'Hello World!');
  assert.deepEqual([message.fields.exchange, message.fields.routingKey], ['', queue]);
  await receiving.deleteQueue(queue);
});

test('2: tasks go to workers that are free, and again when a worker dies', async (t) => {
  const queue = nameOf('tasks');
  const sending = await channelOf(await connect(t));
  await sending.assertQueue(queue, { durable: true });
  const worker = async () => {
    // The timers of heartbeats would outlive the one that dies.
    const connection = await connect(t, '?heartbeat=0');
    const channel = await channelOf(connection);
    await channel.prefetch(1);
    return { connection, channel, ...(await consumer(channel, queue)) };
  };
  const [doomed, steady] = [await worker(), await worker()];
  for (const task of numbered(6)) sending.sendToQueue(queue, Buffer.from(task), { persistent: true });
  const [held] = await doomed.arrived(1);
  for (let done = 1; done <= 5; done++) {
    const messages = await steady.arrived(done);
    assert.equal(messages[done - 1].properties.deliveryMode, 2);
    steady.channel.ack(messages[done - 1]);
  }
  doomed.connection.connection.stream.destroy();
  const last = (await steady.arrived(6))[5];
  assert.deepEqual([last.content, last.fields.redelivered], [held.content, true]);
  steady.channel.ack(last);
  assert.deepEqual(steady.bodies().sort(), numbered(6));
  await sending.deleteQueue(queue);
});

test('3: every subscriber gets every message', async (t) => {
  const logs = nameOf('logs');
  const sending = await channelOf(await connect(t));
  await sending.assertExchange(logs, 'fanout', { durable: false });
  const subscribers = [];
  for (let number = 0; number < 3; number++) {
    const channel = await channelOf(await connect(t));
    const { queue } = await channel.assertQueue('', { exclusive: true });
    assert.match(queue, /^amq\.gen-/);
    await channel.bindQueue(queue, logs, '');
    subscribers.push(await consumer(channel, queue, { noAck: true }));
  }
  for (const body of numbered(50)) sending.publish(logs, '', Buffer.from(body));
  for (const subscriber of subscribers) {
    await subscriber.arrived(50);
    assert.deepEqual(subscriber.bodies(), numbered(50));
  }
  await sending.deleteExchange(logs);
});

test('4: subscribers get the severities they name', async (t) => {
  const logs = nameOf('severities');
  const connection = await connect(t);
  const channel = await channelOf(connection);
  await channel.assertExchange(logs, 'direct', { durable: false });
  const subscribe = async (...severities) => {
    const { queue } = await channel.assertQueue('', { exclusive: true });
    for (const severity of severities) await channel.bindQueue(queue, logs, severity);
    return consumer(channel, queue, { noAck: true });
  };
  const everything = await subscribe('info', 'warning', 'error');
  const errors = await subscribe('error');
  for (const severity of ['info', 'error', 'debug', 'warning', 'error']) channel.publish(logs, severity, Buffer.from(severity));
  await everything.arrived(4);
  await errors.arrived(2);
  await pause(50);
  assert.deepEqual(everything.bodies(), ['info', 'error', 'warning', 'error']);
  assert.deepEqual(errors.bodies(), ['error', 'error']);
  await channel.deleteExchange(logs);
});
