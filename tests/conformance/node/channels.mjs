// Channels of amqplib: confirms, returns, settlement, errors, and messages of all kinds and sizes.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import amqp from 'amqplib';
import { URI, channelOf, connect, consumer, nameOf, numbered, pause } from './support.mjs';

test('all that was published is confirmed', async (t) => {
  const channel = await channelOf(await connect(t), 'createConfirmChannel');
  const { queue } = await channel.assertQueue('', { exclusive: true });
  let confirmed = 0;
  for (const body of numbered(2000)) channel.sendToQueue(queue, Buffer.from(body), {}, (error) => { assert.equal(error, null); confirmed += 1; });
  await channel.waitForConfirms();
  assert.equal(confirmed, 2000);
  assert.equal((await channel.checkQueue(queue)).messageCount, 2000);
});

test('a mandatory message comes back before its confirm', async (t) => {
  const channel = await channelOf(await connect(t), 'createConfirmChannel');
  const seen = [];
  channel.on('return', (message) => seen.push([message.fields.replyCode, message.fields.replyText, message.content.toString()]));
  await new Promise((resolve) => channel.publish('amq.fanout', nameOf('nowhere'), Buffer.from('back'), { mandatory: true }, () => { seen.push('confirmed'); resolve(); }));
  assert.deepEqual(seen, [[312, 'NO_ROUTE', 'back'], 'confirmed']);
});

test('a publisher that is told to wait gets on when the buffer has drained', async (t) => {
  const channel = await channelOf(await connect(t));
  const { queue } = await channel.assertQueue('', { exclusive: true });
  const { arrived } = await consumer(channel, queue, { noAck: true });
  const body = randomBytes(16 << 10);
  for (let number = 0; number < 1000; number++) {
    if (!channel.sendToQueue(queue, body)) await new Promise((resolve) => channel.once('drain', resolve));
  }
  const messages = await arrived(1000);
  assert.ok(messages.every((message) => message.content.equals(body)));
});

test('headers of every type come back', async (t) => {
  const channel = await channelOf(await connect(t));
  const { queue } = await channel.assertQueue('', { exclusive: true });
  const headers = {
    text: 'häre', empty: '', yes: true, no: false, nothing: null,
    byte: 7, short: -300, int: 70_000, long: 2 ** 40, double: 2.5, negative: -0.125,
    list: [1, 'two', [3], { four: 4 }], table: { deep: { deeper: {} } }, octets: Buffer.from([0, 255]),
    'typed float': { '!': 'float', value: 0.5 }, 'typed time': { '!': 'timestamp', value: 1_700_000_000 },
    'typed long': { '!': 'int64', value: 1 }, 'typed decimal': { '!': 'decimal', value: { places: 2, digits: 314 } },
  };
  const properties = {
    headers, contentType: 'a/b', contentEncoding: 'c', deliveryMode: 2, priority: 3, correlationId: 'd', replyTo: 'e',
    expiration: '10000', messageId: 'f', timestamp: 1_700_000_000, type: 'g', userId: 'guest', appId: 'h',
  };
  channel.sendToQueue(queue, Buffer.from('x'), properties);
  channel.sendToQueue(queue, Buffer.from('x'), (await channel.get(queue, { noAck: true })).properties);
  const twice = (await channel.get(queue, { noAck: true })).properties;
  assert.deepEqual(twice.headers, { ...headers, 'typed float': 0.5, 'typed long': 1 });
  for (const name of ['contentType', 'contentEncoding', 'deliveryMode', 'priority', 'correlationId', 'replyTo', 'expiration', 'messageId', 'timestamp', 'type', 'userId', 'appId']) {
    assert.equal(twice[name], properties[name], name);
  }
});

test('bodies of all sizes come back over frames of all sizes', async (t) => {
  for (const frameMax of [8192, 131072]) {
    const channel = await channelOf(await connect(t, `?frameMax=${frameMax}`));
    const { queue } = await channel.assertQueue('', { exclusive: true });
    const bodies = [0, 1, 4096, frameMax - 8, frameMax - 7, 128 << 10, 1 << 20, 10 << 20].map((size) => randomBytes(size));
    for (const body of bodies) channel.sendToQueue(queue, body);
    const { arrived } = await consumer(channel, queue, { noAck: true });
    const messages = await arrived(bodies.length);
    for (const [at, body] of bodies.entries()) assert.ok(messages[at].content.equals(body), `${body.length} bytes in frames of ${frameMax}`);
  }
});

