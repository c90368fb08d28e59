// One line for each case, `case pass|fail AREA: NAME`, for tests/suites/foreign.rs; what went wrong follows, indented.

const outcomes = { 'test:pass': 'pass', 'test:fail': 'fail' };

export default async function* (events) {
  for await (const { type, data } of events) {
    if (!(type in outcomes)) continue;
    yield `case ${outcomes[type]} ${data.name}\n`;
    if (type === 'test:fail') yield `${indented(data.details.error)}\n`;
  }
}

function indented(error) {
  const cause = error.cause ?? error;
  return String(cause.stack ?? cause).replace(/^/gm, '    ');
}
