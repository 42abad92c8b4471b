// A drawing, kept as strokes, becomes the small grey picture that digit data sets are made of.
//
// They are not drawings made small: a digit is first cut out and brought to one size, so position and size of the
// drawing say nothing. 8x8 (UCI, scikit-learn): the digit fills a 32x32 bitmap whose 4x4 blocks are counted.
// 28x28 (MNIST): it fits into 20x20, and its centre of mass is put into the middle.
// The pen is as wide as a pen is beside such a digit, whatever the size it was drawn at.

const FINE = 16; // a pixel of the result is the mean of FINE x FINE: antialiased

function layout(size) {
  return size <= 10 ? { box: size, pen: 0.16, balanced: false } : { box: (size * 20) / 28, pen: 0.11, balanced: true };
}

// Strokes (lists of {x, y} from 0 to 1) to `height` x `width` values from 0 (paper) to 1 (ink), row by row.
export function rasterise(strokes, height, width, standard) {
  const points = strokes.flat();
  if (!points.length) return new Float32Array(height * width);
  const fit = standard ? fitted(points, height, width) : { scale: Math.min(height, width), dx: 0, dy: 0, pen: Math.min(height, width) * 0.07 };
  let pixels = render(strokes, fit, height, width);
  if (standard && layout(Math.min(height, width)).balanced) {
    const [x, y] = centre(pixels, height, width);
    pixels = render(strokes, { ...fit, dx: fit.dx + width / 2 - x, dy: fit.dy + height / 2 - y }, height, width);
  }
  return pixels;
}

function fitted(points, height, width) {
  const { box, pen } = layout(Math.min(height, width));
  const xs = points.map((point) => point.x);
  const ys = points.map((point) => point.y);
  const [left, right, top, bottom] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
  const line = box * pen;
  const extent = Math.max(right - left, bottom - top, 0.02);
  const scale = (box - line) / extent;
  return { scale, pen: line, dx: width / 2 - (scale * (left + right)) / 2, dy: height / 2 - (scale * (top + bottom)) / 2 };
}

function render(strokes, { scale, dx, dy, pen }, height, width) {
  const canvas = new OffscreenCanvas(width * FINE, height * FINE);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.setTransform(FINE * scale, 0, 0, FINE * scale, FINE * dx, FINE * dy);
  trace(context, strokes, pen / scale, "#000");
  const { data } = context.getImageData(0, 0, canvas.width, canvas.height);
  const pixels = new Float32Array(height * width);
  for (let y = 0; y < canvas.height; y++) {
    for (let x = 0; x < canvas.width; x++) {
      pixels[Math.floor(y / FINE) * width + Math.floor(x / FINE)] += data[(y * canvas.width + x) * 4 + 3];
    }
  }
  return pixels.map((sum) => sum / (255 * FINE * FINE));
}

export function trace(context, strokes, width, colour) {
  context.strokeStyle = colour;
  context.lineWidth = width;
  context.lineCap = context.lineJoin = "round";
  for (const stroke of strokes) {
    context.beginPath();
    context.moveTo(stroke[0].x, stroke[0].y);
    for (const point of stroke) context.lineTo(point.x, point.y);
    if (stroke.length === 1) context.lineTo(stroke[0].x + 1e-4, stroke[0].y);
    context.stroke();
  }
}

function centre(pixels, height, width) {
  let [mass, x, y] = [0, 0, 0];
  pixels.forEach((value, index) => {
    mass += value;
    x += value * ((index % width) + 0.5);
    y += value * (Math.floor(index / width) + 0.5);
  });
  return mass ? [x / mass, y / mass] : [width / 2, height / 2];
}
