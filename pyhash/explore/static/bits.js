// A code bit by bit.

import { counted, html, shown, svg } from "./elements.js";

const HEIGHT = 24; // above the line and below it, in units of the drawing
const LEAST = { above: 4, below: 1 }; // heights, so that bits of little weight are seen

/** Return the bits in which an answer differs from the query, each with its weight and its share of the distance. */
export function differences(query, bits) {
  const found = [];
  let total = 0;
  for (let i = 0; i < bits.length; i += 1) {
    if (bits[i] !== query.bits[i]) {
      found.push({ bit: i, query: query.bits[i], item: bits[i], weight: query.weights[i] });
      total += query.weights[i];
    }
  }
  return found.map((each) => ({ ...each, share: total > 0 ? each.weight / total : 0 }));
}

/** Return a chart of an answer's bits: those that differ from the query stand above the line, the others below. */
export function answerChart(query, bits, differing) {
  const above = new Set(differing.map((each) => each.bit));
  return chart(query.weights, (bit) => above.has(bit), differenceText(differing, bits.length));
}

/** Return a chart of the query's bits: ones stand above the line, zeros below. */
export function queryChart(query) {
  const ones = [...query.bits].filter((bit) => bit === "1").length;
  return chart(query.weights, (bit) => query.bits[bit] === "1", `${ones} of ${query.bits.length} bits are 1`);
}

/** Return the distance as a bar of the bits that differ, each as wide as its weight; `largest` fills the whole width. */
export function distanceBar(differing, largest) {
  let left = 0;
  const path = differing.map(({ weight }) => {
    const width = largest > 0 ? (1000 * weight) / largest : 0;
    const drawn = Math.max(width - 3, width / 2); // a gap after each bit
    const part = `M${left.toFixed(2)} 0h${drawn.toFixed(2)}v10h${(-drawn).toFixed(2)}z`;
    left += width;
    return part;
  });
  return svg(
    "svg",
    { class: "distance-bar", viewBox: "0 0 1000 10", preserveAspectRatio: "none", "aria-hidden": "true" },
    svg("path", { class: "above", d: path.join("") }),
  );
}

function differenceText(differing, nBits) {
  if (differing.length === 0) return `none of ${nBits} bits differs`;
  const largest = [...differing].sort((a, b) => b.weight - a.weight).slice(0, 3);
  const named = largest.map((each) => `bit ${each.bit} (${Math.round(100 * each.share)} %)`).join(", ");
  return `${differing.length} of ${nBits} bits differ; the largest shares of the distance: ${named}`;
}

/** Return a table of the bits that differ, which is filled when it is opened. */
export function differenceTable(differing) {
  const details = html("details", {}, html("summary", {}, `${counted(differing.length, "bit")} in numbers`));
  details.addEventListener(
    "toggle",
    () => {
      const head = ["bit", "query", "item", "weight", "share"].map((name) => html("th", { scope: "col" }, name));
      const rows = differing.map((each) => {
        const cells = [each.query, each.item, shown(each.weight), `${(100 * each.share).toFixed(1)} %`];
        return html("tr", {}, html("th", { scope: "row" }, String(each.bit)), cells.map((cell) => html("td", {}, cell)));
      });
      const caption = html("caption", {}, "Bits that differ from the query");
      details.append(html("div", { class: "scrolls", tabindex: "0", role: "group", "aria-label": "Bits in numbers" },
        html("table", {}, caption, html("thead", {}, html("tr", {}, head)), html("tbody", {}, rows))));
    },
    { once: true },
  );
  return details;
}

function chart(weights, isAbove, label) {
  const n = weights.length;
  const largest = Math.max(...weights, 1e-12);
  const paths = { above: "", below: "" };
  weights.forEach((weight, bit) => {
    const side = isAbove(bit) ? "above" : "below";
    const height = Math.max((HEIGHT * weight) / largest, LEAST[side]);
    paths[side] += `M${10 * bit + 1} ${side === "above" ? HEIGHT - height : HEIGHT}h8v${height.toFixed(2)}h-8z`;
  });
  return svg(
    "svg",
    { class: "bits", viewBox: `0 0 ${10 * n} ${2 * HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": label },
    svg("path", { class: "above", d: paths.above }),
    svg("path", { class: "below", d: paths.below }),
    svg("path", { class: "line", d: `M0 ${HEIGHT}h${10 * n}` }),
  );
}
