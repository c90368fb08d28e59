// Messages of all kinds, confirms, returns, transactions.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { check, eventually, nameOf, numbered } from '../support.mjs';
import { body, breaks, channelOf, confirming, connect, consumer, countOf, drain, holds, open, ownQueue, publishAll, refused } from './support.mjs';

const same = (message, content) => Buffer.from(message.body ?? []).equals(content);

check('messages are published and got', async (t) => {
  const channel = await confirming(t);
  const queue = await ownQueue(channel);
  assert.equal(await channel.basicGet(queue), null);
  await publishAll(channel, queue, ['one', 'two']);
  const message = await channel.basicGet(queue, { noAck: false });
  assert.deepEqual([body(message), message.deliveryTag, message.redelivered, message.exchange, message.routingKey, message.messageCount], ['one', 1, false, '', queue, 1]);
  await message.ack();
});

check('text, octets, buffers and nothing are bodies', async (t) => {
  const channel = await confirming(t);
  const queue = await ownQueue(channel);
  for (const content of ['häre', new Uint8Array([104, 105]), Buffer.from('hi'), new Uint8Array([104, 105]).buffer, null, '']) {
    await channel.basicPublish('', queue, content);
  }
  assert.deepEqual((await drain(channel, queue)).map((message) => body(message) ?? ''), ['häre', 'hi', 'hi', 'hi', '', '']);
});

for (const frameMax of [8192, 16384, 131072]) {
  check(`bodies of all sizes come back in frames of ${frameMax}`, async (t) => {
    const channel = await open(t, `?frameMax=${frameMax}`);
    await channel.confirmSelect();
    const queue = await ownQueue(channel);
    for (const size of [1, 4096, frameMax - 9, frameMax - 8, frameMax - 7, 2 * frameMax - 16, 3 * frameMax, 1 << 20]) {
      const content = randomBytes(size);
      await channel.basicPublish('', queue, content);
      assert.ok(same(await channel.basicGet(queue), content), `${size} octets`);
    }
  });
}

check('all properties come back', async (t) => {
  const channel = await confirming(t);
  const queue = await ownQueue(channel);
  const properties = {
    contentType: 'application/json', contentEncoding: 'gzip', deliveryMode: 2, priority: 1, correlationId: 'correlation', replyTo: 'me', expiration: '60000',
    messageId: 'id', appId: 'app', userId: 'guest', type: 'type', timestamp: new Date(1_700_000_000_000),
    headers: {
      int: 2, negative: -70_000, yes: true, no: false, text: 'tëxt', float: 1.5, nothing: null, time: new Date(1_000), table: { a: { b: 1 } },
      long: 2 ** 32 + 1, double: 2.5 ** 33, list: [1, 'two', [3], { four: 4 }], octets: new Uint8Array([0, 255]),
    },
  };
  await channel.basicPublish('', queue, 'x', properties);
  const got = (await channel.basicGet(queue)).properties;
  got.headers.octets = new Uint8Array(got.headers.octets);
  assert.deepEqual(got, properties);
});

check('messages with large headers come back', async (t) => {
  const channel = await confirming(t);
  const queue = await ownQueue(channel);
  for (const long of ['a'.repeat(4_000), Buffer.from('a'.repeat(4_000)), Array(100).fill('a')]) await channel.basicPublish('', queue, 'x'.repeat(8_000), { headers: { long } });
  const box = await consumer(channel, queue);
  assert.deepEqual((await box.arrived(3)).map(({ properties }) => properties.headers.long.length), [4_000, 4_000, 100]);
});

check('confirms have numbers', async (t) => {
  const channel = await open(t);
  assert.equal(await channel.basicPublish('amq.fanout', 'key', 'x'), 0);
  await channel.confirmSelect();
  assert.equal(await channel.basicPublish('amq.fanout', 'key', 'x'), 1);
  assert.deepEqual(await Promise.all([1, 2, 3].map(() => channel.basicPublish('amq.fanout', 'key', 'x'))), [2, 3, 4]);
});

check('a thousand confirms come', async (t) => {
  const channel = await confirming(t);
  const queue = await ownQueue(channel);
  await publishAll(channel, queue, numbered(1_000));
  assert.equal(await countOf(channel, queue), 1_000);
});

check('a refusal to confirm is told', async (t) => {
  const channel = await confirming(t);
  const queue = await ownQueue(channel, { 'x-overflow': 'reject-publish', 'x-max-length': 0 });
  await assert.rejects(channel.basicPublish('', queue, 'x'), /Message rejected/);
});

check('a confirm fails with its channel', async (t) => {
  const channel = await confirming(t);
  await refused(channel, channel.basicPublish(nameOf('missing'), '', 'x'), 'NOT_FOUND');
});

check('messages come back', async (t) => {
  const channel = await confirming(t);
  const returned = [];
  channel.onReturn = (message) => returned.push(message);
  const content = randomBytes(50_000);
  await channel.basicPublish('', 'not-a-queue', content, { messageId: 'id' }, true);
  const [message] = returned;
  assert.deepEqual([message.replyCode, message.replyText, message.routingKey, message.properties.messageId], [312, 'NO_ROUTE', 'not-a-queue', 'id']);
  assert.ok(same(message, content));
});

check('an immediate message is no longer spoken of', async (t) => {
  const channel = await open(t);
  await channel.basicPublish('', 'x', 'x', {}, false, true);
  await breaks(channel, 'NOT_IMPLEMENTED - immediate=true');
  await eventually(async () => channel.connection.closed, true);
});

