// Consumers, what limits them, and how messages are settled.

import assert from 'node:assert/strict';
import { check, eventually, nameOf, numbered, pause } from '../support.mjs';
import { body, breaks, breaksAll, channelOf, confirming, connect, consumer, drain, holds, open, ownQueue, publishAll, refused } from './support.mjs';

const SILENCE = 100;

/** A confirming channel and a queue that holds these messages. */
async function filled(t, bodies, options = {}) {
  const connection = await connect(t);
  const channel = await channelOf(connection, 'createConfirmChannel');
  const queue = await ownQueue(channel, options);
  await publishAll(channel, queue, bodies);
  return { connection, channel, queue };
}

check('messages come in order with their fields', async (t) => {
  const { channel, queue } = await filled(t, numbered(20));
  const { arrived, consumerTag } = await consumer(channel, queue);
  for (const [at, message] of (await arrived(20)).entries()) {
    assert.equal(body(message), `message ${at}`);
    assert.deepEqual({ ...message.fields }, { consumerTag, deliveryTag: at + 1, redelivered: false, exchange: '', routingKey: queue });
  }
});

check('the server makes up consumer tags', async (t) => {
  const { channel, queue } = await filled(t, []);
  const tags = [(await consumer(channel, queue)).consumerTag, (await consumer(channel, queue)).consumerTag];
  assert.match(tags[0], /^amq\.ctag-/);
  assert.notEqual(tags[0], tags[1]);
});

check('a consumer tag may be chosen, on each channel again', async (t) => {
  const { connection, channel, queue } = await filled(t, []);
  for (const each of [channel, await channelOf(connection)]) assert.equal((await consumer(each, queue, { consumerTag: 'mine' })).consumerTag, 'mine');
  assert.equal((await channel.checkQueue(queue)).consumerCount, 2);
});

check('a consumer tag that is taken costs the connection', async (t) => {
  const { connection, channel, queue } = await filled(t, []);
  await consumer(channel, queue, { consumerTag: 'mine' });
  consumer(channel, queue, { consumerTag: 'mine' }).catch(() => {});
  await breaksAll(connection, 530, "NOT_ALLOWED - attempt to reuse consumer tag 'mine'");
});

check('what needs no acknowledgement is gone', async (t) => {
  const { connection, channel, queue } = await filled(t, numbered(3));
  await (await consumer(channel, queue, { noAck: true })).arrived(3);
  await channel.close();
  assert.equal((await (await channelOf(connection)).checkQueue(queue)).messageCount, 0);
});

check('what is not acknowledged comes back when its channel closes', async (t) => {
  const { connection, channel, queue } = await filled(t, numbered(3));
  await (await consumer(channel, queue)).arrived(3);
  await channel.close();
  const next = await channelOf(connection);
  await holds(next, queue, 3);
  const messages = await drain(next, queue);
  assert.deepEqual(messages.map(body), numbered(3));
  assert.ok(messages.every(({ fields }) => fields.redelivered));
});

check('a cancelled consumer gets nothing more, and may settle what it has', async (t) => {
  const { channel, queue } = await filled(t, ['one']);
  const box = await consumer(channel, queue);
  const [message] = await box.arrived(1);
  assert.deepEqual(await channel.cancel(box.consumerTag), { consumerTag: box.consumerTag });
  await publishAll(channel, queue, ['two']);
  channel.ack(message);
  await pause(SILENCE);
  assert.equal(box.messages.length, 1);
  assert.deepEqual((await drain(channel, queue)).map(body), ['two']);
});

check('cancelling a consumer that is not there is no error', async (t) => {
  await (await open(t)).cancel('nobody');
});

check('a consumer hears that its queue was deleted', async (t) => {
  const { connection, channel, queue } = await filled(t, []);
  const box = await consumer(channel, queue);
  await (await channelOf(connection)).deleteQueue(queue);
  assert.deepEqual(await box.arrived(1), [null]);
  await ownQueue(channel);
});

