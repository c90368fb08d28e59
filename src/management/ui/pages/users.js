// Users, and one of them: tags, password, permissions.

import { answer, refusal, to } from '../app.js';
import { at } from '../api.js';
import { asks, form, section } from '../form.js';
import { awaited, badge, facts, vhostField } from '../parts.js';
import { table } from '../table.js';
import { h } from '../dom.js';

const TAGS = ['administrator', 'monitoring', 'policymaker', 'management', 'impersonator'];

const users = {
  title: () => 'Users',
  sources: () => ['users', 'permissions'],
  view(page) {
    const permissions = answer(page, 1) ?? [];
    const why = refusal(page, 0);
    if (why) return h('p', { class: 'refused', role: 'alert' }, why);
    return [
      table('users', {
        items: answer(page, 0),
        key: (one) => one.name,
        columns: [
          { id: 'name', title: 'Name', value: (one) => h('a', { href: to`/users/${one.name}` }, one.name) },
          { id: 'tags', title: 'Tags', value: (one) => one.tags.map((tag) => badge(tag, 'tag')) },
          {
            id: 'vhosts',
            title: 'Can access virtual hosts',
            value: (one) =>
              permissions
                .filter(({ user }) => user === one.name)
                .map(({ vhost }) => vhost)
                .join(', ') || h('span', { class: 'badge warn' }, 'no access'),
          },
          { id: 'password', title: 'Has password', value: (one) => (one.password_hash ? 'yes' : 'no') },
        ],
      }),
      section('Add a user', false, userForm('add-user')),
    ];
  },
};

// Adds a user, or changes the one of that name.
function userForm(id, one) {
  return form(id, {
    fields: [
      one ? null : { name: 'name', label: 'Username', required: true },
      {
        name: 'how',
        label: 'Password',
        type: 'select',
        options: [
          ['password', 'Password'],
          ['hash', 'Hash of a password'],
          ['none', 'No password: no login by one'],
        ],
        value: 'password',
      },
      { name: 'password', label: 'Password or its hash', type: 'password' },
      { name: 'again', label: 'Again', type: 'password' },
      { name: 'tags', label: 'Tags', value: one?.tags.join(','), hint: `Between commas: ${TAGS.join(', ')}` },
    ],
    request: ({ name = one?.name, how, password, again, tags }) => {
      if (how !== 'none' && password === '') throw new Error('The password is empty.');
      if (how !== 'none' && password !== again) throw new Error('The passwords differ.');
      const secret = how === 'password' ? { password } : { password_hash: how === 'hash' ? password : '' };
      return { method: 'PUT', path: at`users/${name}`, body: { ...secret, tags } };
    },
    submit: one ? 'Update user' : 'Add user',
    done: one ? 'User updated.' : 'User added.',
  });
}

const user = {
  title: (page) => `User ${page.params.name}`,
  sources: ({ params: { name } }) => [
    at`users/${name}`,
    at`users/${name}/permissions`,
    at`users/${name}/topic-permissions`,
  ],
  view(page) {
    const { name } = page.params;
    const one = answer(page, 0);
    if (!one) return awaited(page);
    return [
      answer(page, 1)?.length === 0
        ? h('p', { class: 'notice' }, 'This user has no permissions on any virtual host: it can log in nowhere.')
        : null,
      section(
        'Details',
        true,
        facts([
          ['Tags', one.tags.length ? one.tags.map((tag) => badge(tag, 'tag')) : 'none'],
          ['Can log in with a password', one.password_hash ? 'yes' : 'no'],
          ['Hashing', one.hashing_algorithm],
        ]),
      ),
      section(
        'Permissions',
        true,
        permissions('permissions', answer(page, 1), { vhost: true }),
        permissionForm('permit', { user: name }),
      ),
      section(
        'Topic permissions',
        true,
        topicPermissions('topic-permissions', answer(page, 2), { vhost: true }),
        topicForm('permit-topic', { user: name }),
      ),
      section('Update this user', false, userForm('update-user', one)),
      section(
        'Delete this user',
        false,
        h(
          'div',
          { class: 'buttons' },
          asks('Delete', `Delete the user ${name}?`, {
            submit: 'Delete user',
            text: 'Its connections lose what they may do.',
            request: () => ({ method: 'DELETE', path: at`users/${name}` }),
            done: 'User deleted.',
            then: () => (location.hash = to`/users`),
          }),
        ),
      ),
    ];
  },
};

