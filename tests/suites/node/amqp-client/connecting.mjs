// Opening and closing connections and channels.

import assert from 'node:assert/strict';
import { AMQPClient } from '@cloudamqp/amqp-client';
import { URI, check, eventually, heard, nameOf, numbered, pause, relay } from '../support.mjs';
import { body, breaks, channelOf, confirming, connect, holds, open, ownQueue, publishAll, refused } from './support.mjs';

check('opens and closes', async (t) => {
  const client = await connect(t);
  await client.close();
  assert.equal(client.closed, true);
  await assert.rejects(client.channel(), /closed/i);
});

check('a name and a virtual host are taken from the URI', async (t) => {
  const client = await connect(t, '/%2F?name=named');
  assert.deepEqual([client.name, client.vhost], ['named', '/']);
  await channelOf(client);
});

check('a wrong password is refused', async () => {
  await assert.rejects(new AMQPClient(URI.replace('guest:guest', 'guest:wrong')).connect(), /ACCESS_REFUSED/);
});

check('an unknown virtual host is refused', async () => {
  const vhost = nameOf('nowhere');
  await assert.rejects(new AMQPClient(`${URI}/${vhost}`).connect(), new RegExp(`NOT_ALLOWED.*vhost ${vhost} not found`));
});

check('the limits are negotiated', async (t) => {
  const client = await connect(t, '?frameMax=8192&channelMax=2&heartbeat=10');
  assert.deepEqual([client.frameMax, client.channelMax], [8192, 2]);
  await channelOf(client);
  await channelOf(client);
  await assert.rejects(client.channel(), /Max number of channels/);
});

check('heartbeats keep an idle connection', async (t) => {
  const client = await connect(t, '?heartbeat=1');
  await pause(3_300);
  assert.deepEqual(client.errors, []);
  await channelOf(client);
});

check('the secret is updated', async (t) => {
  const client = await connect(t);
  await client.updateSecret('guest', 'it is time');
  await channelOf(client);
});

check('a client connects again after a close', async (t) => {
  const client = await connect(t);
  const closed = heard(client.socket, 'close');
  await client.close();
  await closed;
  await client.connect();
  await ownQueue(await channelOf(client));
});

check('a lost connection is told, and its channels are closed', async (t) => {
  const way = await relay();
  const client = new AMQPClient(way.uri);
  client.onerror = () => {};
  const lost = new Promise((resolve) => { client.ondisconnect = resolve; });
  await client.connect();
  const channel = await channelOf(client);
  way.cut();
  await lost;
  assert.equal(channel.closed, true);
  await assert.rejects(channel.basicPublish('', 'x', 'y'), /closed/);
});

check('what a lost connection had comes back', async (t) => {
  const way = await relay();
  const client = new AMQPClient(way.uri);
  client.onerror = () => {};
  await client.connect();
  const [losing, other] = [await channelOf(client), await confirming(t)];
  const queue = nameOf('shared');
  await other.queueDeclare(queue);
  t.after(async () => (await open(t)).queueDelete(queue));
  await publishAll(other, queue, numbered(3));
  for (const text of numbered(3)) assert.equal(body(await losing.basicGet(queue, { noAck: false })), text);
  way.cut();
  await holds(other, queue, 3);
  assert.equal((await other.basicGet(queue)).redelivered, true);
});

check('channels have numbers, and the free ones are used first', async (t) => {
  const client = await connect(t);
  const channels = [await channelOf(client), await channelOf(client), await channelOf(client)];
  assert.deepEqual(channels.map(({ id }) => id), [1, 2, 3]);
  await channels[1].close();
  await eventually(async () => client.channels[2], undefined);
  assert.equal((await channelOf(client)).id, 2);
});

check('a channel may have any number', async (t) => {
  const client = await connect(t);
  const channel = await client.channel(1_000);
  await ownQueue(channel);
  assert.equal(await client.channel(1_000), channel);
});

check('a closed channel takes nothing', async (t) => {
  const channel = await open(t);
  await channel.close();
  for (const request of [channel.close(), channel.basicPublish('', 'x', 'y'), channel.basicGet('x'), channel.queueDeclare('x')]) {
    await assert.rejects(request, /Channel is closed/);
  }
});

check('a hundred channels work at once', async (t) => {
  const client = await connect(t);
  const channels = [];
  for (let number = 0; number < 100; number++) channels.push(await channelOf(client));
  await Promise.all(channels.map(async (channel) => {
    const queue = await ownQueue(channel);
    await channel.confirmSelect();
    await publishAll(channel, queue, numbered(10));
    for (const text of numbered(10)) assert.equal(body(await channel.basicGet(queue)), text);
    await channel.close();
  }));
});

check('an error closes its channel alone', async (t) => {
  const client = await connect(t);
  const [failing, other] = [await channelOf(client), await channelOf(client)];
  await refused(failing, failing.queueDeclare(nameOf('missing'), { passive: true }), 'NOT_FOUND');
  await ownQueue(other);
});

check('publishing to a missing exchange closes the channel', async (t) => {
  const channel = await open(t);
  const exchange = nameOf('missing');
  await channel.basicPublish(exchange, '', 'x');
  await breaks(channel, `NOT_FOUND - no exchange '${exchange}' in vhost '/'`);
});

check('an unknown type of exchange is refused', async (t) => {
  const channel = await open(t);
  await refused(channel, channel.exchangeDeclare(nameOf('none'), 'x-none'), "PRECONDITION_FAILED - unknown exchange type 'x-none'");
});

check('a flow that is on stays on', async (t) => {
  assert.equal(await (await open(t)).basicFlow(true), true);
});

check('a flow cannot be turned off', async (t) => {
  const channel = await open(t);
  await assert.rejects(channel.basicFlow(false), /NOT_IMPLEMENTED/);
});
