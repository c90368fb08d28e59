// Tables of which only the rows in sight are elements, and lists that the server sorts, filters and cuts into pages.

import { answer, app, look, refresh, refusal } from './app.js';
import { query } from './api.js';
import { ask } from './form.js';
import { count } from './format.js';
import { h } from './dom.js';

const ROW_HEIGHT = 33;
const ROWS_BEYOND = 12;
const VIRTUAL_FROM = 80;

// `columns` are `{ id, title, value(item), sort, right }`; undefined ones are left out.
export function table(id, { columns, items, key, sort, select, empty }) {
  columns = columns.filter(Boolean);
  if (!items) return h('p', { class: 'quiet', role: 'status' }, 'Loading…');
  if (!items.length) return h('p', { class: 'quiet' }, empty ?? 'None.');
  const window = windowOf(id, items.length);
  const head = columns.map((column) => {
    if (!sort || !column.sort)
      return h('th', { key: column.id, scope: 'col', class: column.right ? 'right' : undefined }, column.title);
    const isSorted = sort.by === column.sort;
    const direction = isSorted ? (sort.reverse ? 'descending' : 'ascending') : undefined;
    return h(
      'th',
      { key: column.id, scope: 'col', class: column.right ? 'right' : undefined, 'aria-sort': direction },
      h(
        'button',
        { type: 'button', class: 'sort', onclick: () => sort.choose(column.sort) },
        column.title,
        isSorted ? (sort.reverse ? ' ▾' : ' ▴') : '',
      ),
    );
  });
  const rows = items.slice(window.from, window.to).map((item) => {
    const name = key(item);
    return h(
      'tr',
      { key: `row ${name}`, class: select?.has(item) ? 'selected' : undefined, 'data-row': name },
      select
        ? h(
            'td',
            { class: 'select' },
            h('input', {
              type: 'checkbox',
              'aria-label': `Select ${name}`,
              checked: select.has(item),
              onchange: () => select.toggle(item),
            }),
          )
        : null,
      columns.map((column) =>
        h('td', { key: column.id, class: column.right ? 'right' : undefined }, column.value(item)),
      ),
    );
  });
  const spacer = (name, many) =>
    many > 0
      ? h(
          'tr',
          { key: name, class: 'spacer', 'aria-hidden': 'true' },
          h('td', { colspan: String(columns.length + 1), style: { height: `${many * ROW_HEIGHT}px` } }),
        )
      : null;
  return h(
    'div',
    { key: `table ${id}`, class: 'scroll' },
    h(
      'table',
      { 'data-table': id, 'aria-rowcount': String(items.length + 1), mounted: (node) => (window.node = node) },
      h(
        'thead',
        null,
        h(
          'tr',
          null,
          select
            ? h(
                'th',
                { class: 'select' },
                h('input', {
                  type: 'checkbox',
                  'aria-label': 'Select all on this page',
                  checked: items.every(select.has),
                  indeterminate: !items.every(select.has) && items.some(select.has),
                  onchange: (event) => select.all(items, event.target.checked),
                }),
              )
            : null,
          head,
        ),
      ),
      h('tbody', null, spacer('above', window.from), rows, spacer('below', items.length - window.to)),
    ),
  );
}

// Which rows are in sight.
function windowOf(id, many) {
  const windows = (app.page.state.windows ??= {});
  const window = (windows[id] ??= { node: null, from: 0, to: VIRTUAL_FROM });
  if (many <= VIRTUAL_FROM) return Object.assign(window, { from: 0, to: many });
  const from = Math.max(0, Math.floor(above(window.node) / ROW_HEIGHT) - ROWS_BEYOND);
  const tall = Math.ceil(innerHeight / ROW_HEIGHT) + 2 * ROWS_BEYOND;
  window.from = Math.min(from, Math.max(0, many - tall));
  window.to = Math.min(many, window.from + tall);
  return window;
}

const above = (node) => (node?.isConnected ? Math.max(0, -node.getBoundingClientRect().top) : 0);

addEventListener(
  'scroll',
  () => {
    const windows = Object.values(app.page?.state.windows ?? {});
    if (windows.some((window) => window.node?.isConnected && window.node.querySelector('.spacer'))) refresh();
  },
  { passive: true },
);

const SIZES = [100, 250, 500];

// State of a list: what is asked of the server.
export function listState(page, first = {}) {
  return (page.state.list ??= {
    page: 1,
    size: 100,
    sort: '',
    reverse: false,
    name: '',
    regex: false,
    selected: new Map(),
    ...first,
  });
}

// The path of a list as it is chosen.
export function listPath(path, state) {
  return query(path, {
    page: state.page,
    page_size: state.size,
    name: state.name,
    use_regex: state.name ? state.regex : '',
    sort: state.sort,
    sort_reverse: state.sort ? state.reverse : '',
  });
}

