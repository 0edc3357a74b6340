// The map of classes: a point for each value of a column, near to others whose codes are alike.

import { emptyState, writeAddress } from "./address.js";
import { fetchMap } from "./api.js";
import { counted, html, svg } from "./elements.js";

const MARGIN = 28;
const LETTER = 6.6; // width of a letter in the labels, about

/** Fill the view for the column of the state; `go(state)` is called where another column is chosen. */
export async function showMap(place, about, state, go) {
  const columns = about.filters.map((filter) => filter.column);
  if (columns.length === 0) {
    place.replaceChildren(html("p", {}, "There are no classes to show: no column of the items has few different values."));
    return;
  }
  const column = columns.includes(state.column) ? state.column : columns[0];
  const select = html("select", { id: "map-column" }, columns.map((name) => html("option", { value: name, selected: name === column }, name)));
  select.addEventListener("change", () => go({ ...state, column: select.value }));
  const map = await fetchMap(column);
  const drawing = html("div", { class: "map" });
  const [first, second] = map.shares.map((share) => `${Math.round(100 * share)} %`);
  place.replaceChildren(
    html("div", { class: "field narrow" }, html("label", { for: "map-column" }, "Classes by"), select),
    html("p", {}, `Each point is a class at the mean of the codes of its items, in the plane of the two principal components (${first} and ${second} of the variance). Classes that are near have similar codes. A point shows the items of its class; arrow keys move between points. Names that would cover others appear when a point is focused.`),
    drawing,
  );
  const draw = () => drawing.replaceChildren(drawn(map, state, drawing.clientWidth));
  draw();
  new ResizeObserver(() => {
    if (drawing.firstChild && drawing.clientWidth !== Number(drawing.firstChild.getAttribute("width"))) draw();
  }).observe(drawing);
}

function drawn(map, state, width) {
  const height = Math.round(Math.min(640, Math.max(320, 0.7 * width)));
  const along = (axis, size) => {
    const values = map.classes.map((each) => each[axis]);
    const low = Math.min(...values);
    const range = Math.max(...values) - low || 1;
    return (each) => MARGIN + ((each[axis] - low) / range) * (size - 2 * MARGIN);
  };
  const [x, y] = [along("x", width), along("y", height)];
  const largest = Math.max(...map.classes.map((each) => each.count), 1);
  const scale = Math.min(1, 0.5 + width / 1600);
  const points = map.classes.map((each) => ({ ...each, at: [x(each), height - y(each)], radius: scale * (4 + 8 * Math.sqrt(each.count / largest)) }));
  const labels = placeLabels(points, width, height);
  const links = points.map((point, i) => {
    const where = { [map.column]: String(point.value) };
    const label = labels[i];
    return svg("a", { href: writeAddress({ ...emptyState(), k: state.k, distance: state.distance, where }), "aria-label": `${point.value}, ${counted(point.count, "item")}`, tabindex: i === 0 ? "0" : "-1", class: label.fits ? "" : "crowded" },
      svg("title", {}, `${point.value}, ${counted(point.count, "item")}`),
      svg("circle", { cx: point.at[0], cy: point.at[1], r: point.radius }),
      svg("text", { x: label.x, y: label.y, "text-anchor": label.anchor }, String(point.value)));
  });
  const drawing = svg("svg", { class: "chart", width, height, viewBox: `0 0 ${width} ${height}`, role: "group", "aria-label": `Map of ${counted(points.length, "class", "classes")} by ${map.column}` }, links);
  drawing.addEventListener("keydown", (event) => moveFocus(event, links));
  return drawing;
}

function moveFocus(event, links) {
  const now = links.indexOf(document.activeElement);
  const to = { ArrowRight: now + 1, ArrowDown: now + 1, ArrowLeft: now - 1, ArrowUp: now - 1, Home: 0, End: links.length - 1 }[event.key];
  if (now < 0 || to === undefined) return;
  event.preventDefault();
  const next = (to + links.length) % links.length;
  links[now].setAttribute("tabindex", "-1");
  links[next].setAttribute("tabindex", "0");
  links[next].parentNode.append(links[next]); // drawn last, so that its label covers the others
  links[next].focus();
}

/** Give each label the first free place beside its point, larger classes first. */
function placeLabels(points, width, height) {
  const taken = points.map(({ at: [x, y], radius }) => [x - radius, y - radius, x + radius, y + radius]);
  const labels = [];
  const order = points.map((_, i) => i).sort((a, b) => points[b].count - points[a].count);
  for (const i of order) {
    const { at: [x, y], radius, value } = points[i];
    const size = LETTER * String(value).length;
    const places = [
      { x: x + radius + 3, y: y + 4, anchor: "start", left: x + radius + 3 },
      { x: x - radius - 3, y: y + 4, anchor: "end", left: x - radius - 3 - size },
      { x, y: y - radius - 4, anchor: "middle", left: x - size / 2 },
      { x, y: y + radius + 13, anchor: "middle", left: x - size / 2 },
    ];
    const inside = ({ left, y: base }) => left >= 0 && left + size <= width && base >= 12 && base <= height - 4;
    const box = ({ left, y: base }) => [left, base - 11, left + size, base + 3];
    const isFree = (place) => taken.every((other, at) => at === i || apart(box(place), other));
    const place = places.find((each) => inside(each) && isFree(each));
    if (place) taken.push(box(place));
    labels[i] = { ...(place ?? places.find(inside) ?? places[2]), fits: place !== undefined };
  }
  return labels;
}

function apart(a, b) {
  return a[2] < b[0] || b[2] < a[0] || a[3] < b[1] || b[3] < a[1];
}
