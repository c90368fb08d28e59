// Declaring, checking, purging and deleting queues.

import assert from 'node:assert/strict';
import { check, eventually, nameOf } from '../support.mjs';
import { breaksAll, channelOf, confirming, connect, consumer, holds, open, ownQueue, publishAll, refused } from './support.mjs';

const [DECLARE, DELETE, PURGE] = [[50, 10], [50, 40], [50, 30]];
const missing = (queue) => `NOT_FOUND - no queue '${queue}' in vhost '/'`;
const differs = (argument, queue, got, has) =>
  `PRECONDITION_FAILED - inequivalent arg '${argument}' for queue '${queue}' in vhost '/': received '${got}' but current is '${has}'`;

check('a queue is asserted, checked and deleted', async (t) => {
  const channel = await open(t);
  const queue = nameOf('queue');
  assert.deepEqual(await channel.assertQueue(queue), { queue, messageCount: 0, consumerCount: 0 });
  assert.deepEqual(await channel.checkQueue(queue), { queue, messageCount: 0, consumerCount: 0 });
  assert.deepEqual(await channel.deleteQueue(queue), { messageCount: 0 });
  await refused(channel.checkQueue(queue), 404, missing(queue), DECLARE);
});

check('the server makes up names', async (t) => {
  const channel = await open(t);
  const [one, two] = [await ownQueue(channel), await ownQueue(channel)];
  assert.match(one, /^amq\.gen-/);
  assert.notEqual(one, two);
});

check('asserting again changes nothing', async (t) => {
  const channel = await confirming(t);
  const queue = nameOf('again');
  await channel.assertQueue(queue, { exclusive: true });
  await publishAll(channel, queue, ['a', 'b']);
  assert.deepEqual(await channel.assertQueue(queue, { exclusive: true }), { queue, messageCount: 2, consumerCount: 0 });
});

check('counts tell messages and consumers', async (t) => {
  const channel = await confirming(t);
  const queue = await ownQueue(channel);
  const { consumerTag } = await consumer(channel, queue);
  assert.equal((await channel.checkQueue(queue)).consumerCount, 1);
  await channel.cancel(consumerTag);
  await publishAll(channel, queue, ['a', 'b', 'c']);
  assert.deepEqual(await channel.checkQueue(queue), { queue, messageCount: 3, consumerCount: 0 });
});

for (const [argument, first, then, got, has] of [
  ['durable', { durable: true }, { durable: false }, 'false', 'true'],
  ['auto_delete', { autoDelete: true }, { autoDelete: false }, 'false', 'true'],
]) {
  check(`${argument} must be the same when it is asserted again`, async (t) => {
    const connection = await connect(t);
    const channel = await channelOf(connection);
    const queue = nameOf('other');
    await channel.assertQueue(queue, first);
    await refused(channel.assertQueue(queue, then), 406, differs(argument, queue, got, has), DECLARE);
    await (await channelOf(connection)).deleteQueue(queue);
  });
}

check('exclusive must be the same when it is asserted again', async (t) => {
  const channel = await open(t);
  const queue = nameOf('exclusive');
  await channel.assertQueue(queue, { exclusive: true });
  await assert.rejects(channel.assertQueue(queue), ({ code, message }) => (code === 405 || code === 406) && message.includes(queue));
});

check('a name with amq. at its head is refused', async (t) => {
  await refused((await open(t)).assertQueue('amq.mine'), 403, "ACCESS_REFUSED - queue name 'amq.mine' contains reserved prefix 'amq.*'", DECLARE);
});

check('names may have any letters and 255 octets', async (t) => {
  const channel = await open(t);
  for (const queue of [nameOf('Größe – 队列 🐇'), nameOf('a/b c%d*#.'), nameOf('x').padEnd(255, 'x')]) {
    assert.equal((await channel.assertQueue(queue, { exclusive: true })).queue, queue);
    assert.equal((await channel.checkQueue(queue)).queue, queue);
  }
});

check('a missing queue is not found', async (t) => {
  const connection = await connect(t);
  const queue = nameOf('missing');
  for (const [method, ask] of [
    [DECLARE, (channel) => channel.checkQueue(queue)],
    [PURGE, (channel) => channel.purgeQueue(queue)],
    [[50, 20], (channel) => channel.bindQueue(queue, 'amq.direct', 'key')],
    [[60, 20], (channel) => channel.consume(queue, () => {})],
    [[60, 70], (channel) => channel.get(queue)],
  ]) {
    await refused(ask(await channelOf(connection)), 404, missing(queue), method);
  }
});

check('deleting what is not there is no error', async (t) => {
  const channel = await open(t);
  assert.deepEqual(await channel.deleteQueue(nameOf('never')), { messageCount: 0 });
  const queue = await ownQueue(channel);
  await channel.deleteQueue(queue);
  assert.deepEqual(await channel.deleteQueue(queue), { messageCount: 0 });
});

check('a deletion says how many messages went with it', async (t) => {
  const channel = await confirming(t);
  const queue = await ownQueue(channel);
  await publishAll(channel, queue, ['a', 'b', 'c']);
  assert.deepEqual(await channel.deleteQueue(queue), { messageCount: 3 });
});

check('if-empty keeps a queue that has messages', async (t) => {
  const connection = await connect(t);
  const channel = await channelOf(connection, 'createConfirmChannel');
  const queue = await ownQueue(channel);
  await publishAll(channel, queue, ['a']);
  await refused(channel.deleteQueue(queue, { ifEmpty: true }), 406, `PRECONDITION_FAILED - queue '${queue}' in vhost '/' not empty`, DELETE);
  const next = await channelOf(connection);
  assert.deepEqual(await next.purgeQueue(queue), { messageCount: 1 });
  assert.deepEqual(await next.deleteQueue(queue, { ifEmpty: true }), { messageCount: 0 });
});

