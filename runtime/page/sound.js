// The form for a model that takes one long row of numbers: a sound file or a recording's samples, drawn as a wave.

import { el } from "./dom.js";

const LEAST = 1000; // samples; shorter rows are no sound
const RATES = [16000, 8000, 22050, 44100, 48000];

export function fits(model) {
  const [input, ...others] = model.inputs;
  const sizes = input.shape.slice(1);
  return others.length === 0 && model.batch !== "none" && input.dtype === "float32" && sizes.length === 1 && sizes[0] >= LEAST;
}

export function sound(model, changed) {
  const input = model.inputs[0];
  const length = input.shape[1];
  let row = null;

  const wave = el("canvas", { class: "wave", width: 800, height: 120, role: "img", "aria-label": "The samples as a wave" });
  const caption = el("figcaption", {}, `${length} samples`);
  const rate = el("select", { id: "rate" }, ...RATES.map((value) => el("option", { value }, `${value} a second`)));

  function take(next, name) {
    row = next;
    caption.textContent = `${length} samples${name ? ` of ${name}` : ""}`;
    draw(wave, row);
  }

  async function read(file) {
    try {
      take(await decode(file, length, Number(rate.value)), file.name);
      changed(true);
    } catch {
      changed(false, "This sound cannot be read. Expected a file such as WAV, MP3 or Ogg.");
    }
  }

  const file = el("input", { type: "file", id: "file", accept: "audio/*", onchange: () => { read(file.files[0]); file.value = ""; } });
  const zone = el("div", { class: "drop", id: "drop" }, "Drop or paste a sound here, or", file, el("label", { for: "file" }, "choose a file"));

  return {
    title: "Sound",
    element: el("div", { class: "easel" },
      el("figure", { class: "grow" }, wave, caption),
      el("div", { class: "choice" }, el("label", { for: "rate" }, "The model hears"), rate),
      zone),
    row() {
      if (!row) throw new Error("Choose a sound first.");
      return row;
    },
    load: (next) => take(next, ""),
    take: read,
  };
}

// The file's first `length` samples at the model's rate, its channels mixed, silence where it is too short.
async function decode(file, length, rate) {
  const context = new OfflineAudioContext(1, length, rate);
  const source = new AudioBufferSourceNode(context, { buffer: await context.decodeAudioData(await file.arrayBuffer()) });
  source.connect(context.destination);
  source.start();
  const rendered = await context.startRendering();
  return Array.from(rendered.getChannelData(0), (value) => Number(value.toPrecision(5)));
}

function draw(canvas, samples) {
  const context = canvas.getContext("2d");
  const { width, height } = canvas;
  const most = samples.reduce((largest, value) => Math.max(largest, Math.abs(value)), 0) || 1;
  context.clearRect(0, 0, width, height);
  context.fillStyle = "#5b7be0";
  for (let x = 0; x < width; x++) {
    const part = samples.slice(Math.floor((x * samples.length) / width), Math.max(1, Math.floor(((x + 1) * samples.length) / width)));
    const loudest = part.reduce((largest, value) => Math.max(largest, Math.abs(value)), 0) / most;
    context.fillRect(x, (height * (1 - loudest)) / 2, 1, Math.max(1, height * loudest));
  }
}
