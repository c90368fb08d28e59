// Policies and operator policies.

import { answer, inVhost, mayMakePolicies, isAdministrator, refusal } from '../app.js';
import { asks, form, section } from '../form.js';
import { count } from '../format.js';
import { awaited, facts, fields, isMany, vhostField } from '../parts.js';
import { table } from '../table.js';
import { h } from '../dom.js';

const QUEUE_KEYS = [
  ['max-length', 'Number'],
  ['max-length-bytes', 'Number'],
  ['overflow', 'String', 'reject-publish'],
  ['message-ttl', 'Number'],
  ['expires', 'Number'],
  ['dead-letter-exchange', 'String'],
  ['dead-letter-routing-key', 'String'],
  ['delivery-limit', 'Number'],
  ['consumer-timeout', 'Number'],
  ['alternate-exchange', 'String'],
];
const OPERATOR_KEYS = [
  ['max-length', 'Number'],
  ['max-length-bytes', 'Number'],
  ['message-ttl', 'Number'],
  ['expires', 'Number'],
  ['delivery-limit', 'Number'],
  ['overflow', 'String', 'reject-publish'],
];
const APPLY_TO = [
  ['all', 'Exchanges and queues'],
  ['exchanges', 'Exchanges'],
  ['queues', 'Queues'],
  ['classic_queues', 'Classic queues'],
  ['quorum_queues', 'Quorum queues'],
  ['streams', 'Streams'],
];

// The two kinds differ in where they are, what they may say, and who may set them.
function pages({ path, title, singular, keys, applyTo, may }) {
  const link = (one) => `#/${path}/${encodeURIComponent(one.vhost)}/${encodeURIComponent(one.name)}`;
  const all = {
    title: () => title,
    sources: () => [inVhost(path)],
    view: (page) => [
      refusal(page, 0)
        ? h('p', { class: 'refused', role: 'alert' }, refusal(page, 0))
        : table(path, {
            items: answer(page, 0),
            key: (one) => `${one.vhost} ${one.name}`,
            columns: [
              isMany() && { id: 'vhost', title: 'Virtual host', value: (one) => one.vhost },
              { id: 'name', title: 'Name', value: (one) => h('a', { href: link(one) }, one.name) },
              { id: 'pattern', title: 'Pattern', value: (one) => h('code', null, one.pattern) },
              { id: 'apply', title: 'Apply to', value: (one) => one['apply-to'] },
              { id: 'definition', title: 'Definition', value: (one) => fields(one.definition) },
              { id: 'priority', title: 'Priority', right: true, value: (one) => count(one.priority) },
            ],
          }),
      may() ? section(`Add or update ${singular}`, false, policyForm('add-policy')) : null,
    ],
  };
  const policyForm = (id, one) =>
    form(id, {
      fields: [
        one ? null : vhostField(),
        one ? null : { name: 'name', label: 'Name', required: true },
        {
          name: 'pattern',
          label: 'Pattern',
          value: one?.pattern,
          required: true,
          hint: 'A regular expression that names match',
        },
        {
          name: 'applyTo',
          label: 'Apply to',
          type: 'select',
          options: applyTo,
          value: one?.['apply-to'] ?? applyTo[0][0],
        },
        {
          name: 'priority',
          label: 'Priority',
          type: 'number',
          value: one === undefined ? undefined : String(one.priority),
        },
        { name: 'definition', label: 'Definition', one: 'key', type: 'table', known: keys, value: one?.definition },
      ],
      request: ({ vhost = one?.vhost, name = one?.name, pattern, applyTo: to, priority, definition }) => ({
        method: 'PUT',
        path: `${path}/${encodeURIComponent(vhost)}/${encodeURIComponent(name)}`,
        body: { pattern, 'apply-to': to, priority: priority ?? 0, definition },
      }),
      submit: one ? `Update ${singular.replace(/^an? /, '')}` : `Add ${singular.replace(/^an? /, '')}`,
      done: one ? 'Updated.' : 'Added.',
      keep: Boolean(one),
    });
  const single = {
    title: (page) => `${title === 'Policies' ? 'Policy' : 'Operator policy'} ${page.params.name}`,
    sources: ({ params: { vhost, name } }) => [`${path}/${encodeURIComponent(vhost)}/${encodeURIComponent(name)}`],
    view(page) {
      const one = answer(page, 0);
      if (!one) return awaited(page);
      return [
        section(
          'Details',
          true,
          facts([
            ['Virtual host', one.vhost],
            ['Pattern', h('code', null, one.pattern)],
            ['Apply to', one['apply-to']],
            ['Definition', fields(one.definition)],
            ['Priority', count(one.priority)],
          ]),
        ),
        may()
          ? [
              section('Update', false, policyForm('update-policy', one)),
              section(
                'Clear',
                false,
                h(
                  'div',
                  { class: 'buttons' },
                  asks('Clear', `Clear ${one.name}?`, {
                    submit: 'Clear',
                    text: 'What it set ceases to count at once.',
                    request: () => ({
                      method: 'DELETE',
                      path: `${path}/${encodeURIComponent(one.vhost)}/${encodeURIComponent(one.name)}`,
                    }),
                    done: 'Cleared.',
                    then: () => (location.hash = `#/${path}`),
                  }),
                ),
              ),
            ]
          : null,
      ];
    },
  };
  // RabbitMQ's links have an underscore.
  return [
    [`/${path}`, all],
    [`/${path}/:vhost/:name`, single],
    [`/${path.replace('-', '_')}/:vhost/:name`, single],
  ];
}

export const ROUTES = [
  ...pages({
    path: 'policies',
    title: 'Policies',
    singular: 'a policy',
    keys: QUEUE_KEYS,
    applyTo: APPLY_TO,
    may: mayMakePolicies,
  }),
  ...pages({
    path: 'operator-policies',
    title: 'Operator Policies',
    singular: 'an operator policy',
    keys: OPERATOR_KEYS,
    applyTo: APPLY_TO.filter(([kind]) => kind.endsWith('ues')),
    may: isAdministrator,
  }),
];
