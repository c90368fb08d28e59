// Forms, and the questions before something is done. Each can say itself as a curl command.
//
// A form has `fields`, and `request(values)` or `requests(values)`, which answers what is to be sent: { method, path, body }.
// What stands in the inputs belongs to the browser and is read when it is needed, so that drawing anew never loses a word.

import { act, app, refresh, toast } from './app.js';
import { curl } from './api.js';
import { h } from './dom.js';

// State of a form of the page: which rows its tables of arguments have.
function stateOf(id) {
  app.page.state.forms ??= {};
  return (app.page.state.forms[id] ??= { rows: {}, key: 0, busy: false, again: 0 });
}

export function form(id, spec) {
  const state = stateOf(id);
  const requests = (element) => {
    const values = read(element, spec.fields);
    return spec.requests ? spec.requests(values) : [spec.request(values)];
  };
  const submit = async (event) => {
    event.preventDefault();
    if (state.busy) return;
    let all;
    try {
      all = requests(event.target);
    } catch (wrong) {
      toast(wrong.message, true);
      return;
    }
    state.busy = true;
    refresh();
    let answers;
    if (spec.send) {
      answers = await spec.send(all);
    } else {
      answers = [];
      for (const request of all) {
        const answer = await act(request, all.length === 1 ? spec.done : undefined);
        answers.push(answer);
        if (answer === undefined) break;
      }
      if (all.length > 1 && answers.every((answer) => answer !== undefined) && spec.done) toast(spec.done);
    }
    state.busy = false;
    if (answers.length && answers.every((answer) => answer !== undefined)) {
      spec.then?.(answers[0]);
      if (spec.keep !== true) {
        state.rows = {};
        state.again += 1;
      }
    }
    refresh();
  };
  const copy = (event) => {
    try {
      const all = requests(event.target.closest('form'));
      showCommand(all.map((request) => curl(request, app.user.name)).join('\n'));
    } catch (wrong) {
      toast(wrong.message, true);
    }
  };
  return h(
    'form',
    { key: `${id}-${state.again}`, class: 'form', 'data-form': id, autocomplete: 'off', onsubmit: submit },
    spec.text ? h('p', null, spec.text) : null,
    h(
      'div',
      { class: 'fields' },
      spec.fields.map((field) => fieldOf(id, field, state)),
    ),
    h(
      'div',
      { class: 'buttons' },
      h('button', { type: 'submit', class: spec.danger ? 'danger' : 'primary', disabled: state.busy }, spec.submit),
      spec.cancel ? h('button', { type: 'button', onclick: spec.cancel }, 'Cancel') : null,
      h('button', { type: 'button', class: 'plain', 'data-act': 'curl', onclick: copy }, 'Copy as curl'),
    ),
  );
}

function fieldOf(form, field, state) {
  if (!field) return null;
  const id = `${form}.${field.name}`;
  if (field.type === 'table') return tableOf(form, field, state);
  const common = {
    id,
    name: field.name,
    required: field.required,
    'aria-describedby': field.hint ? `${id}.hint` : undefined,
  };
  let input;
  if (field.type === 'select') {
    input = h(
      'select',
      { ...common, value: field.value ?? '', onchange: field.change },
      field.options.map((option) => {
        const [value, title] = Array.isArray(option) ? option : [option, option];
        return h('option', { key: value, value, selected: value === field.value }, title);
      }),
    );
  } else if (field.type === 'textarea') {
    input = h('textarea', { ...common, rows: field.rows ?? 4, value: field.value, spellcheck: 'false' });
  } else if (field.type === 'checkbox') {
    return h(
      'label',
      { key: id, class: 'check' },
      h('input', { type: 'checkbox', id, name: field.name, checked: field.value ?? false }),
      field.label,
    );
  } else {
    const list = field.suggestions ? `${id}.list` : undefined;
    input = h('input', {
      ...common,
      type: field.type ?? 'text',
      value: field.value,
      min: field.min,
      max: field.max,
      list,
      placeholder: field.placeholder,
      spellcheck: 'false',
      autocomplete: field.type === 'password' ? 'new-password' : 'off',
      accept: field.accept,
    });
    if (list)
      return [
        label(id, field, input),
        h(
          'datalist',
          { key: list, id: list },
          field.suggestions.map((value) => h('option', { key: value, value })),
        ),
      ];
  }
  return label(id, field, input);
}

function label(id, field, input) {
  return h(
    'div',
    { key: id, class: field.wide ? 'field wide' : 'field' },
    h(
      'label',
      { for: id },
      field.label,
      field.required ? h('span', { class: 'needed', 'aria-hidden': 'true' }, ' *') : null,
    ),
    input,
    field.hint ? h('small', { id: `${id}.hint` }, field.hint) : null,
  );
}

const TYPES = ['String', 'Number', 'Boolean', 'List'];

