// The discovery curve: anomalies found against objects labelled.
"use strict";

const Chart = (() => {
  const NS = "http://www.w3.org/2000/svg";
  const WIDTH = 340;
  const HEIGHT = 150;
  const LEFT = 34;
  const BOTTOM = 30;

  function add(parent, name, attributes, text) {
    const element = document.createElementNS(NS, name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    if (text !== undefined) element.textContent = text;
    parent.append(element);
    return element;
  }

  function step(most) {
    const raw = Math.max(most, 1) / 4;
    const power = 10 ** Math.floor(Math.log10(raw));
    const nice = [1, 2, 5, 10].find((factor) => factor * power >= raw);
    return Math.max(1, nice * power);
  }

  function draw(svg, points) {
    svg.replaceChildren();
    svg.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
    const right = Math.max(10, ...points.map(([x]) => x));
    const top = Math.max(5, ...points.map(([, y]) => y));
    const x = (value) => LEFT + (value / right) * (WIDTH - LEFT - 10);
    const y = (value) => HEIGHT - BOTTOM - (value / top) * (HEIGHT - BOTTOM - 12);
    for (let v = 0; v <= top; v += step(top)) {
      add(svg, "line", { class: "rule", x1: LEFT, x2: WIDTH - 10, y1: y(v), y2: y(v) });
      add(svg, "text", { class: "tick", x: LEFT - 6, y: y(v) + 4, "text-anchor": "end" }, v);
    }
    for (let v = 0; v <= right; v += step(right)) {
      add(svg, "text", { class: "tick", x: x(v), y: HEIGHT - BOTTOM + 14, "text-anchor": "middle" }, v);
    }
    add(svg, "text", { class: "axis", x: (LEFT + WIDTH) / 2, y: HEIGHT - 3, "text-anchor": "middle" },
      "objects labelled");
    if (points.length) {
      const line = [[0, 0], ...points].map(([a, b]) => `${x(a).toFixed(1)},${y(b).toFixed(1)}`);
      add(svg, "polyline", { class: "found", points: line.join(" ") });
    } else {
      add(svg, "text", { class: "axis", x: (LEFT + WIDTH) / 2, y: HEIGHT / 2 - 8, "text-anchor": "middle" },
        "grows as you label");
    }
  }

  return { draw };
})();
