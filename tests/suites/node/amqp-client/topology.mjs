// Queues, exchanges and what binds them.

import assert from 'node:assert/strict';
import { check, eventually, nameOf, numbered } from '../support.mjs';
import { body, channelOf, confirming, connect, consumer, drain, holds, open, ownQueue, publishAll, refused } from './support.mjs';

async function exchangeOf(channel, type, params = {}, args = {}) {
  const name = nameOf(type);
  await channel.exchangeDeclare(name, type, { durable: false, autoDelete: true, ...params }, args);
  return name;
}

check('a queue is declared, looked at and deleted', async (t) => {
  const channel = await open(t);
  const name = nameOf('queue');
  assert.deepEqual(await channel.queueDeclare(name), { name, messageCount: 0, consumerCount: 0 });
  assert.deepEqual(await channel.queueDeclare(name, { passive: true }), { name, messageCount: 0, consumerCount: 0 });
  assert.deepEqual(await channel.queueDelete(name), { messageCount: 0 });
  await refused(channel, channel.queueDeclare(name, { passive: true }), `NOT_FOUND - no queue '${name}' in vhost '/'`);
});

check('the server makes up names', async (t) => {
  assert.match(await ownQueue(await open(t)), /^amq\.gen-/);
});

check('a name with amq. at its head is refused', async (t) => {
  const channel = await open(t);
  await refused(channel, channel.queueDeclare('amq.foobar'), "ACCESS_REFUSED - queue name 'amq.foobar' contains reserved prefix 'amq.*'");
});

check('a queue that differs is refused', async (t) => {
  const client = await connect(t);
  const channel = await channelOf(client);
  const name = nameOf('differs');
  await channel.queueDeclare(name, { durable: true });
  await refused(channel, channel.queueDeclare(name, { durable: false }), "PRECONDITION_FAILED - inequivalent arg 'durable'");
  await (await channelOf(client)).queueDelete(name);
});

check('a queue is purged', async (t) => {
  const channel = await confirming(t);
  const queue = await ownQueue(channel);
  await publishAll(channel, queue, numbered(7));
  assert.deepEqual(await channel.queuePurge(queue), { messageCount: 7 });
  assert.equal(await channel.basicGet(queue), null);
});

check('a queue that is used or not empty is kept', async (t) => {
  const client = await connect(t);
  const [owner, asking] = [await channelOf(client), () => channelOf(client)];
  await owner.confirmSelect();
  const queue = nameOf('kept');
  await owner.queueDeclare(queue, { exclusive: true });
  await publishAll(owner, queue, ['x']);
  let channel = await asking();
  await refused(channel, channel.queueDelete(queue, { ifEmpty: true }), `PRECONDITION_FAILED - queue '${queue}' in vhost '/' not empty`);
  await consumer(owner, queue);
  channel = await asking();
  await refused(channel, channel.queueDelete(queue, { ifUnused: true }), `PRECONDITION_FAILED - queue '${queue}' in vhost '/' in use`);
});

check('an exclusive queue is its connection’s alone', async (t) => {
  const name = nameOf('exclusive');
  const [owner, other] = [await connect(t), await connect(t)];
  await (await channelOf(owner)).queueDeclare(name, { exclusive: true });
  const channel = await channelOf(other);
  await refused(channel, channel.queueDeclare(name, { passive: true }), `RESOURCE_LOCKED - cannot obtain exclusive access to locked queue '${name}'`);
  await owner.close();
  const codeOf = async () => {
    const asking = await channelOf(other);
    return asking.queueDeclare(name, { passive: true }).then(() => 'there', ({ message }) => /NOT_FOUND|RESOURCE_LOCKED/.exec(message)[0]);
  };
  await eventually(codeOf, 'NOT_FOUND');
});

check('an auto-delete queue goes with its consumer', async (t) => {
  const client = await connect(t);
  const channel = await channelOf(client);
  const name = nameOf('auto-delete');
  await channel.queueDeclare(name, { autoDelete: true, durable: false, exclusive: false });
  const { tag } = await consumer(channel, name);
  await channel.basicCancel(tag);
  await eventually(async () => (await channelOf(client)).queueDeclare(name, { passive: true }).then(() => 'there', () => 'gone'), 'gone');
});

