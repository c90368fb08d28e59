// Exchanges, and one of them: rates, bindings, publishing.

import { act, answer, inVhost, to, toast } from '../app.js';
import { at, query } from '../api.js';
import { chart } from '../chart.js';
import { asks, form, section } from '../form.js';
import { exchangeName, rate } from '../format.js';
import {
  ageChoice,
  awaited,
  durabilityField,
  exchangeLink,
  facts,
  features,
  fields,
  isMany,
  OBJECT_AGES,
  queueLink,
  rateSeries,
  samples,
  vhostField,
} from '../parts.js';
import { list, listPath, listState, table } from '../table.js';
import { h } from '../dom.js';

const KINDS = ['direct', 'fanout', 'topic', 'headers'];

const exchanges = {
  title: () => 'Exchanges',
  sources: (page) => [listPath(inVhost('exchanges'), listState(page))],
  view: (page) => [
    list(page, 0, {
      id: 'exchanges',
      what: 'exchanges',
      key: (one) => `${one.vhost} ${one.name}`,
      columns: [
        isMany() && { id: 'vhost', title: 'Virtual host', sort: 'vhost', value: (one) => one.vhost },
        { id: 'name', title: 'Name', sort: 'name', value: (one) => exchangeLink(one.vhost, one.name) },
        { id: 'type', title: 'Type', sort: 'type', value: (one) => one.type },
        { id: 'features', title: 'Features', value: features },
        {
          id: 'in',
          title: 'Message rate in',
          sort: 'message_stats.publish_in_details.rate',
          right: true,
          value: (one) => rate(one.message_stats?.publish_in_details?.rate),
        },
        {
          id: 'out',
          title: 'Message rate out',
          sort: 'message_stats.publish_out_details.rate',
          right: true,
          value: (one) => rate(one.message_stats?.publish_out_details?.rate),
        },
        { id: 'made', title: 'Made by', off: true, value: (one) => one.user_who_performed_action },
      ],
      bulk: [
        {
          title: 'Delete',
          question: (many) => `Delete ${many} exchanges?`,
          request: (one) => ({ method: 'DELETE', path: at`exchanges/${one.vhost}/${one.name}` }),
          done: 'Deleted',
        },
      ],
    }),
    section(
      'Add a new exchange',
      false,
      form('add-exchange', {
        fields: [
          vhostField(),
          { name: 'name', label: 'Name', required: true },
          { name: 'type', label: 'Type', type: 'select', options: KINDS, value: 'direct' },
          durabilityField,
          { name: 'autoDelete', label: 'Auto delete', type: 'checkbox' },
          { name: 'internal', label: 'Internal', type: 'checkbox' },
          { name: 'args', label: 'Arguments', type: 'table', known: [['alternate-exchange', 'String']] },
        ],
        request: ({ vhost, name, type, durability, autoDelete, internal, args }) => ({
          method: 'PUT',
          path: at`exchanges/${vhost}/${name}`,
          body: { type, durable: durability === 'durable', auto_delete: autoDelete, internal, arguments: args },
        }),
        submit: 'Add exchange',
        done: 'Exchange added.',
      }),
    ),
  ],
};

const exchange = {
  ages: OBJECT_AGES,
  title: (page) => `Exchange ${page.params.name === 'amq.default' ? exchangeName('') : page.params.name}`,
  sources: ({ params: { vhost, name }, ...page }) => [
    query(at`exchanges/${vhost}/${name}`, samples(page, 'msg_rates')),
    at`exchanges/${vhost}/${name}/bindings/source`,
    at`exchanges/${vhost}/${name}/bindings/destination`,
  ],
  view(page) {
    const { vhost, name } = page.params;
    const one = answer(page, 0);
    if (!one) return awaited(page);
    const isDefault = one.name === '';
    return [
      h(
        'div',
        { class: 'tools' },
        ageChoice(page),
        h('a', { class: 'button', href: to`/routing/${vhost}/${name}` }, 'Where messages go'),
      ),
      h(
        'div',
        { class: 'charts' },
        chart('rates', {
          title: 'Message rates',
          isCounter: true,
          series: rateSeries(one.message_stats, [
            ['Publish (in)', 'publish_in'],
            ['Publish (out)', 'publish_out'],
          ]),
        }),
      ),
      section(
        'Details',
        true,
        facts([
          ['Virtual host', one.vhost],
          ['Type', one.type],
          ['Features', features(one)],
          ['Arguments', fields(one.arguments)],
          ['Policy', one.policy],
          ['Made by', one.user_who_performed_action],
        ]),
      ),
      section(
        'Bindings',
        true,
        isDefault
          ? h('p', { class: 'quiet' }, 'Every queue is bound here by its own name; these bindings cannot be changed.')
          : [
              h('h3', null, 'To this exchange'),
              bindings('bindings-in', answer(page, 2), { source: true }),
              h('h3', null, 'From this exchange'),
              bindings('bindings-out', answer(page, 1), { destination: true }),
              h('h3', null, 'Add a binding from this exchange'),
              bindForm('bind', vhost, { source: one.name }),
            ],
      ),
      section('Publish message', false, publishForm(vhost, one.name)),
      isDefault
        ? null
        : section(
            'Delete this exchange',
            false,
            h(
              'div',
              { class: 'buttons' },
              asks('Delete', `Delete the exchange ${one.name}?`, {
                submit: 'Delete exchange',
                fields: [{ name: 'unused', label: 'Only if unused', type: 'checkbox' }],
                done: 'Exchange deleted.',
                request: ({ unused }) => ({
                  method: 'DELETE',
                  path: query(at`exchanges/${vhost}/${name}`, { 'if-unused': unused }),
                }),
                then: () => (location.hash = to`/exchanges`),
              }),
            ),
          ),
    ];
  },
};

