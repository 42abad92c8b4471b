// The page: ask what is served, make the form that fits, show what comes back.

import * as about from "./about.js";
import * as answer from "./answer.js";
import * as api from "./api.js";
import { byId, choices, el, fill } from "./dom.js";
import { editor } from "./editor.js";
import * as fields from "./fields.js";
import { parse, pretty } from "./json.js";
import * as picture from "./picture.js";
import { snippets } from "./snippets.js";
import * as sound from "./sound.js";

const EVERY = 5000; // milliseconds between looks at the server
const RETRY = 2000; // and while it is not ready
const PATIENT = 30000; // and when it says that there were too many

let told = null; // what page/model.json said
let model = null; // the model on the screen
let forms = []; // its forms; the first is the best one
let form = null;
let examples = 0; // how many examples were filled in
let arrived = 0;
let traffic = null; // the counters at the last look, and what they told
const tell = snippets(byId("languages"), byId("snippet"));

function notice(text) {
  byId("notice").textContent = text;
  byId("notice").hidden = !text;
}

let timer = 0;
function again(pause) {
  clearTimeout(timer);
  timer = setTimeout(look, pause);
}

async function look() {
  clearTimeout(timer);
  if (document.hidden) return again(EVERY);
  try {
    told = await api.describe();
  } catch (error) {
    return turnedAway(error);
  }
  const since = (performance.now() - arrived) / 1000;
  arrived = performance.now();
  byId("door").hidden = true;
  byId("closed").hidden = false;
  const ready = told.models.length > 0 && told.models.every((item) => item.ready);
  badge(ready ? "ready" : "not ready", ready);
  byId("server").textContent = told.server;
  const names = told.models.map((item) => item.name);
  byId("chooser").hidden = names.length < 2;
  if (byId("models").options.length !== names.length) fill(byId("models"), ...names.map((name) => el("option", { value: name }, name)));
  const wanted = told.models.find((item) => item.name === (model?.name ?? new URLSearchParams(location.search).get("model"))) ?? told.models[0];
  traffic = { name: wanted?.name, counts: wanted?.traffic, now: about.between(traffic?.name === wanted?.name ? traffic?.counts : null, wanted?.traffic, since) };
  live();
  if (!wanted) return waiting("No model is configured: set MODEL_URL to a .tflite file and restart.");
  if (!wanted.ready) return waiting(`${wanted.name} is not ready: ${wanted.reason}`);
  notice(wanted.note);
  if (!model || model.sha256 !== wanted.sha256 || model.name !== wanted.name) await open(wanted);
  byId("bench").hidden = false;
  byId("subtitle").textContent = [model.version && `version ${model.version}`, model.quantization, `sha256 ${model.sha256.slice(0, 12)}`].filter(Boolean).join(" · ");
  again(EVERY);
}

function badge(text, ready) {
  if (byId("state").textContent !== text) byId("state").textContent = text;
  byId("state").className = `badge ${ready ? "ready" : "waiting"}`;
}

function waiting(text) {
  notice(text);
  byId("subtitle").textContent = "";
  again(RETRY);
}

function turnedAway(error) {
  if (error.status === 401 || error.status === 403) {
    clearTimeout(timer);
    notice(api.key.get() ? "The server does not know this key." : "");
    api.key.set("");
    byId("bench").hidden = true;
    byId("door").hidden = false;
    byId("closed").hidden = true;
    badge("locked", false);
    byId("subtitle").textContent = "";
    byId("key").focus();
    return;
  }
  notice(error.message);
  badge("no answer", false);
  again(error.status === 429 ? PATIENT : RETRY);
}

async function open(next) {
  model = next;
  examples = 0;
  document.title = `${model.name} · dynolite`;
  byId("title").textContent = model.name;
  byId("models").value = model.name;
  about.model(byId("about"), model);
  about.fidelity(byId("fidelity-card"), byId("fidelity"), model.fidelity);
  forms = [];
  if (picture.fits(model)) forms.push(picture.picture(model, changed));
  else if (sound.fits(model)) forms.push(sound.sound(model, changed));
  else if (fields.fits(model)) forms.push(fields.fields(model, changed));
  forms.push(editor(() => changed()));
  byId("bench").hidden = false;
  fill(byId("answer"), el("p", { class: "muted" }, "Nothing asked yet."));
  fill(byId("timing"));
  byId("timing-total").textContent = "";
  choose(forms[0]);
  if (!forms[0].drawable) await another();
}

function choose(next) {
  const body = form && next !== form && forms.includes(form) ? attempt() : null;
  form = next;
  if (body) put(body);
  choices(byId("modes"), forms.map((item) => item.title), form.title, (title) => choose(forms.find((item) => item.title === title)));
  byId("modes").hidden = forms.length < 2;
  fill(byId("form"), form.element);
  changed();
}

