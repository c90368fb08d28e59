// Connections, channels and sessions of @cloudamqp/amqp-client that go with their case.

import assert from 'node:assert/strict';
import { AMQPClient, AMQPSession } from '@cloudamqp/amqp-client';
import { URI, eventually, inbox, nameOf } from '../support.mjs';

export async function connect(t, query = '') {
  const client = new AMQPClient(URI + query);
  client.errors = [];
  client.onerror = (error) => client.errors.push(error);
  await client.connect();
  t.after(() => client.close().catch(() => {}));
  return client;
}

export async function channelOf(client) {
  const channel = await client.channel();
  channel.errors = [];
  channel.onerror = (reason) => channel.errors.push(reason);
  return channel;
}

export async function open(t, query) {
  return channelOf(await connect(t, query));
}

export async function confirming(t) {
  const channel = await open(t);
  await channel.confirmSelect();
  return channel;
}

export async function ownQueue(channel, args = {}) {
  return (await channel.queueDeclare('', {}, args)).name;
}

export async function publishAll(channel, queue, bodies, properties = {}) {
  await Promise.all(bodies.map((text) => channel.basicPublish('', queue, text, properties)));
}

export async function consumer(channel, queue, params = {}) {
  const box = inbox();
  const { tag } = await channel.basicConsume(queue, { noAck: false, ...params }, box.take);
  return { ...box, tag };
}

export function body(message) {
  return message && message.bodyString();
}

export async function drain(channel, queue) {
  const taken = [];
  for (;;) {
    const message = await channel.basicGet(queue, { noAck: true });
    if (!message) return taken;
    taken.push(message);
  }
}

export function countOf(channel, queue) {
  return channel.queueDeclare(queue, { passive: true }).then(({ messageCount }) => messageCount);
}

export function holds(channel, queue, count) {
  return eventually(() => countOf(channel, queue), count);
}

/** The request is refused for this reason, and so its channel is closed. */
export async function refused(channel, request, text) {
  await assert.rejects(request, (error) => {
    assert.ok(error.message.includes(text), `${error.message} has no «${text}»`);
    return true;
  });
  assert.equal(channel.closed, true);
}

/** What has no reply of its own closes the channel, and that for this reason. */
export async function breaks(channel, text) {
  await eventually(async () => channel.closed, true);
  assert.ok(channel.errors[0]?.includes(text), `${channel.errors} has no «${text}»`);
}

export async function session(t, uri = URI, options = {}) {
  const it = await AMQPSession.connect(uri, { reconnectInterval: 20, maxReconnectInterval: 100, ...options });
  t.after(() => it.stop().catch(() => {}));
  return it;
}

/** A queue of a session that is deleted with its case. */
export async function queueOf(t, it, what, options = {}) {
  const queue = await it.queue(nameOf(what), options);
  t.after(async () => {
    const client = new AMQPClient(URI);
    await client.connect();
    await (await client.channel()).queueDelete(queue.name);
    await client.close();
  });
  return queue;
}
