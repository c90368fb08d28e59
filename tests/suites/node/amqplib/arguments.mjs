// What the arguments of a queue do: lives, limits, dead letters, priorities.

import assert from 'node:assert/strict';
import { check, nameOf, numbered, pause } from '../support.mjs';
import { body, channelOf, confirming, connect, consumer, drain, holds, open, ownQueue, publishAll, refused } from './support.mjs';

/** A queue whose dead letters come to another one, by way of a fanout exchange. */
async function withDeadLetters(t, options = {}) {
  const channel = await confirming(t);
  const deadLetterExchange = nameOf('dead');
  await channel.assertExchange(deadLetterExchange, 'fanout', { durable: false, autoDelete: true });
  const dead = await ownQueue(channel);
  await channel.bindQueue(dead, deadLetterExchange, '');
  const queue = await ownQueue(channel, { deadLetterExchange, ...options });
  return { channel, queue, dead, deadLetterExchange };
}

/** The dead letter, and what its newest death says, without its time. */
async function deathOf(channel, dead) {
  await holds(channel, dead, 1);
  const message = await channel.get(dead, { noAck: true });
  const { headers } = message.properties;
  const { time, ...death } = headers['x-death'][0];
  assert.equal(time['!'], 'timestamp');
  assert.ok(Math.abs(time.value - Date.now() / 1000) < 60, `${time.value} is now`);
  return { message, headers, death: { ...death } };
}

check('messages of a queue live as long as it says', async (t) => {
  const channel = await confirming(t);
  const queue = await ownQueue(channel, { messageTtl: 500 });
  await publishAll(channel, queue, numbered(3));
  assert.equal((await channel.checkQueue(queue)).messageCount, 3);
  await holds(channel, queue, 0);
});

check('a message lives as long as it says', async (t) => {
  const channel = await confirming(t);
  const queue = await ownQueue(channel);
  await publishAll(channel, queue, ['short'], { expiration: 50 });
  await publishAll(channel, queue, ['long'], { expiration: 60_000 });
  await holds(channel, queue, 1);
  assert.equal(body(await channel.get(queue)), 'long');
});

check('the shorter of two lives counts', async (t) => {
  const channel = await confirming(t);
  const [short, long] = [await ownQueue(channel, { messageTtl: 60 }), await ownQueue(channel, { messageTtl: 60_000 })];
  await publishAll(channel, short, ['x'], { expiration: 60_000 });
  await publishAll(channel, long, ['x'], { expiration: 60 });
  await holds(channel, short, 0);
  await holds(channel, long, 0);
});

check('a life of nothing is enough for a consumer that waits', async (t) => {
  const channel = await confirming(t);
  const queue = await ownQueue(channel, { messageTtl: 0 });
  await publishAll(channel, queue, ['nobody']);
  await holds(channel, queue, 0);
  const box = await consumer(channel, queue, { noAck: true });
  await publishAll(channel, queue, ['somebody']);
  assert.equal(body((await box.arrived(1))[0]), 'somebody');
});

check('what a consumer holds does not die', async (t) => {
  const channel = await confirming(t);
  const queue = await ownQueue(channel, { messageTtl: 400 });
  await publishAll(channel, queue, ['held']);
  const message = await channel.get(queue);
  await pause(600);
  channel.ack(message);
  assert.equal(body(message), 'held');
});

check('what is given back too late dies', async (t) => {
  const channel = await confirming(t);
  const queue = await ownQueue(channel, { messageTtl: 400 });
  await publishAll(channel, queue, ['late']);
  const message = await channel.get(queue);
  await pause(600);
  channel.nack(message);
  await holds(channel, queue, 0);
});

check('a queue that nobody uses expires', async (t) => {
  const connection = await connect(t);
  const queue = nameOf('expires');
  await (await channelOf(connection)).assertQueue(queue, { expires: 150 });
  await pause(800);
  await refused((await channelOf(connection)).checkQueue(queue), 404, 'NOT_FOUND');
});

