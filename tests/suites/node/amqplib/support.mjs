// Connections and channels of amqplib that go with their case.

import assert from 'node:assert/strict';
import amqp from 'amqplib';
import { URI, eventually, inbox } from '../support.mjs';

/** Keeps its errors: without a listener they would end the process. */
export async function connect(t, query = '', options = {}) {
  const connection = await amqp.connect(URI + query, options);
  connection.errors = [];
  connection.on('error', (error) => connection.errors.push(error));
  connection.closed = new Promise((resolve) => connection.on('close', resolve));
  t.after(() => connection.close().catch(() => {}));
  return connection;
}

export async function channelOf(connection, kind = 'createChannel') {
  const channel = await connection[kind]();
  channel.errors = [];
  channel.on('error', (error) => channel.errors.push(error));
  channel.closed = new Promise((resolve) => channel.on('close', resolve));
  return channel;
}

export async function open(t) {
  return channelOf(await connect(t));
}

export async function confirming(t) {
  return channelOf(await connect(t), 'createConfirmChannel');
}

/** A queue of the channel's own, without a name that matters. */
export async function ownQueue(channel, options = {}) {
  return (await channel.assertQueue('', { exclusive: true, ...options })).queue;
}

export async function consumer(channel, queue, options = {}) {
  const box = inbox();
  const { consumerTag } = await channel.consume(queue, box.take, options);
  return { ...box, consumerTag, bodies: () => box.messages.map(body) };
}

export function body(message) {
  return message ? message.content.toString() : message;
}

export async function publishAll(channel, queue, bodies, options = {}) {
  for (const text of bodies) channel.sendToQueue(queue, Buffer.from(text), options);
  if (channel.waitForConfirms) await channel.waitForConfirms();
}

/** All that is in the queue, taken out of it. */
export async function drain(channel, queue) {
  const taken = [];
  for (;;) {
    const message = await channel.get(queue, { noAck: true });
    if (!message) return taken;
    taken.push(message);
  }
}

export function holds(channel, queue, count) {
  return eventually(async () => (await channel.checkQueue(queue)).messageCount, count);
}

/** The request is refused, and its channel closed, with this code, text, class and method. */
export async function refused(request, code, text, [classId, methodId] = []) {
  await assert.rejects(request, (error) => {
    assert.equal(error.code, code, error.message);
    assert.ok(error.message.includes(text), `${error.message} has no «${text}»`);
    if (classId) assert.deepEqual([error.classId, error.methodId], [classId, methodId]);
    return true;
  });
}

/** What has no reply of its own closes the channel. */
export async function breaks(channel, code, text) {
  await channel.closed;
  assert.deepEqual(channel.errors.map((error) => error.code), [code]);
  assert.ok(channel.errors[0].message.includes(text), `${channel.errors[0].message} has no «${text}»`);
}

/** What is a fault of the whole connection closes that. */
export async function breaksAll(connection, code, text) {
  await connection.closed;
  assert.equal(connection.errors[0]?.code, code, connection.errors[0]?.message);
  assert.ok(connection.errors[0].message.includes(text), `${connection.errors[0].message} has no «${text}»`);
}
