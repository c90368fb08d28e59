// A browser on the pages of the broker that HAREMQ_HTTP and HAREMQ_AMQP name, and the API and AMQP to check what it did.

import assert from 'node:assert/strict';
import { after, before } from 'node:test';

import { connect as connectTo, startBrowser } from './programs.mjs';

export const HTTP = `http://${process.env.HAREMQ_HTTP}`;

let browser;
before(async () => {
  browser = await startBrowser();
});
after(() => browser?.close());

// A page that somebody has logged in to. The test fails if anything on it went wrong.
export async function open(
  t,
  { width = 1400, height = 900, user = 'guest', password = user, isLoggedIn = true, ...options } = {},
) {
  const context = await browser.newContext({ viewport: { width, height }, acceptDownloads: true, ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(15000);
  const wrong = [];
  page.on('pageerror', (error) => wrong.push(error.stack));
  page.on('dialog', (dialog) => {
    wrong.push(`a dialog: ${dialog.message()}`);
    dialog.dismiss();
  });
  page.on('console', (line) => {
    // That somebody is not logged in, or was refused, is an error for the console alone.
    if (line.type() === 'error' && !/status of (400|401|404|503)/.test(line.text())) wrong.push(line.text());
  });
  t.after(async () => {
    await context.close();
    assert.deepEqual(wrong, []);
  });
  await page.goto(HTTP);
  if (isLoggedIn) {
    await page.getByLabel('Username').fill(user);
    await page.getByLabel('Password').fill(password);
    await page.getByRole('button', { name: 'Log in' }).click();
    await page.getByRole('button', { name: 'Log out' }).waitFor();
  }
  return page;
}

export async function go(page, path) {
  await page.evaluate((to) => (location.hash = to), path);
  await page.locator(`[data-page="${path.replace(/\?.*/, '')}"]`).waitFor();
}

export async function openSection(page, title) {
  const section = page.locator(`details[data-section="${title}"]`);
  await section.waitFor();
  if (!(await section.evaluate((node) => node.open))) await section.locator('> summary').click();
  return section;
}

// Fills a form by the names of its inputs and sends it. Tables are objects, or lists of [name, value, type].
export async function submit(page, form, values = {}) {
  const where = typeof form === 'string' ? page.locator(`form[data-form="${form}"]`) : form;
  await fill(where, values);
  await where.locator('button[type=submit]').click();
}

export const inDialog = (page) => page.locator('dialog form');

export async function fill(where, values) {
  for (const [name, value] of Object.entries(values)) {
    if (Array.isArray(value)) await fillTable(where, name, value);
    else {
      const input = where.locator(`[name="${name}"]`);
      if (typeof value === 'boolean') await input.setChecked(value);
      else if ((await input.evaluate((node) => node.tagName)) === 'SELECT') await input.selectOption(value);
      else await input.fill(value);
    }
  }
}

async function fillTable(where, table, rows) {
  for (const [name, value, type = 'String'] of rows) {
    const at = await where.locator(`[name="${table}.name"]`).count();
    await where.locator(`fieldset[data-table="${table}"] .known > button`).first().click();
    await where.locator(`[name="${table}.name"]`).nth(at).fill(name);
    await where.locator(`[name="${table}.value"]`).nth(at).fill(value);
    await where.locator(`[name="${table}.type"]`).nth(at).selectOption(type);
  }
}

// What the page says came of it.
export const told = (page, text) => page.locator('.toast', { hasText: text }).first().waitFor();

export const row = (page, table, text) => page.locator(`table[data-table="${table}"] tbody tr`, { hasText: text });

export async function api(method, path, body, user = 'guest') {
  const authorization = `Basic ${Buffer.from(`${user}:${user}`).toString('base64')}`;
  const answer = await fetch(`${HTTP}/api/${path}`, {
    method,
    headers: { authorization, 'content-type': 'application/json' },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  const text = await answer.text();
  return { status: answer.status, body: text ? JSON.parse(text) : null };
}

export const get = async (path) => (await api('GET', path)).body;

// Waits until it holds, for what is counted a moment later.
export async function until(what, holds) {
  const end = Date.now() + 15000;
  for (;;) {
    const is = await holds();
    if (is) return is;
    assert.ok(Date.now() < end, `it never came to be: ${what}`);
    await new Promise((again) => setTimeout(again, 100));
  }
}

// A connection over AMQP that ends with the test.
export async function connect(t, properties = {}) {
  const connection = await connectTo(process.env.HAREMQ_AMQP, properties);
  connection.on('error', () => {});
  // One that is held back would not be closed in good order.
  t.after(() => connection.connection.stream.destroy());
  return connection;
}
