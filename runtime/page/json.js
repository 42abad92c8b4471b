// JSON, written and read without rounding: a whole number that a double does not hold is a BigInt.

const LINE = 96; // characters
const PRETTY_LENGTH = 40000; // longer than this it is not read, and stays on one line
const LONG = /\d{16}/; // 2 ** 53 has so many digits
const DIGITS = /^-?\d+$/;

export function parse(text) {
  if (!LONG.test(text)) return JSON.parse(text);
  return JSON.parse(text, (_, value, told) => (typeof value === "number" ? exact(value, told?.source ?? "") : value));
}

// The number that was read from this text, or what the text says of more than that.
export const exact = (value, text) => (DIGITS.test(text) && !Number.isSafeInteger(value) ? BigInt(text) : value);

// As a person would write it: what fits on a line stands on one.
export function pretty(value, indent = "") {
  const line = written(value, " ");
  const inner = `${indent}  `;
  if (typeof value !== "object" || value === null || indent.length + line.length <= LINE) return line;
  if (line.length > PRETTY_LENGTH) return written(value, "");
  const entries = Array.isArray(value)
    ? value.map((item) => inner + pretty(item, inner))
    : Object.entries(value).map(([name, item]) => `${inner}${JSON.stringify(name)}: ${pretty(item, inner)}`);
  const [open, close] = Array.isArray(value) ? "[]" : "{}";
  return `${open}\n${entries.join(",\n")}\n${indent}${close}`;
}

function written(value, gap) {
  if (typeof value === "bigint") return String(value);
  if (Array.isArray(value)) return `[${value.map((item) => written(item, gap)).join(`,${gap}`)}]`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  return `{${Object.entries(value).map(([name, item]) => `${JSON.stringify(name)}:${gap}${written(item, gap)}`).join(`,${gap}`)}}`;
}
