// The overview: totals, rates, shards, latencies, the node, and definitions up and down.

import { answer, app, isAdministrator, maySeeNodes, refresh, to } from '../app.js';
import { at, query } from '../api.js';
import { AGES, histogram } from '../chart.js';
import { asCommand, asks, form, section } from '../form.js';
import { bytes, count, percent, rate, span } from '../format.js';
import { ageChoice, awaited, badge, facts, messageCharts, samples, state, tile } from '../parts.js';
import { table } from '../table.js';
import { h } from '../dom.js';

const CHURN = [
  ['Connections created', 'connection_created'],
  ['Connections closed', 'connection_closed'],
  ['Channels created', 'channel_created'],
  ['Channels closed', 'channel_closed'],
  ['Queues declared', 'queue_declared'],
  ['Queues created', 'queue_created'],
  ['Queues deleted', 'queue_deleted'],
];

const overview = {
  ages: AGES,
  title: () => 'Overview',
  sources: (page) => [
    query('overview', samples(page, 'lengths', 'msg_rates')),
    ...(maySeeNodes() ? ['nodes', 'haremq/shards', 'haremq/latency'] : []),
  ],
  view(page) {
    const all = answer(page, 0);
    if (!all) return awaited(page);
    const totals = all.object_totals ?? {};
    const lengths = all.queue_totals ?? {};
    return [
      h(
        'div',
        { class: 'tiles' },
        tile('Connections', count(totals.connections), null, '#/connections'),
        tile('Channels', count(totals.channels), null, '#/channels'),
        tile('Exchanges', count(totals.exchanges), null, '#/exchanges'),
        tile('Queues', count(totals.queues), null, '#/queues'),
        tile('Consumers', count(totals.consumers)),
        tile('Ready', count(lengths.messages_ready)),
        tile('Unacked', count(lengths.messages_unacknowledged)),
        tile('Published', rate(all.message_stats?.publish_details?.rate) || '0/s'),
        tile('Delivered', rate(all.message_stats?.deliver_get_details?.rate) || '0/s'),
      ),
      h('div', { class: 'tools' }, ageChoice(page)),
      messageCharts(lengths, all.message_stats),
      maySeeNodes() ? shards(page) : null,
      maySeeNodes() ? latencies(page) : null,
      maySeeNodes() ? nodes(page) : null,
      section(
        'Churn statistics',
        false,
        facts(
          CHURN.map(([name, field]) => [
            name,
            `${count(all.churn_rates?.[field])}  ${rate(all.churn_rates?.[`${field}_details`]?.rate)}`,
          ]),
        ),
      ),
      section(
        'Ports and contexts',
        false,
        table('listeners', {
          items: all.listeners,
          key: (item) => `${item.protocol} ${item.ip_address} ${item.port}`,
          columns: [
            { id: 'protocol', title: 'Protocol', value: (item) => item.protocol },
            { id: 'ip', title: 'Bound to', value: (item) => item.ip_address },
            { id: 'port', title: 'Port', value: (item) => String(item.port), right: true },
          ],
        }),
        table('contexts', {
          items: all.contexts,
          key: (item) => `${item.description} ${item.port}`,
          columns: [
            { id: 'context', title: 'Context', value: (item) => item.description },
            { id: 'ip', title: 'Bound to', value: (item) => item.ip },
            { id: 'port', title: 'Port', value: (item) => String(item.port), right: true },
            { id: 'path', title: 'Path', value: (item) => item.path },
          ],
        }),
      ),
      isAdministrator()
        ? [
            section('Export definitions', false, exportForm(page)),
            section('Import definitions', false, importForm(page)),
          ]
        : null,
      isAdministrator()
        ? section(
            'Reset statistics',
            false,
            h('p', null, 'Rates and samples begin anew; counters and messages stay.'),
            h(
              'div',
              { class: 'buttons' },
              asks('Reset statistics', 'Reset the statistics of this node?', {
                submit: 'Reset',
                request: () => ({ method: 'DELETE', path: 'reset' }),
                done: 'Statistics reset.',
              }),
            ),
          )
        : null,
      h(
        'p',
        { class: 'quiet' },
        `HareMQ ${all.product_version}, cluster ${all.cluster_name}, node ${all.node}; clients are told RabbitMQ ${all.management_version}.`,
      ),
    ];
  },
};

