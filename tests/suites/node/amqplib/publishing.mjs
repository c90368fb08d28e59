// Messages of all kinds and sizes, and confirms.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { check, heard, nameOf, numbered } from '../support.mjs';
import { body, breaks, channelOf, confirming, connect, consumer, drain, holds, open, ownQueue, publishAll } from './support.mjs';

async function sentAndGot(t, content, options = {}) {
  const channel = await open(t);
  const queue = await ownQueue(channel);
  channel.sendToQueue(queue, content, options);
  return channel.get(queue, { noAck: true });
}

check('a message without a body comes back', async (t) => {
  assert.equal((await sentAndGot(t, Buffer.alloc(0))).content.length, 0);
});

for (const frameMax of [4096, 8192, 131072]) {
  check(`bodies of all sizes come back in frames of ${frameMax}`, async (t) => {
    const channel = await channelOf(await connect(t, `?frameMax=${frameMax}`));
    const queue = await ownQueue(channel);
    const { arrived } = await consumer(channel, queue, { noAck: true });
    const sizes = [1, 4087, 4088, 4089, frameMax - 9, frameMax - 8, frameMax - 7, 2 * frameMax - 16, 100_000, 1 << 20];
    const bodies = sizes.map((size) => randomBytes(size));
    for (const content of bodies) channel.sendToQueue(queue, content);
    const messages = await arrived(bodies.length);
    for (const [at, content] of bodies.entries()) assert.ok(messages[at].content.equals(content), `${content.length} octets`);
  });
}

check('a message of sixteen mebibytes comes back', async (t) => {
  const content = randomBytes(16 << 20);
  assert.ok((await sentAndGot(t, content)).content.equals(content));
});

check('all properties come back', async (t) => {
  const properties = {
    contentType: 'text/plain', contentEncoding: 'utf-8', deliveryMode: 2, priority: 7, correlationId: 'correlation', replyTo: 'reply',
    expiration: '60000', messageId: 'id', timestamp: 1_700_000_000, type: 'type', userId: 'guest', appId: 'app',
  };
  const got = (await sentAndGot(t, Buffer.from('x'), properties)).properties;
  for (const [name, value] of Object.entries(properties)) assert.equal(got[name], value, name);
});

check('what was not given does not come', async (t) => {
  const { headers, deliveryMode, ...others } = (await sentAndGot(t, Buffer.from('x'))).properties;
  assert.deepEqual([{ ...headers }, Object.values(others).filter((value) => value !== undefined)], [{}, []]);
  assert.ok(deliveryMode === undefined || deliveryMode === 1);
});

check('property names of 255 octets come back', async (t) => {
  const long = 'ü'.repeat(127);
  const got = (await sentAndGot(t, Buffer.from('x'), { messageId: long, type: 'x'.repeat(255) })).properties;
  assert.deepEqual([got.messageId, got.type], [long, 'x'.repeat(255)]);
});

check('headers of every type come back', async (t) => {
  const headers = {
    text: 'häre', empty: '', yes: true, no: false, nothing: null, byte: -7, short: 300, int: -70_000, long: 2 ** 40, huge: -(2 ** 50),
    double: 2.5, tiny: 1e-300, list: [1, 'two', [3, []], { four: 4 }], table: { deep: { deeper: { deepest: true } } }, octets: Buffer.from([0, 255]),
    typed: { '!': 'timestamp', value: 1_700_000_000 }, decimal: { '!': 'decimal', value: { places: 2, digits: 314 } },
  };
  const got = (await sentAndGot(t, Buffer.from('x'), { headers })).properties.headers;
  assert.deepEqual({ ...got }, headers);
});

check('typed numbers in headers keep their value', async (t) => {
  const typed = (type, value) => ({ '!': type, value });
  const headers = {
    a: typed('byte', -100), b: typed('short', -30_000), c: typed('int', 2 ** 31 - 1), d: typed('long', 2 ** 45),
    e: typed('float', 0.5), f: typed('double', Math.PI), g: typed('int8', 127), h: typed('int16', -1), i: typed('int32', -5), j: typed('int64', -(2 ** 52)),
  };
  const got = (await sentAndGot(t, Buffer.from('x'), { headers })).properties.headers;
  assert.deepEqual({ ...got }, Object.fromEntries(Object.entries(headers).map(([name, { value }]) => [name, value])));
});

check('many and large headers come back', async (t) => {
  const headers = Object.fromEntries(Array.from({ length: 300 }, (_, number) => [`header-${number}`, 'v'.repeat(100)]));
  const got = (await sentAndGot(t, Buffer.from('x'), { headers })).properties.headers;
  assert.deepEqual({ ...got }, headers);
});