check('a queue is bound and unbound', async (t) => {
  const channel = await confirming(t);
  const queue = await ownQueue(channel);
  await channel.queueBind(queue, 'amq.topic', 'asd.*');
  await channel.basicPublish('amq.topic', 'asd.x', 'one');
  await channel.queueUnbind(queue, 'amq.topic', 'asd.*');
  await channel.basicPublish('amq.topic', 'asd.x', 'two');
  assert.deepEqual((await drain(channel, queue)).map((message) => [body(message), message.exchange, message.routingKey]), [['one', 'amq.topic', 'asd.x']]);
});

check('exchanges of each type route in their way', async (t) => {
  const channel = await confirming(t);
  for (const [type, key, args, right, wrong] of [
    ['direct', 'a', {}, ['a', {}], ['b', {}]], ['topic', 'a.#', {}, ['a.b.c', {}], ['b.a', {}]],
    ['headers', '', { 'x-match': 'all', a: 1, b: true }, ['', { a: 1, b: true }], ['', { a: 1 }]],
  ]) {
    const exchange = await exchangeOf(channel, type);
    const queue = await ownQueue(channel);
    await channel.queueBind(queue, exchange, key, args);
    for (const [[routingKey, headers], text] of [[right, 'right'], [wrong, 'wrong']]) await channel.basicPublish(exchange, routingKey, text, { headers });
    assert.deepEqual((await drain(channel, queue)).map(body), ['right'], type);
  }
});

check('an exchange is bound to an exchange and unbound', async (t) => {
  const channel = await confirming(t);
  const [source, destination] = [await exchangeOf(channel, 'fanout', { autoDelete: false }), await exchangeOf(channel, 'fanout')];
  t.after(async () => (await open(t)).exchangeDelete(source));
  await channel.exchangeBind(destination, source);
  const queue = await ownQueue(channel);
  await channel.queueBind(queue, destination, '');
  await channel.basicPublish(source, '', 'one');
  assert.deepEqual((await drain(channel, queue)).map((message) => [body(message), message.exchange]), [['one', source]]);
  await channel.exchangeUnbind(destination, source);
  await channel.basicPublish(source, '', 'two');
  assert.deepEqual(await drain(channel, queue), []);
});

check('an exchange is declared, looked at and deleted', async (t) => {
  const channel = await open(t);
  const exchange = await exchangeOf(channel, 'fanout');
  await channel.exchangeDeclare(exchange, 'fanout', { passive: true });
  await channel.exchangeDelete(exchange);
  await channel.exchangeDelete(exchange);
  await refused(channel, channel.exchangeDeclare(exchange, 'fanout', { passive: true }), `NOT_FOUND - no exchange '${exchange}' in vhost '/'`);
});

check('an exchange that differs is refused', async (t) => {
  const channel = await open(t);
  const exchange = await exchangeOf(channel, 'fanout');
  await channel.queueBind(await ownQueue(channel), exchange, '');
  await refused(channel, channel.exchangeDeclare(exchange, 'direct', { durable: false, autoDelete: true }), "PRECONDITION_FAILED - inequivalent arg 'type'");
});

check('an exchange that is used is kept when that is asked', async (t) => {
  const channel = await open(t);
  const exchange = await exchangeOf(channel, 'fanout');
  await channel.queueBind(await ownQueue(channel), exchange, '');
  await refused(channel, channel.exchangeDelete(exchange, { ifUnused: true }), `PRECONDITION_FAILED - exchange '${exchange}' in vhost '/' in use`);
});

check('nobody publishes to an internal exchange', async (t) => {
  const channel = await confirming(t);
  const exchange = await exchangeOf(channel, 'fanout', { internal: true });
  await channel.queueBind(await ownQueue(channel), exchange, '');
  await refused(channel, channel.basicPublish(exchange, '', 'x'), 'ACCESS_REFUSED - cannot publish to internal exchange');
});

check('an alternate exchange takes what has no route', async (t) => {
  const channel = await confirming(t);
  const alternate = await exchangeOf(channel, 'fanout');
  const queue = await ownQueue(channel);
  await channel.queueBind(queue, alternate, '');
  const main = await exchangeOf(channel, 'direct', {}, { 'alternate-exchange': alternate });
  await channel.queueBind(await ownQueue(channel), main, 'routed');
  await channel.basicPublish(main, 'unrouted', 'x');
  await holds(channel, queue, 1);
});
