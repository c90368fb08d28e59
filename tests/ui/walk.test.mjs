import assert from 'node:assert/strict';
import test from 'node:test';

import { api, connect, get, go, HTTP, open, openSection, row, submit } from './lib.mjs';

const PAGES = [
  '/',
  '/connections',
  '/channels',
  '/exchanges',
  '/queues',
  '/routing',
  '/log',
  '/users',
  '/vhosts',
  '/policies',
  '/operator-policies',
  '/limits',
  '/feature-flags',
  '/deprecated-features',
  '/cluster-name',
];

// Whatever a client can set, as somebody would who means harm.
const HOSTILE = [
  '<script>window.harmed=1</script>',
  '<img src=x onerror=window.harmed=1>',
  '"><svg onload=window.harmed=1>',
  "'-(window.harmed=1)-'",
  'javascript:window.harmed=1',
  '</textarea><script>window.harmed=1</script>',
  '<iframe srcdoc="<script>parent.harmed=1</script>">',
  '<a href="javascript:window.harmed=1">x</a>',
  '${window.harmed=1}',
  '{{constructor.constructor("window.harmed=1")()}}',
  '%3Cscript%3Ewindow.harmed=1%3C/script%3E',
  '<style>*{display:none}</style>',
];

const openAll = (page) =>
  page.evaluate(() => document.querySelectorAll('details.section').forEach((section) => (section.open = true)));

async function isUnharmed(page, where) {
  const found = await page.evaluate(() => ({
    harmed: window.harmed,
    scripts: document.scripts.length,
    foreign: document.querySelectorAll('iframe, style, img[src="x"], svg[onload], [onerror], a[href^="javascript:"]')
      .length,
  }));
  assert.deepEqual(found, { harmed: undefined, scripts: 1, foreign: 0 }, where);
}

