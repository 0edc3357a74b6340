// The state of the page in the address after "#", so that a query can be linked and Back works.

export const VIEWS = ["search", "map", "quality"];
export const DISTANCES = ["weighted", "plain", "both"];
const COUNTS = [12, 24, 48, 96];

export function emptyState() {
  return { view: "search", words: {}, pictures: {}, like: null, where: {}, k: COUNTS[0], distance: "weighted", column: "" };
}

/** Return the state of an address; what it does not give, or gives wrongly, is as in the empty state. */
export function readAddress(hash) {
  const state = emptyState();
  for (const [key, value] of new URLSearchParams(hash.replace(/^#/, ""))) {
    const dot = key.indexOf(".");
    const [group, name] = dot < 0 ? [key, ""] : [key.slice(0, dot), key.slice(dot + 1)];
    if (["words", "pictures", "where"].includes(group) && name && value) state[group][name] = value;
    else if (key === "view" && VIEWS.includes(value)) state.view = value;
    else if (key === "distance" && DISTANCES.includes(value)) state.distance = value;
    else if (key === "like" && /^-?\d{1,19}$/.test(value)) state.like = value;
    else if (key === "k" && COUNTS.includes(Number(value))) state.k = Number(value);
    else if (key === "column") state.column = value;
  }
  if (state.like !== null) state.words = {};
  if (state.like !== null) state.pictures = {};
  return state;
}

/** Return the address of a state, without what is as in the empty state. */
export function writeAddress(state) {
  const empty = emptyState();
  const parts = new URLSearchParams({ view: state.view });
  for (const group of ["words", "pictures", "where"]) {
    for (const [name, value] of Object.entries(state[group])) if (value) parts.set(`${group}.${name}`, value);
  }
  for (const key of ["like", "k", "distance", "column"]) {
    if (state[key] !== empty[key]) parts.set(key, state[key]);
  }
  return `#${parts}`;
}

export { COUNTS };
