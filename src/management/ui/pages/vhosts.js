// Virtual hosts, and one of them; and the limits of vhosts and of users.

import { answer, isAdministrator, knowVhosts, refresh, refusal, to } from '../app.js';
import { at, query } from '../api.js';
import { asks, does, form, section } from '../form.js';
import { bytes, count, rate } from '../format.js';
import { ageChoice, awaited, badge, facts, messageCharts, OBJECT_AGES, samples, state, vhostField } from '../parts.js';
import { table } from '../table.js';
import { h } from '../dom.js';
import { permissionForm, permissions, topicForm, topicPermissions } from './users.js';

const vhosts = {
  title: () => 'Virtual Hosts',
  sources: () => ['vhosts'],
  view: (page) => [
    refusal(page, 0)
      ? h('p', { class: 'refused', role: 'alert' }, refusal(page, 0))
      : table('vhosts', {
          items: answer(page, 0),
          key: (one) => one.name,
          columns: [
            { id: 'name', title: 'Name', value: (one) => h('a', { href: to`/vhosts/${one.name}` }, one.name) },
            { id: 'description', title: 'Description', value: (one) => one.description },
            { id: 'tags', title: 'Tags', value: (one) => (one.tags ?? []).map((tag) => badge(tag, 'tag')) },
            { id: 'state', title: 'State', value: (one) => state(Object.values(one.cluster_state ?? {})[0]) },
            { id: 'dqt', title: 'Default queue type', value: queueType },
            { id: 'ready', title: 'Ready', right: true, value: (one) => count(one.messages_ready) },
            { id: 'unacked', title: 'Unacked', right: true, value: (one) => count(one.messages_unacknowledged) },
            { id: 'total', title: 'Total', right: true, value: (one) => count(one.messages) },
            {
              id: 'publish',
              title: 'Publish',
              right: true,
              value: (one) => rate(one.message_stats?.publish_details?.rate),
            },
            {
              id: 'deliver',
              title: 'Deliver / get',
              right: true,
              value: (one) => rate(one.message_stats?.deliver_get_details?.rate),
            },
          ],
        }),
    isAdministrator() ? section('Add a new virtual host', false, vhostForm('add-vhost')) : null,
  ],
};

const queueType = (one) => (one.default_queue_type === 'undefined' ? '' : one.default_queue_type);

function vhostForm(id, one) {
  return form(id, {
    fields: [
      one ? null : { name: 'name', label: 'Name', required: true },
      { name: 'description', label: 'Description', value: one?.description },
      { name: 'tags', label: 'Tags', value: one?.tags?.join(','), hint: 'Between commas' },
      {
        name: 'type',
        label: 'Default queue type',
        type: 'select',
        options: [
          ['classic', 'Classic'],
          ['quorum', 'Quorum'],
        ],
        value: one?.default_queue_type === 'quorum' ? 'quorum' : 'classic',
        hint: 'Kept for tools that read it: a queue without a type is a classic one.',
      },
    ],
    request: ({ name = one?.name, description, tags, type }) => ({
      method: 'PUT',
      path: at`vhosts/${name}`,
      body: { description, tags, default_queue_type: type },
    }),
    submit: one ? 'Update virtual host' : 'Add virtual host',
    done: one ? 'Virtual host updated.' : 'Virtual host added.',
    then: knowAgain,
  });
}

const knowAgain = () => knowVhosts().then(refresh);