function shards(page) {
  const all = answer(page, 1 + 1);
  const latest = (page.state.shards ??= new Map());
  const at = page.answers[2]?.at;
  const rows = (all ?? []).map((shard) => {
    // Rates from two answers that differ, so of what the shard did since.
    const before = latest.get(shard.shard);
    if (!before || before.at !== at) latest.set(shard.shard, { at, shard, last: before });
    const now = latest.get(shard.shard);
    const seconds = now.last ? (now.at - now.last.at) / 1000 : 0;
    const per = (of) => (seconds > 0 ? Math.max(0, (of(shard) - of(now.last.shard)) / seconds) : undefined);
    return { shard, per };
  });
  const column = (id, title, value) => ({ id, title, right: true, value });
  return section(
    'Shards',
    true,
    h(
      'p',
      { class: 'quiet' },
      'A shard is a core with its connections and queues; messages cross between them through rings.',
    ),
    table('shards', {
      items: all && rows,
      key: ({ shard }) => String(shard.shard),
      columns: [
        {
          id: 'shard',
          title: 'Shard',
          value: ({ shard }) => ['#', String(shard.shard), ' ', state(shard.up ? 'up' : 'down')],
        },
        {
          id: 'busy',
          title: 'Busy',
          value: ({ shard }) => [
            h(
              'span',
              { class: 'bar', role: 'img', 'aria-label': `busy ${percent(shard.busy_share)}` },
              h('span', { style: { width: `${Math.min(100, (shard.busy_share ?? 0) * 100)}%` } }),
            ),
            percent(shard.busy_share),
          ],
        },
        column('connections', 'Connections', ({ shard }) => count(shard.connections)),
        column('queues', 'Queues', ({ shard }) => count(shard.queues)),
        column('published', 'Published', ({ per }) => rate(per((s) => s.counters.published))),
        column('delivered', 'Delivered', ({ per }) => rate(per((s) => s.counters.delivered))),
        column('p50', 'Turn p50', ({ shard }) => us(shard.turns.p50_us)),
        column('p99', 'Turn p99', ({ shard }) => us(shard.turns.p99_us)),
        column('p999', 'Turn p99.9', ({ shard }) => us(shard.turns.p99_9_us)),
        column('crossed', 'Crossed', ({ per }) => rate(per((s) => s.counters.commands_sent))),
        column('spills', 'Full rings', ({ shard }) => count(shard.counters.spills)),
        column('in', 'In', ({ per }) => octets(per((s) => s.io.bytes_in))),
        column('out', 'Out', ({ per }) => octets(per((s) => s.io.bytes_out))),
      ],
    }),
  );
}

const us = (value) => (value === undefined || value === null ? '–' : `${count(value)} µs`);
const octets = (value) => (value === undefined ? '' : `${bytes(value)}/s`);

function latencies(page) {
  const all = answer(page, 3);
  const chosen = page.state.latencyShard ?? 0;
  const one = all?.[chosen];
  if (!one) return null;
  return section(
    'Latencies',
    true,
    h(
      'div',
      { class: 'tools' },
      h(
        'label',
        null,
        'Shard ',
        h(
          'select',
          {
            'aria-label': 'Shard of the latencies',
            onchange: (event) => {
              page.state.latencyShard = Number(event.target.value);
              refresh();
            },
          },
          all.map((_, index) =>
            h('option', { key: index, value: String(index), selected: index === chosen }, String(index)),
          ),
        ),
      ),
      h('span', { class: 'quiet' }, 'Since the server runs.'),
    ),
    h(
      'div',
      { class: 'charts' },
      histogram('Publish to confirm', one.publish_to_confirm),
      histogram('Time in queue', one.time_in_queue),
      histogram('Until safe on disk', one.arrival_to_safe),
      histogram('Deliver to ack', one.deliver_to_ack),
    ),
  );
}

