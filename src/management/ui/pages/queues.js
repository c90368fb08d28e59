// Queues, and one of them with all that can be done to it.

import { answer, inVhost, to } from '../app.js';
import { at, query } from '../api.js';
import { histogram } from '../chart.js';
import { ask, asks, does, form, section } from '../form.js';
import { bytes, count, micros, rate } from '../format.js';
import {
  activity,
  ageChoice,
  awaited,
  durabilityField,
  facts,
  features,
  fields,
  isMany,
  messageCharts,
  OBJECT_AGES,
  queueLink,
  samples,
  state,
  targetFields,
  tile,
  vhostField,
} from '../parts.js';
import { list, listPath, listState } from '../table.js';
import { h } from '../dom.js';
import { bindForm, bindings, publishForm } from './exchanges.js';
import { consumers } from './channels.js';
import { browser, getForm, messages } from './messages.js';

const per = (field, title, id) => ({
  id,
  title,
  sort: `message_stats.${field}_details.rate`,
  right: true,
  value: (one) => rate(one.message_stats?.[`${field}_details`]?.rate),
});

const ARGUMENTS = [
  ['x-message-ttl', 'Number'],
  ['x-expires', 'Number'],
  ['x-max-length', 'Number'],
  ['x-max-length-bytes', 'Number'],
  ['x-overflow', 'String', 'reject-publish'],
  ['x-dead-letter-exchange', 'String'],
  ['x-dead-letter-routing-key', 'String'],
  ['x-single-active-consumer', 'Boolean', 'true'],
  ['x-max-priority', 'Number', '10'],
  ['x-delivery-limit', 'Number'],
  ['x-consumer-timeout', 'Number'],
  ['x-durability', 'String', 'fsync'],
];

const path = (one) => at`queues/${one.vhost}/${one.name}`;
const isPaused = (one) => one.state === 'paused';

const queues = {
  title: () => 'Queues and Streams',
  sources: (page) => [listPath(inVhost('queues'), listState(page))],
  view: (page) => [
    list(page, 0, {
      id: 'queues',
      what: 'queues',
      key: (one) => `${one.vhost} ${one.name}`,
      empty: 'No queues.',
      columns: [
        isMany() && { id: 'vhost', title: 'Virtual host', sort: 'vhost', value: (one) => one.vhost },
        { id: 'name', title: 'Name', sort: 'name', value: (one) => queueLink(one.vhost, one.name) },
        { id: 'type', title: 'Type', sort: 'type', value: (one) => one.type },
        { id: 'features', title: 'Features', value: features },
        {
          id: 'state',
          title: 'State',
          sort: 'state',
          value: activity,
        },
        { id: 'ready', title: 'Ready', sort: 'messages_ready', right: true, value: (one) => count(one.messages_ready) },
        {
          id: 'unacked',
          title: 'Unacked',
          sort: 'messages_unacknowledged',
          right: true,
          value: (one) => count(one.messages_unacknowledged),
        },
        { id: 'total', title: 'Total', sort: 'messages', right: true, value: (one) => count(one.messages) },
        per('publish', 'Incoming', 'incoming'),
        per('deliver_get', 'Deliver / get', 'deliver'),
        per('ack', 'Ack', 'ack'),
        {
          id: 'consumers',
          title: 'Consumers',
          sort: 'consumers',
          right: true,
          off: true,
          value: (one) => count(one.consumers),
        },
        {
          id: 'bytes',
          title: 'Message bytes',
          sort: 'message_bytes',
          right: true,
          off: true,
          value: (one) => bytes(one.message_bytes),
        },
        { id: 'durability', title: 'On disk', off: true, value: (one) => one.durability },
        { id: 'shard', title: 'Shard', sort: 'shard', right: true, off: true, value: (one) => count(one.shard) },
      ],
      bulk: [
        {
          title: 'Purge',
          question: (many) => `Purge ${many} queues?`,
          text: 'All ready messages in them are lost.',
          request: (one) => ({ method: 'DELETE', path: `${path(one)}/contents` }),
          done: 'Purged',
        },
        {
          title: 'Delete',
          question: (many) => `Delete ${many} queues?`,
          text: 'They and all their messages are lost.',
          request: (one) => ({ method: 'DELETE', path: path(one) }),
          done: 'Deleted',
        },
        {
          title: 'Pause',
          danger: false,
          question: (many) => `Pause ${many} queues?`,
          text: 'Their consumers get nothing until they are resumed.',
          request: (one) => ({ method: 'PUT', path: at`haremq/queues/${one.vhost}/${one.name}/pause` }),
          done: 'Paused',
        },
        {
          title: 'Resume',
          danger: false,
          question: (many) => `Resume ${many} queues?`,
          request: (one) => ({ method: 'PUT', path: at`haremq/queues/${one.vhost}/${one.name}/resume` }),
          done: 'Resumed',
        },
      ],
    }),
    section(
      'Add a new queue',
      false,
      form('add-queue', {
        fields: [
          vhostField(),
          {
            name: 'type',
            label: 'Type',
            type: 'select',
            options: [
              ['classic', 'Classic'],
              ['quorum', 'Quorum (durable, delivery limit 20)'],
            ],
            value: 'classic',
            hint: 'Streams are not served.',
          },
          { name: 'name', label: 'Name', required: true },
          durabilityField,
          { name: 'autoDelete', label: 'Auto delete', type: 'checkbox' },
          { name: 'args', label: 'Arguments', type: 'table', known: ARGUMENTS },
        ],
        request: ({ vhost, type, name, durability, autoDelete, args }) => ({
          method: 'PUT',
          path: at`queues/${vhost}/${name}`,
          body: {
            durable: durability === 'durable',
            auto_delete: autoDelete,
            arguments: { 'x-queue-type': type, ...args },
          },
        }),
        submit: 'Add queue',
        done: 'Queue added.',
      }),
    ),
  ],
};

