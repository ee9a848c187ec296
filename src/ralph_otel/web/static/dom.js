// Elements, made from values. Text is always text: nothing here parses markup.

// What is no character to be seen, and would steer a terminal or turn the text around it, is shown as a sign for that.
const STEERING = /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]/g;
export const plain = (text) => String(text).replace(STEERING, "\ufffd");

const SVG = "http://www.w3.org/2000/svg";

function filled(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value !== null && value !== undefined && value !== false) node.setAttribute(name, value === true ? "" : name.startsWith("data-") || name === "href" || name === "value" ? value : plain(value));
  }
  for (const child of children.flat(Infinity)) {
    if (child !== null && child !== undefined && child !== false && child !== "") node.append(child instanceof Node ? child : plain(child));
  }
  return node;
}

// An HTML element. Attributes that are null or false are left out, and so are children.
export function h(tag, attributes, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

// The same in SVG.
export function s(tag, attributes, ...children) {
  return filled(document.createElementNS(SVG, tag), attributes, children);
}

// Attributes that a person changes, by opening or choosing; a redraw leaves them alone.
const THEIRS = new Set(["open", "value", "checked"]);

// Make what is shown like what was drawn anew, changing only what differs: focus, selection and scrolling stay.
// Children with a data-key keep their element wherever they go; what is drawn with data-keep stays as it is shown.
export function morph(shown, drawn) {
  if (drawn.dataset?.keep !== undefined) return shown;
  if (shown.nodeName !== drawn.nodeName) {
    shown.replaceWith(drawn);
    return drawn;
  }
  if (shown.nodeType === Node.TEXT_NODE) {
    if (shown.data !== drawn.data) shown.data = drawn.data;
    return shown;
  }
  for (const { name } of [...shown.attributes]) {
    if (!drawn.hasAttribute(name) && !THEIRS.has(name)) shown.removeAttribute(name);
  }
  for (const { name, value } of drawn.attributes) {
    if (shown.getAttribute(name) !== value && !THEIRS.has(name)) shown.setAttribute(name, value);
  }
  morphChildren(shown, [...drawn.childNodes]);
  return shown;
}

const keyOf = (node) => node.dataset?.key;

export function morphChildren(parent, drawn) {
  const keyed = new Map([...parent.children].filter(keyOf).map((node) => [keyOf(node), node]));
  const wanted = new Set(drawn.map(keyOf).filter(Boolean));
  let place = parent.firstChild;
  for (const fresh of drawn) {
    while (place && keyOf(place) && !wanted.has(keyOf(place))) {
      const gone = place;
      place = place.nextSibling;
      gone.remove();
    }
    const known = keyOf(fresh) ? keyed.get(keyOf(fresh)) : undefined;
    if (known) {
      if (known !== place) parent.insertBefore(known, place);
      else place = place.nextSibling;
      morph(known, fresh);
    } else if (place && !keyOf(place) && !keyOf(fresh)) {
      const next = place.nextSibling;
      morph(place, fresh);
      place = next;
    } else {
      parent.insertBefore(fresh, place);
    }
  }
  while (place) {
    const gone = place;
    place = place.nextSibling;
    gone.remove();
  }
}

// Show these children in a parent, see morph.
export function show(parent, ...children) {
  const focused = document.activeElement;
  morphChildren(parent, [...h("div", null, ...children).childNodes]);
  if (focused !== document.activeElement && parent.contains(focused)) focused.focus({ preventScroll: true }); // it has moved
}
