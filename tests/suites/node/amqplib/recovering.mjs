// amqplib's own recovery of connections, over a way that is cut.

import assert from 'node:assert/strict';
import amqp from 'amqplib';
import { check, eventually, heard, inbox, nameOf, relay } from '../support.mjs';
import { body, channelOf, open } from './support.mjs';

const quickly = { initialDelay: 10, maxDelay: 50 };

async function recovering(t, way, recovery = {}) {
  const connection = await amqp.connect(way.uri, { recovery: { ...quickly, ...recovery } });
  connection.on('error', () => {});
  t.after(() => connection.close().catch(() => {}));
  return connection;
}

check('a connection that was cut is opened again', async (t) => {
  const way = await relay();
  const connection = await recovering(t, way);
  await channelOf(connection);
  const [lost, again] = [heard(connection, 'disconnect'), heard(connection, 'connect')];
  way.cut();
  await lost;
  await again;
  assert.equal(way.opened, 2);
  await (await channelOf(connection)).assertQueue('', { exclusive: true });
});

check('its setup consumes again and gets what was not acknowledged', async (t) => {
  const way = await relay();
  const other = await open(t);
  const queue = nameOf('recovered');
  await other.assertQueue(queue);
  t.after(() => other.deleteQueue(queue).catch(() => {}));
  const box = inbox();
  const connection = await recovering(t, way, {
    setup: async (model) => {
      const channel = await channelOf(model);
      await channel.assertQueue(queue);
      await channel.prefetch(1);
      await channel.consume(queue, (message) => box.take({ message, channel }));
    },
  });
  for (const text of ['one', 'two']) other.sendToQueue(queue, Buffer.from(text));
  await box.arrived(1);
  const again = heard(connection, 'connect');
  way.cut();
  await again;
  const [, { message, channel }] = await box.arrived(2);
  assert.deepEqual([body(message), message.fields.redelivered], ['one', true]);
  channel.ack(message);
  const [, , last] = await box.arrived(3);
  assert.deepEqual([body(last.message), last.message.fields.redelivered], ['two', false]);
  last.channel.ack(last.message);
  await eventually(async () => (await other.checkQueue(queue)).messageCount, 0);
});

check('three cuts are survived', async (t) => {
  const way = await relay();
  const connection = await recovering(t, way);
  for (let cut = 0; cut < 3; cut++) {
    const again = heard(connection, 'connect');
    way.cut();
    await again;
    await (await channelOf(connection)).assertQueue('', { exclusive: true });
  }
  assert.equal(way.opened, 4);
});

check('no connection is opened after a close', async (t) => {
  const way = await relay();
  const connection = await recovering(t, way);
  await connection.close();
  way.cut();
  await new Promise((resolve) => setTimeout(resolve, 200));
  assert.equal(way.opened, 1);
});

check('a refused login is given up after as many tries as were allowed', async (t) => {
  const way = await relay();
  const uri = way.uri.replace('guest:guest', 'guest:wrong');
  await assert.rejects(amqp.connect(uri, { recovery: { ...quickly, maxRetries: 2 } }), /ACCESS.REFUSED/);
  assert.equal(way.opened, 3);
});
