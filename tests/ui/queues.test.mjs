import assert from 'node:assert/strict';
import test from 'node:test';

import { api, connect, get, go, inDialog, open, openSection, row, submit, told, until } from './lib.mjs';

test('a queue is added, listed and deleted', async (t) => {
  const page = await open(t);
  await go(page, '/queues');
  await openSection(page, 'Add a new queue');
  await submit(page, 'add-queue', {
    name: 'made/here',
    args: [
      ['x-max-length', '10', 'Number'],
      ['x-overflow', 'reject-publish'],
    ],
  });
  await told(page, 'Queue added.');
  const made = await get('queues/%2F/made%2Fhere');
  assert.deepEqual(
    [made.durable, made.arguments],
    [true, { 'x-queue-type': 'classic', 'x-max-length': 10, 'x-overflow': 'reject-publish' }],
  );
  await row(page, 'queues', 'made/here').getByRole('link', { name: 'made/here' }).click();
  await page.getByRole('heading', { name: 'Queue made/here' }).waitFor();
  await openSection(page, 'Purge or delete');
  await page.getByRole('button', { name: 'Delete queue' }).click();
  await submit(page, inDialog(page), { empty: true });
  await told(page, 'Queue deleted.');
  assert.equal((await api('GET', 'queues/%2F/made%2Fhere')).status, 404);
  await page.locator('[data-page="/queues"]').waitFor();
});

test('wrong arguments are refused in the words of the server, and what was typed stays', async (t) => {
  const page = await open(t);
  await go(page, '/queues');
  await openSection(page, 'Add a new queue');
  await submit(page, 'add-queue', { name: 'wrong', args: [['x-max-length', '-1', 'Number']] });
  await told(page, "invalid arg 'x-max-length'");
  assert.equal(await page.locator('[name="name"]').first().inputValue(), 'wrong');
  await page.locator('[name="args.value"]').fill('many');
  await page.locator('form[data-form="add-queue"] button[type=submit]').click();
  await told(page, '"many" is not a number');
  assert.equal((await api('GET', 'queues/%2F/wrong')).status, 404);
});

test('the list is filtered, sorted and cut into pages by the server', async (t) => {
  for (let index = 0; index < 130; index += 1)
    await api('PUT', `queues/%2F/list-${String(index).padStart(3, '0')}`, {});
  const page = await open(t);
  await go(page, '/queues');
  await page.getByLabel('Filter queues').fill('list-');
  await page.getByText(/^130 .*queues$/).waitFor();
  await page.getByText('Page 1 of 2').waitFor();
  await page.getByRole('button', { name: 'Name' }).click();
  await page.getByRole('button', { name: 'Name' }).click();
  await until(
    'the last comes first',
    async () => (await page.locator('tbody tr[data-row]').first().getAttribute('data-row')) === '/ list-129',
  );
  await page.getByRole('button', { name: 'Next page' }).click();
  await row(page, 'queues', 'list-000').waitFor();
  await page.getByLabel('Rows of a page').selectOption('250');
  await until('only rows in sight are there', async () => {
    const rows = await page.locator('tbody tr[data-row]').count();
    return rows > 20 && rows < 100;
  });
  await page.getByText(/^130 .*queues$/).waitFor();
  await row(page, 'queues', 'list-129').waitFor();
  await until('others are there after scrolling', async () => {
    await page.evaluate(() => scrollTo(0, document.body.scrollHeight));
    return (
      (await row(page, 'queues', 'list-000').count()) === 1 && (await row(page, 'queues', 'list-129').count()) === 0
    );
  });
  await page.getByLabel('Regex').check();
  await page.getByLabel('Filter queues').fill('^list-00[12]$');
  await page.getByText(/^2 of .* queues$/).waitFor();
  assert.equal(await page.locator('tbody tr[data-row]').count(), 2);
  await page.getByText('Columns', { exact: true }).click();
  await page.getByLabel('Shard').check();
  await page.getByRole('columnheader', { name: 'Shard' }).waitFor();
  await page.reload();
  await go(page, '/queues');
  await page.getByRole('columnheader', { name: 'Shard' }).waitFor();
});