check('if-unused keeps a queue that has consumers', async (t) => {
  const connection = await connect(t);
  const [consuming, channel] = [await channelOf(connection), await channelOf(connection)];
  const queue = await ownQueue(channel);
  const { consumerTag } = await consumer(consuming, queue);
  await refused(channel.deleteQueue(queue, { ifUnused: true }), 406, `PRECONDITION_FAILED - queue '${queue}' in vhost '/' in use`, DELETE);
  await consuming.cancel(consumerTag);
  await (await channelOf(connection)).deleteQueue(queue, { ifUnused: true });
});

check('a purge takes what is ready and leaves what is out', async (t) => {
  const channel = await confirming(t);
  const queue = await ownQueue(channel);
  await publishAll(channel, queue, ['a', 'b', 'c']);
  const out = await channel.get(queue);
  assert.deepEqual(await channel.purgeQueue(queue), { messageCount: 2 });
  assert.equal(await channel.get(queue), false);
  channel.nack(out);
  await holds(channel, queue, 1);
});

check('an exclusive queue goes with its connection', async (t) => {
  const [first, second] = [await connect(t), await connect(t)];
  const queue = nameOf('exclusive');
  await (await channelOf(first)).assertQueue(queue, { exclusive: true });
  await first.close();
  await eventually(async () => (await channelOf(second)).checkQueue(queue).then(() => 'there', ({ code }) => code), 404);
});

check('an exclusive queue outlives its channel', async (t) => {
  const connection = await connect(t);
  const channel = await channelOf(connection);
  const queue = await ownQueue(channel);
  await channel.close();
  assert.equal((await (await channelOf(connection)).checkQueue(queue)).queue, queue);
});

check('an exclusive queue is locked against every request of others', async (t) => {
  const queue = nameOf('locked');
  const owner = await open(t);
  await owner.assertQueue(queue, { exclusive: true });
  await owner.bindQueue(queue, 'amq.fanout', '');
  const other = await connect(t);
  const locked = `RESOURCE_LOCKED - cannot obtain exclusive access to locked queue '${queue}' in vhost '/'`;
  for (const ask of [
    (channel) => channel.checkQueue(queue), (channel) => channel.assertQueue(queue), (channel) => channel.deleteQueue(queue),
    (channel) => channel.purgeQueue(queue), (channel) => channel.bindQueue(queue, 'amq.fanout', ''),
    (channel) => channel.unbindQueue(queue, 'amq.fanout', ''), (channel) => channel.consume(queue, () => {}), (channel) => channel.get(queue),
  ]) {
    await refused(ask(await channelOf(other)), 405, locked);
  }
});

check('anybody may publish to an exclusive queue', async (t) => {
  const [owner, other] = [await open(t), await confirming(t)];
  const queue = await ownQueue(owner);
  await publishAll(other, queue, ['hello']);
  await holds(owner, queue, 1);
});

check('an auto-delete queue goes with its last consumer', async (t) => {
  const connection = await connect(t);
  const channel = await channelOf(connection);
  const queue = nameOf('auto-delete');
  await channel.assertQueue(queue, { autoDelete: true, durable: false });
  const [one, two] = [await consumer(channel, queue), await consumer(channel, queue)];
  await channel.cancel(one.consumerTag);
  assert.equal((await channel.checkQueue(queue)).consumerCount, 1);
  await channel.cancel(two.consumerTag);
  await eventually(async () => (await channelOf(connection)).checkQueue(queue).then(() => 'there', ({ code }) => code), 404);
});

check('an auto-delete queue goes when the channel of its consumer closes', async (t) => {
  const connection = await connect(t);
  const channel = await channelOf(connection);
  const queue = nameOf('auto-delete');
  await channel.assertQueue(queue, { autoDelete: true, durable: false });
  await consumer(channel, queue);
  await channel.close();
  await eventually(async () => (await channelOf(connection)).checkQueue(queue).then(() => 'there', ({ code }) => code), 404);
});

check('an auto-delete queue that never had a consumer stays', async (t) => {
  const connection = await connect(t);
  const queue = nameOf('auto-delete');
  const channel = await channelOf(connection);
  await channel.assertQueue(queue, { autoDelete: true });
  await channel.close();
  await (await channelOf(connection)).deleteQueue(queue);
});

check('no name means the queue that was declared last', async (t) => {
  const channel = await confirming(t);
  const queue = await ownQueue(channel);
  await channel.bindQueue('', 'amq.direct', '');
  channel.publish('amq.direct', queue, Buffer.from('x'));
  await channel.waitForConfirms();
  assert.deepEqual(await channel.purgeQueue(''), { messageCount: 1 });
  const { arrived } = await consumer(channel, '');
  await publishAll(channel, queue, ['y']);
  await arrived(1);
  await channel.deleteQueue('');
});

check('no name and no queue before is not found', async (t) => {
  const connection = await connect(t);
  const text = 'NOT_FOUND - no previously declared queue';
  await refused((await channelOf(connection)).get(''), 404, text, [60, 70]);
  await refused((await channelOf(connection)).consume('', () => {}), 404, text, [60, 20]);
  assert.deepEqual(connection.errors, []);
});

check('an immediate message is no longer spoken of', async (t) => {
  const connection = await connect(t);
  const channel = await channelOf(connection);
  channel.sendMessage({ exchange: '', routingKey: 'x', mandatory: false, immediate: true, ticket: 0 }, {}, Buffer.from('x'));
  await breaksAll(connection, 540, 'NOT_IMPLEMENTED - immediate=true');
});
