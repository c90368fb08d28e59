// Consumers with a callback or a generator, and how messages are settled.

import assert from 'node:assert/strict';
import { check, eventually, nameOf, numbered, pause } from '../support.mjs';
import { body, breaks, channelOf, confirming, connect, consumer, countOf, drain, holds, open, ownQueue, publishAll, refused } from './support.mjs';

async function filled(t, bodies, args = {}) {
  const client = await connect(t);
  const channel = await channelOf(client);
  await channel.confirmSelect();
  const queue = nameOf('filled');
  await channel.queueDeclare(queue, { exclusive: true }, args);
  await publishAll(channel, queue, bodies);
  return { client, channel, queue };
}

check('messages come to a callback', async (t) => {
  const { channel, queue } = await filled(t, numbered(10));
  const box = await consumer(channel, queue, { tag: 'mine' });
  for (const [at, message] of (await box.arrived(10)).entries()) {
    assert.deepEqual([body(message), message.consumerTag, message.deliveryTag, message.redelivered], [`message ${at}`, 'mine', at + 1, false]);
    await message.ack();
  }
  await holds(channel, queue, 0);
});

check('messages come from a generator', async (t) => {
  const { channel, queue } = await filled(t, numbered(5));
  const { messages } = await channel.basicConsume(queue, { noAck: false });
  const bodies = [];
  for await (const message of messages) {
    bodies.push(body(message));
    await message.ack();
    if (bodies.length === 5) break;
  }
  assert.deepEqual(bodies, numbered(5));
  await eventually(async () => (await channel.queueDeclare(queue, { passive: true })).consumerCount, 0);
});

check('a consumer waits until it is cancelled', async (t) => {
  const { channel, queue } = await filled(t, numbered(1));
  const waiting = await channel.basicConsume(queue, { noAck: false }, (message) => message.cancelConsumer());
  await waiting.wait(5_000);
  assert.equal(channel.consumers.size, 0);
});

check('a consumer that waits too long fails', async (t) => {
  const { channel, queue } = await filled(t, []);
  const waiting = await channel.basicConsume(queue, {}, () => {});
  await assert.rejects(waiting.wait(20), /Timeout/);
});

check('a consumer fails with its channel', async (t) => {
  const { channel, queue } = await filled(t, []);
  const waiting = await channel.basicConsume(queue, {}, () => {});
  await channel.basicAck(99_999);
  await assert.rejects(waiting.wait(5_000), /PRECONDITION_FAILED - unknown delivery tag 99999/);
});

check('a consumer hears that its queue is gone', async (t) => {
  const { client, channel, queue } = await filled(t, []);
  const waiting = await channel.basicConsume(queue, {}, () => {});
  await (await channelOf(client)).queueDelete(queue);
  await assert.rejects(waiting.wait(5_000), /cancelled by the server/i);
});

check('consuming what is missing is refused', async (t) => {
  const channel = await open(t);
  const queue = nameOf('missing');
  await refused(channel, channel.basicConsume(queue, {}, () => {}), `NOT_FOUND - no queue '${queue}' in vhost '/'`);
});

check('an exclusive consumer is alone', async (t) => {
  const { client, channel, queue } = await filled(t, []);
  await consumer(channel, queue, { exclusive: true });
  const other = await channelOf(client);
  await refused(other, other.basicConsume(queue, {}, () => {}), `ACCESS_REFUSED - queue '${queue}' in vhost '/' in exclusive use`);
});

check('a prefetch is kept', async (t) => {
  const { channel, queue } = await filled(t, numbered(6));
  await channel.prefetch(2);
  const box = await consumer(channel, queue);
  for (const count of [2, 4, 6]) {
    const messages = await box.arrived(count);
    await pause(30);
    assert.equal(box.messages.length, count);
    await messages[count - 1].ack(true);
  }
});

check('a global prefetch is for the whole channel', async (t) => {
  const { channel, queue } = await filled(t, numbered(10));
  await channel.basicQos(3, 0, true);
  const boxes = [await consumer(channel, queue), await consumer(channel, queue)];
  await pause(100);
  assert.equal(boxes[0].messages.length + boxes[1].messages.length, 3);
});

check('a prefetch by octets is not spoken of', async (t) => {
  const channel = await open(t);
  await assert.rejects(channel.basicQos(1, 1_000), /NOT_IMPLEMENTED - prefetch_size!=0/);
});

