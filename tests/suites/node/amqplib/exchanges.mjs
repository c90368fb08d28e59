// Declaring, checking, binding and deleting exchanges.

import assert from 'node:assert/strict';
import { check, eventually, nameOf } from '../support.mjs';
import { body, breaks, channelOf, confirming, connect, holds, open, ownQueue, refused } from './support.mjs';

const [DECLARE, DELETE, BIND, UNBIND] = [[40, 10], [40, 20], [40, 30], [40, 40]];
const missing = (exchange) => `NOT_FOUND - no exchange '${exchange}' in vhost '/'`;

async function exchangeOf(channel, type = 'fanout', options = {}) {
  const name = nameOf(type);
  await channel.assertExchange(name, type, { durable: false, autoDelete: true, ...options });
  return name;
}

for (const type of ['direct', 'fanout', 'topic', 'headers']) {
  check(`a ${type} exchange is asserted, checked and deleted`, async (t) => {
    const channel = await open(t);
    const exchange = nameOf(type);
    assert.deepEqual(await channel.assertExchange(exchange, type), { exchange });
    assert.deepEqual(await channel.checkExchange(exchange), {});
    assert.deepEqual(await channel.assertExchange(exchange, type), { exchange });
    await channel.deleteExchange(exchange);
    await refused(channel.checkExchange(exchange), 404, missing(exchange), DECLARE);
  });
}

check('the exchanges of the server are there', async (t) => {
  const channel = await open(t);
  for (const exchange of ['amq.direct', 'amq.fanout', 'amq.topic', 'amq.headers', 'amq.match']) await channel.checkExchange(exchange);
  await channel.assertExchange('amq.topic', 'topic');
});

for (const [argument, first, then, got, has] of [
  ['type', ['fanout', {}], ['direct', {}], 'direct', 'fanout'],
  ['durable', ['fanout', { durable: true }], ['fanout', { durable: false }], 'false', 'true'],
  ['auto_delete', ['fanout', { autoDelete: true }], ['fanout', { autoDelete: false }], 'false', 'true'],
  ['internal', ['fanout', { internal: true }], ['fanout', { internal: false }], 'false', 'true'],
]) {
  check(`${argument} must be the same when it is asserted again`, async (t) => {
    const connection = await connect(t);
    const channel = await channelOf(connection);
    const exchange = nameOf('other');
    await channel.assertExchange(exchange, ...first);
    const text = `PRECONDITION_FAILED - inequivalent arg '${argument}' for exchange '${exchange}' in vhost '/': received '${got}' but current is '${has}'`;
    await refused(channel.assertExchange(exchange, ...then), 406, text, DECLARE);
    await (await channelOf(connection)).deleteExchange(exchange);
  });
}

check('an unknown type is refused', async (t) => {
  const connection = await connect(t);
  await refused((await channelOf(connection)).assertExchange(nameOf('none'), 'x-none'), 406, "PRECONDITION_FAILED - unknown exchange type 'x-none'", DECLARE);
  assert.deepEqual(connection.errors, []);
});

check('a name with amq. at its head is refused', async (t) => {
  await refused((await open(t)).assertExchange('amq.mine', 'fanout'), 403, "ACCESS_REFUSED - exchange name 'amq.mine' contains reserved prefix 'amq.*'", DECLARE);
});

check('the exchanges of the server cannot be deleted', async (t) => {
  const connection = await connect(t);
  await refused((await channelOf(connection)).deleteExchange('amq.direct'), 403, "ACCESS_REFUSED - deletion of system exchange 'amq.direct' in vhost '/' not allowed", DELETE);
  await refused((await channelOf(connection)).deleteExchange(''), 403, 'ACCESS_REFUSED - operation not permitted on the default exchange', DELETE);
});

check('deleting what is not there is no error', async (t) => {
  await (await open(t)).deleteExchange(nameOf('never'));
});

