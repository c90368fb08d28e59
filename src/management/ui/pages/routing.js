// Where messages go from an exchange: a picture of its bindings, and what becomes of a message that is only tried.

import { act, answer, app, inVhost, refresh, to } from '../app.js';
import { at, query, send } from '../api.js';
import { form } from '../form.js';
import { count, exchangeName } from '../format.js';
import { firstVhost } from '../parts.js';
import { h } from '../dom.js';

const NODES_MAX = 150;
const DEAD_LETTERS_MAX = 40;
const [WIDE, TALL, NODE_WIDTH, NODE_HEIGHT] = [300, 46, 180, 32];

const routing = {
  title: (page) =>
    page.params.name === undefined
      ? 'Routing'
      : `Routing from ${exchangeName(page.params.name === 'amq.default' ? '' : page.params.name)}`,
  sources: () => [query(inVhost('exchanges'), { columns: 'name,vhost,type' })],
  view(page) {
    const { vhost = firstVhost(), name } = page.params;
    const all = (answer(page, 0) ?? []).filter((one) => one.vhost === vhost);
    const { state } = page;
    if (name !== undefined && state.drawn !== name) {
      state.drawn = name;
      draw(page, vhost, name === 'amq.default' ? '' : name);
    }
    return [
      h(
        'p',
        null,
        'From ',
        h(
          'select',
          {
            'aria-label': 'Exchange',
            'data-act': 'exchange',
            onchange: (event) => event.target.value && (location.hash = to`/routing/${vhost}/${event.target.value}`),
          },
          h('option', { key: 'none', value: '' }, 'choose an exchange'),
          all.map((one) =>
            h(
              'option',
              { key: one.name, value: one.name || 'amq.default', selected: (one.name || 'amq.default') === name },
              `${exchangeName(one.name)} (${one.type})`,
            ),
          ),
        ),
        ` in ${vhost}`,
      ),
      name === undefined
        ? null
        : [
            h(
              'div',
              { class: 'card' },
              h('h2', null, 'Try a message'),
              form('explain', {
                text: 'Nothing is published: this only says where it would go.',
                keep: true,
                submit: 'Try',
                fields: [
                  { name: 'key', label: 'Routing key' },
                  { name: 'headers', label: 'Headers', one: 'header', type: 'table' },
                ],
                request: ({ key, headers }) => ({
                  method: 'POST',
                  path: at`haremq/explain/${vhost}`,
                  body: { exchange: name === 'amq.default' ? '' : name, routing_key: key, headers },
                }),
                send: async ([request]) => {
                  state.tried = await act(request);
                  return [state.tried];
                },
              }),
              state.tried ? tried(vhost, state.tried) : null,
            ),
            state.graph
              ? picture(vhost, state.graph, state.tried)
              : h('p', { class: 'quiet', role: 'status' }, 'Loading…'),
          ],
    ];
  },
};

function tried(vhost, one) {
  return h(
    'div',
    { class: one.routed ? 'notice good' : 'notice', role: 'status', 'data-act': 'tried' },
    h(
      'strong',
      null,
      one.routed
        ? `It would reach ${count(one.queues.length)} ${one.queues.length === 1 ? 'queue' : 'queues'}. `
        : 'It would reach no queue. ',
    ),
    one.routed
      ? one.queues.slice(0, 20).map((name) => h('a', { key: name, href: to`/queues/${vhost}/${name}` }, name, ' '))
      : one.explanation,
    h(
      'ol',
      null,
      one.exchanges.map((step) =>
        h(
          'li',
          { key: step.exchange },
          exchangeName(step.exchange),
          step.exists
            ? ` (${step.type}): ${count(step.bindings.length)} ${step.bindings.length === 1 ? 'binding takes' : 'bindings take'} it`
            : ': there is no such exchange',
          step.alternate_taken ? `; led on to the alternate exchange ${step.alternate_exchange}` : '',
        ),
      ),
    ),
  );
}

const edgeKey = (one) => JSON.stringify([one.source, one.destination_type, one.destination, one.properties_key]);

// Follows the bindings from an exchange, as far as a picture has room.
async function draw(page, vhost, root) {
  const nodes = new Map([[`e ${root}`, { kind: 'e', name: root, depth: 0 }]]);
  const edges = [];
  const waiting = [root];
  let isCut = false;
  const add = (kind, name, depth) => {
    const key = `${kind} ${name}`;
    if (nodes.has(key)) return key;
    if (nodes.size >= NODES_MAX) {
      isCut = true;
      return null;
    }
    nodes.set(key, { kind, name, depth });
    if (kind === 'e') waiting.push(name);
    return key;
  };
  while (waiting.length) {
    const name = waiting.shift();
    const { depth } = nodes.get(`e ${name}`);
    let bindings;
    let exchange;
    try {
      [exchange, bindings] = await Promise.all([
        send({ path: at`exchanges/${vhost}/${name || 'amq.default'}` }),
        send({ path: at`exchanges/${vhost}/${name || 'amq.default'}/bindings/source` }),
      ]);
    } catch {
      nodes.get(`e ${name}`).isMissing = true;
      continue;
    }
    nodes.get(`e ${name}`).type = exchange.type;
    for (const one of bindings) {
      const to = add(one.destination_type === 'queue' ? 'q' : 'e', one.destination, depth + 1);
      if (to)
        edges.push({ key: edgeKey(one), from: `e ${name}`, to, label: one.routing_key || matching(one.arguments) });
    }
    const alternate = exchange.arguments?.['alternate-exchange'];
    if (alternate !== undefined) {
      const to = add('e', alternate, depth + 1);
      if (to)
        edges.push({
          key: JSON.stringify(['alternate', name]),
          from: `e ${name}`,
          to,
          label: 'alternate',
          isAside: true,
        });
    }
  }
  await deadLetters(vhost, nodes, edges, add);
  if (page !== app.page) return;
  page.state.graph = { nodes, edges, isCut };
  refresh();
}

