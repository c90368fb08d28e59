// What the suites of both clients share. The broker under test is HAREMQ_TEST_URI's.

import { randomUUID } from 'node:crypto';
import net from 'node:net';
import { basename } from 'node:path';
import { test } from 'node:test';

export const URI = process.env.HAREMQ_TEST_URI ?? 'amqp://guest:guest@127.0.0.1:5672';

const MILLISECONDS_FOR_A_CASE = 20_000;
const MILLISECONDS_TO_ARRIVE = 8_000;

const area = basename(process.argv[1], '.mjs');

/** A case of the area that its file is named after. It fails rather than waits for ever. */
export function check(name, run) {
  test(`${area}: ${name}`, { timeout: MILLISECONDS_FOR_A_CASE }, run);
}

export function nameOf(what) {
  return `${what}-${randomUUID().slice(0, 13)}`;
}

export function pause(milliseconds) {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

export function numbered(count) {
  return Array.from({ length: count }, (_, number) => `message ${number}`);
}

/** Asks again until `ask` gives what is wanted: brokers settle and count in their own time. */
export async function eventually(ask, wanted) {
  const tooLate = Date.now() + MILLISECONDS_TO_ARRIVE;
  for (;;) {
    const answer = await ask();
    if (answer === wanted) return;
    if (Date.now() > tooLate) throw new Error(`${answer}, never ${wanted}`);
    await pause(10);
  }
}

/** The event's arguments, or an error when it does not come. */
export function heard(emitter, event) {
  return new Promise((resolve, reject) => {
    const tooLate = setTimeout(() => reject(new Error(`no '${event}'`)), MILLISECONDS_TO_ARRIVE);
    emitter.once(event, (...what) => {
      clearTimeout(tooLate);
      resolve(what);
    });
  });
}

/** Keeps what comes, and waits for it. */
export function inbox() {
  const messages = [];
  let look = () => {};
  return {
    messages,
    take: (message) => {
      messages.push(message);
      look();
    },
    arrived: (count) => new Promise((resolve, reject) => {
      const tooLate = setTimeout(() => reject(new Error(`${messages.length} of ${count} arrived`)), MILLISECONDS_TO_ARRIVE);
      look = () => {
        if (messages.length < count) return;
        clearTimeout(tooLate);
        resolve(messages.slice(0, count));
      };
      look();
    }),
  };
}

/**
 * A way to the broker, which must be there, that can be cut. `opened` counts the connections so far.
 * It stays open to the end of the process, so that a client can close its connection over it.
 */
export async function relay() {
  const { hostname, port, username, password } = new URL(URI);
  await new Promise((resolve, reject) => {
    const probe = net.connect(Number(port), hostname, () => resolve(probe.destroy()));
    probe.on('error', reject);
  });
  const sockets = new Set();
  const way = { opened: 0 };
  const server = net.createServer((near) => {
    const far = net.connect(Number(port), hostname);
    way.opened += 1;
    for (const [one, other] of [[near, far], [far, near]]) {
      sockets.add(one);
      one.on('error', () => {});
      one.on('close', () => {
        sockets.delete(one);
        other.destroy();
      });
      one.pipe(other);
    }
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  way.cut = () => sockets.forEach((socket) => socket.destroy());
  way.uri = `amqp://${username}:${password}@127.0.0.1:${server.address().port}`;
  server.unref();
  return way;
}
