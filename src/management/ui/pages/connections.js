// Connections, and one of them: who it is, what it does, and why it waits.

import { answer, app, to } from '../app.js';
import { at, query } from '../api.js';
import { chart } from '../chart.js';
import { asks, section } from '../form.js';
import { bytes, count, dateTime, span } from '../format.js';
import {
  ageChoice,
  awaited,
  badge,
  channelLink,
  connectionLink,
  facts,
  fields,
  OBJECT_AGES,
  samples,
  state,
} from '../parts.js';
import { list, listPath, listState, table } from '../table.js';
import { h } from '../dom.js';

export function held(one) {
  if (!one.held_because) return null;
  return badge('held back', `${one.held_because}, for ${span(Date.now() - one.held_since_ms)}`, 'warn');
}

const closing = (name, reason) => ({
  method: 'DELETE',
  path: at`connections/${name}`,
  headers: reason ? { 'X-Reason': reason } : undefined,
});
const reasonField = () => ({
  name: 'reason',
  label: 'Reason, which the client is told',
  value: 'Closed via management plugin',
  wide: true,
});

const octets = (one, field) => `${bytes(one[`${field}_details`]?.rate ?? 0)}/s`;

const connections = {
  title: () => 'Connections',
  sources: (page) => [listPath(connectionsPath(), listState(page))],
  view: (page) =>
    list(page, 0, {
      id: 'connections',
      what: 'connections',
      key: (one) => one.name,
      empty: 'No connections.',
      columns: [
        { id: 'vhost', title: 'Virtual host', sort: 'vhost', value: (one) => one.vhost },
        {
          id: 'name',
          title: 'Name',
          sort: 'name',
          value: (one) => [
            connectionLink(one.name),
            one.user_provided_name ? h('small', null, one.user_provided_name) : null,
          ],
        },
        { id: 'user', title: 'User name', sort: 'user', value: (one) => one.user },
        { id: 'state', title: 'State', sort: 'state', value: (one) => [state(one.state), ' ', held(one)] },
        { id: 'ssl', title: 'TLS', off: true, value: (one) => (one.ssl ? 'yes' : 'no') },
        { id: 'protocol', title: 'Protocol', sort: 'protocol', value: (one) => one.protocol },
        { id: 'channels', title: 'Channels', sort: 'channels', right: true, value: (one) => count(one.channels) },
        {
          id: 'in',
          title: 'From client',
          sort: 'recv_oct_details.rate',
          right: true,
          value: (one) => octets(one, 'recv_oct'),
        },
        {
          id: 'out',
          title: 'To client',
          sort: 'send_oct_details.rate',
          right: true,
          value: (one) => octets(one, 'send_oct'),
        },
        { id: 'shard', title: 'Shard', sort: 'shard', right: true, value: (one) => count(one.shard) },
        { id: 'client', title: 'Client', off: true, value: (one) => client(one.client_properties) },
        {
          id: 'since',
          title: 'Connected at',
          sort: 'connected_at',
          off: true,
          value: (one) => dateTime(one.connected_at),
        },
      ],
      bulk: [
        {
          title: 'Close',
          question: (many) => `Close ${many} connections?`,
          fields: () => [reasonField()],
          request: (one, { reason }) => closing(one.name, reason),
          done: 'Closed',
        },
      ],
    }),
};

// Those of a vhost are elsewhere than those of all.
const connectionsPath = () => (app.vhost ? at`vhosts/${app.vhost}/connections` : 'connections');

const client = (properties) =>
  [properties?.product, properties?.version, properties?.platform].filter((part) => typeof part === 'string').join(' ');

