// The older half of amqplib, with callbacks: everything asked for at once, answered in order.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { connect } from 'amqplib/callback_api';
import { URI, nameOf, numbered } from './support.mjs';

test('requests that do not wait for each other are answered in order', (t, done) => {
  connect(URI, (error, connection) => {
    assert.ifError(error);
    connection.createConfirmChannel((error, channel) => {
      assert.ifError(error);
      const [exchange, queue, log] = [nameOf('exchange'), nameOf('queue'), []];
      const noted = (what) => (error) => { assert.ifError(error); log.push(what); };
      channel.assertExchange(exchange, 'direct', { autoDelete: true }, noted('exchange'));
      channel.assertQueue(queue, { exclusive: true }, noted('queue'));
      channel.bindQueue(queue, exchange, 'key', {}, (error) => {
        noted('bound')(error);
        for (const body of numbered(10)) channel.publish(exchange, 'key', Buffer.from(body), { mandatory: true });
      });
      channel.on('return', () => log.push('returned'));
      channel.checkQueue(queue, noted('checked'));
      channel.purgeQueue(queue, (error, ok) => { assert.ifError(error); log.push(ok.messageCount); });
      channel.unbindQueue(queue, exchange, 'key', {}, noted('unbound'));
      channel.deleteQueue(queue, {}, (error) => {
        assert.ifError(error);
        assert.deepEqual(log, ['exchange', 'queue', 'bound', 'checked', 10, 'unbound']);
        connection.close(done);
      });
    });
  });
});

test('a hundred channels work side by side', (t, done) => {
  connect(URI, (error, connection) => {
    assert.ifError(error);
    let open = 100;
    const work = (error, channel) => {
      assert.ifError(error);
      channel.assertQueue('', { exclusive: true }, (error, { queue }) => {
        assert.ifError(error);
        channel.consume(queue, (message) => {
          assert.equal(message.content.toString(), queue);
          channel.ack(message);
          channel.close(() => { if (--open === 0) connection.close(done); });
        });
        channel.sendToQueue(queue, Buffer.from(queue));
      });
    };
    for (let number = 0; number < 100; number++) connection.createChannel(work);
  });
});
