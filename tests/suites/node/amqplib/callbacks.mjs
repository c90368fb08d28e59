// The callback API, where errors come as the first argument.

import assert from 'node:assert/strict';
import { promisify } from 'node:util';
import amqp from 'amqplib/callback_api';
import { URI, check, eventually, heard, nameOf, numbered } from '../support.mjs';

/** Calls a method of an object of this API and waits for its answer. */
function ask(object, method, ...given) {
  return promisify(object[method].bind(object))(...given);
}

async function connect(t) {
  const connection = await ask(amqp, 'connect', URI);
  connection.on('error', () => {});
  t.after(() => ask(connection, 'close').catch(() => {}));
  return connection;
}

async function channelOf(connection, kind = 'createChannel') {
  const channel = await ask(connection, kind);
  channel.on('error', () => {});
  return channel;
}

async function open(t, kind) {
  return channelOf(await connect(t), kind);
}

async function ownQueue(channel, options = {}) {
  return (await ask(channel, 'assertQueue', '', { exclusive: true, ...options })).queue;
}

const holds = (channel, queue, count) => eventually(async () => (await ask(channel, 'checkQueue', queue)).messageCount, count);

check('opens and closes', async (t) => {
  const connection = await connect(t);
  const closed = heard(connection, 'close');
  await ask(connection, 'close');
  await closed;
});

check('a wrong password is told', async () => {
  const wrong = new URL(URI);
  wrong.password = 'wrong';
  await assert.rejects(ask(amqp, 'connect', wrong.href), /403.*ACCESS.REFUSED/);
});

check('the secret is updated', async (t) => {
  await ask(await connect(t), 'updateSecret', Buffer.from('guest'), 'no reason');
});

check('queues are asserted, checked, purged and deleted', async (t) => {
  const channel = await open(t);
  const queue = nameOf('queue');
  assert.equal((await ask(channel, 'assertQueue', queue, {})).queue, queue);
  assert.deepEqual({ ...await ask(channel, 'checkQueue', queue) }, { queue, messageCount: 0, consumerCount: 0 });
  assert.equal((await ask(channel, 'purgeQueue', queue)).messageCount, 0);
  assert.equal((await ask(channel, 'deleteQueue', queue, {})).messageCount, 0);
});

check('exchanges are asserted, checked, bound and deleted', async (t) => {
  const channel = await open(t);
  const [source, destination] = [nameOf('source'), nameOf('destination')];
  for (const exchange of [source, destination]) assert.equal((await ask(channel, 'assertExchange', exchange, 'fanout', {})).exchange, exchange);
  await ask(channel, 'checkExchange', source);
  await ask(channel, 'bindExchange', destination, source, '', {});
  const queue = await ownQueue(channel);
  await ask(channel, 'bindQueue', queue, destination, '', {});
  channel.publish(source, '', Buffer.from('x'));
  await holds(channel, queue, 1);
  await ask(channel, 'unbindExchange', destination, source, '', {});
  await ask(channel, 'unbindQueue', queue, destination, '', {});
  for (const exchange of [source, destination]) await ask(channel, 'deleteExchange', exchange, {});
});

check('a missing queue is told to who asked', async (t) => {
  await assert.rejects(ask(await open(t), 'checkQueue', nameOf('missing')), ({ code, classId, methodId }) => code === 404 && classId === 50 && methodId === 10);
});

check('another type of exchange is told to who asked', async (t) => {
  const channel = await open(t);
  const exchange = nameOf('type');
  await ask(channel, 'assertExchange', exchange, 'fanout', { durable: false, autoDelete: true });
  await ask(channel, 'bindQueue', await ownQueue(channel), exchange, '', {});
  await assert.rejects(ask(channel, 'assertExchange', exchange, 'direct', { durable: false, autoDelete: true }), ({ code }) => code === 406);
});

check('a get from a missing queue is told to who asked', async (t) => {
  await assert.rejects(ask(await open(t), 'get', nameOf('missing'), {}), ({ code, classId, methodId }) => code === 404 && classId === 60 && methodId === 70);
});

