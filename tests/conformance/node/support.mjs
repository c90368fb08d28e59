// What the scripts share: the broker under test, connections that end with their test, and waiting that ends.

import { randomUUID } from 'node:crypto';
import amqp from 'amqplib';

export const URI = process.env.HAREMQ_TEST_URI;
if (!URI) throw new Error('HAREMQ_TEST_URI names the broker under test');

const MILLISECONDS_TO_ARRIVE = 10_000;

/** A connection that closes when the test is over; its errors are kept in `errors` and kill nobody. */
export async function connect(test, options = '') {
  const connection = await amqp.connect(URI + options);
  connection.errors = [];
  connection.on('error', (error) => connection.errors.push(error));
  test.after(() => connection.connection.stream.destroyed || connection.close().catch(() => {}));
  return connection;
}

/** A channel whose errors are kept in `errors`; `closed` resolves when it ends. */
export async function channelOf(connection, kind = 'createChannel') {
  const channel = await connection[kind]();
  channel.errors = [];
  channel.on('error', (error) => channel.errors.push(error));
  channel.closed = new Promise((resolve) => channel.on('close', resolve));
  return channel;
}

export function nameOf(what) {
  return `${what}-${randomUUID().slice(0, 13)}`;
}

/** A consumer that keeps its messages, and waits for them. */
export async function consumer(channel, queue, options = {}) {
  const messages = [];
  let wake = () => {};
  const { consumerTag } = await channel.consume(queue, (message) => { messages.push(message); wake(); }, options);
  const arrived = async (count) => {
    const tooLate = AbortSignal.timeout(MILLISECONDS_TO_ARRIVE);
    while (messages.length < count) {
      await new Promise((resolve, reject) => {
        wake = resolve;
        tooLate.onabort = () => reject(new Error(`${messages.length} of ${count} messages arrived`));
      });
    }
    return messages.slice(0, count);
  };
  return { consumerTag, messages, arrived, bodies: () => messages.map((message) => message.content.toString()) };
}

export function numbered(count) {
  return Array.from({ length: count }, (_, number) => `message ${number}`);
}

export function pause(milliseconds) {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
