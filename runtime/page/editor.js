// The request's JSON, to be edited as it is: the form for every model that has no better one.

import { el } from "./dom.js";

const LINE = 96; // characters
const PRETTY_LENGTH = 40000; // longer than this it is not read, and stays on one line

export function editor(changed) {
  const area = el("textarea", { id: "editor", spellcheck: "false", autocomplete: "off", autocapitalize: "off", oninput: changed });
  return {
    element: el("div", { class: "field" }, el("label", { for: "editor" }, "The request's body"), area),
    title: "JSON",
    body(asked) {
      let value;
      try {
        value = JSON.parse(area.value);
      } catch (error) {
        if (asked) area.setAttribute("aria-invalid", "true");
        throw new Error(`This is not JSON: ${error.message}`);
      }
      area.removeAttribute("aria-invalid");
      return value;
    },
    loadBody(value) {
      area.value = pretty(value);
      area.removeAttribute("aria-invalid");
    },
  };
}

// As a person would write it: what fits on a line stands on one.
export function pretty(value, indent = "") {
  const line = spaced(value);
  const inner = `${indent}  `;
  if (typeof value !== "object" || value === null || indent.length + line.length <= LINE || line.length > PRETTY_LENGTH) return line;
  const entries = Array.isArray(value)
    ? value.map((item) => inner + pretty(item, inner))
    : Object.entries(value).map(([name, item]) => `${inner}${JSON.stringify(name)}: ${pretty(item, inner)}`);
  const [open, close] = Array.isArray(value) ? "[]" : "{}";
  return `${open}\n${entries.join(",\n")}\n${indent}${close}`;
}

function spaced(value) {
  if (Array.isArray(value)) return `[${value.map(spaced).join(", ")}]`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  return `{${Object.entries(value).map(([name, item]) => `${JSON.stringify(name)}: ${spaced(item)}`).join(", ")}}`;
}
