// Where each type of exchange sends a message.

import assert from 'node:assert/strict';
import { check, nameOf } from '../support.mjs';
import { body, confirming, drain, ownQueue } from './support.mjs';

/** A channel with an exchange and one queue for each list of bindings; `to(key, headers)` tells which queues got it. */
async function routes(t, type, bindings) {
  const channel = await confirming(t);
  const exchange = nameOf(type);
  await channel.assertExchange(exchange, type, { durable: false, autoDelete: true });
  const queues = {};
  for (const [name, keys] of Object.entries(bindings)) {
    queues[name] = await ownQueue(channel);
    for (const [key, table] of keys) await channel.bindQueue(queues[name], exchange, key, table ?? {});
  }
  const to = async (key, options = {}) => {
    channel.publish(exchange, key, Buffer.from(key), options);
    await channel.waitForConfirms();
    const got = [];
    for (const [name, queue] of Object.entries(queues)) {
      for (const message of await drain(channel, queue)) got.push(message.fields.routingKey === key ? name : `${name} as ${message.fields.routingKey}`);
    }
    return got.join(' ');
  };
  return { channel, exchange, queues, to };
}

check('direct goes by the whole key', async (t) => {
  const { to } = await routes(t, 'direct', { a: [['a']], ab: [['a'], ['b']], none: [['']] });
  assert.deepEqual([await to('a'), await to('b'), await to(''), await to('A'), await to('a.b')], ['a ab', 'ab', 'none', '', '']);
});

check('fanout goes everywhere', async (t) => {
  const { to } = await routes(t, 'fanout', { a: [['a']], twice: [['x'], ['y']] });
  assert.deepEqual([await to('a'), await to('anything')], ['a twice', 'a twice']);
});

check('topic goes by words', async (t) => {
  const { to } = await routes(t, 'topic', {
    exact: [['a.b.c']], star: [['a.*.c']], end: [['a.#']], all: [['#']], middle: [['a.#.c']], one: [['*']], two: [['*.*']], empty: [['']],
  });
  assert.deepEqual(
    [await to('a.b.c'), await to('a.c'), await to('a'), await to('a.b.b.c'), await to(''), await to('a..c'), await to('b')],
    ['exact star end all middle', 'end all middle two', 'end all one', 'end all middle', 'all empty', 'star end all middle', 'all one'],
  );
});

check('topic has hashes side by side', async (t) => {
  const { to } = await routes(t, 'topic', { hashes: [['#.#']], inner: [['#.b.#']], starred: [['*.#.*']] });
  assert.deepEqual([await to(''), await to('b'), await to('a.b'), await to('a.b.c'), await to('a')], ['hashes', 'hashes inner', 'hashes inner starred', 'hashes inner starred', 'hashes']);
});

check('one queue gets a message once, however many bindings match', async (t) => {
  const { to } = await routes(t, 'topic', { many: [['#'], ['a.*'], ['a.b'], ['*.b']] });
  assert.equal(await to('a.b'), 'many');
});

check('headers match all or any', async (t) => {
  const { to } = await routes(t, 'headers', {
    all: [['', { 'x-match': 'all', a: 1, b: 'two' }]], any: [['', { 'x-match': 'any', a: 1, b: 'two' }]],
    plain: [['', { a: 1, b: 'two' }]], everything: [['', {}]],
  });
  assert.deepEqual(
    [await to('', { headers: { a: 1, b: 'two', c: 3 } }), await to('', { headers: { a: 1 } }), await to('', { headers: { b: 'three' } }), await to('')],
    ['all any plain everything', 'any everything', 'everything', 'everything'],
  );
});

check('headers that begin with x- count when it is said', async (t) => {
  const { to } = await routes(t, 'headers', {
    all: [['', { 'x-match': 'all', 'x-a': 1, b: 2 }]], withX: [['', { 'x-match': 'all-with-x', 'x-a': 1, b: 2 }]], anyWithX: [['', { 'x-match': 'any-with-x', 'x-a': 1 }]],
  });
  assert.deepEqual([await to('', { headers: { 'x-a': 1, b: 2 } }), await to('', { headers: { b: 2 } })], ['all withX anyWithX', 'all']);
});

