import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import test from 'node:test';

import { api, connect, get, go, inDialog, open, openSection, row, submit, told, until } from './lib.mjs';

test('a user is added, permitted, changed and deleted', async (t) => {
  const page = await open(t);
  await go(page, '/users');
  await openSection(page, 'Add a user');
  await submit(page, 'add-user', { name: 'ada', password: 'secret', again: 'secrte' });
  await told(page, 'The passwords differ.');
  await submit(page, 'add-user', { again: 'secret', tags: 'monitoring,management' });
  await told(page, 'User added.');
  assert.deepEqual((await get('users/ada')).tags, ['monitoring', 'management']);
  await row(page, 'users', 'ada').getByText('no access').waitFor();
  await row(page, 'users', 'ada').getByRole('link').first().click();
  await submit(page, 'permit', { vhost: '/', configure: '^ada-', write: '^ada-', read: '.*' });
  await told(page, 'Permission set.');
  assert.deepEqual(await get('permissions/%2F/ada'), {
    user: 'ada',
    vhost: '/',
    configure: '^ada-',
    write: '^ada-',
    read: '.*',
  });
  await submit(page, 'permit-topic', { exchange: 'amq.topic', write: '^a', read: '^b' });
  await told(page, 'Topic permission set.');
  await row(page, 'topic-permissions', 'amq.topic').waitFor();
  assert.equal((await get('users/ada/topic-permissions'))[0].write, '^a');
  await row(page, 'topic-permissions', 'amq.topic').getByRole('button', { name: 'Clear' }).click();
  await submit(page, inDialog(page));
  await told(page, 'Topic permission cleared.');
  await row(page, 'permissions', '^ada-').getByRole('button', { name: 'Clear' }).click();
  await submit(page, inDialog(page));
  await told(page, 'Permissions cleared.');
  assert.deepEqual([await get('users/ada/permissions'), await get('users/ada/topic-permissions')], [[], []]);
  await openSection(page, 'Update this user');
  await submit(page, 'update-user', { how: 'none', tags: 'administrator' });
  await told(page, 'User updated.');
  const changed = await get('users/ada');
  assert.deepEqual([changed.tags, changed.password_hash], [['administrator'], '']);
  await openSection(page, 'Delete this user');
  await page.getByRole('button', { name: 'Delete', exact: true }).click();
  await submit(page, inDialog(page));
  await told(page, 'User deleted.');
  assert.equal((await api('GET', 'users/ada')).status, 404);
});

test('a virtual host is added, permitted, protected and deleted', async (t) => {
  const page = await open(t);
  await go(page, '/vhosts');
  await openSection(page, 'Add a new virtual host');
  await submit(page, 'add-vhost', { name: 'v/1', description: 'the first', tags: 'a,b', type: 'quorum' });
  await told(page, 'Virtual host added.');
  const made = await get('vhosts/v%2F1');
  assert.deepEqual([made.description, made.tags, made.default_queue_type], ['the first', ['a', 'b'], 'quorum']);
  await page
    .getByRole('combobox', { name: 'Virtual host' })
    .first()
    .locator('option', { hasText: 'v/1' })
    .waitFor({ state: 'attached' });
  await row(page, 'vhosts', 'v/1').getByRole('link').click();
  await submit(page, 'permit', { user: 'guest', configure: '^x', write: '', read: '.*' });
  await told(page, 'Permission set.');
  assert.equal((await get('permissions/v%2F1/guest')).configure, '^x');
  await submit(page, 'permit-topic', { user: 'guest', exchange: 'amq.topic' });
  await told(page, 'Topic permission set.');
  await openSection(page, 'Update this virtual host');
  await submit(page, 'update-vhost', { description: 'changed', tags: 'c' });
  await told(page, 'Virtual host updated.');
  assert.equal((await get('vhosts/v%2F1')).description, 'changed');
  await openSection(page, 'Delete this virtual host');
  await page.getByRole('button', { name: 'Protect from deletion', exact: true }).click();
  await told(page, 'It is protected from deletion.');
  assert.notEqual((await api('DELETE', 'vhosts/v%2F1')).status, 204);
  await page.getByRole('button', { name: 'Allow deletion', exact: true }).click();
  await told(page, 'It may be deleted.');
  await page.getByRole('button', { name: 'Delete', exact: true }).click();
  await submit(page, inDialog(page), { name: 'v' });
  await told(page, 'That is not its name.');
  await submit(page, inDialog(page), { name: 'v/1' });
  await told(page, 'Virtual host deleted.');
  assert.equal((await api('GET', 'vhosts/v%2F1')).status, 404);
});