check('a queue with a consumer does not expire', async (t) => {
  const connection = await connect(t);
  const channel = await channelOf(connection);
  const queue = nameOf('expires');
  await channel.assertQueue(queue, { expires: 400 });
  const { consumerTag } = await consumer(channel, queue);
  await pause(900);
  assert.equal((await channel.checkQueue(queue)).consumerCount, 1);
  await channel.cancel(consumerTag);
  await pause(1_000);
  await refused((await channelOf(connection)).checkQueue(queue), 404, 'NOT_FOUND');
});

check('a get keeps a queue from expiring', async (t) => {
  const channel = await open(t);
  const queue = nameOf('expires');
  await channel.assertQueue(queue, { expires: 1_000 });
  for (let times = 0; times < 5; times++) {
    await pause(350);
    assert.equal(await channel.get(queue), false);
  }
});

check('a full queue loses its oldest', async (t) => {
  const channel = await confirming(t);
  const queue = await ownQueue(channel, { maxLength: 3 });
  await publishAll(channel, queue, numbered(5));
  assert.deepEqual((await drain(channel, queue)).map(body), ['message 2', 'message 3', 'message 4']);
});

check('a length counts what is ready alone', async (t) => {
  const channel = await confirming(t);
  const queue = await ownQueue(channel, { maxLength: 2 });
  await publishAll(channel, queue, numbered(2));
  await channel.get(queue);
  await publishAll(channel, queue, ['new']);
  assert.equal((await channel.checkQueue(queue)).messageCount, 2);
});

check('a queue may be full by octets', async (t) => {
  const channel = await confirming(t);
  const queue = await ownQueue(channel, { arguments: { 'x-max-length-bytes': 10 } });
  await publishAll(channel, queue, ['aaaa', 'bbbb', 'cccc']);
  assert.deepEqual((await drain(channel, queue)).map(body), ['bbbb', 'cccc']);
  await publishAll(channel, queue, ['much too long for it']);
  assert.equal((await channel.checkQueue(queue)).messageCount, 0);
});

check('a length of nothing keeps nothing', async (t) => {
  const channel = await confirming(t);
  const queue = await ownQueue(channel, { maxLength: 0 });
  await publishAll(channel, queue, ['x']);
  assert.equal((await channel.checkQueue(queue)).messageCount, 0);
  const box = await consumer(channel, queue, { noAck: true });
  await publishAll(channel, queue, ['y']);
  await box.arrived(1);
});

check('a full queue refuses the newest when it is told so', async (t) => {
  const channel = await confirming(t);
  const queue = await ownQueue(channel, { maxLength: 2, overflow: 'reject-publish' });
  const outcomes = [];
  for (const text of numbered(4)) {
    await new Promise((resolve) => channel.sendToQueue(queue, Buffer.from(text), {}, (error) => { outcomes.push(error === null); resolve(); }));
  }
  assert.deepEqual(outcomes, [true, true, false, false]);
  assert.deepEqual((await drain(channel, queue)).map(body), numbered(2));
  await publishAll(channel, queue, ['room']);
});

check('waiting for confirms fails when one was refused', async (t) => {
  const channel = await confirming(t);
  const queue = await ownQueue(channel, { maxLength: 0, overflow: 'reject-publish' });
  channel.sendToQueue(queue, Buffer.from('x'));
  await assert.rejects(channel.waitForConfirms(), /nacked/);
});

check('a message that one of two queues refuses is not confirmed', async (t) => {
  const channel = await confirming(t);
  const exchange = nameOf('fanout');
  await channel.assertExchange(exchange, 'fanout', { durable: false, autoDelete: true });
  const [full, other] = [await ownQueue(channel, { maxLength: 0, overflow: 'reject-publish' }), await ownQueue(channel)];
  for (const queue of [full, other]) await channel.bindQueue(queue, exchange, '');
  channel.publish(exchange, '', Buffer.from('x'));
  await assert.rejects(channel.waitForConfirms(), /nacked/);
  await holds(channel, other, 1);
});