// A table of names, values and their types: arguments, headers, definitions. `known` are those that a click adds.
function tableOf(form, field, state) {
  const rows = (state.rows[field.name] ??= Object.entries(field.value ?? {}).map(([name, value]) =>
    row(state, name, value),
  ));
  const add = (name = '', type = 'String', value = '') => {
    rows.push({ key: (state.key += 1), name, value, type });
    refresh();
  };
  return h(
    'fieldset',
    { key: field.name, class: 'wide', 'data-table': field.name },
    h('legend', null, field.label),
    rows.map((entry, index) =>
      h(
        'div',
        { key: entry.key, class: 'entry' },
        h('input', {
          name: `${field.name}.name`,
          'aria-label': `${field.label}: name ${index + 1}`,
          value: entry.name,
          placeholder: 'name',
          spellcheck: 'false',
        }),
        h('input', {
          name: `${field.name}.value`,
          'aria-label': `${field.label}: value ${index + 1}`,
          value: entry.value,
          placeholder: 'value',
          spellcheck: 'false',
        }),
        h(
          'select',
          { name: `${field.name}.type`, 'aria-label': `${field.label}: type ${index + 1}`, value: entry.type },
          TYPES.map((type) => h('option', { key: type, value: type, selected: type === entry.type }, type)),
        ),
        h(
          'button',
          {
            type: 'button',
            class: 'plain',
            'aria-label': `Remove ${entry.name || `row ${index + 1}`}`,
            onclick: () => {
              rows.splice(rows.indexOf(entry), 1);
              refresh();
            },
          },
          '×',
        ),
      ),
    ),
    h(
      'div',
      { class: 'known' },
      h('button', { type: 'button', onclick: () => add() }, `Add ${field.one ?? 'argument'}`),
      (field.known ?? []).map(([name, type, value]) =>
        h(
          'button',
          { key: name, type: 'button', class: 'plain', 'data-known': name, onclick: () => add(name, type, value) },
          name,
        ),
      ),
    ),
    field.hint ? h('small', null, field.hint) : null,
  );
}

function row(state, name, value) {
  const type = Array.isArray(value)
    ? 'List'
    : typeof value === 'number'
      ? 'Number'
      : typeof value === 'boolean'
        ? 'Boolean'
        : 'String';
  return { key: (state.key += 1), name, value: type === 'List' ? JSON.stringify(value) : String(value), type };
}

function read(element, fields) {
  const values = {};
  for (const field of fields) {
    if (!field) continue;
    if (field.type === 'table') {
      values[field.name] = readTable(element, field);
      continue;
    }
    const input = element.elements.namedItem(field.name);
    if (field.type === 'checkbox') values[field.name] = input.checked;
    else if (field.type === 'number') values[field.name] = input.value === '' ? undefined : Number(input.value);
    else values[field.name] = input.value;
  }
  return values;
}

function readTable(element, field) {
  const all = (part) => [...element.querySelectorAll(`[name="${field.name}.${part}"]`)].map((input) => input.value);
  const [names, values, types] = [all('name'), all('value'), all('type')];
  const table = {};
  names.forEach((name, index) => {
    if (name !== '') table[name] = typed(name, values[index], types[index]);
  });
  return table;
}

function typed(name, value, type) {
  if (type === 'Number') {
    const number = Number(value);
    if (value.trim() === '' || !Number.isFinite(number)) throw new Error(`${name}: "${value}" is not a number.`);
    return number;
  }
  if (type === 'Boolean') {
    if (value !== 'true' && value !== 'false') throw new Error(`${name}: "${value}" is neither true nor false.`);
    return value === 'true';
  }
  if (type !== 'List') return value;
  // JSON, or words between commas.
  try {
    const list = JSON.parse(value);
    if (Array.isArray(list)) return list;
  } catch {
    // Not JSON, then.
  }
  return value
    .split(',')
    .map((word) => word.trim())
    .filter((word) => word !== '');
}

// Covers the page with a form until it is sent or cancelled.
export function ask(title, spec) {
  const id = `ask ${Math.random()}`;
  const close = () => {
    app.dialog = null;
    refresh();
  };
  const whole = {
    danger: true,
    fields: [],
    ...spec,
    cancel: close,
    then: (answered) => {
      close();
      spec.then?.(answered);
    },
  };
  app.dialog = { title, close, view: () => form(id, whole) };
  refresh();
}

// A button that asks first.
export function asks(title, question, spec, props) {
  return h(
    'button',
    { type: 'button', class: spec.danger === false ? '' : 'danger', ...props, onclick: () => ask(question, spec) },
    title,
  );
}

// A button that sends something at once, and what shows it as a command.
export function does(title, request, done, props) {
  return h(
    'span',
    { key: title, class: 'does' },
    h('button', { type: 'button', ...props, onclick: () => act(request, done) }, title),
    asCommand(title, request),
  );
}

export const asCommand = (title, request) =>
  h(
    'button',
    {
      type: 'button',
      class: 'plain',
      'data-act': 'curl',
      'aria-label': `Copy "${title}" as curl`,
      title: 'Copy as curl',
      onclick: () => showCommand(curl(request, app.user.name)),
    },
    'curl',
  );

function showCommand(text) {
  let area = null;
  const close = () => {
    app.dialog = null;
    refresh();
  };
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      // Not from a secure origin: the old way.
      area.select();
      document.execCommand('copy');
    }
    toast('Copied');
    close();
  };
  app.dialog = {
    title: 'As a command',
    close,
    view: () =>
      h(
        'div',
        { class: 'form' },
        h('textarea', {
          class: 'command',
          readonly: true,
          rows: 6,
          value: text,
          'aria-label': 'Command',
          mounted: (node) => (area = node),
        }),
        h(
          'div',
          { class: 'buttons' },
          h('button', { type: 'button', class: 'primary', onclick: copy }, 'Copy'),
          h('button', { type: 'button', onclick: close }, 'Close'),
        ),
      ),
  };
  refresh();
}

// A part of a page that opens and closes.
export function section(title, isOpen, ...children) {
  return h(
    'details',
    { key: `section ${title}`, class: 'section', open: isOpen, 'data-section': title },
    h('summary', null, h('h2', null, title)),
    h('div', { class: 'body' }, children),
  );
}
