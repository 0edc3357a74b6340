// Line charts in SVG; series differ by dashes and marks, not by colour alone.

import { html, svg } from "./elements.js";

const MARGIN = { left: 44, right: 12, top: 10, bottom: 40 };
const DASHES = ["", "7 4", "2 3", "9 3 2 3"];
const MARKS = [
  (x, y) => `M${x - 3} ${y}a3 3 0 1 0 6 0a3 3 0 1 0 -6 0z`,
  (x, y) => `M${x - 3} ${y - 3}h6v6h-6z`,
  (x, y) => `M${x} ${y - 4}l4 7h-8z`,
  (x, y) => `M${x} ${y - 4}l4 4l-4 4l-4 -4z`,
];

/** Return a chart, `series`: name and points [x, y] of each; y goes from 0 to 1, x from 0 to `xMax`. */
export function lineChart({ title, xName, yName, xMax, series, width }) {
  const height = Math.round(Math.min(400, Math.max(220, 0.6 * width)));
  const x = (value) => MARGIN.left + (value / xMax) * (width - MARGIN.left - MARGIN.right);
  const y = (value) => height - MARGIN.bottom - value * (height - MARGIN.top - MARGIN.bottom);
  const place = (points) => points.map((point) => [x(point[0]).toFixed(1), y(point[1]).toFixed(1)].map(Number));
  const grid = [];
  for (let i = 0; i <= 5; i += 1) {
    const share = i / 5;
    grid.push(svg("path", { class: "grid", d: `M${MARGIN.left} ${y(share)}H${width - MARGIN.right}` }));
    grid.push(svg("text", { x: MARGIN.left - 6, y: y(share) + 4, "text-anchor": "end" }, share.toFixed(1)));
    const value = xMax * share;
    grid.push(svg("text", { x: x(value), y: height - MARGIN.bottom + 16, "text-anchor": i === 5 ? "end" : "middle" },
      xMax <= 1 ? value.toFixed(1) : Math.round(value).toLocaleString("en")));
  }
  grid.push(svg("text", { x: (MARGIN.left + width - MARGIN.right) / 2, y: height - 6, "text-anchor": "middle" }, xName));
  grid.push(svg("text", { x: -(MARGIN.top + height - MARGIN.bottom) / 2, y: 11, "text-anchor": "middle", transform: "rotate(-90)" }, yName));
  const lines = series.map(({ points }, i) => line(place(points), i));
  const legend = series.map(({ name }, i) => html("li", {},
    svg("svg", { width: 40, height: 12, "aria-hidden": "true" }, line([[2, 6], [20, 6], [38, 6]], i)), name));
  return html("figure", {},
    html("figcaption", {}, title),
    svg("svg", { class: "chart", width, height, viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `${title}: ${yName} by ${xName}` }, grid, lines),
    html("ul", { class: "legend" }, legend));
}

function line(points, i) {
  const every = Math.max(1, Math.round(points.length / 8));
  const marks = points.filter((_, at) => at % every === Math.floor(every / 2)).map(([x, y]) => MARKS[i % MARKS.length](x, y)).join("");
  return svg("g", { class: `series series-${i % 4}` },
    svg("path", { class: "curve", d: points.map(([x, y], at) => `${at ? "L" : "M"}${x} ${y}`).join(""), "stroke-dasharray": DASHES[i % DASHES.length] }),
    svg("path", { class: "marks", d: marks }));
}
