// What the page asks the server. The key lives in this tab alone.

import { parse } from "./json.js";

const KEY = "dynolite-key";
// What API_KEYS may hold and a header can carry. With anything else in its headers no request would leave the browser.
const SENDABLE = /^[!-~\u00a1-\u00ff]{1,1000}$/;

export const key = {
  fits: (value) => SENDABLE.test(value),
  get: () => sessionStorage.getItem(KEY) ?? "",
  set: (value) => (value ? sessionStorage.setItem(KEY, value) : sessionStorage.removeItem(KEY)),
};

export class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

// The address of a copy of what the server answers there: a link of its own could not carry the key.
export async function copy(path) {
  const { reply, text } = await send(path);
  return URL.createObjectURL(new Blob([text], { type: reply.headers.get("Content-Type") }));
}

async function send(path, options = {}) {
  const headers = { ...options.headers };
  if (key.get()) headers.Authorization = `Bearer ${key.get()}`;
  let reply;
  try {
    reply = await fetch(path, { ...options, headers, cache: "no-store" });
  } catch {
    throw new Refused(0, "The server does not answer. Is it still running?");
  }
  const text = await reply.text();
  if (!reply.ok) throw new Refused(reply.status, reason(text, reply.status));
  return { reply, text };
}

function reason(text, status) {
  try {
    const told = JSON.parse(text);
    return String(told.error?.message ?? told.error ?? told.reason ?? text);
  } catch {
    return `The server answered ${status}.`;
  }
}

const json = async (path) => parse((await send(path)).text);

export const describe = () => json("page/model.json");
export const example = (model, index) => json(`page/example.json?model=${encodeURIComponent(model)}&index=${index}`);
export const path = (model) => `predict/${encodeURIComponent(model)}`;
export const address = (model) => new URL(path(model), document.baseURI).href;

export async function predict(model, body) {
  const started = performance.now();
  const { reply, text } = await send(path(model), {
    method: "POST",
    headers: { "Content-Type": "application/json", "Server-Timing": "1" },
    body,
  });
  const total = performance.now() - started;
  return { value: parse(text), text, total, stages: stages(reply.headers.get("Server-Timing") ?? "") };
}

// "decode;dur=0.12, invoke;dur=3.4" -> [["decode", 0.12], ["invoke", 3.4]], milliseconds
function stages(header) {
  return header.split(",").flatMap((entry) => {
    const [name, ...options] = entry.trim().split(";");
    const dur = options.map((option) => option.trim()).find((option) => option.startsWith("dur="));
    return name && dur ? [[name, Number(dur.slice(4))]] : [];
  });
}