check('a full queue makes dead letters of the newest when it is told so', async (t) => {
  const { channel, queue, dead } = await withDeadLetters(t, { maxLength: 1, overflow: 'reject-publish-dlx' });
  await publishAll(channel, queue, ['kept']);
  channel.sendToQueue(queue, Buffer.from('refused'));
  await assert.rejects(channel.waitForConfirms(), /nacked/);
  const { message, death } = await deathOf(channel, dead);
  assert.deepEqual([body(message), death.reason, death.queue], ['refused', 'maxlen', queue]);
});

check('a rejected message is a dead letter', async (t) => {
  const { channel, queue, dead, deadLetterExchange } = await withDeadLetters(t);
  await publishAll(channel, queue, ['rejected'], { headers: { mine: 1 }, messageId: 'id' });
  channel.reject(await channel.get(queue), false);
  const { message, headers, death } = await deathOf(channel, dead);
  assert.deepEqual([body(message), message.properties.messageId, headers.mine], ['rejected', 'id', 1]);
  assert.deepEqual([message.fields.exchange, message.fields.routingKey, message.fields.redelivered], [deadLetterExchange, queue, false]);
  assert.deepEqual(death, { count: 1, reason: 'rejected', queue, exchange: '', 'routing-keys': [queue] });
  assert.deepEqual([headers['x-first-death-queue'], headers['x-first-death-reason'], headers['x-first-death-exchange']], [queue, 'rejected', '']);
});

check('a message that was given back is no dead letter', async (t) => {
  const { channel, queue, dead } = await withDeadLetters(t);
  await publishAll(channel, queue, ['back']);
  channel.nack(await channel.get(queue));
  await holds(channel, queue, 1);
  assert.equal((await channel.checkQueue(dead)).messageCount, 0);
});

check('a message that has expired is a dead letter without its expiration', async (t) => {
  const { channel, queue, dead } = await withDeadLetters(t);
  await publishAll(channel, queue, ['old'], { expiration: 40 });
  const { message, death } = await deathOf(channel, dead);
  assert.equal(message.properties.expiration, undefined);
  assert.deepEqual(death, { count: 1, reason: 'expired', queue, exchange: '', 'routing-keys': [queue], 'original-expiration': '40' });
});

check('a message that its queue let expire is a dead letter', async (t) => {
  const { channel, queue, dead } = await withDeadLetters(t, { messageTtl: 40 });
  await publishAll(channel, queue, ['old']);
  assert.equal((await deathOf(channel, dead)).death.reason, 'expired');
});

check('a message that was pushed out is a dead letter', async (t) => {
  const { channel, queue, dead } = await withDeadLetters(t, { maxLength: 1 });
  await publishAll(channel, queue, ['first', 'second']);
  const { message, death } = await deathOf(channel, dead);
  assert.deepEqual([body(message), death.reason], ['first', 'maxlen']);
});

check('dead letters come in the order of their deaths', async (t) => {
  const { channel, queue, dead } = await withDeadLetters(t, { maxLength: 1 });
  await publishAll(channel, queue, numbered(50));
  await holds(channel, dead, 49);
  assert.deepEqual((await drain(channel, dead)).map(body), numbered(49));
});

check('dead letters may have another key', async (t) => {
  const channel = await confirming(t);
  const dead = await ownQueue(channel);
  const queue = await ownQueue(channel, { deadLetterExchange: '', deadLetterRoutingKey: dead });
  await publishAll(channel, queue, ['x'], { CC: ['elsewhere'] });
  channel.nack(await channel.get(queue), false, false);
  const { message, death } = await deathOf(channel, dead);
  assert.deepEqual([message.fields.exchange, message.fields.routingKey], ['', dead]);
  assert.deepEqual(death['routing-keys'], [queue, 'elsewhere']);
});

check('a second death in the same queue is counted', async (t) => {
  const channel = await confirming(t);
  const queue = nameOf('again');
  await channel.assertQueue(queue, { exclusive: true, deadLetterExchange: '', deadLetterRoutingKey: queue });
  await publishAll(channel, queue, ['x']);
  for (let count = 0; count < 3; count++) {
    const message = await channel.get(queue);
    const deaths = message.properties.headers['x-death'] ?? [];
    assert.deepEqual(deaths.map((death) => [death.count, death.reason]), count === 0 ? [] : [[count, 'rejected']]);
    channel.nack(message, false, false);
    await holds(channel, queue, 1);
  }
});