const connection = {
  ages: OBJECT_AGES,
  title: (page) => `Connection ${page.params.name}`,
  sources: (page) => [
    query(at`connections/${page.params.name}`, samples(page, 'data_rates')),
    at`connections/${page.params.name}/channels`,
  ],
  view(page) {
    const one = answer(page, 0);
    if (!one) return awaited(page);
    return [
      one.held_because
        ? h(
            'p',
            { class: 'notice', role: 'status' },
            h('strong', null, 'Held back: '),
            one.held_because,
            `, for ${span(Date.now() - one.held_since_ms)}.`,
            ' ',
            why(one.held_because),
          )
        : null,
      h('div', { class: 'tools' }, ageChoice(page)),
      h(
        'div',
        { class: 'charts' },
        chart('data', {
          title: 'Data rates',
          isCounter: true,
          format: (value) => `${bytes(value)}/s`,
          series: [
            ['From client', 'recv_oct'],
            ['To client', 'send_oct'],
          ].map(([name, field]) => ({ name, details: one[`${field}_details`], value: one[`${field}_details`]?.rate })),
        }),
      ),
      section(
        'Details',
        true,
        facts([
          ['State', state(one.state)],
          ['Name given by the client', one.user_provided_name],
          ['User name', one.user],
          ['Virtual host', one.vhost],
          ['Protocol', one.protocol],
          ['Authentication', one.auth_mechanism],
          ['TLS', one.ssl ? `${one.ssl_protocol} ${one.ssl_cipher}` : 'no'],
          ['Peer certificate', one.peer_cert_subject],
          ['Heartbeat', one.timeout ? `${one.timeout}s` : 'none'],
          ['Frame max', one.frame_max && `${count(one.frame_max)} bytes`],
          ['Channel limit', one.channel_max && count(one.channel_max)],
          ['Connected at', one.connected_at && dateTime(one.connected_at)],
          ['Received', `${bytes(one.recv_oct)} in ${count(one.recv_cnt)} reads`],
          ['Sent', `${bytes(one.send_oct)} in ${count(one.send_cnt)} writes`],
          ['Waits to be sent', count(one.send_pend)],
          ['Shard', count(one.shard)],
        ]),
      ),
      section(
        'Channels',
        true,
        table('channels', {
          items: answer(page, 1),
          key: (channel) => channel.name,
          empty: 'No channels.',
          columns: [
            { id: 'name', title: 'Channel', value: (channel) => channelLink(channel.name) },
            { id: 'user', title: 'User name', value: (channel) => channel.user },
            {
              id: 'mode',
              title: 'Mode',
              value: (channel) => [
                channel.confirm ? badge('C', 'confirm') : null,
                channel.transactional ? badge('T', 'transactional') : null,
              ],
            },
            { id: 'state', title: 'State', value: (channel) => state(channel.state) },
            {
              id: 'unconfirmed',
              title: 'Unconfirmed',
              right: true,
              value: (channel) => count(channel.messages_unconfirmed),
            },
            { id: 'prefetch', title: 'Prefetch', right: true, value: (channel) => count(channel.prefetch_count) },
            {
              id: 'unacked',
              title: 'Unacked',
              right: true,
              value: (channel) => count(channel.messages_unacknowledged),
            },
          ],
        }),
      ),
      section('Client properties', true, fields(one.client_properties)),
      section(
        'Close this connection',
        true,
        h(
          'div',
          { class: 'buttons' },
          asks('Force close', `Close ${page.params.name}?`, {
            submit: 'Force close',
            fields: [reasonField()],
            request: ({ reason }) => closing(page.params.name, reason),
            done: 'Connection closed.',
            then: () => (location.hash = to`/connections`),
          }),
        ),
      ),
    ];
  },
};

const WHY = {
  'low on memory': 'Its publishes wait until there is memory again; acks and deliveries go on.',
  'low on disk': 'Its publishes wait until there is room on the disk again; acks and deliveries go on.',
  'low on memory and disk': 'Its publishes wait until there are memory and disk again; acks and deliveries go on.',
  'the client does not read': 'More than the server keeps for it waits to be sent.',
  'a channel waits for an answer': 'It sends more behind a method that is not answered yet than is kept for it.',
  'rings between shards are full': 'It publishes faster than the shards of the queues take it.',
  'the journal is behind': 'The disk does not keep up.',
};
const why = (because) => WHY[because] ?? '';

export const ROUTES = [
  ['/connections', connections],
  ['/connections/:name', connection],
];
