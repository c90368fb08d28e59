// Feature flags, deprecated features, and the name of the cluster.

import { answer, isAdministrator, refusal } from '../app.js';
import { at } from '../api.js';
import { asks, form, section } from '../form.js';
import { facts, state } from '../parts.js';
import { table } from '../table.js';
import { h } from '../dom.js';

const flags = {
  title: () => 'Feature Flags',
  sources: () => ['feature-flags'],
  view: (page) => [
    h(
      'p',
      { class: 'quiet' },
      'What RabbitMQ switches on by these flags is always on here; they are listed for tools that look for them.',
    ),
    refusal(page, 0) ??
      table('feature-flags', {
        items: answer(page, 0),
        key: (one) => one.name,
        columns: [
          { id: 'name', title: 'Name', value: (one) => one.name },
          { id: 'state', title: 'State', value: (one) => state(one.state) },
          { id: 'stability', title: 'Stability', value: (one) => one.stability },
          { id: 'description', title: 'Description', value: (one) => one.desc },
          {
            id: 'enable',
            title: '',
            value: (one) =>
              one.state === 'enabled'
                ? ''
                : asks('Enable', `Enable ${one.name}?`, {
                    submit: 'Enable',
                    danger: false,
                    request: () => ({
                      method: 'PUT',
                      path: at`feature-flags/${one.name}/enable`,
                      body: { name: one.name },
                    }),
                    done: 'Enabled.',
                  }),
          },
        ],
      }),
  ],
};

const deprecated = {
  title: () => 'Deprecated Features',
  sources: () => ['deprecated-features', 'deprecated-features/used'],
  view(page) {
    const used = new Set((answer(page, 1) ?? []).map((one) => one.name));
    return (
      refusal(page, 0) ??
      table('deprecated-features', {
        items: answer(page, 0),
        key: (one) => one.name,
        empty: 'No deprecated features.',
        columns: [
          { id: 'name', title: 'Name', value: (one) => one.name },
          { id: 'used', title: 'In use', value: (one) => (used.has(one.name) ? 'yes' : 'no') },
          { id: 'phase', title: 'Phase', value: (one) => one.deprecation_phase },
          { id: 'description', title: 'Description', value: (one) => one.desc },
        ],
      })
    );
  },
};

const cluster = {
  title: () => 'Cluster',
  sources: () => ['cluster-name', 'global-parameters'],
  view: (page) => [
    facts([['Name', answer(page, 0)?.name]]),
    isAdministrator()
      ? section(
          'Set the cluster name',
          true,
          form('cluster-name', {
            fields: [{ name: 'name', label: 'Name', required: true, hint: 'Clients are told it when they connect.' }],
            request: ({ name }) => ({ method: 'PUT', path: 'cluster-name', body: { name } }),
            submit: 'Set name',
            done: 'Name set.',
          }),
        )
      : null,
    isAdministrator()
      ? section(
          'Global parameters',
          false,
          table('global-parameters', {
            items: answer(page, 1),
            key: (one) => one.name,
            columns: [
              { id: 'name', title: 'Name', value: (one) => one.name },
              { id: 'value', title: 'Value', value: (one) => h('code', null, JSON.stringify(one.value)) },
            ],
          }),
        )
      : null,
  ],
};

export const ROUTES = [
  ['/feature-flags', flags],
  ['/deprecated-features', deprecated],
  ['/cluster-name', cluster],
];
