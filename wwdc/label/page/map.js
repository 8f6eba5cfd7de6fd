// The map: every object of the embedding on a canvas, dots when few, a density picture when many.
"use strict";

const Map2D = (() => {
  const MANY = 40000;
  // cividis: readable with every kind of colour vision
  const STOPS = [[0, 34, 78], [18, 53, 112], [59, 73, 108], [87, 93, 109], [112, 113, 115],
    [138, 134, 120], [165, 156, 116], [195, 179, 105], [225, 204, 85], [254, 232, 56]];
  // Neither end may fade into the page.
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const stops = () => (dark.matches ? STOPS.slice(2) : STOPS.slice(0, -2));
  const LABELS = { "-1": [86, 160, 224], 0: [128, 138, 150], 1: [245, 140, 30] };

  let canvas, pick, xy, values, kind;
  let range = [0, 1];
  let ramp = STOPS;
  let view = { x: 0, y: 0, scale: 1 };
  let here = null;
  let queued = false;

  function colour(value) {
    if (kind === "label") return LABELS[Math.sign(value)] ?? LABELS[0];
    if (kind === "categorical") return hue(value);
    const t = range[1] > range[0] ? (value - range[0]) / (range[1] - range[0]) : 0.5;
    const place = Math.min(Math.max(t, 0), 1) * (ramp.length - 1);
    const low = Math.min(Math.floor(place), ramp.length - 2);
    return ramp[low].map((c, i) => c + (ramp[low + 1][i] - c) * (place - low));
  }

  const WHEEL = [[0, 114, 178], [230, 159, 0], [0, 158, 115], [213, 94, 0], [86, 180, 233], [204, 121, 167],
    [240, 228, 66], [120, 94, 240], [150, 150, 150], [120, 80, 40]];
  const hue = (value) => WHEEL[((Math.round(value) % WHEEL.length) + WHEEL.length) % WHEEL.length];

  function fit() {
    if (!xy) return;
    const edges = [0, 1].map((k) => {
      const sorted = sample(k).sort();
      const low = sorted[Math.floor(0.002 * (sorted.length - 1))];
      const high = sorted[Math.ceil(0.998 * (sorted.length - 1))];
      return [low, high];
    });
    const spans = edges.map(([low, high]) => Math.max(high - low, 1e-6));
    const scale = 0.92 * Math.min(canvas.width / spans[0], canvas.height / spans[1]);
    view = { x: (edges[0][0] + edges[0][1]) / 2, y: (edges[1][0] + edges[1][1]) / 2, scale };
  }

  function sample(k) {
    const n = xy.length / 2;
    const every = Math.max(1, Math.floor(n / 20000));
    const found = new Float32Array(Math.ceil(n / every));
    for (let i = 0, j = 0; i < n; i += every, j++) found[j] = xy[2 * i + k];
    return found;
  }

  const px = (x) => (x - view.x) * view.scale + canvas.width / 2;
  const py = (y) => canvas.height / 2 - (y - view.y) * view.scale;

  function paint() {
    queued = false;
    ramp = stops();
    const context = canvas.getContext("2d");
    context.clearRect(0, 0, canvas.width, canvas.height);
    if (!xy) return;
    if (xy.length / 2 > MANY) density(context);
    else dots(context);
    if (here !== null) ring(context);
  }

  // Labelled objects last, so that they lie on top.
  function order() {
    const n = xy.length / 2;
    if (kind !== "label") return null;
    const last = [];
    for (let i = 0; i < n; i++) if (values?.[i]) last.push(i);
    return last;
  }

  function dots(context) {
    const n = xy.length / 2;
    const size = Math.max(2, Math.min(6, 260 / Math.sqrt(n))) * devicePixelRatio;
    const dot = (i, side) => {
      const value = values ? values[i] : 0;
      if (Number.isNaN(value)) return;
      const [r, g, b] = colour(value);
      context.fillStyle = `rgb(${r} ${g} ${b})`;
      context.fillRect(px(xy[2 * i]) - side / 2, py(xy[2 * i + 1]) - side / 2, side, side);
    };
    context.globalAlpha = 0.75;
    for (let i = 0; i < n; i++) dot(i, size);
    context.globalAlpha = 1;
    for (const i of order() ?? []) dot(i, size * 2.2);
  }

  // The mean colour of a pixel's objects; the more there are, the more opaque.
  function density(context) {
    const w = canvas.width, h = canvas.height;
    const count = new Uint32Array(w * h);
    const sum = new Float32Array(3 * w * h);
    for (let i = 0; i < xy.length / 2; i++) {
      const x = Math.round(px(xy[2 * i])), y = Math.round(py(xy[2 * i + 1]));
      if (x < 0 || y < 0 || x >= w || y >= h) continue;
      const c = colour(values ? values[i] : 0), at = y * w + x;
      count[at] += 1;
      for (let k = 0; k < 3; k++) sum[3 * at + k] += c[k];
    }
    const picture = context.createImageData(w, h);
    for (let at = 0; at < w * h; at++) {
      if (!count[at]) continue;
      for (let k = 0; k < 3; k++) picture.data[4 * at + k] = sum[3 * at + k] / count[at];
      picture.data[4 * at + 3] = Math.min(255, 110 + 50 * Math.log2(count[at] + 1));
    }
    context.putImageData(picture, 0, 0);
    for (const i of order() ?? []) {
      const [r, g, b] = colour(values[i]);
      context.fillStyle = `rgb(${r} ${g} ${b})`;
      context.fillRect(px(xy[2 * i]) - 4, py(xy[2 * i + 1]) - 4, 8, 8);
    }
  }

  function ring(context) {
    const style = getComputedStyle(canvas);
    for (const [line, stroke] of [[5, style.getPropertyValue("--back")], [2.4, style.getPropertyValue("--ink")]]) {
      context.beginPath();
      context.lineWidth = line * devicePixelRatio;
      context.strokeStyle = stroke;
      context.arc(px(xy[2 * here]), py(xy[2 * here + 1]), 8 * devicePixelRatio, 0, 7);
      context.stroke();
    }
  }

  function redraw() {
    if (!queued) requestAnimationFrame(paint);
    queued = true;
  }

  function nearest(event) {
    const box = canvas.getBoundingClientRect();
    const x = ((event.clientX - box.left) / box.width) * canvas.width;
    const y = ((event.clientY - box.top) / box.height) * canvas.height;
    let best = -1, least = (24 * devicePixelRatio) ** 2;
    for (let i = 0; i < xy.length / 2; i++) {
      const far = (px(xy[2 * i]) - x) ** 2 + (py(xy[2 * i + 1]) - y) ** 2;
      if (far < least) { least = far; best = i; }
    }
    return best;
  }

  function listen() {
    let drag = null;
    canvas.addEventListener("pointerdown", (e) => {
      drag = { x: e.clientX, y: e.clientY, moved: false };
      canvas.setPointerCapture(e.pointerId);
    });
    canvas.addEventListener("pointermove", (e) => {
      if (!drag) return;
      const dx = e.clientX - drag.x, dy = e.clientY - drag.y;
      if (!drag.moved && Math.hypot(dx, dy) < 4) return;
      const ratio = canvas.width / canvas.getBoundingClientRect().width;
      view.x -= (dx * ratio) / view.scale;
      view.y += (dy * ratio) / view.scale;
      drag = { x: e.clientX, y: e.clientY, moved: true };
      redraw();
    });
    canvas.addEventListener("pointerup", (e) => {
      const clicked = drag && !drag.moved;
      drag = null;
      if (!clicked || !xy) return;
      const row = nearest(e);
      if (row >= 0) pick(row);
    });
    canvas.addEventListener("wheel", (e) => {
      e.preventDefault();
      view.scale *= Math.exp(-e.deltaY / 400);
      redraw();
    }, { passive: false });
    canvas.addEventListener("dblclick", () => { fit(); redraw(); });
    new ResizeObserver(() => {
      const box = canvas.getBoundingClientRect();
      if (!box.width) return;
      const before = canvas.width;
      canvas.width = Math.round(box.width * devicePixelRatio);
      canvas.height = Math.round(box.height * devicePixelRatio);
      if (before !== canvas.width) fit();
      redraw();
    }).observe(canvas);
  }

  return {
    start(element, chosen) {
      canvas = element;
      pick = chosen;
      listen();
    },
    place(points) { xy = points; fit(); redraw(); },
    paintBy(numbers, limits, how) {
      values = numbers; range = limits; kind = how;
      redraw();
    },
    show(row) { here = row; redraw(); },
    ramp: stops,
    hue,
    labels: LABELS,
  };
})();
