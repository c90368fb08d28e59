// Takes the pictures of docs/ui/ from a broker that has something to show: node tests/ui/screenshots.mjs HAREMQ-BINARY. Debian's
// pngquant makes them small.

import { execFileSync } from 'node:child_process';

import { startBroker, startBrowser } from './programs.mjs';

const folder = new URL('../../docs/ui/', import.meta.url).pathname;
const broker = await startBroker(process.argv[2]);

try {
  const connect = (name) => broker.connect({ connection_name: name });
  const publisher = await (await connect('shop')).createConfirmChannel();
  await publisher.assertExchange('orders', 'topic');
  await publisher.assertExchange('audit', 'headers');
  await publisher.assertExchange('dead', 'fanout');
  await publisher.assertQueue('orders.eu', { arguments: { 'x-dead-letter-exchange': 'dead', 'x-max-length': 100000 } });
  await publisher.assertQueue('orders.us', { arguments: { 'x-message-ttl': 3600000 } });
  await publisher.assertQueue('orders.rejected');
  await publisher.assertQueue('audit.large', { arguments: { 'x-max-priority': 5 } });
  await publisher.bindQueue('orders.eu', 'orders', 'order.eu.#');
  await publisher.bindQueue('orders.us', 'orders', 'order.us.*');
  await publisher.bindExchange('audit', 'orders', '#');
  await publisher.bindQueue('audit.large', 'audit', '', { 'x-match': 'all', large: true });
  await publisher.bindQueue('orders.rejected', 'dead', '');
  let order = 0;
  const load = setInterval(() => {
    for (let each = 0; each < 20 + 15 * Math.sin(Date.now() / 9000); each += 1) {
      order += 1;
      const body = { order, customer: `c-${order % 97}`, items: [{ sku: `A${order % 7}`, count: 1 + (order % 3) }] };
      publisher.publish('orders', order % 3 ? 'order.eu.de' : 'order.us.ny', Buffer.from(JSON.stringify(body)), {
        persistent: true,
        contentType: 'application/json',
        headers: { large: order % 20 === 0 },
      });
    }
  }, 50);
  for (const queue of ['orders.eu', 'orders.us']) {
    const consumer = await (await connect(`worker of ${queue}`)).createChannel();
    await consumer.prefetch(50);
    await consumer.consume(queue, (message) =>
      setTimeout(
        () => (message.fields.deliveryTag % 40 ? consumer.ack(message) : consumer.nack(message, false, false)),
        30,
      ),
    );
  }
  const browser = await startBrowser();
  const context = await browser.newContext({ viewport: { width: 1280, height: 860 } });
  const page = await context.newPage();
  const api = (method, path, body) =>
    fetch(`${broker.http}/api/${path}`, {
      method,
      headers: { authorization: `Basic ${btoa('guest:guest')}` },
      body: body && JSON.stringify(body),
    });
  await api('PUT', 'users/shop', { password: 'shop', tags: '' });
  await api('PUT', 'users/ops', { password: 'ops', tags: 'monitoring' });
  await api('PUT', 'permissions/%2F/shop', { configure: '^$', write: '^orders$', read: '^$' });
  await api('PUT', 'topic-permissions/%2F/shop', { exchange: 'orders', write: '^order\\.', read: '^$' });
  await api('PUT', 'vhosts/staging', { description: 'What is tried first', tags: 'test' });
  await api('PUT', 'policies/%2F/limits', {
    pattern: '^orders',
    definition: { 'max-length': 100000 },
    'apply-to': 'queues',
  });
  await api('PUT', 'operator-policies/%2F/all', {
    pattern: '.*',
    definition: { expires: 86400000 },
    'apply-to': 'queues',
  });
  await api('PUT', 'vhost-limits/staging/max-queues', { value: 50 });
  await api('PUT', 'user-limits/shop/max-channels', { value: 20 });
  await page.goto(broker.http);
  await page.getByLabel('Username').fill('guest');
  const shot = async (name) => {
    await page.screenshot({ path: `${folder}${name}.png` });
    execFileSync('pngquant', ['--force', '--ext', '.png', '--strip', '48', `${folder}${name}.png`]);
  };
  await shot('login');
  await page.getByLabel('Password').fill('guest');
  await page.getByRole('button', { name: 'Log in' }).click();
  await page.locator('.tile').first().waitFor();
  const go = async (to) => {
    await page.evaluate((hash) => (location.hash = hash), to);
    await page.waitForTimeout(1500);
  };
  const connections = await (await api('GET', 'connections')).json();
  const worker = encodeURIComponent(connections.find((one) => one.user_provided_name === 'worker of orders.eu').name);
  await go('/queues/%2F/orders.eu');
  await page.waitForTimeout(60000);
  await shot('queue');
  await go('/');
  await shot('overview');
  for (const [name, path] of [
    ['connections', '/connections'],
    ['connection', `/connections/${worker}`],
    ['channels', '/channels'],
    ['channel', `/channels/${worker}%20(1)`],
    ['exchanges', '/exchanges'],
    ['exchange', '/exchanges/%2F/orders'],
    ['log', '/log'],
    ['users', '/users'],
    ['user', '/users/shop'],
    ['vhosts', '/vhosts'],
    ['vhost', '/vhosts/%2F'],
    ['policies', '/policies'],
    ['operator-policies', '/operator-policies'],
    ['limits', '/limits'],
    ['feature-flags', '/feature-flags'],
    ['cluster', '/cluster-name'],
  ]) {
    await go(path);
    await shot(name);
  }
  await page.evaluate(() => (location.hash = '/'));
  await page.locator('table[data-table="nodes"] a').click();
  await page.waitForTimeout(1500);
  await shot('node');
  await go('/routing/%2F/orders');
  const form = page.locator('form[data-form="explain"]');
  await form.locator('[name="key"]').fill('order.eu.de');
  await form.locator('button[type=submit]').click();
  await page.waitForTimeout(800);
  await shot('routing');
  await go('/queues/%2F/audit.large');
  await page.locator('form[data-form="browse"] button[type=submit]').click();
  await page.locator('.message > .line > button').first().click();
  await page.evaluate(() =>
    scrollTo(0, document.querySelector('[data-section="Messages"]').getBoundingClientRect().top + scrollY - 60),
  );
  await page.waitForTimeout(500);
  await shot('messages');
  await page.setViewportSize({ width: 390, height: 800 });
  await go('/queues/%2F/orders.eu');
  await shot('narrow');
  await page.setViewportSize({ width: 1280, height: 860 });
  await page.emulateMedia({ colorScheme: 'dark' });
  await go('/queues');
  await shot('queues-dark');
  clearInterval(load);
  await browser.close();
} finally {
  await broker.stop();
}
process.exit(0);
