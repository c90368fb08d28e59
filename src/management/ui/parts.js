// What several pages show alike.

import { app, look, refresh, refusal, to } from './app.js';
import { AGES, chart } from './chart.js';
import { exchangeName } from './format.js';
import { h } from './dom.js';

export const queueLink = (vhost, name) => h('a', { href: to`/queues/${vhost}/${name}` }, name);
export const exchangeLink = (vhost, name) =>
  h('a', { href: to`/exchanges/${vhost}/${name || 'amq.default'}` }, exchangeName(name));
export const connectionLink = (name, shown) => h('a', { href: to`/connections/${name}` }, shown ?? name);
export const channelLink = (name) => h('a', { href: to`/channels/${name}` }, name);

// Names and values, side by side; undefined ones are left out.
export function facts(entries) {
  return h(
    'dl',
    { class: 'facts' },
    entries
      .filter((entry) => entry && entry[1] !== undefined && entry[1] !== null && entry[1] !== '')
      .map(([name, value]) => h('div', { key: name }, h('dt', null, name), h('dd', null, value))),
  );
}

// What stands for a page's first source until it is there, or why it is not.
export const awaited = (page) => h('p', { class: 'quiet', role: 'status' }, refusal(page, 0) ?? 'Loading…');

// A number worth seeing from afar.
export const tile = (name, value, note, href) =>
  h(
    href ? 'a' : 'div',
    { key: name, class: 'tile', href },
    h('span', null, name),
    h('strong', null, value),
    note ? h('small', null, note) : null,
  );

export const badge = (text, title, kind) =>
  h('span', { key: text, class: kind ? `badge ${kind}` : 'badge', title }, text);

const SHORT = {
  'x-message-ttl': 'TTL',
  'x-expires': 'Exp',
  'x-max-length': 'Lim',
  'x-max-length-bytes': 'Lim B',
  'x-dead-letter-exchange': 'DLX',
  'x-dead-letter-routing-key': 'DLK',
  'x-max-priority': 'Pri',
  'x-single-active-consumer': 'SAC',
  'x-overflow': 'Ovfl',
  'x-delivery-limit': 'DL',
  'x-consumer-timeout': 'CT',
  'alternate-exchange': 'AE',
  'x-durability': 'Dur',
};

// What is special about a queue or an exchange, in RabbitMQ's letters.
export function features(item) {
  const args = item.arguments ?? {};
  return h(
    'span',
    { class: 'badges' },
    item.durable ? badge('D', 'durable') : null,
    item.auto_delete ? badge('AD', 'auto-delete') : null,
    item.exclusive ? badge('Excl', 'exclusive') : null,
    item.internal ? badge('I', 'internal') : null,
    Object.entries(args)
      .filter(([name]) => name !== 'x-queue-type')
      .map(([name, value]) => badge(SHORT[name] ?? 'Args', `${name}: ${JSON.stringify(value)}`)),
    item.policy
      ? h(
          'a',
          { href: to`/policies/${item.vhost}/${item.policy}`, class: 'badge policy', title: 'policy' },
          item.policy,
        )
      : null,
    item.operator_policy
      ? h(
          'a',
          {
            href: to`/operator-policies/${item.vhost}/${item.operator_policy}`,
            class: 'badge policy',
            title: 'operator policy',
          },
          item.operator_policy,
        )
      : null,
  );
}

// A table of arguments, headers or properties; what is nested is written as JSON.
export function fields(table) {
  const entries = Object.entries(table ?? {}).filter(([, value]) => value !== undefined);
  if (!entries.length) return h('span', { class: 'quiet' }, 'none');
  return h(
    'dl',
    { class: 'pairs' },
    entries.map(([name, value]) =>
      h(
        'div',
        { key: name },
        h('dt', null, name),
        h('dd', null, typeof value === 'object' && value !== null ? JSON.stringify(value) : String(value)),
      ),
    ),
  );
}

export function state(text) {
  const kind =
    text === 'running' || text === 'up'
      ? 'good'
      : text === 'paused' || text === 'blocked' || text === 'blocking' || text === 'flow'
        ? 'warn'
        : '';
  return h('span', { class: `state ${kind}` }, text ?? '–');
}