function nodes(page) {
  return section(
    'Nodes',
    true,
    table('nodes', {
      items: answer(page, 1),
      key: (node) => node.name,
      columns: [
        {
          id: 'name',
          title: 'Name',
          value: (node) => [
            h('a', { href: to`/nodes/${node.name}` }, node.name),
            ' ',
            state(node.running ? 'running' : 'down'),
          ],
        },
        {
          id: 'memory',
          title: 'Memory',
          value: (node) => [
            `${bytes(node.mem_used)} of ${bytes(node.mem_limit)} `,
            node.mem_alarm ? badge('alarm', 'publishers wait', 'bad') : null,
          ],
        },
        {
          id: 'disk',
          title: 'Disk free',
          value: (node) => [
            `${bytes(node.disk_free)}, at least ${bytes(node.disk_free_limit)} `,
            node.disk_free_alarm ? badge('alarm', 'publishers wait', 'bad') : null,
          ],
        },
        {
          id: 'fd',
          title: 'File descriptors',
          right: true,
          value: (node) => `${count(node.fd_used)} of ${count(node.fd_total)}`,
        },
        { id: 'sockets', title: 'Sockets', right: true, value: (node) => count(node.sockets_used) },
        { id: 'cores', title: 'Cores', right: true, value: (node) => count(node.processors) },
        { id: 'uptime', title: 'Uptime', value: (node) => span(node.uptime) },
      ],
    }),
  );
}

function exportForm(page) {
  const vhost = page.state.exported ?? '';
  const path = vhost ? at`definitions/${vhost}` : 'definitions';
  return h(
    'div',
    { class: 'tools' },
    h(
      'select',
      {
        'aria-label': 'Definitions of',
        'data-act': 'export-vhost',
        onchange: (event) => {
          page.state.exported = event.target.value;
          refresh();
        },
      },
      h('option', { key: 'all', value: '' }, 'All virtual hosts'),
      app.vhosts.map((name) => h('option', { key: `v ${name}`, value: name }, name)),
    ),
    h(
      'a',
      { class: 'button primary', href: `api/${path}`, download: 'haremq-definitions.json', 'data-act': 'export' },
      'Download definitions',
    ),
    asCommand('Download definitions', { path }),
  );
}

function importForm(page) {
  const { state: known } = page;
  const choose = async (event) => {
    const [file] = event.target.files;
    known.imported = undefined;
    known.importError = undefined;
    if (file) {
      try {
        known.imported = JSON.parse(await file.text());
      } catch {
        known.importError = 'That file is not JSON.';
      }
    }
    refresh();
  };
  const parts =
    known.imported &&
    Object.entries(known.imported)
      .filter(([, value]) => Array.isArray(value) && value.length)
      .map(([name, value]) => `${count(value.length)} ${name.replaceAll('_', ' ')}`);
  return [
    h(
      'div',
      { class: 'field' },
      h('label', { for: 'definitions' }, 'Definitions file (JSON)'),
      h('input', { id: 'definitions', type: 'file', accept: '.json,application/json', onchange: choose }),
    ),
    known.importError ? h('p', { class: 'refused', role: 'alert' }, known.importError) : null,
    known.imported
      ? form('import', {
          text: `It has ${parts.join(', ') || 'nothing that would be added'}. What is there and not in the file stays as it is.`,
          fields: [
            {
              name: 'vhost',
              label: 'Into',
              type: 'select',
              options: [['', 'As the file says'], ...app.vhosts],
              value: '',
            },
          ],
          request: ({ vhost }) => ({
            method: 'POST',
            path: vhost ? at`definitions/${vhost}` : 'definitions',
            body: known.imported,
          }),
          submit: 'Import',
          done: 'Definitions imported.',
          then: () => (known.imported = undefined),
        })
      : null,
  ];
}

export const ROUTES = [
  ['/', overview],
  ['', overview],
];