// Bindings of an exchange or a queue, each with the way to unbind it.
export function bindings(id, items, { source, destination }) {
  const kind = (one) => (one.destination_type === 'queue' ? 'q' : 'e');
  return table(id, {
    items,
    key: (one) => `${one.source} ${kind(one)} ${one.destination} ${one.properties_key}`,
    empty: 'No bindings.',
    columns: [
      source && { id: 'from', title: 'From', value: (one) => exchangeLink(one.vhost, one.source) },
      destination && {
        id: 'to',
        title: 'To',
        value: (one) => [
          one.destination_type === 'queue'
            ? queueLink(one.vhost, one.destination)
            : exchangeLink(one.vhost, one.destination),
          ' ',
          h('small', null, one.destination_type),
        ],
      },
      { id: 'key', title: 'Routing key', value: (one) => one.routing_key },
      { id: 'arguments', title: 'Arguments', value: (one) => fields(one.arguments) },
      {
        id: 'unbind',
        title: '',
        value: (one) =>
          one.source === ''
            ? ''
            : asks(
                'Unbind',
                `Unbind ${one.destination} from ${one.source}?`,
                {
                  submit: 'Unbind',
                  text: `Routing key: ${one.routing_key || '(none)'}`,
                  done: 'Unbound.',
                  request: () => ({
                    method: 'DELETE',
                    path: at`bindings/${one.vhost}/e/${one.source}/${kind(one)}/${one.destination}/${one.properties_key}`,
                  }),
                },
                { 'data-act': 'unbind' },
              ),
      },
    ],
  });
}

// Binds from or to what is fixed.
export function bindForm(id, vhost, { source, queue }) {
  const isFrom = source !== undefined;
  return form(id, {
    fields: [
      isFrom
        ? {
            name: 'kind',
            label: 'To',
            type: 'select',
            options: [
              ['q', 'Queue'],
              ['e', 'Exchange'],
            ],
            value: 'q',
          }
        : null,
      { name: 'other', label: isFrom ? 'Name' : 'From exchange', required: true },
      { name: 'key', label: 'Routing key' },
      { name: 'args', label: 'Arguments', type: 'table', known: [['x-match', 'String', 'all']] },
    ],
    request: ({ kind, other, key, args }) => ({
      method: 'POST',
      path: isFrom ? at`bindings/${vhost}/e/${source}/${kind}/${other}` : at`bindings/${vhost}/e/${other}/q/${queue}`,
      body: { routing_key: key, arguments: args },
    }),
    submit: 'Bind',
    done: 'Bound.',
  });
}

const PROPERTIES = [
  ['content_type', 'String'],
  ['content_encoding', 'String'],
  ['priority', 'Number'],
  ['correlation_id', 'String'],
  ['reply_to', 'String'],
  ['expiration', 'String'],
  ['message_id', 'String'],
  ['timestamp', 'Number'],
  ['type', 'String'],
  ['user_id', 'String'],
  ['app_id', 'String'],
  ['cluster_id', 'String'],
];

// Publishes to an exchange, or by the default one to a queue. `first` is what stands in it at the beginning.
export function publishForm(vhost, exchangeOf, first = {}) {
  const {
    key = '',
    payload = '',
    headers = {},
    properties = {},
    persistent = false,
    encoding = 'string',
    fixed,
  } = first;
  return form(first.id ?? 'publish', {
    fields: [
      fixed ? null : { name: 'key', label: 'Routing key', value: key },
      {
        name: 'mode',
        label: 'Delivery mode',
        type: 'select',
        options: [
          ['1', '1 – Non-persistent'],
          ['2', '2 – Persistent'],
        ],
        value: persistent ? '2' : '1',
      },
      {
        name: 'encoding',
        label: 'Payload encoding',
        type: 'select',
        options: [
          ['string', 'String'],
          ['base64', 'Base64'],
        ],
        value: encoding,
      },
      { name: 'headers', label: 'Headers', one: 'header', type: 'table', value: headers },
      { name: 'properties', label: 'Properties', one: 'property', type: 'table', known: PROPERTIES, value: properties },
      { name: 'payload', label: 'Payload', type: 'textarea', rows: 6, wide: true, value: payload },
    ],
    request: ({ key: chosen, mode, encoding: as, headers: table, properties: named, payload: text }) => {
      const unknown = Object.keys(named).find((name) => !PROPERTIES.some(([known]) => known === name));
      if (unknown) throw new Error(`There is no property ${unknown}.`);
      return {
        method: 'POST',
        path: at`exchanges/${vhost}/${exchangeOf || 'amq.default'}/publish`,
        body: {
          properties: { ...named, delivery_mode: Number(mode), headers: table },
          routing_key: fixed ?? chosen,
          payload: text,
          payload_encoding: as,
        },
      };
    },
    submit: 'Publish message',
    keep: true,
    send: async ([request]) => {
      const done = await act(request);
      if (done)
        toast(done.routed ? 'Message published.' : 'Message published, but not routed to any queue.', !done.routed);
      return [done];
    },
    then: first.then,
  });
}

export const ROUTES = [
  ['/exchanges', exchanges],
  ['/exchanges/:vhost/:name', exchange],
];