// Where the user chooses over which time charts go. Ages have samples only for those that the server keeps.
export function ageChoice(page) {
  const [chosen] = ages(page);
  const choose = (age) => {
    page.state.age = age;
    look();
    refresh();
  };
  return h(
    'label',
    null,
    h('span', { class: 'hidden' }, 'Time '),
    h(
      'select',
      { 'aria-label': 'Time of the charts', 'data-act': 'age', onchange: (event) => choose(event.target.value) },
      (page.definition.ages ?? AGES).map(([value, , title]) =>
        h('option', { key: value, value, selected: value === chosen }, title),
      ),
    ),
  );
}

function ages(page) {
  const all = page.definition.ages ?? AGES;
  return all.find(([age]) => age === page.state.age) ?? all[0];
}

// What an API path must be asked for samples of lengths, of rates or of traffic.
export function samples(page, ...kinds) {
  const [age, incr] = ages(page);
  return Object.fromEntries(
    kinds.flatMap((kind) => [
      [`${kind}_age`, age],
      [`${kind}_incr`, incr],
    ]),
  );
}

// Lines of a chart of lengths: the total first, so that the others are drawn over it.
const LENGTHS = [
  ['Total', 'messages'],
  ['Ready', 'messages_ready'],
  ['Unacked', 'messages_unacknowledged'],
];

// How many messages there were, and how fast they went: `lengths` has the counts, `stats` the rates.
export const messageCharts = (lengths, stats) =>
  h(
    'div',
    { class: 'charts' },
    chart('lengths', {
      title: 'Queued messages',
      series: LENGTHS.map(([name, field]) => ({ name, details: lengths[`${field}_details`], value: lengths[field] })),
    }),
    chart('rates', { title: 'Message rates', isCounter: true, series: rateSeries(stats) }),
  );

// The state of a queue or a channel; one that nothing happens to is idle.
export const activity = (one) =>
  one.idle_since && one.state === 'running'
    ? h('span', { class: 'state', title: `since ${one.idle_since}` }, 'idle')
    : state(one.state);

export const OBJECT_AGES = AGES.slice(0, 3);

const MESSAGE_RATES = [
  ['Publish', 'publish'],
  ['Publisher confirm', 'confirm'],
  ['Deliver (manual ack)', 'deliver'],
  ['Deliver (auto ack)', 'deliver_no_ack'],
  ['Consumer ack', 'ack'],
  ['Redelivered', 'redeliver'],
  ['Get (manual ack)', 'get'],
  ['Get (auto ack)', 'get_no_ack'],
  ['Get (empty)', 'get_empty'],
  ['Unroutable (return)', 'return_unroutable'],
  ['Unroutable (drop)', 'drop_unroutable'],
];

// Series of a chart of message rates: what never happened is left out but for the first three.
export function rateSeries(stats, names = MESSAGE_RATES) {
  return names
    .filter(([, field], index) => stats?.[`${field}_details`] && (index < 3 || stats[field] > 0))
    .map(([name, field]) => ({ name, details: stats[`${field}_details`], value: stats[`${field}_details`].rate }));
}

// The vhost that a form begins with.
export const firstVhost = () => app.vhost || (app.vhosts.includes('/') ? '/' : app.vhosts[0]) || '/';

export const vhostField = (value) => ({
  name: 'vhost',
  label: 'Virtual host',
  type: 'select',
  options: app.vhosts.length ? app.vhosts : ['/'],
  value: value ?? firstVhost(),
});
export const isMany = () => app.vhosts.length > 1;

export const durabilityField = {
  name: 'durability',
  label: 'Durability',
  type: 'select',
  options: [
    ['durable', 'Durable'],
    ['transient', 'Transient'],
  ],
  value: 'durable',
};

// Where messages are moved to.
export const targetFields = [
  {
    name: 'where',
    label: 'To',
    type: 'select',
    options: [
      ['queue', 'Queue'],
      ['exchange', 'Exchange'],
    ],
    value: 'queue',
  },
  { name: 'name', label: 'Name', required: true },
];