test('lists are limited to the virtual host that was chosen', async (t) => {
  await api('PUT', 'vhosts/other', {});
  await api('PUT', 'permissions/other/guest', { configure: '.*', write: '.*', read: '.*' });
  await api('PUT', 'queues/other/there', {});
  await api('PUT', 'queues/%2F/here', {});
  const page = await open(t);
  await go(page, '/queues');
  await row(page, 'queues', 'here').first().waitFor();
  await row(page, 'queues', 'there').waitFor();
  await page.getByRole('combobox', { name: 'Virtual host' }).first().selectOption('other');
  await until('only its own is there', async () => (await page.locator('tbody tr[data-row]').count()) === 1);
  await row(page, 'queues', 'there').waitFor();
  await api('DELETE', 'vhosts/other');
});

for (const [title, path, kind] of [
  ['a policy is added, counts, is changed and cleared', 'policies', 'a policy'],
  ['an operator policy is added, counts, is changed and cleared', 'operator-policies', 'an operator policy'],
]) {
  test(title, async (t) => {
    await api('PUT', 'queues/%2F/by-policy', {});
    const page = await open(t);
    await go(page, `/${path}`);
    await openSection(page, `Add or update ${kind}`);
    await submit(page, 'add-policy', {
      name: 'short',
      pattern: '^by-',
      applyTo: 'queues',
      priority: '3',
      definition: [['max-length', '5', 'Number']],
    });
    await told(page, 'Added.');
    assert.deepEqual((await get(`${path}/%2F/short`)).definition, { 'max-length': 5 });
    await until(
      'it counts',
      async () => (await get('queues/%2F/by-policy')).effective_policy_definition['max-length'] === 5,
    );
    await row(page, path, 'short').getByRole('link').click();
    await openSection(page, 'Update');
    await page.locator('[name="definition.value"]').fill('7');
    await page.locator('form[data-form="update-policy"] button[type=submit]').click();
    await told(page, 'Updated.');
    const changed = await get(`${path}/%2F/short`);
    assert.deepEqual([changed.definition, changed.priority, changed.pattern], [{ 'max-length': 7 }, 3, '^by-']);
    await openSection(page, 'Clear');
    await page.getByRole('button', { name: 'Clear', exact: true }).click();
    await submit(page, inDialog(page));
    await told(page, 'Cleared.');
    assert.equal((await api('GET', `${path}/%2F/short`)).status, 404);
  });
}

test('limits of virtual hosts and users are set and cleared', async (t) => {
  const page = await open(t);
  await go(page, '/limits');
  await submit(page, 'vhost-limit', { vhost: '/', limit: 'max-queues', value: '500' });
  await row(page, 'vhost-limits', 'max-queues').getByText('500').waitFor();
  assert.deepEqual((await get('vhost-limits/%2F'))[0].value, { 'max-queues': 500 });
  await submit(page, 'user-limit', { user: 'guest', limit: 'max-channels', value: '99' });
  await row(page, 'user-limits', 'max-channels').getByText('99').waitFor();
  assert.deepEqual((await get('user-limits/guest'))[0].value, { 'max-channels': 99 });
  for (const [table, path] of [
    ['vhost-limits', 'vhost-limits/%2F'],
    ['user-limits', 'user-limits/guest'],
  ]) {
    await page.locator(`table[data-table="${table}"]`).getByRole('button', { name: 'Clear' }).click();
    await submit(page, inDialog(page));
    await until('it is gone', async () => !(await get(path)).some((one) => Object.keys(one.value).length));
  }
});

test('the cluster is named, and flags are listed', async (t) => {
  const page = await open(t);
  await go(page, '/cluster-name');
  await submit(page, 'cluster-name', { name: 'hares' });
  await told(page, 'Name set.');
  assert.deepEqual(await get('cluster-name'), { name: 'hares' });
  await go(page, '/feature-flags');
  await row(page, 'feature-flags', 'quorum_queue').first().waitFor();
  await go(page, '/deprecated-features');
  await page.locator('.page > p, table[data-table="deprecated-features"]').first().waitFor();
});