const queue = {
  ages: OBJECT_AGES,
  title: (page) => `Queue ${page.params.name}`,
  sources: (page) => {
    const { vhost, name } = page.params;
    return [
      query(at`queues/${vhost}/${name}`, samples(page, 'lengths', 'msg_rates')),
      at`queues/${vhost}/${name}/bindings`,
      at`haremq/queues/${vhost}/${name}/latency`,
    ];
  },
  view(page) {
    const { vhost, name } = page.params;
    const one = answer(page, 0);
    if (!one) return awaited(page);
    const times = answer(page, 2);
    return [
      h(
        'div',
        { class: 'tiles' },
        tile('Ready', count(one.messages_ready)),
        tile('Unacked', count(one.messages_unacknowledged)),
        tile('Total', count(one.messages)),
        tile('Incoming', rate(one.message_stats?.publish_details?.rate) || '0/s'),
        tile('Delivered', rate(one.message_stats?.deliver_get_details?.rate) || '0/s'),
        tile('Consumers', count(one.consumers)),
        tile('Oldest ready', times?.oldest_ready_us === null || !times ? '–' : micros(times.oldest_ready_us)),
      ),
      h(
        'div',
        { class: 'tools' },
        ageChoice(page),
        does(
          isPaused(one) ? 'Resume' : 'Pause',
          { method: 'PUT', path: at`haremq/queues/${vhost}/${name}/${isPaused(one) ? 'resume' : 'pause'}` },
          isPaused(one) ? 'Queue resumed.' : 'Queue paused: its consumers get nothing.',
        ),
      ),
      messageCharts(one, one.message_stats),
      section(
        'Details',
        true,
        facts([
          ['Virtual host', one.vhost],
          ['Type', one.type],
          ['Features', features(one)],
          ['State', state(one.state)],
          ['Idle since', one.idle_since],
          ['Arguments', fields(one.arguments)],
          ['Policy', one.policy],
          ['Operator policy', one.operator_policy],
          [
            'In force by policy',
            Object.keys(one.effective_policy_definition ?? {}).length
              ? fields(one.effective_policy_definition)
              : undefined,
          ],
          ['On disk', one.durability],
          [
            'Consumer utilisation',
            one.consumer_utilisation === undefined ? undefined : `${Math.round(one.consumer_utilisation * 100)}%`,
          ],
          [
            'Message bytes',
            `${bytes(one.message_bytes)}, ready ${bytes(one.message_bytes_ready)}, unacked ${bytes(one.message_bytes_unacknowledged)}`,
          ],
          ['Persistent', `${count(one.messages_persistent)}, ${bytes(one.message_bytes_persistent)}`],
          ['Memory', bytes(one.memory)],
          ['Shard', count(one.shard)],
        ]),
      ),
      section(
        'Latencies',
        false,
        h(
          'div',
          { class: 'charts' },
          histogram('Time in queue', times?.time_in_queue),
          histogram('Until safe on disk', times?.arrival_to_safe),
          histogram('Deliver to ack', times?.deliver_to_ack),
        ),
      ),
      section('Consumers', true, consumers('consumers', one.consumer_details, { channel: true })),
      section(
        'Bindings',
        true,
        bindings('bindings', answer(page, 1), { source: true }),
        h('h3', null, 'Add a binding to this queue'),
        bindForm('bind', vhost, { queue: name }),
      ),
      section('Publish message', false, publishForm(vhost, '', { fixed: name })),
      section('Messages', true, browser(page, one)),
      section('Get messages', false, getForm(page, one)),
      section('Move messages', false, moveSome(one)),
      section(
        'Purge or delete',
        false,
        h(
          'div',
          { class: 'buttons' },
          asks('Purge messages', `Purge ${name}?`, {
            submit: 'Purge',
            text: `${count(one.messages_ready)} ready messages are lost; what consumers hold stays.`,
            request: () => ({ method: 'DELETE', path: `${path(one)}/contents` }),
            done: 'Queue purged.',
          }),
          h('button', { type: 'button', class: 'danger', onclick: () => purgeSome(one) }, 'Purge some'),
          asks('Delete queue', `Delete the queue ${name}?`, {
            submit: 'Delete queue',
            text: `It and its ${count(one.messages)} messages are lost.`,
            fields: [
              { name: 'unused', label: 'Only if it has no consumers', type: 'checkbox' },
              { name: 'empty', label: 'Only if it is empty', type: 'checkbox' },
            ],
            done: 'Queue deleted.',
            request: ({ unused, empty }) => ({
              method: 'DELETE',
              path: query(path(one), { 'if-unused': unused, 'if-empty': empty }),
            }),
            then: () => (location.hash = to`/queues`),
          }),
        ),
      ),
    ];
  },
};