check('deaths in several queues are listed, the newest first', async (t) => {
  const channel = await confirming(t);
  const last = await ownQueue(channel);
  const second = await ownQueue(channel, { deadLetterExchange: '', deadLetterRoutingKey: last });
  const first = await ownQueue(channel, { deadLetterExchange: '', deadLetterRoutingKey: second, messageTtl: 30 });
  await publishAll(channel, first, ['x']);
  await holds(channel, second, 1);
  channel.reject(await channel.get(second), false);
  const { headers } = await deathOf(channel, last);
  assert.deepEqual(headers['x-death'].map(({ queue, reason }) => [queue, reason]), [[second, 'rejected'], [first, 'expired']]);
  assert.deepEqual([headers['x-first-death-queue'], headers['x-first-death-reason']], [first, 'expired']);
});

check('a round of deaths that nobody asked for ends', async (t) => {
  const channel = await confirming(t);
  const queue = nameOf('round');
  await channel.assertQueue(queue, { exclusive: true, messageTtl: 30, deadLetterExchange: '', deadLetterRoutingKey: queue });
  await publishAll(channel, queue, ['x']);
  await holds(channel, queue, 0);
});

check('dead letters without an exchange are dropped', async (t) => {
  const channel = await confirming(t);
  const queue = await ownQueue(channel, { deadLetterExchange: nameOf('missing') });
  await publishAll(channel, queue, ['x', 'y']);
  channel.reject(await channel.get(queue), false);
  assert.equal(body(await channel.get(queue)), 'y');
});

check('a purge and a deletion make no dead letters', async (t) => {
  const { channel, queue, dead } = await withDeadLetters(t);
  await publishAll(channel, queue, ['x']);
  await channel.purgeQueue(queue);
  await publishAll(channel, queue, ['y']);
  await channel.deleteQueue(queue);
  await pause(50);
  assert.equal((await channel.checkQueue(dead)).messageCount, 0);
});

check('higher priorities come first, and order is kept in each', async (t) => {
  const channel = await confirming(t);
  const queue = await ownQueue(channel, { maxPriority: 5 });
  for (const [text, priority] of [['a', 1], ['b', 5], ['c', 1], ['d', 3], ['e', 5], ['f', undefined]]) await publishAll(channel, queue, [text], { priority });
  assert.deepEqual((await drain(channel, queue)).map(body), ['b', 'e', 'd', 'a', 'c', 'f']);
});

check('priorities above the limit are the limit', async (t) => {
  const channel = await confirming(t);
  const queue = await ownQueue(channel, { maxPriority: 2 });
  for (const [text, priority] of [['a', 2], ['b', 200], ['c', 2]]) await publishAll(channel, queue, [text], { priority });
  const messages = await drain(channel, queue);
  assert.deepEqual(messages.map(body), ['a', 'b', 'c']);
  assert.equal(messages[1].properties.priority, 200);
});

check('a message that is given back keeps its priority', async (t) => {
  const channel = await confirming(t);
  const queue = await ownQueue(channel, { maxPriority: 3 });
  await publishAll(channel, queue, ['low'], { priority: 1 });
  await publishAll(channel, queue, ['high'], { priority: 3 });
  channel.nack(await channel.get(queue));
  await holds(channel, queue, 2);
  assert.deepEqual((await drain(channel, queue)).map(body), ['high', 'low']);
});

check('priorities mean nothing to a queue without a limit', async (t) => {
  const channel = await confirming(t);
  const queue = await ownQueue(channel);
  for (const [text, priority] of [['a', 1], ['b', 9]]) await publishAll(channel, queue, [text], { priority });
  assert.deepEqual((await drain(channel, queue)).map(body), ['a', 'b']);
});

