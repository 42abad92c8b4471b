// The request's JSON, to be edited and sent as it is: the form for every model that has no better one.

import { el } from "./dom.js";

export function editor(changed) {
  const area = el("textarea", { id: "editor", spellcheck: "false", autocomplete: "off", autocapitalize: "off", oninput: changed });
  return {
    element: el("div", { class: "field" }, el("label", { for: "editor" }, "The request's body"), area),
    title: "JSON",
    body(asked) {
      try {
        JSON.parse(area.value);
      } catch (error) {
        if (asked) area.setAttribute("aria-invalid", "true");
        throw new Error(`This is not JSON: ${error.message}`);
      }
      area.removeAttribute("aria-invalid");
      return area.value;
    },
    loadBody(text) {
      area.value = text;
      area.removeAttribute("aria-invalid");
    },
  };
}