check('messages are given back with nack and reject', async (t) => {
  const { channel, queue } = await filled(t, numbered(3));
  const messages = [];
  for (let count = 0; count < 3; count++) messages.push(await channel.basicGet(queue, { noAck: false }));
  await messages[0].nack(true);
  await messages[1].reject(true);
  await messages[2].nack(false);
  await holds(channel, queue, 2);
  assert.deepEqual((await drain(channel, queue)).map((message) => [body(message), message.redelivered]), [['message 0', true], ['message 1', true]]);
});

check('many are given back at once', async (t) => {
  const { channel, queue } = await filled(t, numbered(5));
  const messages = [];
  for (let count = 0; count < 5; count++) messages.push(await channel.basicGet(queue, { noAck: false }));
  await messages[3].nack(true, true);
  await holds(channel, queue, 4);
  await messages[4].ack();
});

check('recover gives all back', async (t) => {
  const { channel, queue } = await filled(t, numbered(3));
  const box = await consumer(channel, queue);
  await box.arrived(3);
  await channel.basicRecover(true);
  assert.deepEqual((await box.arrived(6)).slice(3).map((message) => [body(message), message.redelivered]), numbered(3).map((text) => [text, true]));
});

check('recover without requeue is not spoken of', async (t) => {
  const channel = await open(t);
  await assert.rejects(channel.basicRecover(false), /NOT_IMPLEMENTED/);
});

check('a tag that is not out closes the channel', async (t) => {
  const channel = await open(t);
  await channel.basicNack(7);
  await breaks(channel, 'PRECONDITION_FAILED - unknown delivery tag 7');
});

check('what is out comes back when its channel closes', async (t) => {
  const { client, channel, queue } = await filled(t, numbered(4));
  const box = await consumer(channel, queue);
  await (await box.arrived(4))[0].ack();
  await channel.close();
  const other = await channelOf(client);
  await holds(other, queue, 3);
  assert.ok((await drain(other, queue)).every(({ redelivered }) => redelivered));
});

check('consumers share a queue in turns', async (t) => {
  const { channel, queue } = await filled(t, []);
  const boxes = [];
  for (let number = 0; number < 4; number++) boxes.push(await consumer(channel, queue, { noAck: true }));
  await publishAll(channel, queue, numbered(40));
  await eventually(async () => boxes.reduce((sum, { messages }) => sum + messages.length, 0), 40);
  assert.deepEqual(boxes.map(({ messages }) => messages.length), [10, 10, 10, 10]);
});

check('consumers with priorities come first', async (t) => {
  const { channel, queue } = await filled(t, []);
  const [low, high] = [await consumer(channel, queue, { args: { 'x-priority': 1 } }), await consumer(channel, queue, { args: { 'x-priority': 2 } })];
  await publishAll(channel, queue, numbered(5));
  await high.arrived(5);
  assert.equal(low.messages.length, 0);
});

check('a single active consumer gets all', async (t) => {
  const { channel, queue } = await filled(t, [], { 'x-single-active-consumer': true });
  const [first, second] = [await consumer(channel, queue), await consumer(channel, queue)];
  await publishAll(channel, queue, numbered(5));
  await first.arrived(5);
  await channel.basicCancel(first.tag);
  await channel.basicNack(5, true, true);
  await second.arrived(5);
});

check('a slow consumer does not hold up others', async (t) => {
  const client = await connect(t);
  const [slow, fast] = [await channelOf(client), await channelOf(client)];
  await fast.confirmSelect();
  const [one, two] = [await ownQueue(fast), await ownQueue(fast)];
  await slow.prefetch(1);
  const held = await consumer(slow, one);
  const box = await consumer(fast, two, { noAck: true });
  await publishAll(fast, one, numbered(50));
  await publishAll(fast, two, numbered(50));
  await box.arrived(50);
  assert.equal(held.messages.length, 1);
});

check('ten thousand messages come in order', async (t) => {
  const channel = await confirming(t);
  const queue = await ownQueue(channel);
  const box = await consumer(channel, queue, { noAck: true });
  await publishAll(channel, queue, numbered(10_000));
  assert.deepEqual((await box.arrived(10_000)).map(body), numbered(10_000));
  assert.equal(await countOf(channel, queue), 0);
});
