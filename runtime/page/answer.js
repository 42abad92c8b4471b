// The answer as people read it: labels with bars, numbers, pictures. Whatever it is, its JSON is one click away.

import { bytes, el, fill, milliseconds, shown } from "./dom.js";
import { layoutOf, paint, rangeOf } from "./pixels.js";

const SHOWN_BARS = 5;
const MOST_NUMBERS = 64;

// Outputs by name, the first row of each, from any of the server's reply forms.
function outputs(model, value) {
  const whole = "outputs" in value;
  const told = whole ? value.outputs : value.predictions[0];
  const byName = model.outputs.length === 1 ? { [model.outputs[0].name]: told } : told;
  return model.outputs.map((spec) => {
    const item = byName[spec.name];
    const mayHaveRows = spec.shape.length === 0 || [-1, 1].includes(spec.shape[0]);
    const oneRow = whole && model.batch !== "none" && mayHaveRows && Array.isArray(item) && item.length === 1;
    return { spec, value: oneRow ? item[0] : item };
  });
}

export function show(target, model, reply) {
  const parts = outputs(model, reply.value);
  fill(target,
    ...parts.map(({ spec, value }) => el("div", { class: "output" }, parts.length > 1 ? el("h3", {}, spec.name) : null, output(model, spec, value))),
    el("details", {}, el("summary", {}, `Reply as JSON (${bytes(reply.text.length)})`), el("pre", { tabindex: 0, role: "region", "aria-label": "The reply" }, clipped(reply.text))));
}

function output(model, spec, value) {
  if (!Array.isArray(value)) return el("p", { class: "big" }, text(value));
  const sizes = dimensions(value);
  const layout = value.flat(Infinity).some((item) => typeof item === "bigint") ? null : layoutOf(spec, sizes);
  if (layout) return image(value, layout, spec.name);
  const flat = sizes.length > 1 && sizes.slice(0, -1).every((n) => n === 1) ? value.flat(Infinity) : value;
  const [single] = flat;
  if (flat.length === 1 && !Array.isArray(single)) return el("p", { class: "big" }, text(single));
  const numeric = flat.every((item) => typeof item === "number" || item === null);
  if (numeric && (names(model, spec, flat) || likeProbabilities(spec, flat))) return bars(model, spec, flat);
  if (flat.length <= MOST_NUMBERS && flat.every((item) => !Array.isArray(item))) return numbers(flat);
  if (sizes.length === 2 && sizes[1] <= 12 && sizes[0] <= MOST_NUMBERS) return table(flat);
  return summary(flat, sizes);
}

const names = (model, spec, flat) => (spec.labels || model.outputs.length === 1) && model.labels.length === flat.length && model.labels.length > 1;

function likeProbabilities(spec, flat) {
  if (["softmax", "sigmoid"].includes(spec.activation)) return true;
  const sum = flat.reduce((total, item) => total + item, 0);
  return flat.length > 1 && flat.every((item) => item !== null && item >= 0 && item <= 1.0001) && Math.abs(sum - 1) < 0.02;
}

function bars(model, spec, flat) {
  const labelled = names(model, spec, flat);
  const shares = likeProbabilities(spec, flat);
  const order = flat.map((value, index) => ({ value: value ?? -Infinity, label: labelled ? model.labels[index] : `class ${index}` })).sort((a, b) => b.value - a.value);
  const least = Math.min(0, ...order.map((item) => item.value).filter(Number.isFinite));
  const most = shares ? 1 : Math.max(order[0].value, least + 1e-9);
  const list = el("ol", { class: "bars" });
  const draw = (count) => fill(list, ...order.slice(0, count).map((item) => bar(item, shares, Math.max(0, (item.value - least) / (most - least)))));
  draw(SHOWN_BARS);
  if (order.length <= SHOWN_BARS) return list;
  const more = el("button", { type: "button", class: "copy", onclick: () => { draw(200); more.remove(); } }, `Show ${order.length > 200 ? "200" : "all"} of ${order.length}`);
  return el("div", {}, list, more);
}

function bar({ label, value }, shares, width) {
  const fillBar = el("span", { class: "fill", "aria-hidden": "true" });
  fillBar.style.width = `${(100 * width).toFixed(1)}%`;
  const told = !Number.isFinite(value) ? "not a number" : shares ? `${(100 * value).toFixed(value > 0.9995 || value < 0.0005 ? 2 : 1)} %` : shown(value);
  return el("li", {}, fillBar, el("span", { class: "label" }, label), el("span", { class: "number" }, told));
}

function image(value, layout, name) {
  const canvas = el("canvas", { class: "seen photo", role: "img", "aria-label": `Output ${name}, a picture of ${layout.width} by ${layout.height}` });
  const range = rangeOf(value.flat(2));
  paint(canvas, value, layout, range);
  if (layout.width >= 64) canvas.classList.add("smooth");
  return el("figure", {}, canvas, el("figcaption", {}, `${layout.width} × ${layout.height}, from ${shown(range.low)} (black) to ${shown(range.high)} (white)`));
}

const numbers = (flat) => el("div", { class: "wide" }, el("table", { class: "number" }, el("tbody", {},
  ...flat.map((item, index) => el("tr", {}, el("th", { scope: "row" }, index + 1), el("td", {}, text(item)))))));

const table = (rows) => el("div", { class: "wide", tabindex: 0, role: "region", "aria-label": "Output as a table" }, el("table", { class: "number" }, el("tbody", {},
  ...rows.map((row, index) => el("tr", {}, el("th", { scope: "row" }, index + 1), ...row.map((item) => el("td", {}, text(item))))))));

function summary(flat, sizes) {
  const all = flat.flat(Infinity).filter(isNumber);
  let [low, high, sum] = [Infinity, -Infinity, 0];
  for (const value of all) [low, high, sum] = [value < low ? value : low, value > high ? value : high, sum + Number(value)];
  const told = all.length ? `from ${shown(low)} to ${shown(high)}, mean ${shown(sum / all.length)}` : "";
  return el("p", {}, `${sizes.join(" × ")} values ${told}`);
}

function dimensions(value) {
  const sizes = [];
  for (let item = value; Array.isArray(item); item = item[0]) sizes.push(item.length);
  return sizes;
}

const isNumber = (value) => ["number", "bigint"].includes(typeof value);
const text = (value) => (typeof value === "string" ? value : value === null || isNumber(value) ? shown(value) : JSON.stringify(value));
const clipped = (json) => (json.length > 4000 ? `${json.slice(0, 4000)} …` : json);

export function time(target, total, reply) {
  total.textContent = `${milliseconds(reply.total)} there and back`;
  if (!reply.stages.length) return fill(target);
  const sum = reply.stages.reduce((all, [, value]) => all + value, 0) || 1;
  const strip = el("div", { class: "stages", "aria-hidden": "true" });
  const legend = el("ul", { class: "legend", "aria-label": "Time in the server, by stage" });
  reply.stages.forEach(([name, value], index) => {
    const piece = el("i", { class: `c${index % 5}` });
    piece.style.width = `${((100 * value) / sum).toFixed(2)}%`;
    strip.append(piece);
    legend.append(el("li", {}, el("i", { class: `c${index % 5}`, "aria-hidden": "true" }), `${name} ${milliseconds(value)}`));
  });
  fill(target, strip, legend);
}
