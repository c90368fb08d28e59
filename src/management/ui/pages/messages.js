// The messages of a queue: looked at without taking them, and chosen ones deleted, moved or published again; and RabbitMQ's
// way of getting them.

import { act, app, refresh } from '../app.js';
import { at, query } from '../api.js';
import { ask, form } from '../form.js';
import { bytes, count, exchangeName } from '../format.js';
import { badge, fields, targetFields } from '../parts.js';
import { h } from '../dom.js';
import { decoded, likelyKind, octets } from './payload.js';
import { publishForm } from './exchanges.js';

const TRUNCATED_BYTES = 50000;
const PAGE_MESSAGES = 50;

// Where the API has what waits in a queue.
export const messages = (one) => at`haremq/queues/${one.vhost}/${one.name}/messages`;

// Looks at what is ready, from the front or from a position on, as it is asked for.
export function browser(page, one) {
  const seen = (page.state.messages ??= {
    items: null,
    chosen: new Set(),
    open: new Set(),
    as: new Map(),
    cursors: [],
    next: null,
  });
  const show = async (cursor) => {
    const found = await act({
      path: query(messages(one), { ...seen.asked, count: PAGE_MESSAGES, truncate: TRUNCATED_BYTES, cursor }),
    });
    if (!found) return;
    Object.assign(seen, { items: found.messages, looked: found.looked_at, next: found.cursor });
    seen.chosen.clear();
    seen.open.clear();
    refresh();
  };
  const begin = (request) => {
    seen.asked = request;
    seen.cursors = [undefined];
    return show(undefined);
  };
  const chosen = () => seen.items.filter(({ position }) => seen.chosen.has(position));
  return [
    h(
      'p',
      { class: 'quiet' },
      'Looking takes nothing: messages stay in their places and are not marked as redelivered.',
    ),
    form('browse', {
      keep: true,
      submit: 'Show messages',
      fields: [
        { name: 'key', label: 'Routing key is' },
        { name: 'header', label: 'Header is', placeholder: 'name:value' },
        { name: 'body', label: 'Body contains' },
        { name: 'from', label: 'From position', type: 'number', min: 0 },
      ],
      request: (values) => ({
        path: query(messages(one), { ...values, count: PAGE_MESSAGES, truncate: TRUNCATED_BYTES }),
        values,
      }),
      send: async ([{ values }]) => {
        await begin(values);
        return [];
      },
    }),
    seen.items && [
      h(
        'div',
        { class: 'tools' },
        h(
          'span',
          { role: 'status', class: 'quiet' },
          seen.items.length ? `${count(seen.items.length)} shown` : 'No messages',
          seen.next && seen.looked > seen.items.length ? ` of ${count(seen.looked)} looked at` : '',
        ),
        h(
          'button',
          {
            type: 'button',
            disabled: seen.cursors.length < 2,
            onclick: () => {
              seen.cursors.pop();
              show(seen.cursors.at(-1));
            },
          },
          'Before',
        ),
        h(
          'button',
          {
            type: 'button',
            disabled: !seen.next,
            onclick: () => {
              seen.cursors.push(seen.next);
              show(seen.next);
            },
          },
          'Next',
        ),
        seen.items.length
          ? h(
              'button',
              {
                type: 'button',
                onclick: () => {
                  seen.chosen = new Set(
                    seen.chosen.size === seen.items.length ? [] : seen.items.map((item) => item.position),
                  );
                  refresh();
                },
              },
              seen.chosen.size === seen.items.length ? 'Choose none' : 'Choose all shown',
            )
          : null,
        h(
          'button',
          {
            type: 'button',
            disabled: !seen.chosen.size,
            onclick: () => moveChosen(one, chosen(), () => show(seen.cursors.at(-1))),
          },
          `Move ${count(seen.chosen.size)}`,
        ),
        h(
          'button',
          {
            type: 'button',
            class: 'danger',
            disabled: !seen.chosen.size,
            onclick: () => deleteChosen(one, chosen(), () => show(seen.cursors.at(-1))),
          },
          `Delete ${count(seen.chosen.size)}`,
        ),
        seen.items.length
          ? h(
              'button',
              { type: 'button', onclick: () => download(one, seen.chosen.size ? chosen() : seen.items) },
              'Download',
            )
          : null,
      ),
      h(
        'ol',
        { class: 'messages' },
        seen.items.map((message) => messageView(one, message, seen, message.position)),
      ),
    ],
  ];
}