for (const [name, value] of [
  ['x-message-ttl', -1], ['x-message-ttl', 'soon'], ['x-expires', 0], ['x-expires', 'soon'], ['x-max-length', -1], ['x-max-length', 'many'],
  ['x-max-length-bytes', -1], ['x-max-priority', 'high'], ['x-max-priority', -1], ['x-max-priority', 256], ['x-overflow', 'explode'], ['x-overflow', 1],
  ['x-dead-letter-exchange', 1], ['x-single-active-consumer', 'yes'], ['x-queue-mode', 'energetic'],
]) {
  check(`${name} of ${JSON.stringify(value)} is refused`, async (t) => {
    const channel = await open(t);
    const queue = nameOf('invalid');
    await assert.rejects(channel.assertQueue(queue, { exclusive: true, arguments: { [name]: value } }), ({ code, message }) => {
      assert.equal(code, 406);
      assert.match(message, /PRECONDITION_FAILED - invalid (arg|type)/);
      assert.ok(message.includes(`'${name}'`) && message.includes(`queue '${queue}' in vhost '/'`), message);
      return true;
    });
  });
}

check('a key for dead letters needs their exchange', async (t) => {
  const channel = await open(t);
  const queue = nameOf('invalid');
  await refused(channel.assertQueue(queue, { exclusive: true, deadLetterRoutingKey: 'key' }), 406, "PRECONDITION_FAILED - invalid arg 'x-dead-letter-routing-key'", [50, 10]);
});

for (const [name, first, then] of [
  ['x-message-ttl', 1_000, 2_000], ['x-max-length', 1, 2], ['x-max-priority', 1, 2], ['x-dead-letter-exchange', 'a', 'b'], ['x-overflow', 'drop-head', 'reject-publish'],
]) {
  check(`${name} must be the same when it is asserted again`, async (t) => {
    const connection = await connect(t);
    const queue = nameOf('other');
    const assertWith = async (value) => (await channelOf(connection)).assertQueue(queue, { exclusive: true, arguments: value === undefined ? {} : { [name]: value } });
    await assertWith(first);
    await assertWith(first);
    const text = `PRECONDITION_FAILED - inequivalent arg '${name}' for queue '${queue}' in vhost '/'`;
    await refused(assertWith(then), 406, `${text}: received '${then}' but current is '${first}'`, [50, 10]);
    await refused(assertWith(undefined), 406, `${text}: received none but current is the value '${first}' of type '`, [50, 10]);
  });
}

check('arguments that mean nothing are kept without being compared', async (t) => {
  const channel = await open(t);
  const queue = nameOf('own');
  await channel.assertQueue(queue, { exclusive: true, arguments: { 'x-mine': 1, yours: { deep: ['er'] } } });
  await channel.assertQueue(queue, { exclusive: true, arguments: { 'x-mine': 2 } });
});

check('lazy and classic queues are declared', async (t) => {
  const channel = await confirming(t);
  for (const options of [{ queueMode: 'lazy' }, { queueMode: 'default' }, { arguments: { 'x-queue-type': 'classic' } }]) {
    const queue = await ownQueue(channel, options);
    await publishAll(channel, queue, numbered(10));
    assert.deepEqual((await drain(channel, queue)).map(body), numbered(10));
  }
});

check('a queue type that does not exist is refused', async (t) => {
  await assert.rejects((await open(t)).assertQueue(nameOf('type'), { arguments: { 'x-queue-type': 'magic' } }), ({ code }) => code === 406);
});

// RabbitMQ drops from the head, where the highest priority is. Which of two messages expires first is not asked: there it is
// again the head, and here each message goes at its own time, wherever it stands.
check('all arguments work together', async (t) => {
  const { channel, queue, dead } = await withDeadLetters(t, { maxLength: 2, maxPriority: 3, messageTtl: 800 });
  for (const [text, priority] of [['low', 1], ['high', 3], ['middle', 2]]) await publishAll(channel, queue, [text], { priority });
  const pushed = await deathOf(channel, dead);
  assert.deepEqual([body(pushed.message), pushed.death.reason], ['high', 'maxlen']);
  await holds(channel, dead, 2);
  const reasons = (await drain(channel, dead)).map((message) => [body(message), message.properties.headers['x-death'][0].reason]);
  assert.deepEqual(reasons.sort(), [['low', 'expired'], ['middle', 'expired']]);
});
