// The frame of all pages: login, navigation, dialogs, keys.

import {
  app,
  dismiss,
  follow,
  isAdministrator,
  knowVhosts,
  leave,
  lookAgain,
  maySeeNodes,
  onRefresh,
  refresh,
  route,
} from './app.js';
import { logIn, send } from './api.js';
import { h, render } from './dom.js';
import { ROUTES as channels } from './pages/channels.js';
import { ROUTES as connections } from './pages/connections.js';
import { ROUTES as exchanges } from './pages/exchanges.js';
import { ROUTES as features } from './pages/features.js';
import { ROUTES as log } from './pages/log.js';
import { ROUTES as node } from './pages/node.js';
import { ROUTES as overview } from './pages/overview.js';
import { ROUTES as policies } from './pages/policies.js';
import { ROUTES as queues } from './pages/queues.js';
import { ROUTES as routing } from './pages/routing.js';
import { ROUTES as users } from './pages/users.js';
import { ROUTES as vhosts } from './pages/vhosts.js';

for (const routes of [
  overview,
  node,
  connections,
  channels,
  exchanges,
  queues,
  routing,
  log,
  users,
  vhosts,
  policies,
  features,
]) {
  routes.forEach(([pattern, page]) => route(pattern, page));
}

// Key after g, path, title.
const TABS = [
  ['o', '/', 'Overview'],
  ['c', '/connections', 'Connections'],
  ['h', '/channels', 'Channels'],
  ['e', '/exchanges', 'Exchanges'],
  ['q', '/queues', 'Queues and Streams'],
  ['r', '/routing', 'Routing'],
  ['l', '/log', 'Log', maySeeNodes],
  ['a', '/users', 'Admin'],
];

const ADMIN = [
  ['/users', 'Users', isAdministrator],
  ['/vhosts', 'Virtual Hosts'],
  ['/policies', 'Policies'],
  ['/operator-policies', 'Operator Policies'],
  ['/limits', 'Limits'],
  ['/feature-flags', 'Feature Flags'],
  ['/deprecated-features', 'Deprecated Features'],
  ['/cluster-name', 'Cluster'],
];

const isAdmin = (path) => ADMIN.some(([of]) => path === of || path.startsWith(`${of}/`));

const THEMES = ['auto', 'light', 'dark'];
let theme = localStorage.getItem('theme') ?? 'auto';

function applyTheme() {
  document.documentElement.dataset.theme = theme;
}

function view() {
  if (!app.user) {
    document.title = 'HareMQ: log in';
    render(document.body, h('div', { key: 'login', class: 'login' }, loginView()), toasts());
    return;
  }
  const { page } = app;
  const title = page.definition.title(page);
  document.title = `${title} – HareMQ`;
  render(
    document.body,
    h(
      'a',
      {
        key: 'skip',
        class: 'skip',
        href: '#main',
        onclick: (event) => {
          event.preventDefault();
          document.getElementById('main').focus();
        },
      },
      'Skip to the page',
    ),
    header(page),
    h(
      'main',
      { key: `main ${page.path}`, id: 'main', tabindex: '-1' },
      isAdmin(page.path)
        ? h(
            'nav',
            { class: 'admin', 'aria-label': 'Admin' },
            ADMIN.filter(([, , may]) => !may || may()).map(([path, name]) =>
              link(path, name, page.path === path || page.path.startsWith(`${path}/`)),
            ),
          )
        : null,
      h('div', { class: 'page', 'data-page': page.path }, h('h1', null, title), page.definition.view(page)),
    ),
    // What is told while a dialog covers the page is told in it.
    app.dialog ? dialog() : toasts(),
  );
}

const link = (path, name, isHere) =>
  h('a', { key: path, href: `#${path}`, 'aria-current': isHere ? 'page' : undefined }, name);

function header(page) {
  const isHere = (path) =>
    path === '/'
      ? page.path === '/' || page.path.startsWith('/nodes')
      : path === '/users'
        ? isAdmin(page.path)
        : page.path === path || page.path.startsWith(`${path}/`);
  return h(
    'header',
    { key: 'header' },
    h(
      'a',
      { class: 'brand', href: '#/' },
      h('img', { src: 'ui/favicon.svg', alt: '', width: '26', height: '26' }),
      'HareMQ',
    ),
    h(
      'nav',
      { class: 'tabs', 'aria-label': 'Pages' },
      TABS.filter(([, , , may]) => !may || may()).map(([, path, name]) =>
        link(path === '/users' && !isAdministrator() ? '/vhosts' : path, name, isHere(path)),
      ),
    ),
    h(
      'div',
      { class: 'corner' },
      h(
        'span',
        {
          class: app.isLive ? 'live on' : 'live',
          role: 'status',
          title: app.isLive ? 'Live: the server pushes what changes' : 'Not connected; trying again',
        },
        h('span', { class: 'hidden' }, app.isLive ? 'Live' : 'Not connected; trying again'),
      ),
      h(
        'label',
        null,
        h('span', { class: 'hidden' }, 'Virtual host '),
        h(
          'select',
          { 'aria-label': 'Virtual host', onchange: (event) => chooseVhost(event.target.value) },
          h('option', { key: 'all', value: '', selected: app.vhost === '' }, 'All virtual hosts'),
          app.vhosts.map((name) => h('option', { key: `v ${name}`, value: name, selected: name === app.vhost }, name)),
        ),
      ),
      h(
        'button',
        { type: 'button', class: 'plain', title: `Colours: ${theme}`, 'data-act': 'theme', onclick: nextTheme },
        theme === 'dark' ? '● Dark' : theme === 'light' ? '○ Light' : '◐ Auto',
      ),
      h('button', { type: 'button', class: 'plain', 'aria-label': 'Keys', title: 'Keys (?)', onclick: showKeys }, '?'),
      h('span', { class: 'who' }, app.user.name),
      h('button', { type: 'button', onclick: logOut }, 'Log out'),
    ),
  );
}