// Permissions of a user or in a vhost.
export function permissions(id, items, { vhost, user: showsUser }) {
  return table(id, {
    items,
    key: (one) => `${one.vhost} ${one.user}`,
    empty: 'No permissions.',
    columns: [
      vhost && {
        id: 'vhost',
        title: 'Virtual host',
        value: (one) => h('a', { href: to`/vhosts/${one.vhost}` }, one.vhost),
      },
      showsUser && { id: 'user', title: 'User', value: (one) => h('a', { href: to`/users/${one.user}` }, one.user) },
      ...['configure', 'write', 'read'].map((what) => ({
        id: what,
        title: `${what[0].toUpperCase()}${what.slice(1)} regexp`,
        value: (one) => h('code', null, one[what]),
      })),
      {
        id: 'clear',
        title: '',
        value: (one) =>
          asks(
            'Clear',
            `Clear the permissions of ${one.user} in ${one.vhost}?`,
            {
              submit: 'Clear',
              request: () => ({ method: 'DELETE', path: at`permissions/${one.vhost}/${one.user}` }),
              done: 'Permissions cleared.',
            },
            { 'data-act': 'clear' },
          ),
      },
    ],
  });
}

export function topicPermissions(id, items, { vhost, user: showsUser }) {
  return table(id, {
    items,
    key: (one) => `${one.vhost} ${one.user} ${one.exchange}`,
    empty: 'No topic permissions.',
    columns: [
      vhost && {
        id: 'vhost',
        title: 'Virtual host',
        value: (one) => h('a', { href: to`/vhosts/${one.vhost}` }, one.vhost),
      },
      showsUser && { id: 'user', title: 'User', value: (one) => h('a', { href: to`/users/${one.user}` }, one.user) },
      { id: 'exchange', title: 'Exchange', value: (one) => one.exchange },
      { id: 'write', title: 'Write regexp', value: (one) => h('code', null, one.write) },
      { id: 'read', title: 'Read regexp', value: (one) => h('code', null, one.read) },
      {
        id: 'clear',
        title: '',
        value: (one) =>
          asks(
            'Clear',
            `Clear the topic permission of ${one.user} on ${one.exchange}?`,
            {
              submit: 'Clear',
              request: () => ({
                method: 'DELETE',
                path: at`topic-permissions/${one.vhost}/${one.user}/${one.exchange}`,
              }),
              done: 'Topic permission cleared.',
            },
            { 'data-act': 'clear' },
          ),
      },
    ],
  });
}

// What is not fixed is chosen.
const whom = ({ vhost, user: name, users: names }) => [
  vhost === undefined ? vhostField() : null,
  name === undefined ? { name: 'user', label: 'User', type: 'select', options: names ?? [], value: names?.[0] } : null,
];

export function permissionForm(id, fixed) {
  return form(id, {
    fields: [
      ...whom(fixed),
      { name: 'configure', label: 'Configure regexp', value: '.*' },
      { name: 'write', label: 'Write regexp', value: '.*' },
      { name: 'read', label: 'Read regexp', value: '.*' },
    ],
    request: ({ vhost = fixed.vhost, user: name = fixed.user, configure, write, read }) => ({
      method: 'PUT',
      path: at`permissions/${vhost}/${name}`,
      body: { configure, write, read },
    }),
    submit: 'Set permission',
    done: 'Permission set.',
  });
}

export function topicForm(id, fixed) {
  return form(id, {
    fields: [
      ...whom(fixed),
      { name: 'exchange', label: 'Exchange', value: 'amq.topic', required: true },
      { name: 'write', label: 'Write regexp', value: '.*' },
      { name: 'read', label: 'Read regexp', value: '.*' },
    ],
    request: ({ vhost = fixed.vhost, user: name = fixed.user, exchange, write, read }) => ({
      method: 'PUT',
      path: at`topic-permissions/${vhost}/${name}`,
      body: { exchange, write, read },
    }),
    submit: 'Set topic permission',
    done: 'Topic permission set.',
  });
}

export const ROUTES = [
  ['/users', users],
  ['/users/:name', user],
];