test('many queues are paused, purged and deleted at once, after their number was typed', async (t) => {
  const channel = await (await connect(t)).createConfirmChannel();
  for (const name of ['bulk-1', 'bulk-2', 'bulk-3']) {
    await api('PUT', `queues/%2F/${name}`, {});
    channel.sendToQueue(name, Buffer.from('x'));
  }
  await channel.waitForConfirms();
  const page = await open(t);
  await go(page, '/queues');
  await page.getByLabel('Filter queues').fill('bulk-');
  await page.getByText(/^3 of .* queues$/).waitFor();
  await page.getByLabel('Select all on this page').check();
  await page.getByText('3 selected').waitFor();
  await page.getByRole('button', { name: 'Purge', exact: true }).click();
  await submit(page, inDialog(page), { many: '2' });
  await told(page, 'Type 3 to confirm.');
  assert.equal((await get('queues/%2F/bulk-1')).messages, 1);
  await submit(page, inDialog(page), { many: '3' });
  await told(page, 'Purged: 3 queues.');
  for (const name of ['bulk-1', 'bulk-2', 'bulk-3']) assert.equal((await get(`queues/%2F/${name}`)).messages, 0);
  await page.getByLabel('Select / bulk-2', { exact: true }).check();
  await page.getByLabel('Select / bulk-3', { exact: true }).check();
  for (const [action, state] of [
    ['Pause', 'paused'],
    ['Resume', 'running'],
    ['Delete', undefined],
  ]) {
    await page.getByRole('button', { name: action, exact: true }).click();
    await submit(page, inDialog(page), { many: '2' });
    await told(page, `${action.replace(/e$/, '')}ed: 2 queues.`);
    assert.equal((await get('queues/%2F/bulk-2')).state, state);
    if (state) {
      await page.getByLabel('Select / bulk-2', { exact: true }).check();
      await page.getByLabel('Select / bulk-3', { exact: true }).check();
    }
  }
  assert.equal((await get('queues/%2F/bulk-1')).name, 'bulk-1');
});

test('a queue is bound, published to, got from, purged and paused', async (t) => {
  await api('PUT', 'queues/%2F/steps', { durable: true });
  await api('PUT', 'exchanges/%2F/steps-x', { type: 'headers' });
  const page = await open(t);
  await go(page, '/queues/%2F/steps');
  await submit(page, 'bind', {
    other: 'steps-x',
    key: 'a key',
    args: [
      ['x-match', 'any'],
      ['n', '1', 'Number'],
    ],
  });
  await told(page, 'Bound.');
  const [, bound] = await until('it is bound', async () => {
    const all = await get('queues/%2F/steps/bindings');
    return all.length === 2 && all;
  });
  assert.deepEqual(
    [bound.source, bound.routing_key, bound.arguments],
    ['steps-x', 'a key', { 'x-match': 'any', n: 1 }],
  );
  await openSection(page, 'Publish message');
  await submit(page, 'publish', {
    mode: '2',
    headers: [['h', 'v']],
    properties: [
      ['content_type', 'text/plain'],
      ['priority', '3', 'Number'],
    ],
    payload: 'Grüße',
  });
  await told(page, 'Message published.');
  await openSection(page, 'Get messages');
  await submit(page, 'get', { ackmode: 'ack_requeue_true' });
  const message = page.locator('details[data-section="Get messages"] .message');
  await message.getByText('Grüße').waitFor();
  await message.getByText('text/plain').waitFor();
  const [kept] = (
    await api('POST', 'queues/%2F/steps/get', { ackmode: 'ack_requeue_true', encoding: 'auto', count: 1 })
  ).body;
  assert.deepEqual(
    [kept.payload, kept.redelivered, kept.properties.headers, kept.properties.delivery_mode, kept.properties.priority],
    ['Grüße', true, { h: 'v' }, 2, 3],
  );
  await page.getByRole('button', { name: 'Pause', exact: true }).click();
  await told(page, 'Queue paused');
  assert.equal((await get('queues/%2F/steps')).state, 'paused');
  await page.getByRole('button', { name: 'Resume', exact: true }).click();
  await told(page, 'Queue resumed.');
  await openSection(page, 'Purge or delete');
  await page.getByRole('button', { name: 'Purge messages' }).click();
  await submit(page, inDialog(page));
  await told(page, 'Queue purged.');
  assert.equal((await get('queues/%2F/steps')).messages, 0);
  await row(page, 'bindings', 'steps-x').getByRole('button', { name: 'Unbind' }).click();
  await submit(page, inDialog(page));
  await told(page, 'Unbound.');
  assert.equal((await get('queues/%2F/steps/bindings')).length, 1);
  await submit(page, 'get', {});
  await page.getByText('Queue is empty').waitFor();
});