function toggle(set, value) {
  set.delete(value) || set.add(value);
  refresh();
}

function messageView(one, message, seen, id) {
  const isOpen = seen.open.has(id);
  const { payload } = message;
  const preview =
    message.payload_encoding === 'string'
      ? payload.slice(0, 160)
      : `${count(message.payload_bytes)} bytes that are no text`;
  return h(
    'li',
    { key: id, class: 'message', 'data-position': String(id) },
    h(
      'div',
      { class: 'line' },
      message.position === undefined
        ? null
        : h('input', {
            type: 'checkbox',
            'aria-label': `Choose message ${id}`,
            checked: seen.chosen.has(id),
            onchange: () => toggle(seen.chosen, id),
          }),
      h(
        'button',
        { type: 'button', class: 'plain', 'aria-expanded': String(isOpen), onclick: () => toggle(seen.open, id) },
        isOpen ? '▾' : '▸',
        ' ',
        message.position === undefined ? `Message ${id + 1}` : `#${id}`,
      ),
      h('span', null, exchangeName(message.exchange), ' → ', h('strong', null, message.routing_key || '(no key)')),
      message.redelivered ? badge('redelivered', 'it was delivered before') : null,
      message.priority ? badge(`priority ${message.priority}`, 'priority') : null,
      h('span', { class: 'quiet' }, bytes(message.payload_bytes)),
      isOpen ? null : h('code', { class: 'preview' }, preview),
    ),
    isOpen ? openView(one, message, seen, id) : null,
  );
}

// What is in a message. It is decoded for those alone that are open.
function openView(one, message, seen, id) {
  const { properties } = message;
  const shown = seen.as.get(id) ?? likelyKind(message);
  const length = octets(message).length;
  const isCut = message.payload_bytes > length;
  return h(
    'div',
    { class: 'open' },
    h('h4', null, 'Properties'),
    fields({ ...properties, headers: undefined }),
    h('h4', null, 'Headers'),
    fields(properties.headers),
    h('h4', null, 'Payload', isCut ? h('span', { class: 'quiet' }, ` (the first ${bytes(length)})`) : null),
    h(
      'div',
      { class: 'tools' },
      ['text', 'JSON', 'hex', 'base64'].map((as) =>
        h(
          'button',
          {
            key: as,
            type: 'button',
            'aria-pressed': String(shown === as),
            onclick: () => {
              seen.as.set(id, as);
              refresh();
            },
          },
          as,
        ),
      ),
      h(
        'button',
        {
          type: 'button',
          disabled: isCut,
          title: isCut ? 'Only part of it is here' : '',
          onclick: () => republish(one, message),
        },
        'Edit and publish again',
      ),
    ),
    h('pre', { class: 'payload', tabindex: '0' }, decoded(message, shown)),
  );
}

function moveChosen(one, chosen, then) {
  ask(`Move ${count(chosen.length)} messages`, {
    submit: `Move ${count(chosen.length)}`,
    danger: false,
    text: 'Each is deleted here only when where it goes has confirmed it.',
    fields: [
      ...targetFields,
      { name: 'key', label: 'Routing key, of an exchange', hint: 'Empty: each keeps its own.' },
    ],
    request: ({ where, name, key }) => ({
      method: 'POST',
      path: `${messages(one)}/move`,
      body: {
        positions: chosen.map((message) => message.position),
        [where]: name,
        ...(where === 'exchange' && key && { routing_key: key }),
      },
    }),
    done: ({ moved, failed }) =>
      `${count(moved)} moved${failed.length ? `, ${count(failed.length)} not: ${failed[0].reason}` : ''}.`,
    then,
  });
}

