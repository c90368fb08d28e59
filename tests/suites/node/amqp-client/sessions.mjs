// Sessions, which connect again: queues, exchanges, subscriptions, calls, and bodies with a type.

import assert from 'node:assert/strict';
import { builtinCoders, builtinParsers } from '@cloudamqp/amqp-client';
import { URI, check, eventually, inbox, nameOf, numbered, relay } from '../support.mjs';
import { body, queueOf, session } from './support.mjs';

/** A session over a way that can be cut; `again()` cuts it and waits for the next connection. */
async function cuttable(t, options = {}) {
  const way = await relay();
  const connected = inbox();
  const it = await session(t, way.uri, { onconnect: connected.take, ...options });
  const again = async () => {
    const before = connected.messages.length;
    way.cut();
    await connected.arrived(before + 1);
  };
  return { it, way, again };
}

check('a queue is published to and read', async (t) => {
  const queue = await queueOf(t, await session(t), 'session');
  await queue.publish('one');
  await queue.publish('two', { confirm: false, deliveryMode: 1 });
  await eventually(async () => body(await queue.get()), 'one');
  await eventually(async () => body(await queue.get()), 'two');
  assert.equal(await queue.get(), null);
  assert.deepEqual(await queue.purge(), { messageCount: 0 });
});

check('exchanges of all types are bound and published to', async (t) => {
  const it = await session(t);
  for (const [exchange, key, args, headers] of [
    [await it.directExchange(), 'key', {}, {}], [await it.fanoutExchange(), '', {}, {}], [await it.topicExchange(), 'key', {}, {}],
    [await it.headersExchange(), '', { mine: 'yes' }, { mine: 'yes' }],
  ]) {
    const queue = await queueOf(t, it, 'bound');
    await queue.bind(exchange, key, args);
    await exchange.publish('hello', { routingKey: key, headers });
    assert.equal(body(await queue.get()), 'hello', exchange.name);
    await queue.unbind(exchange, key, args);
    await exchange.publish('lost', { routingKey: key, headers });
    assert.equal(await queue.get(), null, exchange.name);
  }
});

check('an exchange of its own is bound to another and deleted', async (t) => {
  const it = await session(t);
  const [source, destination] = [await it.fanoutExchange(nameOf('source')), await it.fanoutExchange(nameOf('destination'))];
  const queue = await queueOf(t, it, 'bound');
  await destination.bind(source);
  await queue.bind(destination);
  await source.publish('through');
  assert.equal(body(await queue.get()), 'through');
  await destination.unbind(source);
  for (const exchange of [source, destination]) await exchange.delete();
});

check('a subscription acknowledges what its callback has done', async (t) => {
  const queue = await queueOf(t, await session(t), 'subscribed');
  const box = inbox();
  const subscription = await queue.subscribe({ prefetch: 1 }, box.take);
  for (const text of numbered(5)) await queue.publish(text);
  assert.deepEqual((await box.arrived(5)).map(body), numbered(5));
  await subscription.cancel();
  assert.equal(await queue.get(), null);
});

check('a subscription gives back what its callback could not do', async (t) => {
  const queue = await queueOf(t, await session(t), 'failing');
  const box = inbox();
  await queue.subscribe((message) => {
    box.take(message);
    if (!message.redelivered) throw new Error('planned');
  });
  await queue.publish('x');
  assert.deepEqual((await box.arrived(2)).map(({ redelivered }) => redelivered), [false, true]);
});

check('a subscription is read in a loop', async (t) => {
  const queue = await queueOf(t, await session(t), 'loop');
  for (const text of numbered(5)) await queue.publish(text);
  const bodies = [];
  for await (const message of await queue.subscribe()) {
    bodies.push(body(message));
    if (bodies.length === 5) break;
  }
  assert.deepEqual(bodies, numbered(5));
});

check('one message is consumed', async (t) => {
  const queue = await queueOf(t, await session(t), 'one');
  const coming = queue.consumeOne({ timeout: 5_000 });
  await queue.publish('x');
  assert.equal(body(await coming), 'x');
  await assert.rejects(queue.consumeOne({ timeout: 50 }), /timed out/);
});