async function deadLetters(vhost, nodes, edges, add) {
  const queues = [...nodes.values()].filter((node) => node.kind === 'q').slice(0, DEAD_LETTERS_MAX);
  const found = await Promise.all(
    queues.map(async (node) => {
      try {
        return [
          node,
          await send({
            path: query(at`queues/${vhost}/${node.name}`, { columns: 'arguments,effective_policy_definition' }),
          }),
        ];
      } catch {
        return [node, {}];
      }
    }),
  );
  for (const [node, one] of found) {
    const name = one.arguments?.['x-dead-letter-exchange'] ?? one.effective_policy_definition?.['dead-letter-exchange'];
    if (name === undefined) continue;
    const to = add('e', name, node.depth + 1);
    if (to)
      edges.push({
        key: JSON.stringify(['dead', node.name]),
        from: `q ${node.name}`,
        to,
        label: 'dead letters',
        isAside: true,
      });
  }
}

const matching = (table) =>
  Object.entries(table ?? {})
    .map(([name, value]) => `${name}: ${value}`)
    .join(', ');

function picture(vhost, { nodes, edges, isCut }, explained) {
  const lit = new Set(
    explained?.exchanges.flatMap((step) => [
      ...step.bindings.map(edgeKey),
      ...(step.alternate_taken ? [JSON.stringify(['alternate', step.exchange])] : []),
    ]),
  );
  const rows = [];
  for (const node of nodes.values()) {
    rows[node.depth] = (rows[node.depth] ?? 0) + 1;
    Object.assign(node, { x: 8 + node.depth * WIDE, y: 8 + (rows[node.depth] - 1) * TALL });
  }
  const tall = 16 + Math.max(...rows.filter(Boolean)) * TALL;
  const wide = 16 + (rows.length - 1) * WIDE + NODE_WIDTH;
  const litNodes = new Set(edges.filter((edge) => lit.has(edge.key)).flatMap((edge) => [edge.from, edge.to]));
  return h(
    'div',
    { class: 'scroll' },
    isCut ? h('p', { class: 'notice' }, `Only the first ${NODES_MAX} exchanges and queues are drawn.`) : null,
    edges.length ? null : h('p', { class: 'quiet' }, 'Nothing is bound to it.'),
    h(
      'div',
      { class: 'picture', style: { width: `${wide}px`, height: `${tall}px` } },
      h(
        'svg',
        { viewBox: `0 0 ${wide} ${tall}`, width: String(wide), height: String(tall), 'aria-hidden': 'true' },
        edges.map((edge, index) => {
          const [from, to] = [nodes.get(edge.from), nodes.get(edge.to)];
          const [x1, y1, x2, y2] = [from.x + NODE_WIDTH, from.y + NODE_HEIGHT / 2, to.x, to.y + NODE_HEIGHT / 2];
          const bend = Math.max(40, Math.abs(x2 - x1) / 2);
          return h(
            'g',
            {
              key: `${index} ${edge.key}`,
              class: `edge${lit.has(edge.key) ? ' lit' : ''}${edge.isAside ? ' aside' : ''}`,
            },
            h('path', { d: `M${x1} ${y1}C${x1 + bend} ${y1} ${x2 - bend} ${y2} ${x2} ${y2}` }),
            h(
              'text',
              { x: x2 - 6, y: y2 - 5, 'text-anchor': 'end' },
              edge.label.length > 18 ? `${edge.label.slice(0, 17)}…` : edge.label,
              h('title', null, edge.label),
            ),
          );
        }),
      ),
      [...nodes].map(([key, node]) =>
        h(
          'a',
          {
            key,
            class: `node ${node.kind}${litNodes.has(key) ? ' lit' : ''}${node.isMissing ? ' missing' : ''}`,
            title: node.name,
            href:
              node.kind === 'q'
                ? to`/queues/${vhost}/${node.name}`
                : to`/exchanges/${vhost}/${node.name || 'amq.default'}`,
            style: { left: `${node.x}px`, top: `${node.y}px`, width: `${NODE_WIDTH}px`, height: `${NODE_HEIGHT}px` },
          },
          node.kind === 'q' ? node.name : exchangeName(node.name),
          node.type ? h('small', null, node.type) : null,
        ),
      ),
    ),
  );
}

export const ROUTES = [
  ['/routing', routing],
  ['/routing/:vhost/:name', routing],
];
