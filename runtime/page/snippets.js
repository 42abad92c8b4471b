// The request on the screen as curl, Python and JavaScript, to be copied. The key stays out: a variable stands for it.

import { bytes, choices, el, fill } from "./dom.js";

const LONGEST = 1500;
export const LANGUAGES = ["curl", "Python", "JavaScript"];

const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;
const template = (text) => `\`${text.replaceAll(/[\\`]|\$\{/g, "\\$&")}\``;

const writers = {
  curl: (url, body, keyed) => [
    `curl ${quoted(url)} \\`,
    "  -H 'Content-Type: application/json' \\",
    ...(keyed ? ['  -H "Authorization: Bearer $API_KEY" \\'] : []),
    `  -d ${body === null ? "@request.json" : quoted(body)}`,
  ],
  Python: (url, body, keyed) => [
    ...(keyed ? ["import os"] : []),
    ...(body === null ? ["import pathlib"] : []),
    "import requests",
    "",
    `body = ${body === null ? 'pathlib.Path("request.json").read_text()' : `r"""${body}"""`}`,
    "reply = requests.post(",
    `    ${JSON.stringify(url)},`,
    "    data=body.encode(),",
    `    headers={"Content-Type": "application/json"${keyed ? ', "Authorization": "Bearer " + os.environ["API_KEY"]' : ""}},`,
    "    timeout=30,",
    ")",
    "reply.raise_for_status()",
    "print(reply.json())",
  ],
  JavaScript: (url, body, keyed) => [
    ...(body === null ? ['import { readFile } from "node:fs/promises";', ""] : []),
    `const body = ${body === null ? 'await readFile("request.json", "utf8")' : template(body)};`,
    `const reply = await fetch(${JSON.stringify(url)}, {`,
    '  method: "POST",',
    `  headers: { "Content-Type": "application/json"${keyed ? ", Authorization: `Bearer ${process.env.API_KEY}`" : ""} },`,
    "  body,",
    "});",
    "console.log(await reply.text()); // JSON.parse would round whole numbers beyond 2 ** 53",
  ],
};

export function write(language, url, body, keyed) {
  const long = body.length > LONGEST || (language === "Python" && /"""|"$/.test(body));
  return writers[language](url, long ? null : body, keyed).join("\n");
}

export function snippets(bar, target) {
  let language = LANGUAGES[0];
  let latest = null;

  function draw() {
    choices(bar, LANGUAGES, language, (name) => { language = name; draw(); });
    if (!latest) return fill(target, el("p", { class: "muted" }, "Fill in the form, and it is written here."));
    const { url, body, keyed } = latest;
    const text = write(language, url, body, keyed);
    const code = el("code", {}, text);
    const copy = el("button", { type: "button", class: "copy", id: "copy", onclick: () => copied(copy, text, code) }, "Copy");
    const save = text.includes("request.json")
      ? el("button", { type: "button", class: "copy", id: "save", onclick: () => download(body) }, `Save request.json (${bytes(body.length)})`)
      : null;
    return fill(target, el("pre", { tabindex: 0, role: "region", "aria-label": `The request in ${language}` }, code), el("div", { class: "row" }, copy, ...(save ? [save] : [])));
  }

  draw();
  return (next) => { latest = next; draw(); };
}

async function copied(button, text, code) {
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
  } catch { // no clipboard outside https and localhost: select it, so that one keystroke copies it
    getSelection().selectAllChildren(code);
    button.textContent = "Selected: copy it";
  }
  setTimeout(() => { button.textContent = "Copy"; }, 2000);
}

function download(text) {
  const link = el("a", { href: URL.createObjectURL(new Blob([text], { type: "application/json" })), download: "request.json" });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}
