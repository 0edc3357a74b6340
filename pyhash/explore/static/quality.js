// How well the model retrieves: a table and curves.

import { fetchEvaluation } from "./api.js";
import { lineChart } from "./chart.js";
import { counted, html } from "./elements.js";

const SCORES = { map: "mAP", ndcg: "nDCG", mrr: "MRR", precision_at_10: "precision at 10" };

/** Fill the view with the stored measurements, or with how to make them. */
export async function showQuality(place, about) {
  const evaluation = await fetchEvaluation();
  if (evaluation === null) {
    place.replaceChildren(
      html("p", {}, "Nothing was measured yet. This command measures the model on labelled items that it has not learned, and stores the result in the folder:"),
      html("pre", { tabindex: "0" }, html("code", {}, `pyhash evaluate ${about.name} DATA --save`)),
      html("p", {}, "Then start the page again."));
    return;
  }
  const rows = Object.entries(evaluation.directions).flatMap(([modality, distances]) =>
    Object.entries(distances).map(([distance, scores]) => ({ modality, distance, scores })));
  const width = place.clientWidth > 1000 ? (place.clientWidth - 32) / 2 : place.clientWidth;
  const charts = html("div", { class: "charts" });
  const content = [html("p", {}, `Measured with ${counted(evaluation.rows, "query", "queries")}. An item is relevant if it shares the label: ${evaluation.labels}.`), table(rows)];
  const curves = rows.filter(({ scores }) => scores.curve).map(({ modality, distance, scores }) => ({
    name: `${modality}, ${distance}`,
    points: scores.curve.recall.map((recall, i) => [recall, scores.curve.precision[i]]),
  }));
  if (curves.length) {
    charts.append(lineChart({ title: "Precision and recall along the ranking", xName: "recall", yName: "precision", xMax: 1, series: curves, width }));
  }
  const rounds = evaluation.rounds ?? [];
  if (rounds.length > 1) {
    const names = Object.keys(rounds[0]).filter((name) => name !== "n_seen");
    const series = names.map((name) => ({ name, points: rounds.map((round) => [round.n_seen, round[name]]) }));
    charts.append(lineChart({ title: "mAP while the model learns", xName: "rows learned", yName: "mAP", xMax: Math.max(...rounds.map((round) => round.n_seen)), series, width }));
  }
  place.replaceChildren(...content, charts);
}

function table(rows) {
  const scores = [...new Set(rows.flatMap((row) => Object.keys(row.scores)))].filter((score) => score !== "curve");
  const head = ["query by", "distance", ...scores.map((score) => SCORES[score] ?? score.replaceAll("_", " "))].map((name) => html("th", { scope: "col" }, name));
  const body = rows.map((row) => html("tr", {},
    html("th", { scope: "row" }, row.modality),
    html("td", {}, row.distance),
    scores.map((score) => html("td", {}, Number.isFinite(row.scores[score]) ? row.scores[score].toFixed(3) : "–"))));
  return html("div", { class: "scrolls", tabindex: "0", role: "group", "aria-label": "Scores of the model" },
    html("table", {}, html("caption", {}, "Scores by modality of the query and by distance"), html("thead", {}, html("tr", {}, head)), html("tbody", {}, body)));
}
