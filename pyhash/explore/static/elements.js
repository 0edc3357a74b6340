// Elements of HTML and SVG in one call.

/** Return an element; children are elements, strings, or null for none. Attributes that are null or false are left out. */
export function html(name, attributes = {}, ...children) {
  return filled(document.createElement(name), attributes, children);
}

/** Return an element of SVG. */
export function svg(name, attributes = {}, ...children) {
  return filled(document.createElementNS("http://www.w3.org/2000/svg", name), attributes, children);
}

function filled(element, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) {
    if (value !== null && value !== false) element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null));
  return element;
}

/** Return a number with a few digits, as people read it. */
export function shown(number) {
  if (Number.isInteger(number)) return number.toLocaleString("en");
  return number < 0.001 ? number.toExponential(1) : number.toFixed(3);
}

/** Return a count with its noun. */
export function counted(number, one, many = `${one}s`) {
  return `${number.toLocaleString("en")} ${number === 1 ? one : many}`;
}
