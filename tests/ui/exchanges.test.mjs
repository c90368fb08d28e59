import assert from 'node:assert/strict';
import test from 'node:test';

import { api, get, go, inDialog, open, openSection, row, submit, told, until } from './lib.mjs';

test('an exchange is added, bound both ways, published to and deleted', async (t) => {
  const page = await open(t);
  for (const name of ['x-to']) await api('PUT', `queues/%2F/${name}`, {});
  await api('PUT', 'exchanges/%2F/x-next', { type: 'fanout' });
  await go(page, '/exchanges');
  await openSection(page, 'Add a new exchange');
  await submit(page, 'add-exchange', {
    name: 'x-made',
    type: 'topic',
    durability: 'transient',
    internal: false,
    args: [['alternate-exchange', 'x-next']],
  });
  await told(page, 'Exchange added.');
  const made = await get('exchanges/%2F/x-made');
  assert.deepEqual([made.type, made.durable, made.arguments], ['topic', false, { 'alternate-exchange': 'x-next' }]);
  await row(page, 'exchanges', 'x-made').getByRole('link').first().click();
  await submit(page, 'bind', { kind: 'q', other: 'x-to', key: 'some.#' });
  await told(page, 'Bound.');
  await row(page, 'bindings-out', 'x-to').getByText('some.#').waitFor();
  await submit(page, 'bind', { kind: 'e', other: 'x-next', key: 'next' });
  await row(page, 'bindings-out', 'x-next').waitFor();
  assert.equal((await get('exchanges/%2F/x-made/bindings/source')).length, 2);
  await openSection(page, 'Publish message');
  await submit(page, 'publish', { key: 'some.key', payload: 'by hand' });
  await told(page, 'Message published.');
  await submit(page, 'publish', { key: 'other' });
  await told(page, 'not routed to any queue');
  assert.deepEqual(
    (await get('haremq/queues/%2F/x-to/messages')).messages.map((message) => [message.routing_key, message.payload]),
    [['some.key', 'by hand']],
  );
  await row(page, 'bindings-out', 'x-next').getByRole('button', { name: 'Unbind' }).click();
  await submit(page, inDialog(page));
  await told(page, 'Unbound.');
  assert.equal((await get('exchanges/%2F/x-made/bindings/source')).length, 1);
  await openSection(page, 'Delete this exchange');
  await page.getByRole('button', { name: 'Delete' }).click();
  await submit(page, inDialog(page), { unused: true });
  await told(page, 'in use');
  await inDialog(page).getByLabel('Only if unused').uncheck();
  await inDialog(page).getByRole('button', { name: 'Delete exchange' }).click();
  await told(page, 'Exchange deleted.');
  assert.equal((await api('GET', 'exchanges/%2F/x-made')).status, 404);
});

test('exchanges are deleted in bulk, and the default one publishes to a queue', async (t) => {
  for (const name of ['xb-1', 'xb-2']) await api('PUT', `exchanges/%2F/${name}`, { type: 'direct' });
  await api('PUT', 'queues/%2F/x-default', {});
  const page = await open(t);
  await go(page, '/exchanges');
  await page.getByLabel('Filter exchanges').fill('xb-');
  await page.getByText(/^2 of .* exchanges$/).waitFor();
  await page.getByLabel('Select all on this page').check();
  await page.getByRole('button', { name: 'Delete', exact: true }).click();
  await submit(page, inDialog(page), { many: '2' });
  await told(page, 'Deleted: 2 exchanges.');
  assert.equal((await get('exchanges')).filter(({ name }) => name.startsWith('xb-')).length, 0);
  await go(page, '/exchanges/%2F/amq.default');
  await openSection(page, 'Publish message');
  await submit(page, 'publish', { key: 'x-default', encoding: 'base64', payload: 'AAEC' });
  await told(page, 'Message published.');
  const [message] = (await get('haremq/queues/%2F/x-default/messages')).messages;
  assert.equal(message.payload_bytes, 3);
});

test('routing is drawn, and a message is tried without being published', async (t) => {
  await api('PUT', 'exchanges/%2F/r-first', { type: 'topic' });
  await api('PUT', 'exchanges/%2F/r-second', { type: 'headers' });
  await api('PUT', 'exchanges/%2F/r-dead', { type: 'fanout' });
  await api('PUT', 'queues/%2F/r-queue', { arguments: { 'x-dead-letter-exchange': 'r-dead' } });
  await api('PUT', 'queues/%2F/r-other', {});
  await api('POST', 'bindings/%2F/e/r-first/e/r-second', { routing_key: 'a.#' });
  await api('POST', 'bindings/%2F/e/r-second/q/r-queue', { arguments: { 'x-match': 'any', level: 'high' } });
  await api('POST', 'bindings/%2F/e/r-first/q/r-other', { routing_key: 'b.*' });
  const page = await open(t);
  await go(page, '/routing');
  await page.getByLabel('Exchange').selectOption('r-first');
  for (const name of ['r-first', 'r-second', 'r-queue', 'r-other', 'r-dead'])
    await page.locator('.picture a', { hasText: name }).waitFor();
  assert.equal(await page.locator('.edge').count(), 4);
  await submit(page, 'explain', { key: 'a.b', headers: [['level', 'high']] });
  await page.getByText('It would reach 1 queue.').waitFor();
  await until('its way is lit', async () => (await page.locator('.node.lit').count()) === 3);
  assert.equal(await page.locator('.edge.lit').count(), 2);
  await submit(page, 'explain', { key: 'c' });
  await page.getByText('It would reach no queue.').waitFor();
  assert.equal((await get('queues/%2F/r-queue')).messages, 0);
  await page.locator('.picture a', { hasText: 'r-queue' }).click();
  await page.getByRole('heading', { name: 'Queue r-queue' }).waitFor();
});
