// The form of a query, made for the modalities and columns of the folder.

import { COUNTS, emptyState } from "./address.js";
import { pictureOfQuery, sendPicture } from "./api.js";
import { html } from "./elements.js";

const PICTURES = "image/png,image/jpeg,image/webp,image/gif";
const DISTANCE_NAMES = { weighted: "Weighted", plain: "Plain", both: "Side by side" };

/**
 * Fill the form; `go(state)` is called with each new query, `fail(error)` where a picture is refused.
 * Return a function that shows a state in the form.
 */
export function makeForm(form, about, go, fail) {
  let state = emptyState();
  const fields = [];
  const withQuery = (changes) => go({ ...state, ...readWords(), ...changes, view: "search" });
  const readWords = () => {
    const words = {};
    for (const input of form.querySelectorAll("input[data-words]")) {
      if (input.value.trim()) words[input.dataset.words] = input.value.trim();
    }
    return { words };
  };

  const modalities = [...about.modalities].sort((a, b) => (b.takes === "words") - (a.takes === "words"));
  const inputs = modalities.flatMap(({ name, takes }) => {
    if (takes === "words") return [wordsField(name, fields)];
    if (takes === "picture") {
      return [pictureField(name, fields, (pictures) => withQuery({ pictures: { ...state.pictures, ...pictures }, like: null }), fail)];
    }
    return [];
  });
  if (inputs.length === 0) {
    inputs.push(html("p", {}, "The model takes features alone, so there is nothing to type or to choose. Start from an item below: More like this."));
  }
  const filters = about.filters.map((filter) => filterField(filter, fields, () => withQuery({ where: readFilters(form) })));
  const distance = distanceField(fields, () => withQuery({ distance: form.elements.distance.value }));
  const count = countField(fields, (k) => withQuery({ k }));
  const like = html("p", { class: "like", hidden: true });
  fields.push((shownState) => {
    like.hidden = shownState.like === null;
    const remove = html("button", { type: "button" }, "Remove");
    remove.addEventListener("click", () => withQuery({ like: null }));
    like.replaceChildren(`Like item ${shownState.like} `, remove);
  });
  const submit = html("button", { type: "submit", class: "primary" }, "Search");
  const clear = html("button", { type: "button" }, "Clear");
  clear.addEventListener("click", () => go({ ...emptyState(), k: state.k, distance: state.distance }));
  form.replaceChildren(
    ...inputs,
    html("div", { class: "buttons" }, submit, clear),
    like,
    html("div", { class: "options" },
      filters.length ? html("fieldset", { class: "filters" }, html("legend", {}, "Only items with"), filters) : null,
      distance,
      count),
  );
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    withQuery({ like: null });
  });
  // A picture that misses its field must not replace the page.
  for (const kind of ["dragover", "drop"]) document.addEventListener(kind, (event) => event.preventDefault());

  return (newState) => {
    state = newState;
    for (const show of fields) show(state);
  };
}

function wordsField(name, fields) {
  const input = html("input", { type: "search", id: `words-${name}`, "data-words": name, maxlength: "2000", autocomplete: "off", spellcheck: "false" });
  fields.push((state) => {
    input.value = state.words[name] ?? "";
  });
  return html("div", { class: "field" }, html("label", { for: input.id }, name === "text" ? "Words" : `Words (${name})`), input);
}

function pictureField(name, fields, change, fail) {
  const title = name === "image" ? "Picture" : `Picture (${name})`;
  const input = html("input", { type: "file", id: `picture-${name}`, accept: PICTURES, class: "unseen" });
  const label = html("label", { for: input.id }, `${title} `, html("span", { class: "drop" }, "Drop or choose a file"));
  const chosen = html("div", { class: "chosen", hidden: true });
  const send = async (file) => {
    try {
      change({ [name]: await sendPicture(file) });
    } catch (error) {
      fail(error);
    }
    input.value = "";
  };
  input.addEventListener("change", () => input.files.length && send(input.files[0]));
  const field = html("div", { class: "field picture" }, input, label, chosen);
  field.addEventListener("dragover", (event) => {
    event.preventDefault();
    field.classList.add("over");
  });
  field.addEventListener("dragleave", () => field.classList.remove("over"));
  field.addEventListener("drop", (event) => {
    event.preventDefault();
    field.classList.remove("over");
    if (event.dataTransfer.files.length) send(event.dataTransfer.files[0]);
  });
  fields.push((state) => {
    const picture = state.pictures[name];
    chosen.hidden = !picture;
    if (!picture) return chosen.replaceChildren();
    const remove = html("button", { type: "button" }, "Remove the picture");
    remove.addEventListener("click", () => {
      change({ [name]: "" });
      input.focus();
    });
    return chosen.replaceChildren(html("img", { src: pictureOfQuery(picture), alt: "Picture of the query" }), remove);
  });
  return field;
}

function filterField({ column, values }, fields, change) {
  const options = values.map(({ value, count }) => html("option", { value: String(value) }, `${value} (${count.toLocaleString("en")})`));
  const select = html("select", { id: `where-${column}`, "data-where": column }, html("option", { value: "" }, "any"), options);
  select.addEventListener("change", change);
  fields.push((state) => {
    select.value = state.where[column] ?? "";
  });
  return html("div", { class: "field" }, html("label", { for: select.id }, column), select);
}

function readFilters(form) {
  const where = {};
  for (const select of form.querySelectorAll("select[data-where]")) {
    if (select.value) where[select.dataset.where] = select.value;
  }
  return where;
}

function distanceField(fields, change) {
  const radios = Object.entries(DISTANCE_NAMES).map(([value, name]) => {
    const radio = html("input", { type: "radio", name: "distance", value, id: `distance-${value}` });
    radio.addEventListener("change", change);
    fields.push((state) => {
      radio.checked = state.distance === value;
    });
    return html("span", { class: "choice" }, radio, html("label", { for: radio.id }, name));
  });
  return html("fieldset", {}, html("legend", {}, "Distance"), radios);
}

function countField(fields, change) {
  const select = html("select", { id: "count" }, COUNTS.map((k) => html("option", { value: k }, String(k))));
  select.addEventListener("change", () => change(Number(select.value)));
  fields.push((state) => {
    select.value = String(state.k);
  });
  return html("div", { class: "field" }, html("label", { for: "count" }, "Answers"), select);
}

/** Return a query in words, for headings and the title of the page. */
export function describeQuery(state) {
  const parts = Object.values(state.words).map((words) => `“${words}”`);
  parts.push(...Object.values(state.pictures).map(() => "a picture"));
  if (state.like !== null) parts.push(`item ${state.like}`);
  const filters = Object.entries(state.where).map(([column, value]) => `${column} ${value}`);
  const query = parts.length ? `Nearest to ${parts.join(" and ")}` : "Items of the folder";
  return filters.length ? `${query}, with ${filters.join(" and ")}` : query;
}
