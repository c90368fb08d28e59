// How numbers and times look.

const whole = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });

export const count = (value) => (value === undefined || value === null ? '–' : whole.format(value));

// A rate per second.
export function rate(value) {
  if (value === undefined || value === null) return '';
  if (value === 0) return '0/s';
  return `${short(value)}/s`;
}

// With three digits at most: 1.25k, 980, 0.2.
export function short(value) {
  const size = Math.abs(value);
  if (size >= 1e9) return `${digits(value / 1e9)}G`;
  if (size >= 1e6) return `${digits(value / 1e6)}M`;
  if (size >= 1e4) return `${digits(value / 1e3)}k`;
  return size >= 100 ? whole.format(value) : digits(value);
}

const digits = (value) => String(Number(value.toPrecision(3)));

export function bytes(value) {
  if (value === undefined || value === null) return '–';
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let unit = 0;
  while (Math.abs(value) >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${digits(value)} ${units[unit]}`;
}

// A time span in microseconds.
export function micros(value) {
  if (value === undefined || value === null) return '–';
  if (value < 1e3) return `${digits(value)} µs`;
  if (value < 1e6) return `${digits(value / 1e3)} ms`;
  return value < 120e6 ? `${digits(value / 1e6)} s` : span(value / 1e3);
}

// A time span in milliseconds, in its two largest units.
export function span(ms) {
  const seconds = Math.floor(ms / 1000);
  const parts = [
    [Math.floor(seconds / 86400), 'd'],
    [Math.floor(seconds / 3600) % 24, 'h'],
    [Math.floor(seconds / 60) % 60, 'm'],
    [seconds % 60, 's'],
  ];
  const from = parts.findIndex(([value]) => value > 0);
  return from < 0
    ? '0s'
    : parts
        .slice(from, from + 2)
        .map(([value, unit]) => `${value}${unit}`)
        .join(' ');
}

export const time = (ms) => new Date(ms).toLocaleTimeString('en-GB');
export const dateTime = (ms) => new Date(ms).toLocaleString('en-GB');
export const percent = (share) => (share === undefined || share === null ? '–' : `${digits(share * 100)}%`);
// The default exchange has no name.
export const exchangeName = (name) => name || '(AMQP default)';