check('if-unused keeps an exchange that has bindings', async (t) => {
  const connection = await connect(t);
  const channel = await channelOf(connection);
  const exchange = nameOf('used');
  await channel.assertExchange(exchange, 'fanout');
  const queue = await ownQueue(channel);
  await channel.bindQueue(queue, exchange, '');
  await refused(channel.deleteExchange(exchange, { ifUnused: true }), 406, `PRECONDITION_FAILED - exchange '${exchange}' in vhost '/' in use`, DELETE);
  const next = await channelOf(connection);
  await next.unbindQueue(queue, exchange, '');
  await next.deleteExchange(exchange, { ifUnused: true });
});

check('the default exchange cannot be bound', async (t) => {
  const connection = await connect(t);
  const channel = await channelOf(connection);
  const queue = await ownQueue(channel);
  const text = 'ACCESS_REFUSED - operation not permitted on the default exchange';
  await refused(channel.bindQueue(queue, '', 'key'), 403, text, [50, 20]);
  await refused((await channelOf(connection)).bindExchange('amq.fanout', '', 'key'), 403, text, BIND);
  await refused((await channelOf(connection)).bindExchange('', 'amq.fanout', 'key'), 403, text, BIND);
});

check('a binding needs both of its ends', async (t) => {
  const connection = await connect(t);
  const nowhere = nameOf('nowhere');
  const queue = await ownQueue(await channelOf(connection));
  await refused((await channelOf(connection)).bindQueue(queue, nowhere, ''), 404, missing(nowhere), [50, 20]);
  await refused((await channelOf(connection)).bindExchange(nowhere, 'amq.fanout', ''), 404, missing(nowhere), BIND);
  await refused((await channelOf(connection)).bindExchange('amq.fanout', nowhere, ''), 404, missing(nowhere), BIND);
});

check('unbinding what is not bound is no error', async (t) => {
  const channel = await open(t);
  const queue = await ownQueue(channel);
  await channel.unbindQueue(queue, 'amq.direct', 'never');
  await channel.unbindExchange('amq.fanout', 'amq.direct', 'never');
});

check('nobody publishes to an internal exchange', async (t) => {
  const channel = await open(t);
  const exchange = nameOf('internal');
  await channel.assertExchange(exchange, 'fanout', { internal: true, durable: false });
  t.after(async () => (await open(t)).deleteExchange(exchange));
  channel.publish(exchange, '', Buffer.from('x'));
  await breaks(channel, 403, `ACCESS_REFUSED - cannot publish to internal exchange '${exchange}' in vhost '/'`);
});

check('publishing to a missing exchange closes the channel', async (t) => {
  const channel = await open(t);
  const exchange = nameOf('missing');
  channel.publish(exchange, '', Buffer.from('x'));
  await breaks(channel, 404, missing(exchange));
});

check('an internal exchange is reached through another', async (t) => {
  const channel = await confirming(t);
  const inner = await exchangeOf(channel, 'fanout', { internal: true });
  const outer = await exchangeOf(channel, 'direct');
  await channel.bindExchange(inner, outer, 'key');
  const queue = await ownQueue(channel);
  await channel.bindQueue(queue, inner, '');
  channel.publish(outer, 'key', Buffer.from('in'));
  channel.publish(outer, 'other', Buffer.from('out'));
  await channel.waitForConfirms();
  assert.equal(body(await channel.get(queue, { noAck: true })), 'in');
  assert.equal(await channel.get(queue), false);
});

check('an exchange that was unbound gets nothing more', async (t) => {
  const channel = await confirming(t);
  const [source, destination] = [await exchangeOf(channel), await exchangeOf(channel)];
  const [queue, spare] = [await ownQueue(channel), await ownQueue(channel)];
  await channel.bindQueue(spare, source, '');
  await channel.bindExchange(destination, source, '');
  await channel.bindQueue(queue, destination, '');
  channel.publish(source, '', Buffer.from('x'));
  await holds(channel, queue, 1);
  await channel.unbindExchange(destination, source, '');
  channel.publish(source, '', Buffer.from('y'));
  await channel.waitForConfirms();
  await holds(channel, spare, 2);
  assert.equal((await channel.checkQueue(queue)).messageCount, 1);
});