check('headers of no value match whatever the message has', async (t) => {
  const { to } = await routes(t, 'headers', { there: [['', { 'x-match': 'all', a: null }]], value: [['', { 'x-match': 'all', a: 1 }]] });
  assert.deepEqual([await to('', { headers: { a: 1 } }), await to('', { headers: { a: 'x' } }), await to('', { headers: { b: 1 } })], ['there value', 'there', '']);
});

check('a binding with another table is another binding', async (t) => {
  const { channel, exchange, queues, to } = await routes(t, 'headers', { it: [['', { a: 1 }], ['', { b: 1 }]] });
  await channel.unbindQueue(queues.it, exchange, '', { a: 1 });
  assert.deepEqual([await to('', { headers: { a: 1 } }), await to('', { headers: { b: 1 } })], ['', 'it']);
});

check('binding twice is binding once', async (t) => {
  const { channel, exchange, queues, to } = await routes(t, 'direct', { it: [['key'], ['key'], ['other']] });
  assert.equal(await to('key'), 'it');
  await channel.unbindQueue(queues.it, exchange, 'key');
  assert.deepEqual([await to('key'), await to('other')], ['', 'it']);
});

check('CC and BCC are more keys', async (t) => {
  const { channel, queues, to } = await routes(t, 'direct', { a: [['a']], b: [['b']], c: [['c']] });
  assert.equal(await to('a', { CC: ['b'], BCC: 'c' }), 'a b c');
  channel.sendToQueue(queues.a, Buffer.from('x'), { CC: [queues.b], BCC: [queues.c] });
  await channel.waitForConfirms();
  for (const queue of Object.values(queues)) {
    const { headers } = (await channel.get(queue, { noAck: true })).properties;
    assert.deepEqual([headers.CC, headers.BCC], [[queues.b], undefined]);
  }
});

check('CC that is no list closes the channel', async (t) => {
  const channel = await confirming(t);
  channel.sendToQueue('anywhere', Buffer.from('x'), { headers: { CC: 'key' } });
  await channel.closed;
  assert.equal(channel.errors[0].code, 406);
  assert.match(channel.errors[0].message, /PRECONDITION_FAILED - invalid message.*"CC"/);
});

check('every queue has its name as key in the default exchange', async (t) => {
  const channel = await confirming(t);
  const queue = await ownQueue(channel);
  channel.publish('', queue, Buffer.from('x'));
  await channel.waitForConfirms();
  const message = await channel.get(queue, { noAck: true });
  assert.deepEqual([body(message), message.fields.exchange, message.fields.routingKey], ['x', '', queue]);
});

check('a message that nobody takes is dropped and confirmed', async (t) => {
  const channel = await confirming(t);
  channel.sendToQueue(nameOf('nobody'), Buffer.from('x'));
  await channel.waitForConfirms();
});

check('mandatory messages come back as they were', async (t) => {
  const channel = await confirming(t);
  const came = [];
  channel.on('return', (message) => came.push(message));
  const headers = { number: 1, nested: { deep: [true] } };
  channel.publish('amq.direct', 'nowhere', Buffer.alloc(300_000, 'x'), { mandatory: true, headers, messageId: 'id' });
  await channel.waitForConfirms();
  const [{ fields, properties, content }] = came;
  assert.deepEqual({ ...fields }, { replyCode: 312, replyText: 'NO_ROUTE', exchange: 'amq.direct', routingKey: 'nowhere' });
  assert.deepEqual([properties.messageId, { ...properties.headers }, content.length], ['id', headers, 300_000]);
});

check('a mandatory message that has a queue stays', async (t) => {
  const channel = await confirming(t);
  const queue = await ownQueue(channel);
  const came = [];
  channel.on('return', (message) => came.push(message));
  channel.sendToQueue(queue, Buffer.from('x'), { mandatory: true });
  await channel.waitForConfirms();
  assert.deepEqual(came, []);
  assert.equal((await drain(channel, queue)).length, 1);
});
