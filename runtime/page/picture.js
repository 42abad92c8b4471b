// The form for a model that takes one picture: drop, paste or choose a file; draw where the picture is small and grey.

import { el } from "./dom.js";
import { rasterise } from "./ink.js";
import { pad } from "./pad.js";
import { ends, layoutOf, paint, sized, toRow } from "./pixels.js";

const LARGEST_PAD = 64;
const LARGEST_FREE = 256; // pixels on the longer side, where the model takes any size

export function fits(model) {
  return model.inputs.length === 1 && model.batch !== "none" && layoutOf(model.inputs[0]) !== null;
}

export function picture(model, changed) {
  const input = model.inputs[0];
  const layout = layoutOf(input);
  const free = Math.min(layout.height, layout.width) < 0;
  const drawable = !free && layout.channels === 1 && Math.max(layout.height, layout.width) <= LARGEST_PAD;
  let row = null;
  let photo = null;

  const [blankWidth, blankHeight] = free ? [LARGEST_PAD, LARGEST_PAD] : [layout.width, layout.height];
  const seen = el("canvas", { class: "seen", width: blankWidth, height: blankHeight, role: "img", "aria-label": "The picture as the model gets it" });
  if (free || Math.min(layout.height, layout.width) >= LARGEST_PAD) seen.classList.add("photo", "smooth");
  const caption = el("figcaption", {}, free ? "" : `What the model gets: ${layout.width} × ${layout.height}`);
  const shownAs = el("figure", {}, seen, caption);
  const range = ranges(model, input);

  // `file`: whence the row is; null where it was drawn, or is an example.
  function take(next, file = null) {
    row = next;
    photo = file;
    turn.hidden = !photo;
    const layoutNow = sized(layout, row);
    caption.textContent = `What the model gets: ${layoutNow.width} × ${layoutNow.height}`;
    paint(seen, row, layoutNow, ends(model, input, range.value()));
  }

  function drew() {
    const { paper, ink } = ends(model, input, range.value());
    const values = rasterise(easel.strokes(), layout.height, layout.width, standard.checked);
    take(toRow(values.map((value) => paper + ((ink - paper) * Math.round(255 * value)) / 255), layout));
    changed(true);
  }

  async function read(file) {
    if (!file?.type.startsWith("image/")) throw new Error("Expected an image file, such as PNG or JPEG.");
    take(await decode(file, input, layout, ends(model, input, range.value()), invert.checked), file);
    easel?.clear();
    changed(true);
  }
  const tried = (file) => read(file).catch((error) => changed(false, error instanceof DOMException ? "This image cannot be read." : error.message));

  const standard = el("input", { type: "checkbox", id: "standard", checked: true, onchange: () => easel.strokes().length && drew() });
  const invert = el("input", { type: "checkbox", id: "invert", onchange: () => tried(photo) });
  const turn = el("div", { class: "choice grow", hidden: true }, invert, el("label", { for: "invert" }, `Invert the image${known(model)}`));
  const easel = drawable ? pad(drew) : null;
  const clear = el("button", { type: "button", id: "clear", onclick: () => { easel.clear(); row = null; turn.hidden = true; seen.width = blankWidth; changed(false, ""); } }, "Clear");

  return {
    title: drawable ? "Draw" : "Picture",
    drawable,
    element: el("div", { class: "easel" },
      easel && el("div", { class: "board" }, easel.element, el("div", { class: "row actions" }, clear)),
      shownAs,
      layout.channels === 1 ? turn : null,
      easel && el("div", { class: "choice" }, standard, el("label", { for: "standard" }, "Centre and scale the drawing as digit data sets do")),
      range.element,
      chooser(tried)),
    row() {
      if (!row) throw new Error(drawable ? "Draw something first, or choose an image." : "Choose an image first.");
      return row;
    },
    load(next) {
      easel?.clear();
      take(next);
    },
    take: tried,
  };
}

// A manifest says how pixels become numbers. Where there is none, the person does.
function ranges(model, input) {
  if (input.image || model.range || input.dtype === "uint8") return { value: () => null, element: null };
  const select = el("select", { id: "range" },
    el("option", { value: "0 1" }, "0 to 1"), el("option", { value: "0 255" }, "0 to 255"), el("option", { value: "-1 1" }, "-1 to 1"));
  return {
    value: () => select.value.split(" ").map(Number),
    element: el("div", { class: "choice" }, el("label", { for: "range" }, "Pixels, from black to white:"), select),
  };
}

function chooser(read) {
  const file = el("input", { type: "file", id: "file", accept: "image/*", onchange: () => { read(file.files[0]); file.value = ""; } });
  return el("div", { class: "drop", id: "drop" }, "Drop or paste an image here, or", file, el("label", { for: "file" }, "choose a file"));
}

// A dark digit on white paper is nothing to a model that has only seen light ones: the person has to know.
const known = ({ examples, range }) => (examples && range ? ` (the model's examples are mostly ${range.light ? "dark" : "bright"})` : "");

// The whole picture, stretched to the model's size (as Keras's own image loading does), upright as its EXIF says.
async function decode(file, input, layout, { low, high }, inverted) {
  const { channels } = layout;
  const { height, width } = layout.height < 0 || layout.width < 0 ? await free(file) : layout;
  const bitmap = await createImageBitmap(file, { resizeWidth: width, resizeHeight: height, resizeQuality: "high" });
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d");
  context.fillStyle = "#fff";
  context.fillRect(0, 0, width, height);
  context.drawImage(bitmap, 0, 0);
  const { data } = context.getImageData(0, 0, width, height);
  const values = new Float32Array(height * width * channels);
  for (let pixel = 0; pixel < height * width; pixel++) {
    const [r, g, b, a] = data.subarray(pixel * 4, pixel * 4 + 4);
    const grey = 0.299 * r + 0.587 * g + 0.114 * b;
    const told = channels === 1 ? [inverted ? 255 - grey : grey] : [r, g, b, a];
    for (let channel = 0; channel < channels; channel++) {
      values[pixel * channels + channel] = number(told[channel], input, channel, low, high);
    }
  }
  return toRow(values, { ...layout, height, width });
}

async function free(file) {
  const { height, width } = await createImageBitmap(file);
  const scale = Math.min(1, LARGEST_FREE / Math.max(height, width));
  return { height: Math.max(1, Math.round(height * scale)), width: Math.max(1, Math.round(width * scale)) };
}

function number(value, input, channel, low, high) {
  const image = input.image;
  if (!image) return low + ((high - low) * value) / 255;
  const pick = (list, otherwise) => (list?.length ? list[Math.min(channel, list.length - 1)] : otherwise);
  return (value * (image.scale ?? 1) - pick(image.mean, 0)) / pick(image.std, 1);
}