check('a round of exchanges delivers once', async (t) => {
  const channel = await confirming(t);
  const ring = [];
  for (let number = 0; number < 4; number++) ring.push(await exchangeOf(channel, 'fanout', { autoDelete: false }));
  t.after(async () => {
    const cleaner = await open(t);
    for (const exchange of ring) await cleaner.deleteExchange(exchange);
  });
  for (const [at, exchange] of ring.entries()) await channel.bindExchange(exchange, ring.at(at - 1), '');
  const queue = await ownQueue(channel);
  await channel.bindQueue(queue, ring[3], '');
  for (const exchange of ring) channel.publish(exchange, '', Buffer.from('round'));
  await channel.waitForConfirms();
  await holds(channel, queue, 4);
});

check('an auto-delete exchange goes with its last binding', async (t) => {
  const connection = await connect(t);
  const channel = await channelOf(connection);
  const exchange = await exchangeOf(channel);
  const [one, two] = [await ownQueue(channel), await ownQueue(channel)];
  await channel.bindQueue(one, exchange, '');
  await channel.bindQueue(two, exchange, '');
  await channel.unbindQueue(one, exchange, '');
  await channel.checkExchange(exchange);
  await channel.deleteQueue(two);
  await eventually(async () => (await channelOf(connection)).checkExchange(exchange).then(() => 'there', ({ code }) => code), 404);
});

check('an auto-delete exchange goes with its last binding to an exchange', async (t) => {
  const connection = await connect(t);
  const channel = await channelOf(connection);
  const [source, destination] = [await exchangeOf(channel), await exchangeOf(channel, 'fanout', { autoDelete: false })];
  await channel.bindExchange(destination, source, '');
  await channel.deleteExchange(destination);
  await eventually(async () => (await channelOf(connection)).checkExchange(source).then(() => 'there', ({ code }) => code), 404);
});

check('what an exchange cannot route goes to its alternate', async (t) => {
  const channel = await confirming(t);
  const alternate = await exchangeOf(channel);
  const main = nameOf('main');
  await channel.assertExchange(main, 'direct', { alternateExchange: alternate, durable: false });
  t.after(async () => (await open(t)).deleteExchange(main));
  const [routed, lost] = [await ownQueue(channel), await ownQueue(channel)];
  await channel.bindQueue(routed, main, 'known');
  await channel.bindQueue(lost, alternate, '');
  const returned = [];
  channel.on('return', (message) => returned.push(message));
  for (const key of ['known', 'unknown']) channel.publish(main, key, Buffer.from(key), { mandatory: true });
  await channel.waitForConfirms();
  assert.equal(body(await channel.get(routed, { noAck: true })), 'known');
  const message = await channel.get(lost, { noAck: true });
  assert.deepEqual([body(message), message.fields.exchange, message.fields.routingKey], ['unknown', main, 'unknown']);
  assert.deepEqual(returned, []);
});

check('the alternate must be the same when it is asserted again', async (t) => {
  const connection = await connect(t);
  const channel = await channelOf(connection);
  const exchange = nameOf('alternate');
  await channel.assertExchange(exchange, 'direct', { alternateExchange: 'one' });
  const text = `PRECONDITION_FAILED - inequivalent arg 'alternate-exchange' for exchange '${exchange}' in vhost '/': received 'two' but current is 'one'`;
  await refused(channel.assertExchange(exchange, 'direct', { alternateExchange: 'two' }), 406, text, DECLARE);
  await (await channelOf(connection)).deleteExchange(exchange);
});

check('a deleted exchange takes its bindings with it', async (t) => {
  const channel = await confirming(t);
  const exchange = nameOf('again');
  await channel.assertExchange(exchange, 'fanout', { durable: false });
  const queue = await ownQueue(channel);
  await channel.bindQueue(queue, exchange, '');
  await channel.deleteExchange(exchange);
  await channel.assertExchange(exchange, 'fanout', { durable: false });
  channel.publish(exchange, '', Buffer.from('x'));
  await channel.waitForConfirms();
  assert.equal((await channel.checkQueue(queue)).messageCount, 0);
  await channel.deleteExchange(exchange);
});
