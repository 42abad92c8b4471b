// What is known of the model, and of the server that answers.

import { bytes, duration, el, facts, fill, milliseconds, shape, shown } from "./dom.js";

export function model(target, told) {
  fill(target,
    facts([
      ["Version", told.version],
      ["Quantization", told.quantization === "none" ? "none (float32)" : told.quantization],
      ["Size", bytes(told.bytes)],
      ["SHA-256", el("code", {}, told.sha256)],
      ["Proven on", (told.proven_on ?? []).map((proof) => `${proof.interpreter} ${proof.version}`).join(", ")],
      ["Golden samples", told.examples || "none"],
    ]),
    tensors("Takes", told.inputs),
    tensors("Gives", told.outputs));
}

function tensors(title, specs) {
  return el("div", { class: "wide" },
    el("h3", {}, title),
    el("table", {},
      el("thead", {}, el("tr", {}, ...["Name", "Type", "Shape"].map((name) => el("th", { scope: "col" }, name)))),
      el("tbody", {}, ...specs.map((spec) => el("tr", {},
        el("td", {}, spec.name),
        el("td", {}, spec.stored_as ? `${spec.dtype} (${spec.stored_as} inside)` : spec.dtype),
        el("td", {}, shape(spec.shape)))))));
}

const MEASURES = {
  agreement: "Same best answer",
  max_error: "Largest error",
  mean_error: "Mean error",
  sqnr_db: "Signal to noise (dB)",
  rows: "Rows compared",
};

// A report of any form: objects within it become tables of their own. Of a single output the whole says it already.
export function fidelity(card, target, report) {
  const entries = Object.entries(report ?? {}).filter(([name, value]) => name !== "outputs" || Object.keys(value ?? {}).length > 1);
  card.hidden = !entries.length;
  fill(target, ...section(entries, "Measure"));
}

function section(entries, title) {
  const plain = entries.filter(([, value]) => !isObject(value) && !nested(value));
  const deeper = entries.flatMap(([name, value]) => (isObject(value) ? [[name, value]] : nested(value) ? value.map((item, i) => [`${name} ${i + 1}`, item]) : []));
  const table = el("table", {},
    el("thead", {}, el("tr", {}, el("th", { scope: "col" }, title), el("th", { scope: "col" }, "Value"))),
    el("tbody", {}, ...plain.map(([name, value]) => el("tr", {}, el("td", {}, words(name)), el("td", { class: "number" }, name === "agreement" && value <= 1 ? `${Number((100 * value).toFixed(2))} %` : written(value))))));
  return [
    ...(plain.length ? [el("div", { class: "wide" }, table)] : []),
    ...deeper.flatMap(([name, value]) => [el("h3", {}, words(name)), ...section(Object.entries(value), "Measure")]),
  ];
}

const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);
const nested = (value) => Array.isArray(value) && value.length > 0 && value.every(isObject);
const words = (name) => (Object.hasOwn(MEASURES, name) ? MEASURES[name] : name.replaceAll("_", " "));
const written = (value) => (Array.isArray(value) ? value.map(written).join(", ") : typeof value === "number" ? shown(value) : String(value));

export function live(target, { interpreter, uptime, now }) {
  fill(target, facts([
    ["Interpreter", `${interpreter.name} ${interpreter.version}`],
    ["Up for", duration(uptime)],
    ["Predictions", now && shown(now.answered)],
    ["Of them failed", now?.failed ? shown(now.failed) : ""],
    ["Right now", now?.rate != null ? `${now.rate.toFixed(1)} a second` : ""],
    ["Latency", now?.latency != null ? `${milliseconds(now.latency)} on average` : ""],
    ["of that computing", now?.invoke != null ? milliseconds(now.invoke) : ""],
  ]));
}

// Rate and mean latency between two looks at the server's counters; of all its life, where nothing came between.
export function between(before, after, seconds) {
  if (!after) return null;
  const sum = (counts) => Object.values(counts.seconds).reduce((total, value) => total + value, 0);
  const fresh = before && after.answered > before.answered ? before : { answered: 0, seconds: {} };
  const count = after.answered - fresh.answered;
  return {
    answered: after.answered,
    failed: after.failed,
    rate: before ? Math.max(0, after.answered - before.answered) / seconds : null,
    latency: count > 0 ? (1000 * (sum(after) - sum(fresh))) / count : null,
    invoke: count > 0 ? (1000 * (after.seconds.invoke - (fresh.seconds.invoke ?? 0))) / count : null,
  };
}
