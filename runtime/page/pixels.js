// Pixels and a model's numbers: which tensors are pictures, and what black and white are in them.

const SMALLEST = 8;

// {height, width, channels, flat} of a picture-like input or output, null of any other. `flat`: no channel axis.
// Height and width are -1 where any size is taken.
export function layoutOf(tensor, sizes = tensor.shape.slice(1)) {
  if (tensor.dtype === "string" || tensor.dtype === "bool") return null;
  const [height, width, channels = 1] = sizes;
  if (sizes.length === 3 && ![1, 3, 4].includes(channels)) return null;
  if (sizes.length < 2 || sizes.length > 3 || [height, width].some((size) => size >= 0 && size < SMALLEST)) return null;
  if (sizes.length === 2 && height < 0) return null;
  // Of tables of numbers only square ones are taken for pictures: [time, features] is none.
  if (sizes.length === 2 && height !== width && !tensor.image) return null;
  return { height, width, channels, flat: sizes.length === 2 };
}

// What black and white, paper and ink are in the model's numbers.
export function ends(model, input, chosen) {
  const [low, high] = limits(model, input, chosen);
  const light = model.range?.light ?? true; // most digit sets are light ink on dark paper
  return { low, high, paper: light ? low : high, ink: light ? high : low };
}

function limits(model, input, chosen) {
  const { image } = input;
  if (image) {
    const mean = image.mean?.[0] ?? 0;
    const std = image.std?.[0] ?? 1;
    return [-mean / std, (255 * (image.scale ?? 1) - mean) / std];
  }
  if (chosen) return chosen;
  if (input.dtype === "uint8") return [0, 255];
  return model.range ? [model.range.low, model.range.high] : [0, 1];
}

// The layout of one picture where the model takes any size.
export const sized = (layout, row) => ({ ...layout, height: row.length, width: row[0].length });

// Flat values, row by row, to the nested lists of one row; rounded far below a step of an 8-bit picture.
export function toRow(values, { height, width, channels, flat }) {
  const round = (value) => Number(value.toPrecision(5));
  return Array.from({ length: height }, (_, y) =>
    Array.from({ length: width }, (_, x) => {
      const start = (y * width + x) * channels;
      return flat ? round(values[start]) : Array.from(values.subarray(start, start + channels), round);
    }));
}

export function paint(canvas, row, { height, width, channels }, { low, high }) {
  const values = row.flat(2);
  const context = Object.assign(canvas, { height, width }).getContext("2d");
  const image = context.createImageData(width, height);
  const grey = (value) => ((value - low) / (high - low || 1)) * 255;
  for (let pixel = 0; pixel < height * width; pixel++) {
    for (let channel = 0; channel < 3; channel++) {
      image.data[pixel * 4 + channel] = grey(values[pixel * channels + (channels === 1 ? 0 : channel)]);
    }
    image.data[pixel * 4 + 3] = channels === 4 ? grey(values[pixel * 4 + 3]) : 255;
  }
  context.putImageData(image, 0, 0);
}

// The range that a picture among the answers is in: the least of the usual ones that holds it.
export function rangeOf(values) {
  let [low, high] = [Infinity, -Infinity];
  for (const value of values) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  if (low < -1.01 || high > 255.5) return { low, high };
  if (high > 1.5) return { low: Math.min(low, 0), high: 255 };
  return { low: low < -0.01 ? -1 : 0, high: 1 };
}