function deleteChosen(one, chosen, then) {
  ask(`Delete ${count(chosen.length)} messages?`, {
    submit: `Delete ${count(chosen.length)}`,
    text: 'They are not dead-lettered.',
    request: () => ({
      method: 'DELETE',
      path: messages(one),
      body: { positions: chosen.map((message) => message.position) },
    }),
    done: ({ deleted, missing }) =>
      `${count(deleted)} deleted${missing.length ? `, ${count(missing.length)} were gone` : ''}.`,
    then,
  });
}

function republish(one, message) {
  const { headers, delivery_mode: mode, ...properties } = message.properties;
  const plain = Object.fromEntries(
    Object.entries(headers ?? {}).filter(([, value]) => typeof value !== 'object' || Array.isArray(value)),
  );
  const close = () => {
    app.dialog = null;
    refresh();
  };
  const first = {
    id: `republish ${Math.random()}`,
    key: message.routing_key,
    payload: message.payload,
    headers: plain,
    properties,
    persistent: mode === 2,
    encoding: message.payload_encoding,
    then: close,
  };
  app.dialog = {
    title: 'Edit and publish again',
    close,
    view: () =>
      h(
        'div',
        null,
        h('p', { class: 'quiet' }, `To ${exchangeName(message.exchange)}; the message itself stays here.`),
        publishForm(one.vhost, message.exchange, first),
        h('div', { class: 'buttons' }, h('button', { type: 'button', onclick: close }, 'Cancel')),
      ),
  };
  refresh();
}

// One message a line, as JSON.
function download(one, items) {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(
    new Blob([items.map((item) => JSON.stringify(item)).join('\n') + '\n'], { type: 'application/x-ndjson' }),
  );
  link.download = `${one.name.replaceAll(/[^A-Za-z0-9._-]/g, '_')}.ndjson`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

const MODES = [
  ['ack_requeue_true', 'Nack message requeue true'],
  ['ack_requeue_false', 'Automatic ack'],
  ['reject_requeue_true', 'Reject requeue true'],
  ['reject_requeue_false', 'Reject requeue false'],
];

// RabbitMQ's way: a consumer of so many messages.
export function getForm(page, one) {
  const seen = (page.state.got ??= { items: null, chosen: new Set(), open: new Set(), as: new Map() });
  return [
    h(
      'p',
      { class: 'quiet' },
      'This takes messages as a consumer does: they are marked as redelivered if they go back. To look only, see Messages.',
    ),
    form('get', {
      keep: true,
      submit: 'Get messages',
      fields: [
        { name: 'ackmode', label: 'Ack mode', type: 'select', options: MODES, value: 'ack_requeue_true' },
        {
          name: 'encoding',
          label: 'Encoding',
          type: 'select',
          options: [
            ['auto', 'Auto string / base64'],
            ['base64', 'base64'],
          ],
          value: 'auto',
        },
        { name: 'count', label: 'Messages', type: 'number', min: 1, value: '1', required: true },
      ],
      request: (values) => ({
        method: 'POST',
        path: at`queues/${one.vhost}/${one.name}/get`,
        body: { ...values, truncate: TRUNCATED_BYTES },
      }),
      send: async ([request]) => {
        const got = await act(request);
        if (got) Object.assign(seen, { items: got, open: new Set(got.keys()) });
        return [got];
      },
    }),
    seen.items &&
      (seen.items.length
        ? h(
            'ol',
            { class: 'messages' },
            seen.items.map((message, index) => messageView(one, message, seen, index)),
          )
        : h('p', { class: 'quiet', role: 'status' }, 'Queue is empty')),
  ];
}