check('messages are sent and got', async (t) => {
  const channel = await open(t);
  const queue = await ownQueue(channel);
  assert.equal(await ask(channel, 'get', queue, {}), false);
  channel.sendToQueue(queue, Buffer.from('hello'));
  await holds(channel, queue, 1);
  const message = await ask(channel, 'get', queue, {});
  assert.equal(message.content.toString(), 'hello');
  channel.ack(message);
});

check('messages are consumed until the consumer is cancelled', async (t) => {
  const channel = await open(t);
  const queue = await ownQueue(channel);
  let take;
  const come = new Promise((resolve) => { take = resolve; });
  const { consumerTag } = await ask(channel, 'consume', queue, take, { noAck: true });
  channel.sendToQueue(queue, Buffer.from('one'));
  assert.equal((await come).content.toString(), 'one');
  assert.equal((await ask(channel, 'cancel', consumerTag)).consumerTag, consumerTag);
  channel.sendToQueue(queue, Buffer.from('two'));
  await holds(channel, queue, 1);
});

check('a consumer hears that its queue is gone', async (t) => {
  const channel = await open(t);
  const queue = await ownQueue(channel);
  let take;
  const come = new Promise((resolve) => { take = resolve; });
  await ask(channel, 'consume', queue, take, {});
  await ask(channel, 'deleteQueue', queue, {});
  assert.equal(await come, null);
});

check('messages are given back, recovered and acknowledged', async (t) => {
  const channel = await open(t, 'createConfirmChannel');
  const queue = await ownQueue(channel);
  for (const text of numbered(3)) await ask(channel, 'sendToQueue', queue, Buffer.from(text), {});
  channel.nack(await ask(channel, 'get', queue, {}));
  channel.reject(await ask(channel, 'get', queue, {}));
  await ask(channel, 'get', queue, {});
  await ask(channel, 'recover');
  await holds(channel, queue, 3);
  for (const text of numbered(3)) assert.equal((await ask(channel, 'get', queue, {})).content.toString(), text);
  channel.ackAll();
  assert.equal((await ask(channel, 'checkQueue', queue)).messageCount, 0);
});

check('a prefetch is kept', async (t) => {
  const channel = await open(t);
  const queue = await ownQueue(channel);
  await ask(channel, 'prefetch', 1, false);
  const came = [];
  await ask(channel, 'consume', queue, (message) => came.push(message), {});
  for (const text of numbered(3)) channel.sendToQueue(queue, Buffer.from(text));
  for (let count = 1; count <= 3; count++) {
    await eventually(async () => came.length, count);
    channel.ack(came[count - 1]);
  }
  await holds(channel, queue, 0);
});

check('confirms are told one by one and together', async (t) => {
  const channel = await open(t, 'createConfirmChannel');
  const queue = await ownQueue(channel);
  await ask(channel, 'publish', '', queue, Buffer.from('x'), {});
  let confirmed = 0;
  for (const text of numbered(200)) channel.sendToQueue(queue, Buffer.from(text), {}, (error) => { if (!error) confirmed += 1; });
  await ask(channel, 'waitForConfirms');
  assert.equal(confirmed, 200);
});

check('a refusal to confirm is told', async (t) => {
  const channel = await open(t, 'createConfirmChannel');
  const queue = await ownQueue(channel, { maxLength: 0, overflow: 'reject-publish' });
  await assert.rejects(ask(channel, 'sendToQueue', queue, Buffer.from('x'), {}), /nacked/);
});

check('a message comes back', async (t) => {
  const channel = await open(t);
  const returned = heard(channel, 'return');
  channel.sendToQueue(nameOf('nowhere'), Buffer.from('x'), { mandatory: true });
  assert.equal((await returned)[0].fields.replyText, 'NO_ROUTE');
});

check('an error of a channel is heard', async (t) => {
  const channel = await open(t);
  const told = heard(channel, 'error');
  channel.publish(nameOf('missing'), '', Buffer.from('x'));
  assert.equal((await told)[0].code, 404);
});
