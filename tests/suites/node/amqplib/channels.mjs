// Channels: many of them, their numbers, their ends.

import assert from 'node:assert/strict';
import { check, nameOf, numbered } from '../support.mjs';
import { body, breaks, channelOf, connect, consumer, open, ownQueue, publishAll, refused } from './support.mjs';

check('a channel opens and closes', async (t) => {
  const channel = await open(t);
  await channel.close();
  await channel.closed;
  assert.deepEqual(channel.errors, []);
  assert.throws(() => channel.sendToQueue('any', Buffer.from('x')), /closed|ended/);
});

check('a number is used again and again', async (t) => {
  const connection = await connect(t);
  for (let times = 0; times < 100; times++) {
    const channel = await channelOf(connection);
    assert.equal(channel.ch, 1);
    await channel.close();
  }
});

check('two hundred channels work at once', async (t) => {
  const connection = await connect(t);
  const channels = await Promise.all(Array.from({ length: 200 }, () => channelOf(connection, 'createConfirmChannel')));
  const queue = await ownQueue(channels[0]);
  await Promise.all(channels.map((channel) => publishAll(channel, queue, numbered(5))));
  assert.equal((await channels[0].checkQueue(queue)).messageCount, 1_000);
  await Promise.all(channels.slice(1).map((channel) => channel.close()));
});

check('an error closes its channel alone', async (t) => {
  const connection = await connect(t);
  const [failing, other] = [await channelOf(connection), await channelOf(connection)];
  await refused(failing.checkQueue(nameOf('missing')), 404, 'NOT_FOUND', [50, 10]);
  await failing.closed;
  await ownQueue(other);
  assert.deepEqual(connection.errors, []);
});

check('a channel number works again after an error', async (t) => {
  const connection = await connect(t);
  for (let times = 0; times < 20; times++) {
    const channel = await channelOf(connection);
    assert.equal(channel.ch, 1);
    channel.publish(nameOf('missing'), '', Buffer.from('x'));
    await breaks(channel, 404, 'NOT_FOUND');
  }
});

check('all that was asked after an error fails', async (t) => {
  const channel = await open(t);
  const missing = channel.checkQueue(nameOf('missing'));
  const later = [channel.assertQueue('', { exclusive: true }), channel.prefetch(1)];
  await refused(missing, 404, 'NOT_FOUND');
  for (const request of later) await assert.rejects(request, /closed|ended/);
});

check('what was published before an error is there', async (t) => {
  const connection = await connect(t);
  const [channel, other] = [await channelOf(connection), await channelOf(connection)];
  const queue = await ownQueue(other);
  for (const text of numbered(100)) channel.sendToQueue(queue, Buffer.from(text));
  channel.publish(nameOf('missing'), '', Buffer.from('x'));
  await channel.closed;
  assert.equal((await other.checkQueue(queue)).messageCount, 100);
});

check('requests are answered in their order', async (t) => {
  const channel = await open(t);
  const answers = [];
  await Promise.all(numbered(50).map(async (name, number) => {
    await channel.assertQueue(nameOf(name), { exclusive: true });
    answers.push(number);
  }));
  assert.deepEqual(answers, Array.from({ length: 50 }, (_, number) => number));
});

check('large messages of many channels do not mix', async (t) => {
  const connection = await connect(t, '?frameMax=4096');
  await Promise.all(Array.from({ length: 10 }, async (_, number) => {
    const channel = await channelOf(connection);
    const queue = await ownQueue(channel);
    const { arrived } = await consumer(channel, queue, { noAck: true });
    const text = String(number).repeat(100_000);
    for (let times = 0; times < 3; times++) channel.sendToQueue(queue, Buffer.from(text));
    assert.deepEqual((await arrived(3)).map(body), [text, text, text]);
  }));
});

check('closing a channel ends its consumers', async (t) => {
  const connection = await connect(t);
  const [consuming, other] = [await channelOf(connection), await channelOf(connection)];
  const queue = await ownQueue(other);
  const { messages } = await consumer(consuming, queue);
  await consuming.close();
  assert.equal((await other.checkQueue(queue)).consumerCount, 0);
  assert.deepEqual(messages, []);
});