test('definitions are downloaded and uploaded', async (t) => {
  await api('PUT', 'queues/%2F/defined', { durable: true, arguments: { 'x-max-length': 3 } });
  const page = await open(t);
  await go(page, '/');
  await openSection(page, 'Export definitions');
  const download = page.waitForEvent('download');
  await page.getByRole('link', { name: 'Download definitions' }).click();
  const file = await (await download).path();
  const definitions = JSON.parse(await readFile(file, 'utf8'));
  assert.ok(definitions.queues.some(({ name }) => name === 'defined'));
  await api('DELETE', 'queues/%2F/defined');
  await openSection(page, 'Import definitions');
  await page
    .getByLabel('Definitions file (JSON)')
    .setInputFiles({ name: 'wrong.json', mimeType: 'application/json', buffer: Buffer.from('{') });
  await page.getByText('That file is not JSON.').waitFor();
  await page.getByLabel('Definitions file (JSON)').setInputFiles({
    name: 'definitions.json',
    mimeType: 'application/json',
    buffer: Buffer.from(JSON.stringify(definitions)),
  });
  await page.getByText(/It has .* queues/).waitFor();
  await submit(page, 'import');
  await told(page, 'Definitions imported.');
  assert.deepEqual((await get('queues/%2F/defined')).arguments, { 'x-max-length': 3 });
});

test('the overview shows totals, shards, latencies and the node', async (t) => {
  const channel = await (await connect(t)).createConfirmChannel();
  await api('PUT', 'queues/%2F/viewed', { durable: true });
  for (let index = 0; index < 30; index += 1) channel.sendToQueue('viewed', Buffer.from('x'), { persistent: true });
  await channel.waitForConfirms();
  const page = await open(t);
  await go(page, '/');
  await page.locator('a.tile', { hasText: 'Connections' }).waitFor();
  await until(
    'ready messages are counted',
    async () =>
      Number((await page.locator('.tile', { hasText: 'Ready' }).locator('strong').textContent()).replaceAll(',', '')) >=
      30,
  );
  assert.equal(await page.locator('table[data-table="shards"] tbody tr').count(), (await get('haremq/shards')).length);
  await page.locator('table[data-table="shards"] .bar').first().waitFor();
  await page.getByLabel('Shard of the latencies').waitFor();
  await until('confirms were measured', async () => {
    const shards = await get('haremq/latency');
    await page
      .getByLabel('Shard of the latencies')
      .selectOption(String(shards.findIndex((one) => one.publish_to_confirm.count > 0)));
    return page.locator('.histogram', { hasText: 'Publish to confirm' }).locator('rect').count();
  });
  await page.getByLabel('Time of the charts').selectOption('3600');
  await page.locator('[data-chart="lengths"]').getByText('Ready').waitFor();
  await openSection(page, 'Churn statistics');
  await page.getByText('Connections created').waitFor();
  await openSection(page, 'Ports and contexts');
  await row(page, 'listeners', 'amqp').waitFor();
  await openSection(page, 'Reset statistics');
  await page.getByRole('button', { name: 'Reset statistics' }).click();
  await submit(page, inDialog(page));
  await told(page, 'Statistics reset.');
  await page.locator('table[data-table="nodes"] a').click();
  await page.getByRole('heading', { name: /^Node rabbit@/ }).waitFor();
  await openSection(page, 'Limits');
  await submit(page, 'limits', { memory: '0.3', disk: '1MiB' });
  await told(page, 'Limits set.');
  assert.equal((await get('nodes'))[0].disk_free_limit, 1 << 20);
  await openSection(page, 'Listeners and stopping');
  await page.getByRole('button', { name: 'Refuse new connections', exact: true }).click();
  await told(page, 'New AMQP connections are refused.');
  await assert.rejects(connect(t));
  await page.getByRole('button', { name: 'Take connections', exact: true }).click();
  await told(page, 'AMQP connections are taken.');
  await connect(t);
});

test('the log is shown as it comes, and filtered', async (t) => {
  const page = await open(t);
  await go(page, '/log');
  await connect(t, { connection_name: 'for the log' });
  await page.locator('.log li', { hasText: 'accepting AMQP connection' }).first().waitFor();
  await page.getByLabel('Filter lines').fill('no such words');
  await until('all are gone', async () => (await page.locator('.log li').count()) === 0);
  await page.getByLabel('Filter lines').fill('authenticated');
  await page.locator('.log li').first().waitFor();
  await page.getByLabel('Level').selectOption('error');
  await until('none is an error', async () => (await page.locator('.log li').count()) === 0);
});
