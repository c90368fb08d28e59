// The last lines of the log, as they come.

import { answer, look, refresh, refusal } from '../app.js';
import { query } from '../api.js';
import { count } from '../format.js';
import { filterInput } from '../table.js';
import { h } from '../dom.js';

const LINES = [100, 300, 1000];
const LEVELS = [
  ['', 'All levels'],
  ['info', 'Info and worse'],
  ['warning', 'Warnings and errors'],
  ['error', 'Errors'],
];

const log = {
  title: () => 'Log',
  sources: ({ state }) => [query('haremq/log', { last: state.last ?? 300, level: state.level, text: state.text })],
  view(page) {
    const { state } = page;
    const lines = answer(page, 0)?.lines;
    const choose = (change) => {
      Object.assign(state, change);
      look();
      refresh();
    };
    return [
      h(
        'div',
        { class: 'tools' },
        filterInput({
          label: 'Filter lines',
          placeholder: 'text',
          value: state.text,
          choose: (text) => choose({ text }),
        }),
        h(
          'select',
          { 'aria-label': 'Level', onchange: (event) => choose({ level: event.target.value }) },
          LEVELS.map(([value, title]) =>
            h('option', { key: value, value, selected: value === (state.level ?? '') }, title),
          ),
        ),
        h(
          'select',
          { 'aria-label': 'Lines', onchange: (event) => choose({ last: Number(event.target.value) }) },
          LINES.map((many) =>
            h(
              'option',
              { key: many, value: String(many), selected: many === (state.last ?? 300) },
              `${count(many)} lines`,
            ),
          ),
        ),
        h(
          'button',
          {
            type: 'button',
            'aria-pressed': String(Boolean(state.held)),
            onclick: () => choose({ held: state.held ? null : lines }),
          },
          state.held ? 'Go on' : 'Hold',
        ),
      ),
      refusal(page, 0) ? h('p', { class: 'refused', role: 'alert' }, refusal(page, 0)) : null,
      h(
        'ol',
        { class: 'log', 'aria-label': 'Log lines, newest first', tabindex: '0' },
        [...(state.held ?? lines ?? [])]
          .reverse()
          .map((line) =>
            h(
              'li',
              { key: line.seq, class: line.level },
              h('time', null, line.time),
              h('span', { class: 'level' }, line.level),
              h('span', { class: 'quiet' }, line.target),
              h('span', null, line.text),
            ),
          ),
      ),
    ];
  },
};

export const ROUTES = [['/log', log]];
