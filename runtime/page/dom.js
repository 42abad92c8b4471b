// Elements, and numbers as people read them. Text is only ever set as text: a label named <script> is a label.

export function el(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value != null) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child != null).map((child) => (child instanceof Node ? child : String(child))));
  return element;
}

export const byId = (id) => document.getElementById(id);

export function fill(target, ...children) {
  target.replaceChildren(...children);
}

export function facts(pairs) {
  const list = el("dl");
  for (const [name, value] of pairs) {
    if (value !== "" && value != null) list.append(el("dt", {}, name), el("dd", {}, value));
  }
  return list;
}

export function shown(number) {
  if (typeof number !== "number") return number === null ? "not a number" : String(number);
  if (Number.isInteger(number) && Math.abs(number) < 1e15) return number.toLocaleString("en");
  if (Number.isSafeInteger(number)) return String(number); // as a BigInt is: so many digits are rather a name
  const size = Math.abs(number);
  return size >= 1e-4 && size < 1e7 ? String(Number(number.toPrecision(5))) : number.toExponential(3);
}

export function bytes(count) {
  if (count < 1024) return `${count} bytes`;
  return count < 1 << 20 ? `${(count / 1024).toFixed(1)} KB` : `${(count / (1 << 20)).toFixed(1)} MB`;
}

export function milliseconds(value) {
  return value < 10 ? `${value.toFixed(2)} ms` : value < 1000 ? `${value.toFixed(0)} ms` : `${(value / 1000).toFixed(2)} s`;
}

export function duration(seconds) {
  const units = [["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]];
  const at = units.findIndex(([, size]) => seconds >= size);
  if (at < 0) return "a moment";
  return units.slice(at, at + 2).reduce((told, [unit, size]) => {
    const count = Math.floor(seconds / size);
    seconds -= count * size;
    return count ? `${told} ${count} ${unit}${count === 1 ? "" : "s"}` : told;
  }, "").trim();
}

export const shape = (sizes) => (sizes.length ? sizes.map((size) => (size < 0 ? "any" : size)).join(" × ") : "one value");

// Buttons of which one is chosen.
export function choices(target, names, chosen, choose) {
  fill(target, ...names.map((name) => el("button", { type: "button", "aria-pressed": String(name === chosen), onclick: () => choose(name) }, name)));
}
