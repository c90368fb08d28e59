// Opening, identifying, limiting and closing connections.

import assert from 'node:assert/strict';
import amqp from 'amqplib';
import { URI, check, eventually, heard, nameOf, pause, relay } from '../support.mjs';
import { body, channelOf, connect, holds, open, ownQueue, refused } from './support.mjs';

const { hostname, port: portText } = new URL(URI);
const options = { protocol: 'amqp', hostname, port: Number(portText), username: 'guest', password: 'guest' };

check('opens and closes', async (t) => {
  const connection = await connect(t);
  await connection.close();
  await connection.closed;
  assert.deepEqual(connection.errors, []);
});

check('takes its address as options', async (t) => {
  const connection = await amqp.connect({ ...options, vhost: '/' });
  t.after(() => connection.close());
  await channelOf(connection);
});

check('takes the virtual host from the URI', async (t) => {
  const connection = await connect(t, '/%2F');
  await channelOf(connection);
});

check('learns what the server is', async (t) => {
  const { serverProperties } = (await connect(t)).connection;
  assert.match(serverProperties.product, /\w/);
  assert.match(serverProperties.version, /^\d+\.\d+/);
  for (const capability of ['publisher_confirms', 'exchange_exchange_bindings', 'basic.nack', 'consumer_cancel_notify',
    'connection.blocked', 'consumer_priorities', 'authentication_failure_close', 'per_consumer_qos', 'direct_reply_to']) {
    assert.equal(serverProperties.capabilities[capability], true, capability);
  }
});

check('says what it is', async (t) => {
  const clientProperties = { connection_name: 'named', nested: { table: { deep: [1, 'two', true, null] } } };
  await channelOf(await connect(t, '', { clientProperties }));
});

check('a wrong password is refused', async () => {
  await assert.rejects(amqp.connect({ ...options, password: 'wrong' }), /403.*ACCESS.REFUSED/);
});

check('an unknown user is refused', async () => {
  await assert.rejects(amqp.connect({ ...options, username: nameOf('nobody') }), /403.*ACCESS.REFUSED/);
});

check('an unknown virtual host is refused', async () => {
  await assert.rejects(amqp.connect(`${URI}/${nameOf('nowhere')}`), /ConnectionClose/);
});

check('AMQPLAIN is spoken', async (t) => {
  const connection = await connect(t, '', { credentials: amqp.credentials.amqplain('guest', 'guest') });
  await channelOf(connection);
});

check('AMQPLAIN with a wrong password is refused', async () => {
  await assert.rejects(amqp.connect(URI, { credentials: amqp.credentials.amqplain('guest', 'wrong') }), /403.*ACCESS.REFUSED/);
});

check('a mechanism that is not offered is refused', async () => {
  await assert.rejects(amqp.connect(URI, { credentials: amqp.credentials.external() }), /EXTERNAL is not provided/);
});

check('the smallest frames carry large messages', async (t) => {
  const channel = await channelOf(await connect(t, '?frameMax=4096'));
  const queue = await ownQueue(channel);
  const content = Buffer.alloc(200_000, 'x');
  channel.sendToQueue(queue, content);
  assert.ok((await channel.get(queue)).content.equals(content));
});

check('a limit of channels is kept on both sides', async (t) => {
  const connection = await connect(t, '?channelMax=3');
  for (let number = 0; number < 3; number++) await channelOf(connection);
  await assert.rejects(connection.createChannel(), /No channels left/);
});

check('heartbeats keep an idle connection', async (t) => {
  const connection = await connect(t, '?heartbeat=1');
  await pause(3_300);
  assert.deepEqual(connection.errors, []);
  await channelOf(connection);
});

check('no heartbeats are asked for', async (t) => {
  const connection = await connect(t, '?heartbeat=0');
  assert.equal(connection.connection.heartbeat, 0);
  await channelOf(connection);
});

check('the secret is updated', async (t) => {
  const connection = await connect(t);
  const told = heard(connection, 'update-secret-ok');
  await connection.updateSecret(Buffer.from('guest'), 'it is time');
  await told;
  await channelOf(connection);
});

check('fifty connections live side by side', async (t) => {
  const connections = await Promise.all(Array.from({ length: 50 }, () => connect(t)));
  const channels = await Promise.all(connections.map((connection) => channelOf(connection)));
  const queue = await ownQueue(channels[0], { exclusive: false, autoDelete: true });
  for (const channel of channels) channel.sendToQueue(queue, Buffer.from('x'));
  await holds(channels[0], queue, 50);
  await channels[0].deleteQueue(queue);
});

check('closing a connection closes its channels', async (t) => {
  const connection = await connect(t);
  const channel = await channelOf(connection);
  await connection.close();
  assert.throws(() => channel.sendToQueue('any', Buffer.from('x')), /closed/);
  await assert.rejects(connection.createChannel(), /closed/);
});

check('requests that were under way fail when the connection closes', async (t) => {
  const connection = await connect(t);
  const channel = await channelOf(connection);
  const closing = connection.close();
  await assert.rejects(channel.checkQueue(nameOf('late')), /clos/i);
  await closing;
});

check('a lost connection gives back its messages and its exclusive queues', async (t) => {
  const way = await relay();
  const lost = await amqp.connect(way.uri);
  lost.on('error', () => {});
  const losing = await channelOf(lost);
  const other = await open(t);
  const [shared, exclusive] = [nameOf('shared'), nameOf('exclusive')];
  await other.assertQueue(shared);
  await losing.assertQueue(exclusive, { exclusive: true });
  losing.sendToQueue(shared, Buffer.from('back'));
  assert.equal(body(await losing.get(shared)), 'back');
  way.cut();
  await holds(other, shared, 1);
  const message = await other.get(shared, { noAck: true });
  assert.deepEqual([body(message), message.fields.redelivered], ['back', true]);
  await other.deleteQueue(shared);
  const connection = await connect(t);
  await eventually(async () => (await channelOf(connection)).checkQueue(exclusive).then(() => 'there', ({ code }) => code), 404);
});

check('a queue of a connection is not for another one', async (t) => {
  const queue = await ownQueue(await open(t));
  await refused((await open(t)).checkQueue(queue), 405, `RESOURCE_LOCKED - cannot obtain exclusive access to locked queue '${queue}' in vhost '/'`, [50, 10]);
});
