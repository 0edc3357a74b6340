// The answers of a search.

import { writeAddress } from "./address.js";
import { pictureOfItem } from "./api.js";
import { answerChart, differences, differenceTable, distanceBar, queryChart } from "./bits.js";
import { html, shown } from "./elements.js";

const DISTANCES = { weighted: "Weighted distance", plain: "Plain distance" };
// Also those that are text unless U+FE0F follows, such as scissors: data often leaves it out.
const GLYPH = /^(?:\p{Extended_Pictographic}|\p{Regional_Indicator}|[#*\d]\uFE0F?\u20E3)[\p{Emoji}\p{Emoji_Modifier}\u200D\uFE0F\u{E0020}-\u{E007F}]*$/u;

/** Return the answers by each distance: one column, or two side by side. */
export function showAnswers(state, found) {
  const columns = Object.entries(found).map(([distance, result]) => column(state, distance, result, found));
  return html("div", { class: columns.length > 1 ? "side-by-side" : "" }, columns);
}

function column(state, distance, result, found) {
  const isSingle = Object.keys(found).length === 1;
  const content = [];
  if (!isSingle) content.push(html("h3", {}, DISTANCES[distance]));
  if (result.query) content.push(explanation(result.query, distance));
  const largest = Math.max(...result.answers.map((answer) => answer.distance ?? 0));
  for (const [what, answers] of grouped(result.answers)) {
    content.push(html(isSingle ? "h3" : "h4", {}, `${what} (${answers.length})`));
    const items = answers.map((answer) => html("li", {}, card(state, result.query, answer, largest)));
    content.push(html("ol", { class: "answers" }, items));
  }
  return html("div", { class: "column" }, content);
}

function explanation(query, distance) {
  const weights = distance === "weighted" ? "A bar is as tall as the weight of its bit, from 0 to 1: how certain the query is of it." : "Every bit weighs 1.";
  return html("details", { class: "explanation" },
    html("summary", {}, "The query in bits, and how to read the bars"),
    html("p", {}, `The query has ${query.bits.length} bits; ones stand above the line, zeros below. ${weights}`),
    queryChart(query),
    html("p", {}, "Under an answer, bits that differ from the query stand above the line, and bits that agree below. The bar over them is the distance: the bits that differ side by side, each as wide as its weight. Bars of different answers compare."));
}

/** Return the answers by the modalities that they have, in the order of the best answer of each. */
function grouped(answers) {
  const groups = new Map();
  for (const answer of answers) {
    const what = answer.modalities.length ? `Items with ${answer.modalities.join(" and ")}` : "Items";
    groups.set(what, [...(groups.get(what) ?? []), answer]);
  }
  return groups;
}

function card(state, query, answer, largest) {
  const { glyph, title, rest } = parts(answer);
  const name = title ?? `Item ${answer.id}`;
  const pictures = answer.pictures.map((column) => html("img", { src: pictureOfItem(answer.id, column), alt: `${column} of ${name}`, loading: "lazy" }));
  const more = writeAddress({ ...state, view: "search", words: {}, pictures: {}, like: answer.id });
  const content = [
    html("div", { class: "seen" }, pictures, glyph ? html("span", { class: "glyph" }, /^.$/u.test(glyph) ? `${glyph}\uFE0F` : glyph) : null),
    html("p", { class: "title" }, answer.rank === null ? null : html("span", { class: "rank" }, `${answer.rank}.`), ` ${name}`),
  ];
  if (rest.length) {
    content.push(html("dl", {}, rest.map(([column, value]) => html("div", {}, html("dt", {}, column), html("dd", {}, value)))));
  }
  if (query) {
    const differing = differences(query, answer.bits);
    const distance = `distance ${shown(answer.distance)}, ${differing.length} of ${answer.bits.length} bits ${differing.length === 1 ? "differs" : "differ"}`;
    content.push(html("p", { class: "distance" }, distance), distanceBar(differing, largest), answerChart(query, answer.bits, differing));
    if (differing.length) content.push(differenceTable(differing));
  }
  content.push(html("a", { class: "more", href: more, "aria-label": `More like this: ${name}` }, "More like this"));
  return html("article", {}, content);
}

/** Return an emoji of the payload, the title, and the other values as text. */
function parts(answer) {
  const texts = Object.entries(answer.payload).filter(([, value]) => value !== null && value !== "");
  const isText = ([, value]) => typeof value === "string";
  const glyphs = texts.filter((entry) => isText(entry) && GLYPH.test(entry[1]));
  const others = texts.filter((entry) => !glyphs.includes(entry));
  const named = ["name", "title", ...answer.modalities].map((name) => others.find((entry) => entry[0] === name && isText(entry)));
  const title = named.find((entry) => entry) ?? others.find(isText);
  const rest = others.filter((entry) => entry !== title).map(([column, value]) => [column, Array.isArray(value) ? value.join(", ") : String(value)]);
  return { glyph: glyphs[0]?.[1], title: title?.[1], rest };
}
