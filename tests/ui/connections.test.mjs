import assert from 'node:assert/strict';
import test from 'node:test';

import { api, connect, get, go, inDialog, open, openSection, row, submit, told, until } from './lib.mjs';

const named = async (name) =>
  until(`${name} is listed`, async () => (await get('connections')).find((one) => one.user_provided_name === name));

test('a connection is listed, shown and closed', async (t) => {
  const connection = await connect(t, { connection_name: 'to be closed', product: 'a product' });
  const closed = new Promise((resolve) => connection.on('close', (error) => resolve(error.message)));
  const { name } = await named('to be closed');
  const page = await open(t);
  await go(page, '/connections');
  await row(page, 'connections', 'to be closed').getByRole('link').first().click();
  await page.getByRole('heading', { name: `Connection ${name}` }).waitFor();
  await page.getByText('a product', { exact: true }).waitFor();
  await page.getByText('AMQP 0-9-1').waitFor();
  await page.locator('[data-chart="data"] path.line').first().waitFor({ state: 'attached', timeout: 30000 });
  await openSection(page, 'Close this connection');
  await page.getByRole('button', { name: 'Force close' }).click();
  await submit(page, inDialog(page), { reason: 'because of a test' });
  await told(page, 'Connection closed.');
  assert.match(await closed, /320.*because of a test/);
  await until('it is gone', async () => !(await get('connections')).some((one) => one.name === name));
});

test('several connections are closed at once', async (t) => {
  for (const name of ['bulk a', 'bulk b']) await connect(t, { connection_name: name });
  const names = [(await named('bulk a')).name, (await named('bulk b')).name];
  const page = await open(t);
  await go(page, '/connections');
  for (const name of names) await page.getByLabel(`Select ${name}`, { exact: true }).check();
  await page.getByRole('button', { name: 'Close', exact: true }).click();
  await submit(page, inDialog(page), { many: '2' });
  await told(page, 'Closed: 2 connections.');
  await until('they are gone', async () => !(await get('connections')).some((one) => names.includes(one.name)));
});

test('it is said why a connection is held back', async (t) => {
  const connection = await connect(t, { connection_name: 'held' });
  const channel = await connection.createChannel();
  const { name } = await named('held');
  await api('PUT', 'haremq/limits', { memory_high: { absolute: 1 } });
  t.after(() => api('PUT', 'haremq/limits', { memory_high: { relative: 0.4 } }));
  const page = await open(t);
  await api('PUT', 'queues/%2F/holding', {});
  // The least that an alarm may begin at is 64 MiB.
  for (let sent = 0; sent < 80; sent += 1) channel.sendToQueue('holding', Buffer.alloc(1 << 20));
  await until('it is held', async () => (await get('connections')).find((one) => one.name === name)?.held_because);
  await go(page, '/connections');
  await row(page, 'connections', 'held').getByText('held back').waitFor();
  await row(page, 'connections', 'held').getByRole('link').first().click();
  await page.getByText('Its publishes wait until there is memory again').waitFor();
  await api('DELETE', 'queues/%2F/holding');
});

test('a channel is listed and shown with its consumers', async (t) => {
  await api('PUT', 'queues/%2F/channelled', {});
  const connection = await connect(t, { connection_name: 'with channel' });
  const channel = await connection.createConfirmChannel();
  await channel.prefetch(11);
  await channel.consume('channelled', () => {}, { consumerTag: 'shown tag' });
  channel.sendToQueue('channelled', Buffer.from('x'));
  await channel.waitForConfirms();
  const { name } = await named('with channel');
  const page = await open(t);
  await go(page, '/channels');
  await page.getByLabel('Filter channels').fill(name);
  const listed = row(page, 'channels', `${name} (1)`);
  await listed.getByText('11', { exact: true }).waitFor();
  await listed.getByText('C', { exact: true }).waitFor();
  await listed.getByRole('link').click();
  await row(page, 'consumers', 'shown tag').getByRole('link', { name: 'channelled' }).waitFor();
  await page.locator('.facts', { hasText: 'Messages unacknowledged' }).waitFor();
  await page.getByRole('link', { name, exact: true }).click();
  await row(page, 'channels', `${name} (1)`).waitFor();
});