// The body on the screen, as text: what is shown, copied and sent is the same. An Error says what is missing.
// `asked`: it is about to be sent.
function body(asked = false) {
  if (form.body) return form.body(asked);
  const row = form.row(asked);
  if (model.form === "instances") return pretty({ instances: [row] });
  return pretty({ inputs: model.inputs.length === 1 ? [row] : Object.fromEntries(Object.entries(row).map(([name, value]) => [name, [value]])) });
}

function attempt() {
  try {
    return body();
  } catch {
    return null;
  }
}

// Show a body in the form, if it is one that the form can show.
function put(text) {
  if (form.loadBody) return form.loadBody(text);
  try {
    const value = parse(text);
    const rows = value.instances ?? value.inputs;
    form.load(Array.isArray(rows) ? rows[0] : Object.fromEntries(Object.entries(rows).map(([name, items]) => [name, items[0]])));
  } catch {
    notice("This request is no single row, so only its JSON shows all of it.");
  }
}

// A form was changed. `complete`: it holds a whole request now that is worth asking at once.
function changed(complete = false, problem = null) {
  if (problem) failed(problem);
  const text = form && attempt();
  tell(text && { url: api.address(model.name), body: text, keyed: Boolean(api.key.get()) });
  if (complete === true) ask();
}

function failed(text) {
  fill(byId("answer"), el("p", { class: "bad", role: "alert" }, text));
  fill(byId("timing"));
  byId("timing-total").textContent = "";
}

let asked = 0;
async function ask() {
  const turn = ++asked;
  byId("ask").disabled = true;
  try {
    const reply = await api.predict(model.name, body(true));
    if (turn !== asked) return;
    answer.show(byId("answer"), model, reply);
    answer.time(byId("timing"), byId("timing-total"), reply);
    brief();
  } catch (error) {
    if (error.status === 401) turnedAway(error);
    else if (turn === asked) failed(error.message);
  } finally {
    byId("ask").disabled = false;
  }
}

// The first line of an answer that is out of sight, below.
let answerInSight = true;
new IntersectionObserver(([entry]) => {
  answerInSight = entry.isIntersecting || entry.boundingClientRect.top < 0;
  if (answerInSight) byId("brief").hidden = true;
}).observe(byId("answer"));

function brief() {
  const line = byId("answer").querySelector(".bars li, .big, .bad");
  byId("brief").textContent = line ? [...(line.children.length ? line.children : [line])].map((part) => part.textContent).filter(Boolean).join("  ") : "See the answer";
  byId("brief").hidden = answerInSight;
}

async function another() {
  try {
    put(pretty(await api.example(model.name, examples++)));
    byId("provenance").textContent = model.examples ? `golden sample ${((examples - 1) % model.examples) + 1} of ${model.examples}` : "zeros of the right shape";
    changed();
  } catch (error) {
    failed(error.message);
  }
}

function live() {
  if (told) about.live(byId("live"), { interpreter: told.interpreter, uptime: told.uptime_seconds + (performance.now() - arrived) / 1000, now: traffic?.now });
}

byId("ask").addEventListener("click", ask);
byId("another").addEventListener("click", async () => { await another(); if (form.drawable) ask(); });
byId("models").addEventListener("change", () => open(told.models.find((item) => item.name === byId("models").value)));
byId("door").addEventListener("submit", (event) => {
  event.preventDefault();
  const given = byId("key").value.trim();
  const fits = api.key.fits(given);
  byId("key").setAttribute("aria-invalid", String(!fits));
  if (!fits) {
    notice("This is no key: a key is letters, digits and signs without blanks.");
    return byId("key").select();
  }
  api.key.set(given);
  byId("key").value = "";
  look();
});
document.addEventListener("paste", (event) => {
  const [file] = event.clipboardData?.files ?? [];
  if (file && form?.take) {
    event.preventDefault();
    form.take(file);
  }
});
// A file that is dropped anywhere goes into the form: the browser itself would leave the page to open it.
function dragged(event) {
  const files = event.dataTransfer.types.includes("Files");
  if (!files && event.target.closest?.("input, textarea")) return; // words, to where words are written
  event.preventDefault();
  const taken = files && Boolean(form?.take);
  event.dataTransfer.dropEffect = taken ? "copy" : "none";
  byId("form").classList.toggle("over", taken && event.type === "dragover");
  const [file] = event.dataTransfer.files;
  if (taken && event.type === "drop" && file) form.take(file);
}
document.addEventListener("dragover", dragged);
document.addEventListener("drop", dragged);
document.addEventListener("dragleave", () => byId("form").classList.remove("over"));
byId("closed").addEventListener("click", async (event) => {
  const path = event.target.getAttribute("href");
  if (!path || !api.key.get()) return;
  event.preventDefault();
  try {
    location.assign(await api.copy(path));
  } catch (error) {
    notice(error.message);
  }
});
document.addEventListener("visibilitychange", () => { if (!document.hidden) look(); });
setInterval(live, 1000);
look();