check('an exclusive consumer is alone', async (t) => {
  const { connection, channel, queue } = await filled(t, []);
  const { consumerTag } = await consumer(channel, queue, { exclusive: true });
  const text = `ACCESS_REFUSED - queue '${queue}' in vhost '/' in exclusive use`;
  await refused((await channelOf(connection)).consume(queue, () => {}), 403, text, [60, 20]);
  await channel.cancel(consumerTag);
  await consumer(channel, queue);
  await refused((await channelOf(connection)).consume(queue, () => {}, { exclusive: true }), 403, text, [60, 20]);
});

check('messages go round among consumers', async (t) => {
  const { channel, queue } = await filled(t, []);
  const boxes = [await consumer(channel, queue, { noAck: true }), await consumer(channel, queue, { noAck: true })];
  await publishAll(channel, queue, numbered(40));
  await eventually(async () => boxes[0].messages.length + boxes[1].messages.length, 40);
  assert.deepEqual(boxes.map(({ messages }) => messages.length), [20, 20]);
});

for (const limit of [1, 5]) {
  check(`a prefetch of ${limit} is kept`, async (t) => {
    const { channel, queue } = await filled(t, numbered(12));
    await channel.prefetch(limit);
    const box = await consumer(channel, queue);
    for (let settled = 0; settled < 12; settled += limit) {
      const expected = Math.min(12, settled + limit);
      const messages = await box.arrived(expected);
      await pause(20);
      assert.equal(box.messages.length, expected);
      channel.ack(messages[expected - 1], true);
    }
    await holds(channel, queue, 0);
    assert.deepEqual(box.bodies(), numbered(12));
  });
}

check('a prefetch is for each consumer that comes after it', async (t) => {
  const { channel, queue } = await filled(t, []);
  await channel.prefetch(2);
  const boxes = [await consumer(channel, queue), await consumer(channel, queue)];
  await channel.prefetch(0);
  await publishAll(channel, queue, numbered(10));
  await pause(SILENCE);
  assert.deepEqual(boxes.map(({ messages }) => messages.length), [2, 2]);
  const third = await consumer(channel, queue);
  await third.arrived(6);
});

check('a global prefetch is for the whole channel', async (t) => {
  const { channel, queue } = await filled(t, numbered(10));
  await channel.prefetch(3, true);
  const boxes = [await consumer(channel, queue), await consumer(channel, queue)];
  await pause(SILENCE);
  const got = () => boxes[0].messages.length + boxes[1].messages.length;
  assert.equal(got(), 3);
  channel.ackAll();
  await eventually(async () => got(), 6);
});

check('a prefetch does not limit who acknowledges nothing', async (t) => {
  const { channel, queue } = await filled(t, numbered(30));
  await channel.prefetch(1);
  await (await consumer(channel, queue, { noAck: true })).arrived(30);
});

check('get is not limited by a prefetch', async (t) => {
  const { channel, queue } = await filled(t, numbered(3));
  await channel.prefetch(1);
  for (const text of numbered(3)) assert.equal(body(await channel.get(queue)), text);
});

check('an acknowledgement settles one message', async (t) => {
  const { connection, channel, queue } = await filled(t, numbered(3));
  const messages = await (await consumer(channel, queue)).arrived(3);
  channel.ack(messages[1]);
  await channel.close();
  const next = await channelOf(connection);
  await holds(next, queue, 2);
  assert.deepEqual((await drain(next, queue)).map(body), ['message 0', 'message 2']);
});

check('an acknowledgement settles all up to it', async (t) => {
  const { connection, channel, queue } = await filled(t, numbered(4));
  const messages = await (await consumer(channel, queue)).arrived(4);
  channel.ack(messages[2], true);
  await channel.close();
  const next = await channelOf(connection);
  await holds(next, queue, 1);
  assert.deepEqual((await drain(next, queue)).map(body), ['message 3']);
});

