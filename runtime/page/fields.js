// One field a number: for feature vectors, and several short inputs together.

import { el } from "./dom.js";
import { exact } from "./json.js";

const MOST = 64;

const rowShape = (input) => input.shape.slice(1);
const size = (input) => rowShape(input).reduce((product, length) => product * length, 1);

export function fits(model) {
  const { inputs } = model;
  if (model.batch === "none" || inputs.some((input) => rowShape(input).length > 1 || rowShape(input).some((n) => n < 1))) return false;
  return inputs.reduce((sum, input) => sum + size(input), 0) <= MOST;
}

export function fields(model, changed) {
  const groups = model.inputs.map((input, place) => group(input, place, changed));
  const single = groups.length === 1;

  return {
    element: el("div", {}, ...groups.map((item) => item.element)),
    title: "Form",
    // `asked`: a person waits for it, so a bad field is marked and gets the focus.
    row(asked) {
      const values = groups.map((item) => item.read(asked));
      return single ? values[0] : Object.fromEntries(groups.map((item, i) => [item.name, values[i]]));
    },
    load(row) {
      for (const item of groups) item.write(single ? row : row[item.name]);
    },
  };
}

function group(input, place, changed) {
  const count = size(input);
  const list = rowShape(input).length === 1;
  const boxes = Array.from({ length: count }, (_, index) => {
    const name = input.features?.[index] ?? (list ? `${input.name} ${index + 1}` : input.name);
    return box(input.dtype, name, `field-${place}-${index}`, changed);
  });
  return {
    name: input.name,
    element: el("fieldset", {}, el("legend", {}, input.name), el("div", { class: "fields" }, ...boxes.map((item) => item.element))),
    read(asked) {
      const values = boxes.map((item) => item.read(asked));
      return list ? values : values[0];
    },
    write(value) {
      (list ? value : [value]).forEach((item, index) => boxes[index]?.write(item));
    },
  };
}

function box(dtype, name, id, changed) {
  const kinds = { bool: { type: "checkbox" }, string: { type: "text" } };
  const whole = dtype.includes("int");
  const field = el("input", { id, oninput: changed, ...(kinds[dtype] ?? { type: "text", inputmode: whole ? "numeric" : "decimal" }) });
  return {
    element: el("div", { class: "field" }, el("label", { for: id }, name), field),
    read(asked) {
      if (dtype === "bool") return field.checked;
      if (dtype === "string") return field.value;
      const text = field.value.trim();
      const value = number(text, whole);
      const good = value !== null;
      if (good || asked) field.setAttribute("aria-invalid", String(!good));
      if (!good) {
        if (asked) field.focus();
        const how = whole ? "Write it in digits, as 1234." : "Write it as JSON does, as 1234.5 or 1e-3.";
        throw new Error(`${name}: expected ${whole ? "a whole number" : "a number"}${text ? `, got ${text}. ${how}` : "."}`);
      }
      return value;
    },
    write(value) {
      if (dtype === "bool") field.checked = Boolean(value);
      else field.value = typeof value === "object" ? JSON.stringify(value) : String(value);
      field.removeAttribute("aria-invalid");
    },
  };
}

// What JSON reads in this text, exactly; null where it is no number: 1,234 and 0x10 may mean one thing or another.
function number(text, whole) {
  if (whole && !/^-?\d+$/.test(text)) return null;
  try {
    const value = exact(JSON.parse(text), text);
    return typeof value === "bigint" || Number.isFinite(value) ? value : null;
  } catch {
    return null;
  }
}
