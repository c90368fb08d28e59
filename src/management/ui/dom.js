// A page is a function of what is known: views make descriptions of elements, and `render` changes what differs from the
// last ones. Text becomes text nodes and nothing else, so no name that a client chose can become markup.

const SVG = 'http://www.w3.org/2000/svg';
const SVG_TAGS = new Set(['svg', 'path', 'line', 'rect', 'g', 'text', 'circle', 'polyline', 'title']);

// Describes an element. `key` tells siblings apart that may change places; `style` is an object of custom properties;
// `mounted` is called with the element when it is there, `onX` are listeners.
export function h(tag, props, ...children) {
  return { tag, key: props?.key, props: props ?? {}, children: flat(children, []), node: null };
}

function flat(children, into) {
  for (const child of children) {
    if (Array.isArray(child)) flat(child, into);
    else if (child !== null && child !== undefined && child !== false && child !== true) {
      into.push(typeof child === 'object' ? child : { text: String(child), node: null });
    }
  }
  return into;
}

const shown = new WeakMap();

// Makes `parent` contain what the vnodes describe.
export function render(parent, ...vnodes) {
  const next = flat(vnodes, []);
  patchChildren(parent, shown.get(parent) ?? [], next);
  shown.set(parent, next);
}

function patchChildren(parent, before, next) {
  const keyed = new Map();
  const unkeyed = [];
  for (const old of before) {
    if (old.key === undefined) unkeyed.push(old);
    else keyed.set(old.key, old);
  }
  const used = new Set();
  let at = 0;
  let place = parent.firstChild;
  for (const vnode of next) {
    let old = vnode.key === undefined ? unkeyed[at++] : keyed.get(vnode.key);
    if (old && used.has(old)) old = undefined;
    if (old && isSame(old, vnode)) {
      used.add(old);
      patch(old, vnode);
    } else {
      create(vnode);
    }
    if (vnode.node === place) place = place.nextSibling;
    else parent.insertBefore(vnode.node, place);
    if (vnode.fresh) {
      vnode.fresh = false;
      vnode.props?.mounted?.(vnode.node);
    }
  }
  for (const old of before) if (!used.has(old)) remove(old, parent);
}

const isSame = (old, vnode) => old.tag === vnode.tag && (old.tag !== undefined || vnode.tag === undefined);

function remove(old, parent) {
  if (old.node.parentNode === parent) parent.removeChild(old.node);
}

function create(vnode) {
  if (vnode.tag === undefined) {
    vnode.node = document.createTextNode(vnode.text);
    return;
  }
  const node = SVG_TAGS.has(vnode.tag) ? document.createElementNS(SVG, vnode.tag) : document.createElement(vnode.tag);
  vnode.node = node;
  vnode.fresh = true;
  // A select has its value only once its options are there.
  patchChildren(node, [], vnode.children);
  for (const name of Object.keys(vnode.props)) set(node, name, undefined, vnode.props[name]);
}

function patch(old, vnode) {
  if (old === vnode) return;
  vnode.node = old.node;
  if (vnode.tag === undefined) {
    if (old.text !== vnode.text) old.node.nodeValue = vnode.text;
    return;
  }
  patchChildren(vnode.node, old.children, vnode.children);
  for (const name of Object.keys(old.props)) {
    if (!(name in vnode.props)) set(vnode.node, name, old.props[name], undefined);
  }
  for (const name of Object.keys(vnode.props)) set(vnode.node, name, old.props[name], vnode.props[name]);
}

// As properties: their attributes say only what they were at first.
const PROPERTIES = new Set(['value', 'checked', 'disabled', 'selected', 'indeterminate', 'open']);

function set(node, name, before, value) {
  if (name === 'key' || name === 'mounted' || before === value) return;
  if (name.startsWith('on')) {
    const event = name.slice(2);
    if (before) node.removeEventListener(event, before);
    if (value) node.addEventListener(event, value);
  } else if (name === 'style') {
    for (const [property, to] of Object.entries(value ?? {})) node.style.setProperty(property, to);
  } else if (PROPERTIES.has(name)) {
    node[name] = value ?? (name === 'value' ? '' : false);
  } else if (value === undefined || value === null || value === false) {
    node.removeAttribute(name);
  } else {
    node.setAttribute(name, value === true ? '' : value);
  }
}