check('all is acknowledged at once', async (t) => {
  const { connection, channel, queue } = await filled(t, numbered(4));
  await (await consumer(channel, queue)).arrived(4);
  channel.ackAll();
  await channel.close();
  assert.equal((await (await channelOf(connection)).checkQueue(queue)).messageCount, 0);
});

for (const [how, give] of [
  ['nack', (channel, message) => channel.nack(message)],
  ['reject', (channel, message) => channel.reject(message)],
]) {
  check(`${how} gives a message back to its old place`, async (t) => {
    const { channel, queue } = await filled(t, numbered(4));
    const messages = [await channel.get(queue), await channel.get(queue)];
    give(channel, messages[0]);
    await holds(channel, queue, 3);
    const left = await drain(channel, queue);
    assert.deepEqual(left.map((message) => [body(message), message.fields.redelivered]), [['message 0', true], ['message 2', false], ['message 3', false]]);
    channel.ack(messages[1]);
  });
}

for (const [how, drop] of [
  ['nack', (channel, message) => channel.nack(message, false, false)],
  ['reject', (channel, message) => channel.reject(message, false)],
]) {
  check(`${how} without requeue drops a message`, async (t) => {
    const { connection, channel, queue } = await filled(t, numbered(2));
    drop(channel, await channel.get(queue));
    await channel.close();
    const next = await channelOf(connection);
    assert.deepEqual((await drain(next, queue)).map(body), ['message 1']);
  });
}

check('nack of all up to a message, and of all', async (t) => {
  const { channel, queue } = await filled(t, numbered(5));
  const messages = await (await consumer(channel, queue, { consumerTag: 'c' })).arrived(5);
  await channel.cancel('c');
  channel.nack(messages[2], true, false);
  channel.nackAll(true);
  await holds(channel, queue, 2);
  assert.deepEqual((await drain(channel, queue)).map(body), ['message 3', 'message 4']);
});

check('recover gives all back', async (t) => {
  const { channel, queue } = await filled(t, numbered(3));
  const box = await consumer(channel, queue);
  await box.arrived(3);
  await channel.recover();
  const again = (await box.arrived(6)).slice(3);
  assert.deepEqual(again.map((message) => [body(message), message.fields.redelivered]), numbered(3).map((text) => [text, true]));
});

check('a tag that is not out closes the channel', async (t) => {
  const { connection, channel, queue } = await filled(t, numbered(1));
  const message = await channel.get(queue);
  channel.ack(message);
  channel.ack(message);
  await breaks(channel, 406, 'PRECONDITION_FAILED - unknown delivery tag 1');
  for (const act of [
    (each) => each.ack({ fields: { deliveryTag: 9 } }), (each) => each.ack({ fields: { deliveryTag: 9 } }, true),
    (each) => each.nack({ fields: { deliveryTag: 9 } }), (each) => each.reject({ fields: { deliveryTag: 9 } }),
  ]) {
    const each = await channelOf(connection);
    act(each);
    await breaks(each, 406, 'PRECONDITION_FAILED - unknown delivery tag 9');
  }
});

check('a tag is of its channel', async (t) => {
  const { connection, channel, queue } = await filled(t, numbered(1));
  const message = await channel.get(queue);
  const other = await channelOf(connection);
  other.ack(message);
  await breaks(other, 406, 'PRECONDITION_FAILED - unknown delivery tag 1');
});

check('acknowledging all when nothing is out is no error', async (t) => {
  const channel = await open(t);
  channel.ackAll();
  channel.nackAll();
  await ownQueue(channel);
});

check('a consumer with a higher priority comes first', async (t) => {
  const { channel, queue } = await filled(t, []);
  const [low, high] = [await consumer(channel, queue, { priority: -1, noAck: true }), await consumer(channel, queue, { priority: 10, noAck: true })];
  await publishAll(channel, queue, numbered(10));
  assert.deepEqual((await high.arrived(10)).map(body), numbered(10));
  assert.equal(low.messages.length, 0);
});