function nextTheme() {
  theme = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length];
  localStorage.setItem('theme', theme);
  applyTheme();
  refresh();
}

function chooseVhost(name) {
  app.vhost = name;
  localStorage.setItem('vhost', name);
  if (app.page.state.list) app.page.state.list.page = 1;
  lookAgain();
  refresh();
}

function dialog() {
  const { title, close, view: inside } = app.dialog;
  return h(
    'dialog',
    {
      key: 'dialog',
      'aria-label': title,
      mounted: (node) => node.showModal(),
      oncancel: (event) => {
        event.preventDefault();
        close();
      },
    },
    h('h2', null, title),
    inside(),
    toasts(),
  );
}

const toasts = () =>
  h(
    'div',
    { key: 'toasts', class: 'toasts', 'aria-live': 'polite' },
    app.toasts.map((told) =>
      h(
        'div',
        { key: told.key, class: told.isBad ? 'toast bad' : 'toast', role: told.isBad ? 'alert' : 'status' },
        h('span', null, told.text),
        h('button', { type: 'button', class: 'plain', 'aria-label': 'Dismiss', onclick: () => dismiss(told) }, '×'),
      ),
    ),
  );

let refused = '';

function loginView() {
  return h(
    'form',
    { class: 'card', onsubmit: enter },
    h('h1', null, h('img', { src: 'ui/favicon.svg', alt: '', width: '40', height: '40' }), 'HareMQ'),
    h(
      'div',
      { class: 'field' },
      h('label', { for: 'username' }, 'Username'),
      h('input', {
        id: 'username',
        name: 'username',
        autocomplete: 'username',
        required: true,
        mounted: (node) => node.focus(),
      }),
    ),
    h(
      'div',
      { class: 'field' },
      h('label', { for: 'password' }, 'Password'),
      h('input', { id: 'password', name: 'password', type: 'password', autocomplete: 'current-password' }),
    ),
    refused ? h('p', { class: 'refused', role: 'alert' }, refused) : null,
    h('button', { type: 'submit', class: 'primary' }, 'Log in'),
  );
}

async function enter(event) {
  event.preventDefault();
  const { username, password } = event.target.elements;
  try {
    await logIn(username.value, password.value);
    refused = '';
    await begin();
  } catch (why) {
    refused = why.status === 401 ? 'Login failed.' : why.message;
    refresh();
  }
}

async function begin() {
  app.user = await send({ path: 'whoami' });
  await knowVhosts();
  follow();
}

async function logOut() {
  try {
    await send({ method: 'DELETE', path: 'login' });
  } finally {
    leave();
  }
}

function showKeys() {
  const close = () => {
    app.dialog = null;
    refresh();
  };
  const keys = [
    ...TABS.map(([key, , name]) => [`g ${key}`, name]),
    ['/', 'To the filter'],
    ['n', 'Open what adds something'],
    ['t', 'Colours: auto, light, dark'],
    ['?', 'These keys'],
    ['Esc', 'Close'],
  ];
  app.dialog = {
    title: 'Keys',
    close,
    view: () =>
      h(
        'div',
        null,
        h(
          'dl',
          { class: 'keys' },
          keys.map(([key, what]) => h('div', { key }, h('dt', null, h('kbd', null, key)), h('dd', null, what))),
        ),
        h('div', { class: 'buttons' }, h('button', { type: 'button', onclick: close }, 'Close')),
      ),
  };
  refresh();
}

let isGoing = false;

addEventListener('keydown', (event) => {
  if (
    !app.user ||
    app.dialog ||
    event.ctrlKey ||
    event.metaKey ||
    event.altKey ||
    event.target.matches('input, textarea, select')
  )
    return;
  if (isGoing) {
    isGoing = false;
    const tab = TABS.find(([key]) => key === event.key);
    if (tab) location.hash = tab[1];
    return;
  }
  if (event.key === 'g') {
    isGoing = true;
    setTimeout(() => (isGoing = false), 1500);
  } else if (event.key === '/') {
    event.preventDefault();
    document.querySelector('.search')?.focus();
  } else if (event.key === 'n') {
    const adds = document.querySelector('details[data-section^="Add"], details[data-section^="Set"]');
    if (!adds) return;
    event.preventDefault();
    adds.open = true;
    adds.querySelector('input, select')?.focus();
  } else if (event.key === 't') nextTheme();
  else if (event.key === '?') showKeys();
});

applyTheme();
onRefresh(view);
addEventListener('hashchange', () => {
  if (!app.user) return;
  app.dialog = null;
  follow();
});

try {
  await begin();
} catch {
  app.user = null;
}
refresh();