// A list of the page's source `index`. `bulk` are `{ title, question(many), request(item), done }` for what is selected.
export function list(page, index, { id, what, columns, key, bulk, empty }) {
  const state = page.state.list;
  const found = answer(page, index);
  const why = refusal(page, index);
  const choose = (change) => {
    Object.assign(state, change);
    if (!('page' in change)) state.page = 1;
    look();
    refresh();
  };
  // A page that is no more, as after a purge.
  if (page.answers[index]?.status === 400 && state.page > 1) choose({ page: 1 });
  const off = offOf(id, columns);
  const select = bulk && {
    has: (item) => state.selected.has(key(item)),
    toggle: (item) => {
      state.selected.delete(key(item)) || state.selected.set(key(item), item);
      refresh();
    },
    all: (items, isOn) => {
      items.forEach((item) => (isOn ? state.selected.set(key(item), item) : state.selected.delete(key(item))));
      refresh();
    },
  };
  const sort = {
    by: state.sort,
    reverse: state.reverse,
    choose: (by) => choose({ sort: by, reverse: state.sort === by ? !state.reverse : false }),
  };
  return h(
    'div',
    { class: 'list', 'data-list': id },
    h(
      'div',
      { class: 'tools' },
      filterInput({
        label: `Filter ${what}`,
        placeholder: 'name',
        value: state.name,
        choose: (name) => choose({ name }),
      }),
      h(
        'label',
        { class: 'check' },
        h('input', {
          type: 'checkbox',
          checked: state.regex,
          onchange: (event) => choose({ regex: event.target.checked }),
        }),
        'Regex',
      ),
      h(
        'label',
        null,
        h('span', { class: 'hidden' }, 'Rows of a page '),
        h(
          'select',
          { 'aria-label': 'Rows of a page', onchange: (event) => choose({ size: Number(event.target.value) }) },
          SIZES.map((size) =>
            h('option', { key: size, value: String(size), selected: size === state.size }, `${size} a page`),
          ),
        ),
      ),
      columnChoice(id, columns, off),
      h('span', { class: 'quiet', role: 'status' }, found ? tally(found, what) : ''),
      found ? pager(found, choose) : null,
    ),
    select && state.selected.size ? bulkBar(state, bulk, what) : null,
    why
      ? h('p', { class: 'refused', role: 'alert' }, why)
      : table(id, {
          columns: columns.filter((column) => column && !off.has(column.id)),
          items: found?.items,
          key,
          sort,
          select,
          empty,
        }),
  );
}

// What a list is filtered by, once nothing was typed for a moment.
export function filterInput({ label, placeholder, value, choose }) {
  return h(
    'label',
    { class: 'filter' },
    'Filter ',
    h('input', {
      type: 'search',
      class: 'search',
      value,
      placeholder,
      spellcheck: 'false',
      'aria-label': label,
      oninput: ({ target }) => {
        clearTimeout(timer);
        timer = setTimeout(() => choose(target.value), 200);
      },
    }),
  );
}

let timer = 0;

function tally({ filtered_count: filtered, total_count: total }, what) {
  return filtered === total ? `${count(total)} ${what}` : `${count(filtered)} of ${count(total)} ${what}`;
}

function pager({ page, page_count: pages }, choose) {
  if (pages <= 1) return null;
  return h(
    'nav',
    { class: 'pager', 'aria-label': 'Pages' },
    h(
      'button',
      { type: 'button', disabled: page <= 1, onclick: () => choose({ page: page - 1 }), 'aria-label': 'Page before' },
      '‹',
    ),
    h('span', null, `Page ${count(page)} of ${count(pages)}`),
    h(
      'button',
      { type: 'button', disabled: page >= pages, onclick: () => choose({ page: page + 1 }), 'aria-label': 'Next page' },
      '›',
    ),
  );
}

function bulkBar(state, bulk, what) {
  const items = [...state.selected.values()];
  return h(
    'div',
    { class: 'bulk', role: 'region', 'aria-label': 'What to do with the selected' },
    h('strong', null, `${count(items.length)} selected`),
    bulk.map((action) =>
      h(
        'button',
        {
          key: action.title,
          type: 'button',
          class: action.danger === false ? '' : 'danger',
          onclick: () =>
            ask(action.question(items.length), {
              submit: `${action.title} ${count(items.length)} ${what}`,
              danger: action.danger,
              text: action.text,
              // Nobody does a hundred things by two quick clicks.
              fields: [
                ...(action.fields?.() ?? []),
                { name: 'many', label: `How many? Type ${items.length}`, required: true },
              ],
              requests: (values) => {
                if (values.many.trim() !== String(items.length)) throw new Error(`Type ${items.length} to confirm.`);
                return items.map((item) => action.request(item, values));
              },
              done: `${action.done}: ${count(items.length)} ${what}.`,
              then: () => state.selected.clear(),
            }),
        },
        action.title,
      ),
    ),
    h(
      'button',
      {
        type: 'button',
        class: 'plain',
        onclick: () => {
          state.selected.clear();
          refresh();
        },
      },
      'Select none',
    ),
  );
}

// The columns that are not to be seen, as this browser remembers them.
function offOf(id, columns) {
  const stored = localStorage.getItem(`columns.${id}`);
  return new Set(
    stored === null ? columns.filter((column) => column?.off).map((column) => column.id) : stored.split(' '),
  );
}

function columnChoice(id, columns, off) {
  return h(
    'details',
    { class: 'menu' },
    h('summary', null, 'Columns'),
    h(
      'div',
      { class: 'sheet' },
      columns.filter(Boolean).map((column) =>
        h(
          'label',
          { key: column.id, class: 'check' },
          h('input', {
            type: 'checkbox',
            checked: !off.has(column.id),
            onchange: () => {
              off.delete(column.id) || off.add(column.id);
              localStorage.setItem(`columns.${id}`, [...off].join(' '));
              refresh();
            },
          }),
          column.title,
        ),
      ),
    ),
  );
}