test('messages are looked at without taking them, and chosen ones deleted, moved and published again', async (t) => {
  const channel = await (await connect(t)).createConfirmChannel();
  for (const name of ['look', 'look-to']) await api('PUT', `queues/%2F/${name}`, {});
  for (let index = 0; index < 60; index += 1)
    channel.sendToQueue('look', Buffer.from(JSON.stringify({ index })), { headers: { odd: index % 2 ? 'yes' : 'no' } });
  channel.sendToQueue('look', Buffer.from([0, 1, 2, 255]));
  await channel.waitForConfirms();
  const page = await open(t);
  await go(page, '/queues/%2F/look');
  await submit(page, 'browse', {});
  await page.getByText('50 shown').waitFor();
  await page.getByRole('button', { name: 'Next', exact: true }).click();
  await page.getByText('11 shown').waitFor();
  await page.locator('.message').last().getByRole('button', { name: /#/ }).click();
  await page.getByText('00000000  00 01 02 ff').waitFor();
  await page.getByRole('button', { name: 'Before' }).click();
  await page.getByText('50 shown').waitFor();
  await page.locator('.message').nth(3).getByRole('button', { name: /#4/ }).click();
  await page.locator('.payload', { hasText: '"index": 3' }).waitFor();
  await page.getByRole('button', { name: 'hex' }).click();
  await page.getByText('{"index":3}').first().waitFor();
  await submit(page, 'browse', { header: 'odd:yes', body: '"index":5' });
  await page.getByText('6 shown').waitFor();
  const seen = await get('haremq/queues/%2F/look/messages?count=100');
  assert.deepEqual(
    [seen.messages.length, seen.messages.some((message) => message.redelivered)],
    [61, false],
    'nothing was taken',
  );
  await page.getByLabel('Choose message 6', { exact: true }).check();
  await page.getByLabel('Choose message 52', { exact: true }).check();
  await page.getByRole('button', { name: 'Delete 2' }).click();
  await submit(page, inDialog(page));
  await told(page, '2 deleted.');
  await page.getByText('4 shown').waitFor();
  await page.getByRole('button', { name: 'Choose all shown' }).click();
  await page.getByRole('button', { name: 'Move 4' }).click();
  await submit(page, inDialog(page), { name: 'look-to' });
  await told(page, '4 moved.');
  assert.deepEqual(
    (await get('haremq/queues/%2F/look-to/messages')).messages.map((message) => message.payload),
    ['{"index":53}', '{"index":55}', '{"index":57}', '{"index":59}'],
  );
  assert.equal((await get('queues/%2F/look')).messages, 55);
  await submit(page, 'browse', { header: '', body: '', from: '10' });
  await until(
    'it begins there',
    async () => (await page.locator('.message').first().getAttribute('data-position')) === '10',
  );
  await page.locator('.message').first().getByRole('button', { name: /#10/ }).click();
  await page.getByRole('button', { name: 'Edit and publish again' }).click();
  await submit(page, inDialog(page), { key: 'look-to', payload: 'edited' });
  await told(page, 'Message published.');
  const again = (await get('haremq/queues/%2F/look-to/messages')).messages.at(-1);
  assert.deepEqual([again.payload, again.properties.headers], ['edited', { odd: 'yes' }]);
  const download = page.waitForEvent('download');
  await page.getByRole('button', { name: 'Download' }).click();
  assert.equal((await download).suggestedFilename(), 'look.ndjson');
});

test('some messages are moved and purged from the front', async (t) => {
  const channel = await (await connect(t)).createConfirmChannel();
  for (const name of ['front', 'front-to']) await api('PUT', `queues/%2F/${name}`, {});
  for (let index = 0; index < 20; index += 1) channel.sendToQueue('front', Buffer.from(String(index)));
  await channel.waitForConfirms();
  const page = await open(t);
  await go(page, '/queues/%2F/front');
  await openSection(page, 'Move messages');
  await submit(page, 'move', { name: 'front-to', first: '5' });
  await told(page, '5 messages moved.');
  await openSection(page, 'Purge or delete');
  await page.getByRole('button', { name: 'Purge some' }).click();
  await submit(page, inDialog(page), { first: '10' });
  await told(page, '10 messages deleted.');
  const payloads = async (name) =>
    (await get(`haremq/queues/%2F/${name}/messages`)).messages.map((message) => message.payload);
  assert.deepEqual(await payloads('front'), ['15', '16', '17', '18', '19']);
  assert.deepEqual(await payloads('front-to'), ['0', '1', '2', '3', '4']);
});

test('a consumer is shown and cancelled', async (t) => {
  await api('PUT', 'queues/%2F/eaten', {});
  const channel = await (await connect(t)).createChannel();
  let cancelled = false;
  await channel.prefetch(7);
  await channel.consume('eaten', (message) => (cancelled = message === null), { consumerTag: 'a tag' });
  const page = await open(t);
  await go(page, '/queues/%2F/eaten');
  await row(page, 'consumers', 'a tag').getByText('7', { exact: true }).waitFor();
  await row(page, 'consumers', 'a tag').getByRole('button', { name: 'Cancel' }).click();
  await submit(page, inDialog(page));
  await told(page, 'Consumer cancelled.');
  await until('the client is told', () => cancelled);
  assert.equal((await get('queues/%2F/eaten')).consumers, 0);
});

test('rates, lengths and latencies of a queue are drawn', async (t) => {
  await api('PUT', 'queues/%2F/drawn', { durable: true });
  const channel = await (await connect(t)).createConfirmChannel();
  const page = await open(t);
  await go(page, '/queues/%2F/drawn');
  await openSection(page, 'Latencies');
  const sending = setInterval(() => channel.sendToQueue('drawn', Buffer.from('x'), { persistent: true }), 20);
  await page.locator('[data-chart="lengths"] path.line').first().waitFor({ state: 'attached' });
  await page.locator('[data-chart="rates"] path.line').first().waitFor({ state: 'attached', timeout: 30000 });
  await page
    .locator('.histogram', { hasText: 'Until safe on disk' })
    .locator('rect')
    .first()
    .waitFor({ state: 'attached' });
  await page
    .locator('[data-chart="lengths"]')
    .getByRole('button', { name: /Unacked/ })
    .click();
  await until('its line is gone', async () => (await page.locator('[data-chart="lengths"] path.line').count()) === 2);
  clearInterval(sending);
});
