// What is known and where the user is. Pages read it; whoever changes it calls `refresh`.
//
//   hash -> page -> its sources -> server-sent events -> answers -> view -> elements
//
// A page has `sources(page)`, paths below api/ that the server asks once a second on its behalf, and `view(page)`.

import { query, reasonOf, send } from './api.js';

export const app = {
  // As /api/whoami says it, null until somebody has logged in.
  user: null,
  vhosts: [],
  // The vhost that lists are limited to, or ''.
  vhost: localStorage.getItem('vhost') ?? '',
  page: null,
  isLive: false,
  // The form or question that covers the page.
  dialog: null,
  toasts: [],
};

let draw = () => {};
let isDue = false;

export function onRefresh(render) {
  draw = render;
}

// Draws once in the next frame, however often it is called.
export function refresh() {
  if (isDue) return;
  isDue = true;
  // A page that nobody sees gets no frames.
  const soon = document.hidden ? (then) => setTimeout(then, 0) : requestAnimationFrame;
  soon(() => {
    isDue = false;
    draw();
  });
}

const routes = [];

// Patterns are those of RabbitMQ's pages: /queues/:vhost/:name.
export function route(pattern, definition) {
  const names = [];
  const shape = pattern.replaceAll(/:(\w+)/g, (_, name) => {
    names.push(name);
    return '([^/]*)';
  });
  routes.push({ shape: new RegExp(`^${shape}$`), names, definition });
}

// A link to a page: to`/queues/${vhost}/${name}`.
export function to(texts, ...names) {
  return '#' + texts.reduce((path, text, index) => path + encodeURIComponent(names[index - 1]) + text);
}

export function follow() {
  const hash = location.hash.replace(/^#/, '') || '/';
  const path = hash.split('?')[0];
  for (const { shape, names, definition } of routes) {
    const found = shape.exec(path);
    if (!found) continue;
    let values;
    try {
      values = found.slice(1).map(decodeURIComponent);
    } catch {
      break;
    }
    const params = Object.fromEntries(names.map((name, index) => [name, values[index]]));
    app.page = { definition, path, params, state: {}, answers: [] };
    look();
    scrollTo(0, 0);
    refresh();
    return;
  }
  app.page = {
    definition: { title: () => 'Not found', view: () => 'There is no such page.' },
    path,
    params: {},
    state: {},
    answers: [],
  };
  look();
  refresh();
}

let stream = null;
let watched = { page: null, of: '' };

// Lets the server push what the page shows. To be called when its sources may have changed.
export function look() {
  const { page } = app;
  const sources = page?.definition.sources?.(page) ?? [];
  const of = sources.map((path) => `of=${encodeURIComponent(path)}`).join('&');
  if (stream && watched.page === page && watched.of === of) return;
  stream?.close();
  stream = null;
  watched = { page, of };
  if (!of || !app.user || document.hidden) return;
  const opened = new EventSource(`api/haremq/live?${of}`);
  stream = opened;
  sources.forEach((_, index) => {
    opened.addEventListener(String(index), (event) => {
      if (app.page !== page || stream !== opened) return;
      app.isLive = true;
      page.answers[index] = { ...JSON.parse(event.data), at: Date.now() };
      refresh();
    });
  });
  opened.onopen = () => {
    app.isLive = true;
    refresh();
  };
  opened.onerror = () => {
    if (stream !== opened) return;
    app.isLive = false;
    // It ended, or was refused: whether the login has ended the browser does not say.
    opened.close();
    setTimeout(() => stream === opened && ask(), AGAIN_MS);
    refresh();
  };
}

const AGAIN_MS = 1000;

// Asks at once, as after an action.
export function lookAgain() {
  stream?.close();
  stream = null;
  look();
}

async function ask() {
  try {
    await send({ path: 'whoami' });
  } catch (refused) {
    if (refused.status === 401) return leave();
  }
  lookAgain();
}

// Shows the login.
export function leave() {
  app.user = null;
  app.dialog = null;
  stream?.close();
  stream = null;
  refresh();
}

document.addEventListener('visibilitychange', () => {
  if (app.user) lookAgain();
});

// The body that a source of the page answered, or undefined.
export function answer(page, index) {
  const found = page.answers[index];
  return found?.status === 200 ? found.body : undefined;
}

// Why there is no body, or undefined while it is awaited.
export function refusal(page, index) {
  const found = page.answers[index];
  if (!found || found.status === 200) return undefined;
  return found.status === 404 ? 'It is not there (any more).' : reasonOf(found.status, found.body);
}

export const isAdministrator = () => app.user?.tags.includes('administrator') ?? false;
export const maySeeNodes = () => isAdministrator() || (app.user?.tags.includes('monitoring') ?? false);
export const mayMakePolicies = () => isAdministrator() || (app.user?.tags.includes('policymaker') ?? false);

// The path of a list, within the vhost that was chosen.
export function inVhost(kind, fields = {}) {
  return query(app.vhost ? `${kind}/${encodeURIComponent(app.vhost)}` : kind, fields);
}

export function toast(text, isBad = false) {
  const told = { text, isBad, key: Math.random() };
  app.toasts.push(told);
  setTimeout(() => dismiss(told), isBad ? 12000 : 4000);
  refresh();
}

export function dismiss(told) {
  app.toasts = app.toasts.filter((other) => other !== told);
  refresh();
}

// Sends a change and tells what came of it. Answers the body, or undefined if it was refused.
export async function act(request, done) {
  try {
    const body = await send(request);
    if (done) toast(typeof done === 'function' ? done(body) : done);
    lookAgain();
    return body;
  } catch (refused) {
    if (refused.status === 401 && !(await isLoggedIn())) leave();
    else toast(refused.message, true);
    return undefined;
  }
}

async function isLoggedIn() {
  try {
    await send({ path: 'whoami' });
    return true;
  } catch (refused) {
    return refused.status !== 401;
  }
}

// Reads which vhosts there are, for the choices of forms and lists.
export async function knowVhosts() {
  try {
    app.vhosts = (await send({ path: 'vhosts?columns=name' })).map(({ name }) => name);
  } catch {
    app.vhosts = [];
  }
  if (!app.vhosts.includes(app.vhost)) app.vhost = '';
}