// What the server takes.
const AT_ONCE = 20000;

const firstField = {
  name: 'first',
  label: 'How many',
  type: 'number',
  min: 1,
  max: AT_ONCE,
  required: true,
  hint: `At most ${count(AT_ONCE)} at a time.`,
};

function purgeSome(one) {
  ask(`Purge some of ${one.name}`, {
    submit: 'Purge',
    text: 'Those that would leave the queue first are deleted; they are not dead-lettered.',
    fields: [firstField],
    request: ({ first }) => ({ method: 'DELETE', path: messages(one), body: { first } }),
    done: ({ deleted }) => `${count(deleted)} messages deleted.`,
  });
}

function moveSome(one) {
  return form('move', {
    text: 'Moves what is ready now, from the front, without a shovel. Each message is deleted here only when where it goes has confirmed it.',
    fields: [...targetFields, firstField],
    request: ({ where, name, first }) => ({
      method: 'POST',
      path: `${messages(one)}/move`,
      body: { first, [where]: name },
    }),
    submit: 'Move messages',
    done: ({ moved, failed }) =>
      `${count(moved)} messages moved${failed.length ? `, ${count(failed.length)} not: ${failed[0].reason}` : ''}.`,
  });
}

export const ROUTES = [
  ['/queues', queues],
  ['/queues/:vhost/:name', queue],
];
