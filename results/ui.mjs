// Measures the pages with many queues: node results/ui.mjs HAREMQ-BINARY FOLDER [QUEUES]. Needs tests/ui/install.sh.
//
// The broker runs on its own ports in a data folder under the system's temporary one; 20 of the queues are published to and
// consumed from, so that each second something changes. Writes FOLDER/ui.json: medians of five loads, and what the frames of
// 30 s took: a frame's time is from one requestAnimationFrame to the next, 16.7 ms if nothing is in the way.

import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';

import { startBroker, startBrowser } from '../tests/ui/programs.mjs';

const [binary, folder, queues = '10000'] = process.argv.slice(2);
const many = Number(queues);
const broker = await startBroker(binary);

const median = (values) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];
const round = (value) => Math.round(value * 10) / 10;

try {
  const connection = await broker.connect();
  const channel = await connection.createChannel();
  for (let from = 0; from < many; from += 500) {
    await Promise.all(
      Array.from({ length: Math.min(500, many - from) }, (_, index) =>
        channel.assertQueue(`queue-${String(from + index).padStart(6, '0')}`),
      ),
    );
  }
  for (let index = 0; index < 20; index += 1)
    await channel.consume(`queue-${String(index).padStart(6, '0')}`, (message) => channel.ack(message));
  const load = setInterval(() => {
    for (let index = 0; index < 40; index += 1)
      channel.sendToQueue(`queue-${String(index).padStart(6, '0')}`, Buffer.alloc(100));
  }, 50);

  const browser = await startBrowser();
  const paints = [];
  const lists = [];
  let page;
  let context;
  for (let run = 0; run < 5; run += 1) {
    await context?.close();
    context = await browser.newContext({ viewport: { width: 1400, height: 900 } });
    page = await context.newPage();
    await page.goto(broker.http);
    await page.getByLabel('Username').waitFor();
    await page.waitForFunction(() => performance.getEntriesByName('first-contentful-paint').length);
    paints.push(await page.evaluate(() => performance.getEntriesByName('first-contentful-paint')[0].startTime));
    await page.getByLabel('Username').fill('guest');
    await page.getByLabel('Password').fill('guest');
    await page.getByRole('button', { name: 'Log in' }).click();
    await page.locator('.tile').first().waitFor();
    // From nothing, logged in: all files, the login, the stream, the first rows, and a click that counts.
    await page.goto('about:blank');
    const began = Date.now();
    await page.goto(`${broker.http}/#/queues`);
    await page.locator('tbody tr[data-row]').first().waitFor();
    await page.locator('tbody input[type=checkbox]').first().click();
    await page.getByText('1 selected').waitFor();
    lists.push(Date.now() - began);
  }
  await page.getByLabel('Rows of a page').selectOption('500');
  await page.locator('.spacer').waitFor({ state: 'attached' });
  const frames = await page.evaluate(async () => {
    const found = { frames: [], long: [], changes: 0 };
    new PerformanceObserver((entries) =>
      entries.getEntries().forEach((entry) => found.long.push(entry.duration)),
    ).observe({ type: 'longtask', buffered: false });
    new MutationObserver(() => (found.changes += 1)).observe(document.querySelector('tbody'), {
      subtree: true,
      characterData: true,
      childList: true,
    });
    const end = performance.now() + 30000;
    let last = performance.now();
    while (last < end) {
      const now = await new Promise(requestAnimationFrame);
      found.frames.push(now - last);
      last = now;
      // Half of the time the list is scrolled as well.
      if (now > end - 15000) scrollTo(0, (now / 4) % 14000);
    }
    return found;
  });
  const sizes = await page.evaluate(() =>
    performance
      .getEntriesByType('resource')
      .filter((entry) => entry.name.includes('/ui/'))
      .reduce((sum, entry) => sum + entry.encodedBodySize, 0),
  );
  await browser.close();
  clearInterval(load);
  const sorted = frames.frames.sort((a, b) => a - b);
  const result = {
    queues: many,
    first_contentful_paint_ms: round(median(paints)),
    list_interactive_ms: median(lists),
    list_interactive_ms_max: Math.max(...lists),
    frames: sorted.length,
    frame_ms_p50: round(median(sorted)),
    frame_ms_p99: round(sorted[Math.floor(sorted.length * 0.99)]),
    frame_ms_max: round(sorted.at(-1)),
    frames_above_50_ms: sorted.filter((ms) => ms > 50).length,
    long_tasks: frames.long.length,
    long_task_ms_max: round(Math.max(0, ...frames.long)),
    changes: frames.changes,
    files_gzipped_bytes: sizes,
  };
  console.log(result);
  await mkdir(folder, { recursive: true });
  await writeFile(path.join(folder, 'ui.json'), `${JSON.stringify(result, null, 2)}\n`);
} finally {
  await broker.stop();
}
process.exit(0);