test('no name that a client can set becomes markup, on any page', async (t) => {
  const made = { queues: [], exchanges: [], users: [], vhosts: [], policies: [] };
  for (const [index, text] of HOSTILE.entries()) {
    const name = `${index}${text}`;
    const path = encodeURIComponent(name);
    for (const [method, where, body] of [
      ['PUT', `queues/%2F/${path}`, { arguments: { [text]: text, 'x-dead-letter-exchange': text } }],
      ['PUT', `exchanges/%2F/${path}`, { type: 'topic', arguments: { [text]: text, 'alternate-exchange': text } }],
      ['POST', `bindings/%2F/e/${path}/q/${path}`, { routing_key: text, arguments: { [text]: text } }],
      ['PUT', `users/${path}`, { password: 'x', tags: `management,${text.replaceAll(',', '')}` }],
      ['PUT', `vhosts/${path}`, { description: text, tags: text }],
      ['PUT', `permissions/${path}/guest`, { configure: '.*', write: '.*', read: '.*' }],
      ['PUT', `permissions/%2F/${path}`, { configure: `(${index})`, write: '<b>', read: '<i>' }],
      ['PUT', `topic-permissions/%2F/${path}`, { exchange: name, write: '<b>', read: '<i>' }],
      [
        'PUT',
        `policies/%2F/${path}`,
        {
          pattern: `^${index}`,
          definition: { 'dead-letter-routing-key': text },
          priority: index,
          'apply-to': 'queues',
        },
      ],
      [
        'PUT',
        `operator-policies/%2F/${path}`,
        { pattern: '<b>', definition: { 'max-length': 1000 }, 'apply-to': 'queues' },
      ],
      ['PUT', `vhost-limits/${path}/max-queues`, { value: 5 }],
      ['PUT', `user-limits/${path}/max-channels`, { value: 5 }],
      ['PUT', 'cluster-name', { name: text }],
      ['PUT', `global-parameters/${path}`, { value: { [text]: text } }],
    ]) {
      const { status, body: told } = await api(method, where, body);
      assert.ok(status === 201 || status === 204, `${method} ${where}: ${status} ${JSON.stringify(told)}`);
    }
    const channel = await (
      await connect(t, { connection_name: text, product: text, [text]: { [text]: [text] } })
    ).createConfirmChannel();
    await channel.prefetch(1);
    await channel.consume(name, () => {}, { consumerTag: text, arguments: { [text]: text } });
    channel.publish(name, text, Buffer.from(text), {
      headers: { [text]: text },
      contentType: text,
      type: text,
      messageId: text,
      appId: text,
      replyTo: text,
    });
    for (let copy = 0; copy < 2; copy += 1)
      channel.sendToQueue(name, Buffer.from(text), { headers: { [text]: text }, contentType: text });
    await channel.waitForConfirms();
    for (const kind of Object.keys(made)) made[kind].push(path);
  }
  const page = await open(t);
  for (const path of PAGES) {
    await go(page, path);
    await page.waitForTimeout(150);
    await openAll(page);
    await isUnharmed(page, path);
  }
  const connections = await get('connections');
  const channels = await get('channels');
  for (let index = 0; index < HOSTILE.length; index += 1) {
    for (const path of [
      `/queues/%2F/${made.queues[index]}`,
      `/exchanges/%2F/${made.exchanges[index]}`,
      `/routing/%2F/${made.exchanges[index]}`,
      `/users/${made.users[index]}`,
      `/vhosts/${made.vhosts[index]}`,
      `/policies/%2F/${made.policies[index]}`,
      `/operator-policies/%2F/${made.policies[index]}`,
      `/connections/${encodeURIComponent(connections[index].name)}`,
      `/channels/${encodeURIComponent(channels[index].name)}`,
    ]) {
      await page.evaluate((to) => (location.hash = to), path);
      await page.locator('.page > .section, .page > .card').first().waitFor();
      if (path.startsWith('/queues')) {
        await submit(page, 'browse');
        await page.locator('ol.messages').waitFor();
        for (const message of await page.locator('.message > .line > button').all()) await message.click();
        await openSection(page, 'Get messages');
        await submit(page, 'get', { count: '5' });
      }
      await isUnharmed(page, path);
    }
  }
  // The page's own words for what is not there or was refused.
  await page.evaluate((to) => (location.hash = to), `/queues/%2F/${encodeURIComponent(HOSTILE[1])}`);
  await page.getByText('It is not there').waitFor();
  await isUnharmed(page, 'what is not there');
  await page.getByRole('button', { name: 'Log out' }).click();
  await page.getByLabel('Username').fill(HOSTILE[0]);
  await page.getByRole('button', { name: 'Log in' }).click();
  await page.getByText('Login failed.').waitFor();
  await isUnharmed(page, 'login');
  for (const [index] of HOSTILE.entries()) {
    for (const path of [
      `users/${made.users[index]}`,
      `vhosts/${made.vhosts[index]}`,
      `policies/%2F/${made.policies[index]}`,
      `operator-policies/%2F/${made.policies[index]}`,
      `queues/%2F/${made.queues[index]}`,
      `exchanges/%2F/${made.exchanges[index]}`,
    ])
      await api('DELETE', path);
  }
  await api('PUT', 'cluster-name', { name: 'haremq' });
});

test('who logs in sees what the user may see, until logging out', async (t) => {
  await api('PUT', 'users/small', { password: 'small', tags: 'management' });
  await api('PUT', 'permissions/%2F/small', { configure: '', write: '', read: '.*' });
  const page = await open(t, { user: 'small' });
  await page.getByRole('heading', { name: 'Overview' }).waitFor();
  assert.equal(await page.getByRole('link', { name: 'Log', exact: true }).count(), 0);
  assert.equal(await page.locator('table[data-table="shards"]').count(), 0);
  await page.getByRole('link', { name: 'Admin' }).click();
  await page.locator('[data-page="/vhosts"]').waitFor();
  assert.equal(await page.getByRole('link', { name: 'Users', exact: true }).count(), 0);
  await go(page, '/users');
  await page.getByText('Not administrator user').waitFor();
  await page.getByRole('button', { name: 'Log out' }).click();
  await page.getByLabel('Username').waitFor();
  await page.reload();
  await page.getByLabel('Username').waitFor();
  await api('DELETE', 'users/small');
});

