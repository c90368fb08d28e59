// Lines over time, and histograms, as SVG.

import { refresh } from './app.js';
import { count, micros, rate, short, time } from './format.js';
import { h } from './dom.js';

const WIDTH = 600;
const HEIGHT = 150;

export const AGES = [
  ['60', '5', 'Last minute'],
  ['600', '5', 'Last ten minutes'],
  ['3600', '60', 'Last hour'],
  ['28800', '600', 'Last eight hours'],
  ['86400', '1800', 'Last day'],
];

const hidden = new Map();
let pointed = null;

// `series` are `{ name, details, value }`: `details` as the API has them, with samples newest first. Counters are shown as
// their rates.
export function chart(id, { title, series, isCounter, format }) {
  const off = hidden.get(id) ?? hidden.set(id, new Set()).get(id);
  const drawn = series.map((line, index) => ({ ...line, index, points: points(line.details, isCounter) }));
  const shown = drawn.filter((line) => !off.has(line.name) && line.points.length > 1);
  const all = shown.flatMap((line) => line.points);
  const [from, to] = all.length ? [Math.min(...all.map((p) => p[0])), Math.max(...all.map((p) => p[0]))] : [0, 1];
  const top = ceiling(Math.max(...all.map((p) => p[1]), 0));
  const x = (at) => ((at - from) / (to - from || 1)) * WIDTH;
  const y = (value) => HEIGHT - (value / top) * (HEIGHT - 6);
  const at = pointed?.id === id ? from + pointed.share * (to - from) : null;
  const say = format ?? (isCounter ? rate : count);
  const legend = drawn.map((line) => {
    const value = at === null ? line.value : nearest(line.points, at);
    return h(
      'button',
      {
        key: line.name,
        class: `series c${line.index % 8}`,
        type: 'button',
        'aria-pressed': String(!off.has(line.name)),
        onclick: () => {
          off.has(line.name) ? off.delete(line.name) : off.add(line.name);
          refresh();
        },
      },
      h('span', { class: 'swatch' }),
      line.name,
      h('strong', null, value === undefined ? '' : say(value)),
    );
  });
  return h(
    'figure',
    { class: 'chart', 'data-chart': id },
    h('figcaption', null, title, at === null ? null : h('span', { class: 'quiet' }, ` at ${time(at)}`)),
    h(
      'div',
      { class: 'plot' },
      h('span', { class: 'axis top' }, isCounter ? rate(top) : format ? format(top) : short(top)),
      h('span', { class: 'axis bottom' }, '0'),
      all.length ? null : h('span', { class: 'none' }, 'No samples yet'),
      h(
        'svg',
        {
          viewBox: `0 0 ${WIDTH} ${HEIGHT}`,
          preserveAspectRatio: 'none',
          role: 'img',
          'aria-label': `${title}: ${shown.map((line) => `${line.name} ${say(line.value ?? 0)}`).join(', ')}`,
          onpointermove: (event) => {
            const box = event.currentTarget.getBoundingClientRect();
            pointed = { id, share: Math.min(1, Math.max(0, (event.clientX - box.left) / box.width)) };
            refresh();
          },
          onpointerleave: () => {
            pointed = null;
            refresh();
          },
        },
        h('path', { class: 'grid', d: `M0 ${y(top)}H${WIDTH}M0 ${y(top / 2)}H${WIDTH}M0 ${HEIGHT}H${WIDTH}` }),
        shown.map((line) =>
          h('path', {
            key: line.name,
            class: `line c${line.index % 8}`,
            d: line.points
              .map(([when, value], index) => `${index ? 'L' : 'M'}${x(when).toFixed(1)} ${y(value).toFixed(1)}`)
              .join(''),
          }),
        ),
        at === null ? null : h('path', { class: 'cursor', d: `M${x(at).toFixed(1)} 0V${HEIGHT}` }),
      ),
    ),
    h(
      'div',
      { class: 'times' },
      h('span', null, all.length ? time(from) : ''),
      h('span', null, all.length ? time(to) : ''),
    ),
    h('div', { class: 'legend' }, legend),
  );
}

function points(details, isCounter) {
  const samples = [...(details?.samples ?? [])].reverse();
  if (!isCounter) return samples.map(({ sample, timestamp }) => [timestamp, sample]);
  return samples.slice(1).map(({ sample, timestamp }, index) => {
    const before = samples[index];
    return [timestamp, Math.max(0, (sample - before.sample) / ((timestamp - before.timestamp) / 1000))];
  });
}

const nearest = (all, at) =>
  all.reduce((best, point) => (!best || Math.abs(point[0] - at) < Math.abs(best[0] - at) ? point : best), null)?.[1];

// 1, 2 or 5 times a power of ten, at least as large.
function ceiling(value) {
  if (value <= 0) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].find((factor) => factor * power >= value) * power;
}

// A histogram of times as the API has it: `counts` are pairs of microseconds and how many.
export function histogram(title, times) {
  if (!times || !times.count)
    return h(
      'figure',
      { class: 'histogram' },
      h('figcaption', null, title),
      h('p', { class: 'quiet' }, 'Nothing was measured yet.'),
    );
  // Sixteen to a power of two are too thin to see: four.
  const bins = new Map();
  for (const [us, many] of times.counts) {
    const bin = Math.floor(Math.log2(Math.max(1, us)) * 4);
    bins.set(bin, (bins.get(bin) ?? 0) + many);
  }
  const first = Math.min(...bins.keys());
  const last = Math.max(...bins.keys(), first + 8);
  const most = Math.max(...bins.values());
  const width = WIDTH / (last - first + 1);
  const bars = [...bins].map(([bin, many]) => {
    const tall = Math.max(1.5, (many / most) * 76);
    return h(
      'rect',
      {
        key: bin,
        x: ((bin - first) * width).toFixed(1),
        y: (80 - tall).toFixed(1),
        width: Math.max(1, width - 1).toFixed(1),
        height: tall.toFixed(1),
      },
      h('title', null, `about ${micros(2 ** (bin / 4))}: ${count(many)}`),
    );
  });
  const marks = [
    ['p50', times.p50_us],
    ['p90', times.p90_us],
    ['p99', times.p99_us],
    ['p99.9', times.p99_9_us],
    ['max', times.max_us],
  ];
  return h(
    'figure',
    { class: 'histogram' },
    h(
      'figcaption',
      null,
      title,
      h('span', { class: 'quiet' }, ` ${count(times.count)}, mean ${micros(times.mean_us)}`),
    ),
    h(
      'svg',
      {
        viewBox: `0 0 ${WIDTH} 80`,
        preserveAspectRatio: 'none',
        role: 'img',
        'aria-label': `${title}: ${marks.map(([name, us]) => `${name} ${micros(us)}`).join(', ')}`,
      },
      bars,
    ),
    h(
      'div',
      { class: 'times' },
      h('span', null, micros(2 ** (first / 4))),
      h('span', null, micros(2 ** ((last + 1) / 4))),
    ),
    h(
      'dl',
      { class: 'marks' },
      marks.map(([name, us]) => h('div', { key: name }, h('dt', null, name), h('dd', null, micros(us)))),
    ),
  );
}
