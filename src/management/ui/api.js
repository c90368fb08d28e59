// Requests to the HTTP API, each also as a line for a shell.

// The path below api/ with every name in it encoded: at`queues/${vhost}/${name}`. Undefined parts are left out.
export function at(texts, ...names) {
  return texts.reduce((path, text, index) => path + encodeURIComponent(names[index - 1]) + text);
}

// A query of what is neither undefined nor empty.
export function query(path, fields) {
  const pairs = Object.entries(fields).filter(([, value]) => value !== undefined && value !== '' && value !== false);
  const text = pairs.map(([name, value]) => `${encodeURIComponent(name)}=${encodeURIComponent(value)}`).join('&');
  return text ? `${path}?${text}` : path;
}

class Refused extends Error {
  constructor(status, reason) {
    super(reason);
    this.status = status;
  }
}

// Answers the body, or null if there is none. `request` has method, path, and maybe body and headers.
export async function send({ method = 'GET', path, body, headers }) {
  const all = { 'X-Requested-With': 'HareMQ', ...headers };
  if (body !== undefined) all['Content-Type'] = 'application/json';
  let answer;
  try {
    const text = body === undefined ? undefined : JSON.stringify(body);
    answer = await fetch(`api/${path}`, { method, headers: all, body: text, credentials: 'same-origin' });
  } catch {
    throw new Refused(0, 'The server does not answer.');
  }
  return read(answer);
}

async function read(answer) {
  const text = await answer.text();
  let body = null;
  try {
    body = text ? JSON.parse(text) : null;
  } catch {
    body = text;
  }
  if (!answer.ok) throw new Refused(answer.status, reasonOf(answer.status, body));
  return body;
}

export function reasonOf(status, body) {
  const reason = body?.reason ?? body?.error ?? body;
  if (reason === null || reason === undefined || reason === '') return `The server answered ${status}.`;
  return typeof reason === 'string' ? reason : JSON.stringify(reason);
}

export async function logIn(username, password) {
  const form = new URLSearchParams({ username, password });
  const headers = { 'X-Requested-With': 'HareMQ' };
  await read(await fetch('api/login', { method: 'POST', headers, body: form, credentials: 'same-origin' }));
}

// The same request for a shell. The password is asked for and stands nowhere.
export function curl({ method = 'GET', path, body, headers }, user) {
  const parts = ['curl', '-u', quoted(user)];
  if (method !== 'GET') parts.push('-X', method);
  for (const [name, value] of Object.entries(headers ?? {})) parts.push('-H', quoted(`${name}: ${value}`));
  if (body !== undefined)
    parts.push('-H', quoted('Content-Type: application/json'), '-d', quoted(JSON.stringify(body)));
  return [...parts, quoted(new URL(`api/${path}`, document.baseURI).href)].join(' ');
}

const quoted = (text) => `'${String(text).replaceAll("'", "'\\''")}'`;
