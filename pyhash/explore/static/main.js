// The page: the address says what is shown, and every change goes through it.

import { readAddress, VIEWS, writeAddress } from "./address.js";
import { showAnswers } from "./answers.js";
import { fetchAbout, search } from "./api.js";
import { counted } from "./elements.js";
import { describeQuery, makeForm } from "./form.js";
import { showMap } from "./map.js";
import { showQuality } from "./quality.js";

const at = (id) => document.getElementById(id);
let about;
let showForm;
let latest = 0; // number of the last update: answers of earlier ones come too late

function go(state) {
  const address = writeAddress(state);
  if (address === location.hash) update();
  else location.hash = address;
}

function fail(error) {
  at("failure").textContent = error.message;
  at("failure").hidden = false;
  at("status").textContent = "";
}

async function update() {
  latest += 1;
  const number = latest;
  const state = readAddress(location.hash);
  const focusWasIn = (id) => at(id).contains(document.activeElement);
  const followed = focusWasIn("answers") || focusWasIn("map");
  at("failure").hidden = true;
  for (const view of VIEWS) at(`view-${view}`).hidden = view !== state.view;
  for (const link of document.querySelectorAll("nav a")) {
    if (link.dataset.view === state.view) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
    link.href = writeAddress({ ...state, view: link.dataset.view });
  }
  const titles = { search: describeQuery(state), map: "Map of classes", quality: "Quality" };
  document.title = `${titles[state.view]} - ${about.name} - pyhash explore`;
  showForm(state);
  try {
    if (state.view === "map") await showMap(at("map"), about, state, go);
    else if (state.view === "quality") await showQuality(at("quality"), about);
    else await showSearch(state, number, followed);
  } catch (error) {
    if (number === latest) {
      if (state.view === "search") showFound();
      fail(error);
    }
  }
}

async function showSearch(state, number, followed) {
  const heading = at("answers-heading");
  heading.textContent = describeQuery(state);
  if (followed) heading.focus();
  at("status").textContent = "Searching …";
  at("answers").setAttribute("aria-busy", "true");
  const start = performance.now();
  const distances = state.distance === "both" ? ["weighted", "plain"] : [state.distance];
  const query = { words: state.words, pictures: state.pictures, where: typedFilters(state.where), k: state.k };
  if (state.like !== null) query.like = state.like;
  const isQuery = state.like !== null || Object.keys(state.words).length + Object.keys(state.pictures).length > 0;
  // Codes have no weights, and without a query there is no distance.
  const asked = state.like !== null || !isQuery ? ["plain"] : distances;
  const results = await Promise.all(asked.map((distance) => search({ ...query, weighted: distance === "weighted" })));
  if (number !== latest) return;
  const found = Object.fromEntries(asked.map((distance, i) => [distance, results[i]]));
  showFound(showAnswers(state, found));
  at("status").textContent = statusText(state, found, isQuery, performance.now() - start);
}

function showFound(...content) {
  at("answers").replaceChildren(...content);
  at("answers").removeAttribute("aria-busy");
}

function statusText(state, found, isQuery, milliseconds) {
  const [first] = Object.values(found);
  const n = first.answers.length;
  if (n === 0) return "No items match.";
  if (!isQuery) return `${counted(n, "item")} to start from, of ${about.n_items.toLocaleString("en")}.`;
  const by = Object.keys(found).map((distance) => `${distance} distance`).join(" and by ");
  return `${counted(n, "answer")} by ${by}, in ${Math.round(milliseconds)} ms.`;
}

/** Return the filters with values of the types that the columns have; addresses hold text. */
function typedFilters(where) {
  return Object.fromEntries(Object.entries(where).map(([column, text]) => {
    const values = about.filters.find((filter) => filter.column === column)?.values ?? [];
    return [column, values.find(({ value }) => String(value) === text)?.value ?? text];
  }));
}

async function start() {
  try {
    about = await fetchAbout();
  } catch (error) {
    fail(error);
    return;
  }
  at("name").textContent = about.name;
  at("summary").textContent = `${counted(about.n_items, "item")} · codes of ${about.n_bits} bits · method ${about.method}`;
  showForm = makeForm(at("form"), about, go, fail);
  // The address holds the query, so the link moves the focus itself.
  at("skip").addEventListener("click", (event) => {
    event.preventDefault();
    at("answers-heading").focus();
  });
  window.addEventListener("hashchange", update);
  await update();
}

start();