test('a wrong password is refused, and a login that ends leads to the login', async (t) => {
  const page = await open(t, { isLoggedIn: false });
  await page.getByLabel('Username').fill('guest');
  await page.getByLabel('Password').fill('wrong');
  await page.getByRole('button', { name: 'Log in' }).click();
  await page.getByText('Login failed.').waitFor();
  await api('PUT', 'users/ending', { password: 'ending', tags: 'administrator' });
  const other = await open(t, { user: 'ending' });
  await api('DELETE', 'users/ending');
  await other.getByLabel('Username').waitFor();
});

test('links of RabbitMQ lead to the same pages', async (t) => {
  await api('PUT', 'queues/%2F/linked', {});
  const page = await open(t, { isLoggedIn: false });
  await page.goto(`${HTTP}/#/queues/%2F/linked`);
  await page.getByLabel('Username').fill('guest');
  await page.getByLabel('Password').fill('guest');
  await page.getByRole('button', { name: 'Log in' }).click();
  await page.getByRole('heading', { name: 'Queue linked' }).waitFor();
  await page.goto(`${HTTP}/#/no/such/page`);
  await page.getByText('There is no such page.').waitFor();
});

test('keys lead from page to page', async (t) => {
  const page = await open(t);
  await page.keyboard.press('g');
  await page.keyboard.press('q');
  await page.locator('[data-page="/queues"]').waitFor();
  await page.keyboard.press('/');
  await page.keyboard.type('typed');
  assert.equal(await page.getByLabel('Filter queues').inputValue(), 'typed');
  await page.getByLabel('Filter queues').blur();
  await page.keyboard.press('n');
  assert.equal(await page.locator('details[data-section="Add a new queue"]').evaluate((node) => node.open), true);
  await page.locator('h1').click();
  await page.keyboard.press('?');
  await page.getByRole('dialog', { name: 'Keys' }).waitFor();
  await page.keyboard.press('Escape');
  await page.getByRole('dialog').waitFor({ state: 'detached' });
});

test('each action can be copied as a command that does the same', async (t) => {
  const page = await open(t);
  await go(page, '/queues');
  await openSection(page, 'Add a new queue');
  const form = page.locator('form[data-form="add-queue"]');
  await form.locator('[name="name"]').fill("it's");
  await form.getByRole('button', { name: 'Copy as curl' }).click();
  const command = await page.getByRole('textbox', { name: 'Command' }).inputValue();
  await page.getByRole('button', { name: 'Close' }).click();
  const { execFileSync } = await import('node:child_process');
  execFileSync('sh', ['-c', command.replace("-u 'guest'", "-s -u 'guest:guest'")]);
  assert.equal((await get(`queues/%2F/${encodeURIComponent("it's")}`)).name, "it's");
  for (const path of PAGES) {
    await go(page, path);
    for (const one of await page.locator('form.form').all())
      assert.equal(await one.locator('[data-act="curl"]').count(), 1, path);
  }
});

test('nothing is wider than a telephone, and colours can be chosen', async (t) => {
  await api('PUT', `queues/%2F/${'long-'.repeat(40)}`, {});
  await connect(t, { connection_name: 'on a narrow page' });
  const page = await open(t, { width: 390, height: 800 });
  for (const path of [
    ...PAGES,
    `/queues/%2F/${'long-'.repeat(40)}`,
    '/exchanges/%2F/amq.topic',
    '/users/guest',
    '/vhosts/%2F',
  ]) {
    await go(page, path);
    await page.waitForTimeout(100);
    const wide = await page.evaluate(() => document.documentElement.scrollWidth);
    assert.ok(wide <= 390, `${path} is ${wide} wide`);
  }
  const back = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const colours = new Set();
  for (let press = 0; press < 3; press += 1) {
    await page.locator('[data-act="theme"]').click();
    colours.add(await back());
  }
  assert.equal(colours.size, 2);
  await api('DELETE', `queues/%2F/${'long-'.repeat(40)}`);
});

