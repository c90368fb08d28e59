// The node: its memory, disk and sockets; limits, listeners, and stopping it.

import { answer, isAdministrator } from '../app.js';
import { at } from '../api.js';
import { asks, does, form, section } from '../form.js';
import { bytes, count, span } from '../format.js';
import { awaited, badge, facts, state, tile } from '../parts.js';
import { h } from '../dom.js';

const node = {
  title: (page) => `Node ${page.params.name}`,
  sources: (page) => [
    at`nodes/${page.params.name}`,
    at`nodes/${page.params.name}/memory`,
    ...(isAdministrator() ? ['haremq/app'] : []),
  ],
  view(page) {
    const one = answer(page, 0);
    if (!one) return awaited(page);
    const memory = answer(page, 1)?.memory ?? {};
    const runs = answer(page, 2)?.running;
    return [
      h(
        'div',
        { class: 'tiles' },
        tile('Uptime', span(one.uptime)),
        tile('Memory', bytes(one.mem_used), `alarm at ${bytes(one.mem_limit)}`),
        tile('Disk free', bytes(one.disk_free), `alarm below ${bytes(one.disk_free_limit)}`),
        tile('File descriptors', count(one.fd_used), `of ${count(one.fd_total)}`),
        tile('Sockets', count(one.sockets_used), `of ${count(one.sockets_total)}`),
        tile('Cores', count(one.processors)),
      ),
      section(
        'Details',
        true,
        facts([
          ['State', state(one.running ? 'running' : 'down')],
          [
            'Alarms',
            [
              one.mem_alarm ? badge('memory', 'publishers wait', 'bad') : null,
              one.disk_free_alarm ? badge('disk', 'publishers wait', 'bad') : null,
              one.mem_alarm || one.disk_free_alarm ? null : 'none',
            ],
          ],
          ['Process', one.os_pid],
          ['Data folder', one.db_dir],
          ['Log', one.log_files?.join(', ')],
          ['Configuration files', one.config_files?.join(', ') || 'none'],
          ['Rates mode', one.rates_mode],
          ['Disk reads', `${count(one.io_read_count)}, ${bytes(one.io_read_bytes)}`],
          ['Disk writes', `${count(one.io_write_count)}, ${bytes(one.io_write_bytes)}`],
          ['Context switches', count(one.context_switches)],
        ]),
      ),
      section(
        'Memory',
        true,
        facts(
          Object.entries(memory)
            .filter(([, value]) => typeof value === 'number' && value > 0)
            .map(([name, value]) => [name.replaceAll('_', ' '), bytes(value)]),
        ),
      ),
      section(
        'Plugins and applications',
        false,
        facts([
          ['Enabled plugins', one.enabled_plugins?.join(', ')],
          ...(one.applications ?? []).map(({ name, version, description }) => [name, `${version}, ${description}`]),
        ]),
      ),
      isAdministrator()
        ? section(
            'Limits',
            false,
            form('limits', {
              text: 'They count at once and until the server ends; the configuration stays as it is.',
              fields: [
                { name: 'memory', label: 'Publishers wait from this memory on', placeholder: '0.4 or 2GiB' },
                { name: 'disk', label: 'Publishers wait below this free disk', placeholder: '512MiB' },
              ],
              request: ({ memory: high, disk }) => ({
                method: 'PUT',
                path: 'haremq/limits',
                body: { ...(high && { memory_high: limit(high) }), ...(disk && { disk_free_min: limit(disk) }) },
              }),
              submit: 'Set limits',
              done: 'Limits set.',
            }),
          )
        : null,
      isAdministrator()
        ? section(
            'Listeners and stopping',
            false,
            facts([['Application', runs === undefined ? undefined : runs ? 'running' : 'stopped']]),
            h(
              'div',
              { class: 'buttons' },
              does(
                'Refuse new connections',
                { method: 'PUT', path: 'haremq/listeners', body: { open: false } },
                'New AMQP connections are refused.',
              ),
              does(
                'Take connections',
                { method: 'PUT', path: 'haremq/listeners', body: { open: true } },
                'AMQP connections are taken.',
              ),
              asks('Stop the server', 'Stop the server?', {
                submit: 'Stop',
                text: 'Every connection is closed and the process ends.',
                request: () => ({ method: 'POST', path: 'haremq/stop' }),
                done: 'The server stops.',
              }),
            ),
          )
        : null,
    ];
  },
};

const limit = (text) =>
  /^0?\.\d+$|^1(\.0*)?$/.test(text.trim()) ? { relative: Number(text) } : { absolute: text.trim() };

export const ROUTES = [['/nodes/:name', node]];
