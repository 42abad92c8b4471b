// The drawing pad: mouse, finger, pen, or the keyboard (arrows move the pen, the space bar puts it down and lifts it).

import { el } from "./dom.js";
import { trace } from "./ink.js";

const SIDE = 520;
const STEP = 1 / 20;

export function pad(drawn) {
  const canvas = el("canvas", {
    class: "pad", width: SIDE, height: SIDE, tabindex: 0, role: "application", id: "pad",
    "aria-label": "Drawing pad. Draw with the mouse or a finger, or with the keyboard: arrow keys move the pen, space puts it down or lifts it.",
  });
  const context = canvas.getContext("2d");
  let strokes = [];
  let down = false;
  let cursor = null;

  function paint() {
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, SIDE, SIDE);
    context.setTransform(SIDE, 0, 0, SIDE, 0, 0);
    trace(context, strokes, 0.06, "#18202d");
    if (!cursor) return;
    context.beginPath();
    context.arc(cursor.x, cursor.y, 0.025, 0, 7);
    context.fillStyle = down ? "#3558c8" : "#d98f1f";
    context.fill();
  }

  const at = (event) => {
    const box = canvas.getBoundingClientRect();
    return { x: (event.clientX - box.left) / box.width, y: (event.clientY - box.top) / box.height };
  };

  canvas.addEventListener("pointerdown", (event) => {
    event.preventDefault();
    canvas.setPointerCapture(event.pointerId);
    [cursor, down] = [null, true];
    strokes.push([at(event)]);
    paint();
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!down || cursor) return;
    const moves = event.getCoalescedEvents?.() ?? [];
    strokes.at(-1).push(...(moves.length ? moves : [event]).map(at));
    paint();
  });
  const lift = () => {
    if (down && !cursor) {
      down = false;
      drawn();
    }
  };
  canvas.addEventListener("pointerup", lift);
  canvas.addEventListener("pointercancel", lift);

  canvas.addEventListener("keydown", (event) => {
    const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    const move = moves[event.key];
    if (!move && event.key !== " ") return;
    event.preventDefault();
    cursor ??= { x: 0.5, y: 0.5 };
    if (move) {
      const inside = (value) => Math.min(0.98, Math.max(0.02, value));
      cursor = { x: inside(cursor.x + move[0] * STEP), y: inside(cursor.y + move[1] * STEP) };
      if (down) strokes.at(-1).push(cursor);
    } else {
      down = !down;
      if (down) strokes.push([cursor]);
      else drawn();
    }
    paint();
  });
  canvas.addEventListener("blur", () => {
    if (cursor && down) drawn();
    [cursor, down] = [null, false];
    paint();
  });

  return {
    element: canvas,
    strokes: () => strokes,
    clear() {
      [strokes, cursor, down] = [[], null, false];
      paint();
    },
  };
}