// Ratios as WCAG 2 counts them; the least for text of this size is 4.5.
test('text stands out from what is behind it, in both themes', async (t) => {
  await api('PUT', 'queues/%2F/contrast', {});
  for (const colorScheme of ['light', 'dark']) {
    const page = await open(t, { colorScheme });
    for (const path of ['/', '/queues', '/queues/%2F/contrast', '/users', '/log', '/limits']) {
      await go(page, path);
      await page.waitForTimeout(300);
      await openAll(page);
      const faint = await page.evaluate(() => {
        const numbers = (colour) => (colour.match(/[\d.]+/g) ?? []).map(Number);
        const light = (colour) => {
          const [r, g, b] = numbers(colour).map((part) =>
            part / 255 <= 0.03928 ? part / 255 / 12.92 : ((part / 255 + 0.055) / 1.055) ** 2.4,
          );
          return 0.2126 * r + 0.7152 * g + 0.0722 * b;
        };
        const behind = (node) => {
          for (let at = node; at; at = at.parentElement) {
            const colour = getComputedStyle(at).backgroundColor;
            const alpha = numbers(colour)[3] ?? 1;
            if (alpha > 0.99) return colour;
          }
          return 'rgb(255, 255, 255)';
        };
        const found = [];
        for (const node of document.querySelectorAll('body *')) {
          const hasText = [...node.childNodes].some(
            (child) => child.nodeType === Node.TEXT_NODE && child.textContent.trim(),
          );
          if (!hasText || node.closest('svg') || node.disabled || !node.getClientRects().length) continue;
          const [text, back] = [light(getComputedStyle(node).color), light(behind(node))];
          const ratio = (Math.max(text, back) + 0.05) / (Math.min(text, back) + 0.05);
          if (ratio < 4.5)
            found.push(`${node.tagName} ${node.className} "${node.textContent.slice(0, 30)}" ${ratio.toFixed(2)}`);
        }
        return found;
      });
      assert.deepEqual(faint, [], `${path}, ${colorScheme}`);
    }
  }
});

test('whatever can be used has a name for those who do not see it', async (t) => {
  await api('PUT', 'queues/%2F/named', {});
  const page = await open(t);
  for (const path of [...PAGES, '/queues/%2F/named', '/exchanges/%2F/amq.topic', '/users/guest', '/vhosts/%2F']) {
    await go(page, path);
    await page.waitForTimeout(150);
    await openAll(page);
    const nameless = await page.evaluate(() =>
      [...document.querySelectorAll('button, a[href], input, select, textarea')]
        .filter((node) => {
          const text = node.textContent.trim() || node.getAttribute('aria-label') || node.title;
          return !(node.matches('button, a') ? text : node.getAttribute('aria-label') || node.labels?.length);
        })
        .map((node) => node.outerHTML.slice(0, 120)),
    );
    assert.deepEqual(nameless, [], path);
  }
});

test('what is typed stays while the page is pushed anew, and the stream ends with the page', async (t) => {
  await api('PUT', 'queues/%2F/typed', {});
  const page = await open(t);
  await go(page, '/queues/%2F/typed');
  await openSection(page, 'Publish message');
  await page.locator('form[data-form="publish"] [name="payload"]').fill('half a sent');
  await api('POST', 'exchanges/%2F/amq.default/publish', {
    properties: {},
    routing_key: 'typed',
    payload: 'x',
    payload_encoding: 'string',
  });
  await page.locator('.tile', { hasText: 'Ready' }).locator('strong', { hasText: /^1$/ }).waitFor();
  assert.equal(await page.locator('form[data-form="publish"] [name="payload"]').inputValue(), 'half a sent');
  await row(page, 'bindings', '(AMQP default)').waitFor();
});
