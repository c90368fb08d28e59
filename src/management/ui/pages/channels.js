// Channels, and one of them with its consumers.

import { answer, app } from '../app.js';
import { at, query } from '../api.js';
import { chart } from '../chart.js';
import { asks, section } from '../form.js';
import { count, rate } from '../format.js';
import {
  activity,
  ageChoice,
  awaited,
  badge,
  channelLink,
  connectionLink,
  facts,
  fields,
  OBJECT_AGES,
  queueLink,
  rateSeries,
  samples,
  state,
} from '../parts.js';
import { list, listPath, listState, table } from '../table.js';
import { h } from '../dom.js';

const mode = (one) => [
  one.confirm ? badge('C', 'confirm') : null,
  one.transactional ? badge('T', 'transactional') : null,
];
const per = (field, title, id, off) => ({
  id,
  title,
  off,
  sort: `message_stats.${field}_details.rate`,
  right: true,
  value: (one) => rate(one.message_stats?.[`${field}_details`]?.rate),
});

const channels = {
  title: () => 'Channels',
  sources: (page) => [listPath(app.vhost ? at`vhosts/${app.vhost}/channels` : 'channels', listState(page))],
  view: (page) =>
    list(page, 0, {
      id: 'channels',
      what: 'channels',
      key: (one) => one.name,
      empty: 'No channels.',
      columns: [
        { id: 'name', title: 'Channel', sort: 'name', value: (one) => channelLink(one.name) },
        { id: 'vhost', title: 'Virtual host', sort: 'vhost', value: (one) => one.vhost },
        { id: 'user', title: 'User name', sort: 'user', value: (one) => one.user },
        { id: 'mode', title: 'Mode', value: mode },
        {
          id: 'state',
          title: 'State',
          sort: 'state',
          value: activity,
        },
        {
          id: 'consumers',
          title: 'Consumers',
          sort: 'consumer_count',
          right: true,
          off: true,
          value: (one) => count(one.consumer_count),
        },
        {
          id: 'unconfirmed',
          title: 'Unconfirmed',
          sort: 'messages_unconfirmed',
          right: true,
          value: (one) => count(one.messages_unconfirmed),
        },
        {
          id: 'prefetch',
          title: 'Prefetch',
          sort: 'prefetch_count',
          right: true,
          value: (one) => [
            count(one.prefetch_count),
            one.global_prefetch_count ? ` (global ${count(one.global_prefetch_count)})` : '',
          ],
        },
        {
          id: 'unacked',
          title: 'Unacked',
          sort: 'messages_unacknowledged',
          right: true,
          value: (one) => count(one.messages_unacknowledged),
        },
        per('publish', 'Publish', 'publish'),
        per('confirm', 'Confirm', 'confirm'),
        per('drop_unroutable', 'Unroutable (drop)', 'dropped', true),
        per('return_unroutable', 'Unroutable (return)', 'returned', true),
        per('deliver_get', 'Deliver / get', 'deliver'),
        per('ack', 'Ack', 'ack'),
      ],
    }),
};

const channel = {
  ages: OBJECT_AGES,
  title: (page) => `Channel ${page.params.name}`,
  sources: (page) => [query(at`channels/${page.params.name}`, samples(page, 'msg_rates'))],
  view(page) {
    const one = answer(page, 0);
    if (!one) return awaited(page);
    return [
      h('div', { class: 'tools' }, ageChoice(page)),
      h(
        'div',
        { class: 'charts' },
        chart('rates', { title: 'Message rates', isCounter: true, series: rateSeries(one.message_stats) }),
      ),
      section(
        'Details',
        true,
        facts([
          ['Connection', connectionLink(one.connection_details?.name)],
          ['Virtual host', one.vhost],
          ['User name', one.user],
          ['Mode', mode(one)],
          ['State', state(one.state)],
          ['Idle since', one.idle_since],
          ['Prefetch count', count(one.prefetch_count)],
          ['Global prefetch count', count(one.global_prefetch_count)],
          ['Messages unacknowledged', count(one.messages_unacknowledged)],
          ['Messages unconfirmed', count(one.messages_unconfirmed)],
          ['Messages uncommitted', count(one.messages_uncommitted)],
          ['Acks uncommitted', count(one.acks_uncommitted)],
        ]),
      ),
      section('Consumers', true, consumers('consumers', one.consumer_details, { queue: true })),
    ];
  },
};

// Consumers of a channel or of a queue, each with the way to cancel it.
export function consumers(id, items, { queue, channel: showsChannel }) {
  return table(id, {
    items: items ?? [],
    key: (one) => `${one.channel_details?.name} ${one.consumer_tag}`,
    empty: 'No consumers.',
    columns: [
      showsChannel && { id: 'channel', title: 'Channel', value: (one) => channelLink(one.channel_details?.name) },
      queue && { id: 'queue', title: 'Queue', value: (one) => queueLink(one.queue.vhost, one.queue.name) },
      { id: 'tag', title: 'Consumer tag', value: (one) => one.consumer_tag },
      { id: 'ack', title: 'Ack required', value: (one) => (one.ack_required ? 'yes' : 'no') },
      { id: 'exclusive', title: 'Exclusive', value: (one) => (one.exclusive ? 'yes' : 'no') },
      { id: 'prefetch', title: 'Prefetch', right: true, value: (one) => count(one.prefetch_count) },
      { id: 'active', title: 'Active', value: (one) => state(one.activity_status ?? (one.active ? 'up' : 'waiting')) },
      { id: 'arguments', title: 'Arguments', value: (one) => fields(one.arguments) },
      {
        id: 'cancel',
        title: '',
        value: (one) =>
          asks(
            'Cancel',
            `Cancel the consumer ${one.consumer_tag}?`,
            {
              submit: 'Cancel consumer',
              text: 'The client is told, if it understands it. What it has not acknowledged stays with its channel.',
              done: 'Consumer cancelled.',
              request: () => ({
                method: 'DELETE',
                path: at`haremq/consumers/${one.channel_details.connection_name}/${one.channel_details.number}/${one.consumer_tag}`,
              }),
            },
            { 'data-act': 'cancel' },
          ),
      },
    ],
  });
}

export const ROUTES = [
  ['/channels', channels],
  ['/channels/:name', channel],
];
