// The payload of a message as the API has it, as text, JSON, hexadecimal or base64.

// How it is shown if nobody has chosen.
export function likelyKind(message) {
  if (message.payload_encoding !== 'string') return 'hex';
  return isJson(message.payload) ? 'JSON' : 'text';
}

function isJson(text) {
  try {
    return typeof JSON.parse(text) === 'object';
  } catch {
    return false;
  }
}

export function octets(message) {
  if (message.payload_encoding === 'string') return new TextEncoder().encode(message.payload);
  return Uint8Array.from(atob(message.payload), (letter) => letter.charCodeAt(0));
}

export function decoded(message, as) {
  const all = octets(message);
  if (as === 'hex') return hex(all.subarray(0, 4096)) + (all.length > 4096 ? '\n…' : '');
  if (as === 'base64')
    return message.payload_encoding === 'base64'
      ? message.payload
      : btoa(Array.from(all, (octet) => String.fromCharCode(octet)).join(''));
  const text = message.payload_encoding === 'string' ? message.payload : new TextDecoder().decode(all);
  if (as !== 'JSON') return text;
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch (wrong) {
    return `Not JSON: ${wrong.message}\n\n${text}`;
  }
}

// As hexdump -C writes it.
function hex(all) {
  const lines = [];
  for (let at = 0; at < all.length; at += 16) {
    const line = [...all.subarray(at, at + 16)];
    const numbers = line
      .map((octet) => octet.toString(16).padStart(2, '0'))
      .join(' ')
      .padEnd(47);
    lines.push(
      `${at.toString(16).padStart(8, '0')}  ${numbers}  ${line.map((octet) => (octet >= 32 && octet < 127 ? String.fromCharCode(octet) : '.')).join('')}`,
    );
  }
  return lines.join('\n');
}