check('messages that have no queue come back to the session', async (t) => {
  const box = inbox();
  const it = await session(t, URI, { onreturn: box.take });
  await (await it.directExchange()).publish('x', { routingKey: nameOf('nowhere'), mandatory: true });
  assert.equal((await box.arrived(1))[0].replyText, 'NO_ROUTE');
});

check('an error of one request leaves the others', async (t) => {
  const it = await session(t);
  const name = nameOf('missing');
  await assert.rejects(it.queue(name, { passive: true }), /NOT_FOUND/);
  await (await queueOf(t, it, 'after')).publish('x');
});

check('calls are answered', async (t) => {
  const it = await session(t);
  const name = nameOf('calls');
  await it.rpcServer(name, (message) => `${body(message)}!`);
  assert.equal(body(await it.rpcCall(name, 'hello', { timeout: 5_000 })), 'hello!');
  const client = await it.rpcClient();
  const answers = await Promise.all(numbered(20).map((text) => client.call(name, text, { timeout: 5_000 })));
  assert.deepEqual(answers.map(body), numbered(20).map((text) => `${text}!`));
  await client.close();
  await (await it.queue(name)).delete();
});

check('bodies are turned into JSON, compressed, and back', async (t) => {
  const it = await session(t, URI, { parsers: builtinParsers, coders: builtinCoders, defaultContentType: 'application/json', defaultContentEncoding: 'gzip' });
  const queue = await queueOf(t, it, 'typed');
  const value = { list: [1, 'two', null], text: 'x'.repeat(10_000) };
  await queue.publish(value);
  const message = await queue.get();
  assert.deepEqual([message.body, message.properties.contentType, message.properties.contentEncoding], [value, 'application/json', 'gzip']);
  assert.ok(message.bodySize < 1_000);
});

check('a session connects again and publishes', async (t) => {
  const { it, way, again } = await cuttable(t);
  const queue = await queueOf(t, it, 'again');
  await queue.publish('before');
  await again();
  await queue.publish('after');
  assert.deepEqual([body(await queue.get()), body(await queue.get())], ['before', 'after']);
  assert.equal(way.opened, 2);
});

check('a subscription goes on after the connection was lost', async (t) => {
  const { it, again } = await cuttable(t);
  const queue = await queueOf(t, it, 'subscribed');
  const box = inbox();
  await queue.subscribe({ noAck: true }, box.take);
  for (let times = 0; times < 3; times++) {
    await queue.publish(`message ${times}`);
    await box.arrived(times + 1);
    await again();
  }
  assert.deepEqual(box.messages.map(body), numbered(3));
});

check('what was not acknowledged comes again over the next connection', async (t) => {
  const { it, again } = await cuttable(t);
  const queue = await queueOf(t, it, 'unacknowledged');
  const box = inbox();
  await queue.subscribe({ manualAck: true, prefetch: 1 }, box.take);
  for (const text of ['one', 'two']) await queue.publish(text);
  await box.arrived(1);
  await again();
  const [, second] = await box.arrived(2);
  assert.deepEqual([body(second), second.redelivered], ['one', true]);
  await second.ack();
  assert.equal(body((await box.arrived(3))[2]), 'two');
});

check('a subscription whose queue is gone is told', async (t) => {
  const box = inbox();
  const { it, again } = await cuttable(t, { onrecoverfailed: (name, { message }) => box.take([name, message]) });
  const queue = await it.queue(nameOf('gone'), { exclusive: true });
  await queue.subscribe(() => {});
  await again();
  const [[name, message]] = await box.arrived(1);
  assert.equal(name, queue.name);
  assert.match(message, /NOT_FOUND/);
});

check('a session that was stopped does not connect again', async (t) => {
  const { it, way } = await cuttable(t);
  await it.stop();
  way.cut();
  await new Promise((resolve) => setTimeout(resolve, 200));
  assert.deepEqual([it.closed, way.opened], [true, 1]);
});