const vhost = {
  ages: OBJECT_AGES,
  title: (page) => `Virtual Host ${page.params.name}`,
  sources: ({ params: { name }, ...page }) => [
    query(at`vhosts/${name}`, samples(page, 'lengths', 'msg_rates')),
    ...(isAdministrator() ? [at`vhosts/${name}/permissions`, at`vhosts/${name}/topic-permissions`, 'users'] : []),
  ],
  view(page) {
    const { name } = page.params;
    const one = answer(page, 0);
    if (!one) return awaited(page);
    const users = (answer(page, 3) ?? []).map((user) => user.name);
    const isProtected = one.protected_from_deletion ?? one.metadata?.protected_from_deletion ?? false;
    return [
      h('div', { class: 'tools' }, ageChoice(page)),
      messageCharts(one, one.message_stats),
      section(
        'Details',
        true,
        facts([
          ['Description', one.description],
          ['Tags', (one.tags ?? []).join(', ')],
          ['State', state(Object.values(one.cluster_state ?? {})[0])],
          ['Default queue type', queueType(one)],
          ['Tracing', one.tracing ? 'on' : 'off'],
          ['Protected from deletion', isProtected ? 'yes' : 'no'],
          ['From clients', one.recv_oct === undefined ? undefined : bytes(one.recv_oct)],
          ['To clients', one.send_oct === undefined ? undefined : bytes(one.send_oct)],
        ]),
      ),
      isAdministrator()
        ? [
            section(
              'Permissions',
              true,
              permissions('permissions', answer(page, 1), { user: true }),
              permissionForm('permit', { vhost: name, users }),
            ),
            section(
              'Topic permissions',
              true,
              topicPermissions('topic-permissions', answer(page, 2), { user: true }),
              topicForm('permit-topic', { vhost: name, users }),
            ),
            section('Update this virtual host', false, vhostForm('update-vhost', one)),
            section(
              'Delete this virtual host',
              false,
              h(
                'div',
                { class: 'buttons' },
                does(
                  isProtected ? 'Allow deletion' : 'Protect from deletion',
                  { method: isProtected ? 'DELETE' : 'POST', path: at`vhosts/${name}/deletion/protection` },
                  isProtected ? 'It may be deleted.' : 'It is protected from deletion.',
                ),
                asks('Delete', `Delete the virtual host ${name}?`, {
                  submit: 'Delete virtual host',
                  text: 'All its queues and messages, exchanges, bindings, policies and permissions are lost, and its connections are closed.',
                  fields: [{ name: 'name', label: `Type ${name} to confirm`, required: true }],
                  done: 'Virtual host deleted.',
                  request: (values) => {
                    if (values.name !== name) throw new Error('That is not its name.');
                    return { method: 'DELETE', path: at`vhosts/${name}` };
                  },
                  then: () => {
                    knowAgain();
                    location.hash = to`/vhosts`;
                  },
                }),
              ),
            ),
          ]
        : null,
    ];
  },
};

const VHOST_LIMITS = ['max-connections', 'max-queues'];
const USER_LIMITS = ['max-connections', 'max-channels'];

const limits = {
  title: () => 'Limits',
  sources: () => ['vhost-limits', 'user-limits', ...(isAdministrator() ? ['users'] : [])],
  view(page) {
    const users = (answer(page, 2) ?? []).map((user) => user.name);
    const rows = (items, whose) =>
      items?.flatMap((one) => Object.entries(one.value).map(([limit, value]) => ({ name: one[whose], limit, value })));
    const columns = (title, path) => [
      { id: 'name', title, value: (one) => one.name },
      { id: 'limit', title: 'Limit', value: (one) => one.limit },
      { id: 'value', title: 'Value', right: true, value: (one) => count(one.value) },
      isAdministrator() && {
        id: 'clear',
        title: '',
        value: (one) =>
          asks(
            'Clear',
            `Clear ${one.limit} of ${one.name}?`,
            { submit: 'Clear', request: () => ({ method: 'DELETE', path: path(one) }), done: 'Limit cleared.' },
            { 'data-act': 'clear' },
          ),
      },
    ];
    const key = (one) => `${one.name} ${one.limit}`;
    const setting = [
      { name: 'value', label: 'Value', type: 'number', required: true, hint: 'Negative: no limit; 0: none may be.' },
    ];
    return [
      section(
        'Virtual host limits',
        true,
        refusal(page, 0) ??
          table('vhost-limits', {
            items: rows(answer(page, 0), 'vhost'),
            key,
            empty: 'No limits.',
            columns: columns('Virtual host', (one) => at`vhost-limits/${one.name}/${one.limit}`),
          }),
        isAdministrator()
          ? form('vhost-limit', {
              fields: [
                vhostField(),
                { name: 'limit', label: 'Limit', type: 'select', options: VHOST_LIMITS, value: VHOST_LIMITS[0] },
                ...setting,
              ],
              request: ({ vhost: name, limit, value }) => ({
                method: 'PUT',
                path: at`vhost-limits/${name}/${limit}`,
                body: { value },
              }),
              submit: 'Set limit',
              done: 'Limit set.',
            })
          : null,
      ),
      section(
        'User limits',
        true,
        refusal(page, 1) ??
          table('user-limits', {
            items: rows(answer(page, 1), 'user'),
            key,
            empty: 'No limits.',
            columns: columns('User', (one) => at`user-limits/${one.name}/${one.limit}`),
          }),
        isAdministrator()
          ? form('user-limit', {
              fields: [
                { name: 'user', label: 'User', type: 'select', options: users, value: users[0] },
                { name: 'limit', label: 'Limit', type: 'select', options: USER_LIMITS, value: USER_LIMITS[0] },
                ...setting,
              ],
              request: ({ user, limit, value }) => ({
                method: 'PUT',
                path: at`user-limits/${user}/${limit}`,
                body: { value },
              }),
              submit: 'Set limit',
              done: 'Limit set.',
            })
          : null,
      ),
    ];
  },
};

export const ROUTES = [
  ['/vhosts', vhosts],
  ['/vhosts/:name', vhost],
  ['/limits', limits],
];