check('a consumer with a lower priority gets what the higher has no room for', async (t) => {
  const { channel, queue } = await filled(t, []);
  await channel.prefetch(3);
  const [low, high] = [await consumer(channel, queue), await consumer(channel, queue, { priority: 5 })];
  await publishAll(channel, queue, numbered(5));
  assert.deepEqual((await high.arrived(3)).map(body), numbered(3));
  assert.deepEqual((await low.arrived(2)).map(body), ['message 3', 'message 4']);
});

check('a priority that is no number is refused', async (t) => {
  const { channel, queue } = await filled(t, []);
  await refused(channel.consume(queue, () => {}, { arguments: { 'x-priority': 'high' } }), 406, 'PRECONDITION_FAILED - invalid arg \'x-priority\'', [60, 20]);
});

check('a single active consumer gets all, and then the next one', async (t) => {
  const { channel, queue } = await filled(t, [], { arguments: { 'x-single-active-consumer': true } });
  const [first, second] = [await consumer(channel, queue), await consumer(channel, queue)];
  await publishAll(channel, queue, numbered(4));
  await first.arrived(4);
  await pause(SILENCE);
  assert.equal(second.messages.length, 0);
  channel.ackAll();
  await channel.cancel(first.consumerTag);
  await publishAll(channel, queue, ['next']);
  assert.equal(body((await second.arrived(1))[0]), 'next');
});

check('an exclusive consumer is refused by a queue with a single active one', async (t) => {
  const { channel, queue } = await filled(t, [], { arguments: { 'x-single-active-consumer': true } });
  const text = `ACCESS_REFUSED - queue '${queue}' in vhost '/' in exclusive use`;
  await assert.rejects(channel.consume(queue, () => {}, { exclusive: true }), ({ code, message }) => code === 403 && (message.includes(text) || /single active/i.test(message)));
});

check('no-local is not heeded', async (t) => {
  const { channel, queue } = await filled(t, []);
  const box = await consumer(channel, queue, { noLocal: true });
  await publishAll(channel, queue, ['own']);
  assert.equal(body((await box.arrived(1))[0]), 'own');
});

check('arguments of a consumer that mean nothing are taken', async (t) => {
  const { channel, queue } = await filled(t, numbered(1));
  await (await consumer(channel, queue, { arguments: { anything: 'goes', deep: { er: [1] } } })).arrived(1);
});

check('consumers on many queues get what is theirs', async (t) => {
  const channel = await confirming(t);
  const boxes = new Map();
  for (let number = 0; number < 30; number++) {
    const queue = await ownQueue(channel);
    boxes.set(queue, await consumer(channel, queue, { noAck: true }));
  }
  for (const queue of boxes.keys()) await publishAll(channel, queue, [queue, queue]);
  for (const [queue, box] of boxes) assert.deepEqual((await box.arrived(2)).map(body), [queue, queue]);
});

check('messages go through a request and its answer', async (t) => {
  const [server, client] = [await open(t), await open(t)];
  const queue = await ownQueue(server);
  await server.consume(queue, ({ content, properties: { replyTo, correlationId } }) => {
    server.sendToQueue(replyTo, Buffer.from(`${content}!`), { correlationId });
  }, { noAck: true });
  for (const replyTo of [await ownQueue(client), 'amq.rabbitmq.reply-to']) {
    const answers = await consumer(client, replyTo, { noAck: true });
    client.sendToQueue(queue, Buffer.from('hello'), { replyTo, correlationId: nameOf('call') });
    assert.equal(body((await answers.arrived(1))[0]), 'hello!');
  }
});

check('direct replies need a consumer without acknowledgements', async (t) => {
  const connection = await connect(t);
  await refused((await channelOf(connection)).consume('amq.rabbitmq.reply-to', () => {}), 406, 'PRECONDITION_FAILED - reply consumer cannot acknowledge', [60, 20]);
  const channel = await channelOf(connection);
  channel.publish('', 'anywhere', Buffer.from('x'), { replyTo: 'amq.rabbitmq.reply-to' });
  await breaks(channel, 406, 'PRECONDITION_FAILED - fast reply consumer does not exist');
});