check('numbers of a message that is got are right', async (t) => {
  const channel = await confirming(t);
  const queue = await ownQueue(channel);
  await channel.bindQueue(queue, 'amq.topic', 'a.#');
  for (const text of ['one', 'two']) channel.publish('amq.topic', 'a.b', Buffer.from(text));
  await channel.waitForConfirms();
  for (const [at, text] of ['one', 'two'].entries()) {
    const message = await channel.get(queue);
    assert.deepEqual({ ...message.fields }, { deliveryTag: at + 1, redelivered: false, exchange: 'amq.topic', routingKey: 'a.b', messageCount: 1 - at });
    assert.equal(body(message), text);
  }
});

check('an empty queue gives nothing', async (t) => {
  const channel = await open(t);
  assert.equal(await channel.get(await ownQueue(channel)), false);
});

for (const expiration of ['', 'soon', '-1', '1.5']) {
  check(`an expiration of «${expiration}» closes the channel`, async (t) => {
    const channel = await open(t);
    channel.sendToQueue(await ownQueue(channel), Buffer.from('x'), { expiration });
    await breaks(channel, 406, 'PRECONDITION_FAILED - invalid expiration');
  });
}

check('the user id must be the own one', async (t) => {
  const channel = await open(t);
  channel.sendToQueue(await ownQueue(channel), Buffer.from('x'), { userId: 'somebody' });
  await breaks(channel, 406, "PRECONDITION_FAILED - user_id property set to 'somebody' but authenticated user was 'guest'");
});

check('thousands of messages are confirmed', async (t) => {
  const channel = await confirming(t);
  const queue = await ownQueue(channel);
  let confirmed = 0;
  for (const text of numbered(3_000)) channel.sendToQueue(queue, Buffer.from(text), {}, (error) => { if (!error) confirmed += 1; });
  await channel.waitForConfirms();
  assert.equal(confirmed, 3_000);
  assert.equal((await channel.checkQueue(queue)).messageCount, 3_000);
});

check('persistent messages in a durable queue are confirmed', async (t) => {
  const channel = await confirming(t);
  const queue = nameOf('durable');
  await channel.assertQueue(queue);
  await publishAll(channel, queue, numbered(100), { persistent: true });
  assert.deepEqual(await channel.deleteQueue(queue), { messageCount: 100 });
});

check('what is confirmed to several queues is in all of them', async (t) => {
  const channel = await confirming(t);
  const queues = [];
  const exchange = nameOf('fanout');
  await channel.assertExchange(exchange, 'fanout', { durable: false, autoDelete: true });
  for (let number = 0; number < 10; number++) {
    queues.push(await ownQueue(channel));
    await channel.bindQueue(queues[number], exchange, '');
  }
  for (const text of numbered(50)) channel.publish(exchange, '', Buffer.from(text));
  await channel.waitForConfirms();
  for (const queue of queues) assert.equal((await channel.checkQueue(queue)).messageCount, 50);
});

check('each confirm belongs to its message', async (t) => {
  const channel = await confirming(t);
  const queue = await ownQueue(channel);
  const outcomes = await Promise.all(['there', 'nowhere', 'there'].map((where) => new Promise((resolve) => {
    channel.publish('', where === 'there' ? queue : nameOf(where), Buffer.from('x'), {}, (error) => resolve(error === null));
  })));
  assert.deepEqual(outcomes, [true, true, true]);
});

check('confirms that are out fail when the channel is closed by the server', async (t) => {
  const channel = await confirming(t);
  const failed = new Promise((resolve) => channel.publish(nameOf('missing'), '', Buffer.from('x'), {}, resolve));
  await breaks(channel, 404, 'NOT_FOUND');
  assert.match((await failed).message, /closed/);
});

check('a message comes back before its confirm', async (t) => {
  const channel = await confirming(t);
  const seen = [];
  channel.on('return', ({ fields }) => seen.push(fields.replyCode));
  await new Promise((resolve) => channel.sendToQueue(nameOf('nowhere'), Buffer.from('x'), { mandatory: true }, () => { seen.push('confirmed'); resolve(); }));
  assert.deepEqual(seen, [312, 'confirmed']);
});

check('a message comes back without confirms', async (t) => {
  const channel = await open(t);
  const returned = heard(channel, 'return');
  channel.sendToQueue(nameOf('nowhere'), Buffer.from('back'), { mandatory: true });
  assert.equal(body((await returned)[0]), 'back');
});

check('a publisher that must wait gets on after a drain', async (t) => {
  const channel = await open(t);
  const queue = await ownQueue(channel);
  const content = randomBytes(32 << 10);
  for (let number = 0; number < 500; number++) {
    if (!channel.sendToQueue(queue, content)) await heard(channel, 'drain');
  }
  await holds(channel, queue, 500);
});

check('order is kept', async (t) => {
  const channel = await confirming(t);
  const queue = await ownQueue(channel);
  await publishAll(channel, queue, numbered(500));
  assert.deepEqual((await drain(channel, queue)).map(body), numbered(500));
});
