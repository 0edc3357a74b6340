// Requests to the server of this page.

const MAX_PICTURE = 16 * 1024 * 1024;

async function answerOf(request) {
  let response;
  try {
    response = await request;
  } catch {
    throw new Error("The server does not answer. Start it again with pyhash explore.");
  }
  const value = await response.json();
  if (!response.ok) throw new Error(value.error);
  return value;
}

/** Return what a folder holds: its name, modalities, filters and sizes. */
export const fetchAbout = () => answerOf(fetch("/api/about"));

/** Return the stored measurements of the model, or null. */
export const fetchEvaluation = () => answerOf(fetch("/api/evaluation"));

/** Return the classes of a column as points. */
export const fetchMap = (column) => answerOf(fetch(`/api/map/${encodeURIComponent(column)}`));

/** Return the answers of a search; ids are strings, as they may be larger than the numbers of JavaScript. */
export function search(query) {
  const headers = { "Content-Type": "application/json" };
  return answerOf(fetch("/api/search", { method: "POST", headers, body: JSON.stringify(query) }));
}

/** Send a picture; return the name by which a search asks for it. */
export async function sendPicture(file) {
  if (file.size > MAX_PICTURE) throw new Error("A picture may have at most 16 MB.");
  const headers = { "Content-Type": file.type };
  return (await answerOf(fetch("/api/pictures", { method: "POST", headers, body: file }))).picture;
}

export const pictureOfItem = (id, column) => `/api/items/${id}/pictures/${encodeURIComponent(column)}`;

export const pictureOfQuery = (name) => `/api/pictures/${name}`;