test('messages are settled one by one, up to one, and all at once', async (t) => {
  const channel = await channelOf(await connect(t), 'createConfirmChannel');
  const { queue } = await channel.assertQueue('', { exclusive: true });
  for (const body of numbered(10)) channel.sendToQueue(queue, Buffer.from(body));
  await channel.waitForConfirms();
  const take = async (count) => { const them = []; while (them.length < count) them.push(await channel.get(queue)); return them; };
  // RabbitMQ may count before it has taken back what this channel gave back.
  const comesTo = async (count) => {
    for (let tries = 0; (await channel.checkQueue(queue)).messageCount !== count; tries++) assert.ok(tries < 200, `never ${count} messages`), await pause(10);
  };
  const messages = await take(10);
  channel.ack(messages[0]);
  channel.ack(messages[3], true);
  channel.nack(messages[5], true, true);
  channel.nack(messages[6], false, false);
  channel.reject(messages[7], true);
  await comesTo(3);
  channel.nackAll(true);
  await comesTo(5);
  const again = await take(5);
  assert.deepEqual(again.map((message) => message.content.toString()), [4, 5, 7, 8, 9].map((number) => numbered(10)[number]));
  assert.ok(again.every((message) => message.fields.redelivered));
  channel.ackAll();
  await comesTo(0);
  assert.equal(await channel.get(queue), false);
});

test('a consumer hears that its queue is gone', async (t) => {
  const connection = await connect(t);
  const channel = await channelOf(connection);
  const { queue } = await channel.assertQueue(nameOf('gone'));
  const { arrived } = await consumer(channel, queue);
  await (await channelOf(await connect(t))).deleteQueue(queue);
  assert.deepEqual(await arrived(1), [null]);
});

test('a cancelled consumer gets nothing more', async (t) => {
  const channel = await channelOf(await connect(t));
  const { queue } = await channel.assertQueue('', { exclusive: true });
  const { consumerTag, messages, arrived } = await consumer(channel, queue, { noAck: true });
  channel.sendToQueue(queue, Buffer.from('one'));
  await arrived(1);
  await channel.cancel(consumerTag);
  channel.sendToQueue(queue, Buffer.from('two'));
  await pause(50);
  assert.equal(messages.length, 1);
  assert.equal((await channel.get(queue)).content.toString(), 'two');
});

test('an error closes its channel, says why, and leaves the connection', async (t) => {
  const connection = await connect(t);
  const missing = nameOf('missing');
  for (const [code, text, act] of [
    [404, `NOT_FOUND - no queue '${missing}' in vhost '/'`, (channel) => channel.checkQueue(missing)],
    [404, `NOT_FOUND - no exchange '${missing}' in vhost '/'`, (channel) => channel.checkExchange(missing)],
    [404, `NOT_FOUND - no exchange '${missing}' in vhost '/'`, (channel) => { channel.publish(missing, '', Buffer.from('x')); return channel.closed; }],
    [403, "ACCESS_REFUSED - queue name 'amq.x' contains reserved prefix 'amq.*'", (channel) => channel.assertQueue('amq.x')],
    [406, 'PRECONDITION_FAILED - unknown delivery tag 9', (channel) => { channel.ack({ fields: { deliveryTag: 9 } }); return channel.closed; }],
  ]) {
    const channel = await channelOf(connection);
    await Promise.resolve(act(channel)).catch(() => {});
    await channel.closed;
    assert.deepEqual(channel.errors.map((error) => error.code), [code]);
    assert.ok(channel.errors[0].message.includes(text), channel.errors[0].message);
  }
  await (await channelOf(connection)).assertQueue('', { exclusive: true });
  assert.deepEqual(connection.errors, []);
});

test('a wrong password is refused', async () => {
  const wrong = new URL(URI);
  wrong.password = 'wrong';
  await assert.rejects(amqp.connect(wrong.href), /403.*ACCESS.REFUSED/);
});

test('heartbeats keep an idle connection', async (t) => {
  const connection = await connect(t, '?heartbeat=1');
  await pause(3500);
  assert.deepEqual(connection.errors, []);
  await (await channelOf(connection)).assertQueue('', { exclusive: true });
});