check('a user id that is not the own one is refused', async (t) => {
  const channel = await confirming(t);
  await refused(channel, channel.basicPublish('', 'x', 'x', { userId: 'somebody' }), "PRECONDITION_FAILED - user_id property set to 'somebody' but authenticated user was 'guest'");
});

check('a transaction publishes when it is committed', async (t) => {
  const client = await connect(t);
  const channel = await channelOf(client);
  const queue = await ownQueue(channel);
  await channel.txSelect();
  await channel.basicPublish('', queue, 'one');
  assert.equal(await channel.basicGet(queue), null);
  await channel.txCommit();
  assert.equal(body(await channel.basicGet(queue)), 'one');
  await channel.basicPublish('', queue, 'two');
  await channel.txRollback();
  assert.equal(await channel.basicGet(queue), null);
});

check('a transaction settles when it is committed', async (t) => {
  const client = await connect(t);
  const [channel, other] = [await channelOf(client), await channelOf(client)];
  await other.confirmSelect();
  const queue = await ownQueue(channel);
  await publishAll(other, queue, numbered(2));
  await channel.txSelect();
  await (await channel.basicGet(queue, { noAck: false })).ack();
  await channel.txRollback();
  await (await channel.basicGet(queue, { noAck: false })).ack();
  await channel.txCommit();
  await channel.close();
  await holds(other, queue, 1);
});

check('a transaction must be selected first', async (t) => {
  const client = await connect(t);
  for (const method of ['txCommit', 'txRollback']) {
    const channel = await channelOf(client);
    await refused(channel, channel[method](), 'PRECONDITION_FAILED - channel is not transactional');
  }
});

check('confirms and transactions exclude each other', async (t) => {
  const client = await connect(t);
  const [one, two] = [await channelOf(client), await channelOf(client)];
  await one.confirmSelect();
  await refused(one, one.txSelect(), 'PRECONDITION_FAILED - cannot switch from confirm to tx mode');
  await two.txSelect();
  await refused(two, two.confirmSelect(), 'PRECONDITION_FAILED - cannot switch from tx to confirm mode');
});

check('messages live as long as they or their queue say', async (t) => {
  const channel = await confirming(t);
  const [queue, plain] = [await ownQueue(channel, { 'x-message-ttl': 50 }), await ownQueue(channel)];
  await publishAll(channel, queue, ['x']);
  await publishAll(channel, plain, ['x'], { expiration: '50' });
  await holds(channel, queue, 0);
  await holds(channel, plain, 0);
});

check('dead letters tell their deaths', async (t) => {
  const channel = await confirming(t);
  const dead = await ownQueue(channel);
  const queue = await ownQueue(channel, { 'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': dead, 'x-max-length': 1 });
  await publishAll(channel, queue, ['pushed']);
  await publishAll(channel, queue, ['rejected']);
  await (await channel.basicGet(queue, { noAck: false })).reject(false);
  await publishAll(channel, queue, ['expired'], { expiration: '30' });
  await holds(channel, dead, 3);
  const told = (await drain(channel, dead)).map((message) => [body(message), message.properties.headers['x-death'][0]]);
  assert.deepEqual(told.map(([text, { reason, count, exchange }]) => [text, reason, count, exchange]),
    [['pushed', 'maxlen', 1, ''], ['rejected', 'rejected', 1, ''], ['expired', 'expired', 1, '']]);
  for (const [, death] of told) {
    assert.deepEqual([death.queue, death['routing-keys']], [queue, [queue]]);
    assert.ok(death.time instanceof Date);
  }
});

check('a full queue loses its oldest, by number and by octets', async (t) => {
  const channel = await confirming(t);
  for (const limit of [{ 'x-max-length': 2 }, { 'x-max-length-bytes': 19 }]) {
    const queue = await ownQueue(channel, limit);
    await publishAll(channel, queue, numbered(5));
    assert.deepEqual((await drain(channel, queue)).map(body), numbered(5).slice(3));
  }
});

check('higher priorities come first', async (t) => {
  const channel = await confirming(t);
  const queue = await ownQueue(channel, { 'x-max-priority': 10 });
  for (const priority of [1, 9, 5, 9, 0]) await channel.basicPublish('', queue, `of ${priority}`, { priority });
  assert.deepEqual((await drain(channel, queue)).map(body), ['of 9', 'of 9', 'of 5', 'of 1', 'of 0']);
});

check('a queue that nobody uses expires', async (t) => {
  const client = await connect(t);
  const name = nameOf('expires');
  await (await channelOf(client)).queueDeclare(name, {}, { 'x-expires': 60 });
  await new Promise((resolve) => setTimeout(resolve, 600));
  const channel = await channelOf(client);
  await refused(channel, channel.queueDeclare(name, { passive: true }), 'NOT_FOUND');
});

check('arguments that are wrong are refused', async (t) => {
  const client = await connect(t);
  for (const args of [{ 'x-message-ttl': -1 }, { 'x-expires': 0 }, { 'x-max-length': 'x' }, { 'x-overflow': 'x' }, { 'x-max-priority': 1_000 }, { 'x-message-ttl': 1.5 }]) {
    const channel = await channelOf(client);
    await refused(channel, channel.queueDeclare('', {}, args), `PRECONDITION_FAILED - invalid arg '${Object.keys(args)[0]}'`);
  }
});
