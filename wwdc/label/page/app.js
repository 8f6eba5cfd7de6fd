// The page: what is shown, what the keys do.
"use strict";

(() => {
  const $ = (id) => document.getElementById(id);
  const IMAGE = 480, THUMBNAIL = 112, PAGE = 60;
  const VERDICTS = { anomaly: "anomaly", normal: "normal" };

  let state = null;
  let current = null; // the object shown
  let moving = false; // the next one is on its way: a key pressed now would not be meant for it
  let began = performance.now();
  let visited = []; // ids, for going back
  let ahead = []; // ids gone back from
  let prefetched = null;
  let grid = { on: false, offset: 0, total: 0, items: [], chosen: 0 };
  let ids = null, rows = null;
  let colourVersion = null;

  const me = () => $("labeller").value.trim() || state?.labeller;
  const format = (value) => {
    if (value === null || value === undefined || Number.isNaN(value)) return "–";
    if (typeof value !== "number") return String(value);
    if (Number.isInteger(value)) return value.toLocaleString("en");
    return Math.abs(value) >= 1e5 || Math.abs(value) < 1e-3 ? value.toExponential(2) : String(Number(value.toPrecision(4)));
  };

  function element(name, attributes = {}, ...children) {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) {
      if (value !== null && value !== undefined) made.setAttribute(key, value);
    }
    made.append(...children);
    return made;
  }

  function say(text) {
    $("message").textContent = text ?? "";
    $("message").hidden = !text;
  }

  const failed = (error) => say(error instanceof TypeError
    ? "The server does not answer. Labels you give are kept here and sent when it is back."
    : error.message);

  // --- state ------------------------------------------------------------------------------------

  async function refresh() {
    const next = await Api.json("api/state", { labeller: me() });
    const first = state === null;
    state = next;
    if (first) settle();
    show_counts(state.counts);
    show_model(state.model);
    Chart.draw($("curve"), state.curve);
    const { umap } = state.projections;
    $("projection").options[1].hidden = umap === "off";
    $("projection").options[1].textContent = umap === "ready" ? "UMAP" : `UMAP (${umap})`;
    const version = `${state.model.version} ${state.counts.labelled}`;
    if (["acquisition", "label"].includes($("colour").value) && version !== colourVersion) await colour();
    colourVersion = version;
  }

  function settle() {
    const { experiment, embedding, sweep, name, total } = state;
    const parts = [experiment, sweep ?? embedding, `${total.toLocaleString("en")} objects`, `labels “${name}”`];
    $("what").textContent = parts.join("  ·  ");
    $("what").title = `embedding ${embedding}`;
    document.title = `${experiment} – wwdc label`;
    $("labeller").value = localStorage.getItem("wwdc-labeller") || state.labeller;
    const names = { acquisition: `what teaches most (${state.strategy})`, score: "score", rank: "rank",
      random: "chance", id: "id", label: "label" };
    for (const sort of state.sorts) $("sort").append(element("option", { value: sort }, names[sort] ?? sort));
    const groups = { Score: ["score", "acquisition", "label"], Detector: state.detectors,
      Catalogue: state.columns.map((column) => column.name) };
    for (const [label, values] of Object.entries(groups)) {
      const group = element("optgroup", { label });
      for (const value of values) group.append(element("option", { value }, value));
      $("colour").append(group);
    }
    for (let grade = 0; grade <= 5; grade++) {
      const button = element("button", { "data-grade": grade }, String(grade));
      button.addEventListener("click", (e) => give("grade", grade, e.shiftKey));
      $("grades").append(button);
    }
    export_links();
  }

  function export_links() {
    for (const kind of ["csv", "parquet", "jsonl"]) $(`export-${kind}`).href = Api.url("api/export", { format: kind });
  }

  function show_counts(counts) {
    for (const key of ["labelled", "anomaly", "normal"]) $(`n-${key}`).textContent = counts[key].toLocaleString("en");
  }

  function show_model({ labels, busy, error }) {
    const text = error ? `ranking stopped: ${error}`
      : busy ? "ranking learns …"
      : labels ? `ranking knows ${labels} label${labels === 1 ? "" : "s"}` : "ranking by score, nothing learnt yet";
    $("model").textContent = text;
    $("model").classList.toggle("busy", Boolean(busy));
    $("model").classList.toggle("error", Boolean(error));
  }

  // --- one object -------------------------------------------------------------------------------

  async function open(id, { remember = true } = {}) {
    enter(await Api.json("api/object", { id, labeller: me() }), remember);
  }

  function enter(object, remember = true) {
    if (remember && current && current.id !== object.id) visited.push(current.id);
    current = object;
    began = performance.now();
    show(object);
  }

  function show(object) {
    $("nothing").hidden = true;
    $("image").hidden = false;
    $("image").src = Api.image(object.id, IMAGE);
    $("image").alt = `object ${object.id}`;
    $("caption").textContent = `id ${object.id} · ${object.split}`;
    show_label();
    show_ranks(object);
    show_scores(object);
    show_catalogue(object);
    show_neighbours(object);
    show_history(object);
    Map2D.show(object.row);
    say();
  }

  function show_label() {
    const { verdict, grade, flagged, skipped } = current;
    $("do-anomaly").classList.toggle("on", verdict === "anomaly");
    $("do-normal").classList.toggle("on", verdict === "normal");
    $("do-skip").classList.toggle("on", Boolean(skipped));
    $("do-flag").classList.toggle("on", Boolean(flagged));
    for (const button of $("grades").children) button.classList.toggle("on", Number(button.dataset.grade) === grade);
    $("one").dataset.verdict = verdict ?? "";
  }

  function show_ranks({ rank, p_value, q_value, stability }) {
    const parts = [["rank", format(rank), "among all objects that are scored; 1 is the oddest"]];
    if (p_value != null) parts.push(["p", format(p_value), "conformal p-value: how rare such a score is among calibration objects"]);
    if (q_value != null) parts.push(["q", format(q_value), "false discovery rate of a list that goes down to this object"]);
    for (const [name, value] of Object.entries(stability ?? {})) {
      if (value != null) parts.push([name, `${Math.round(100 * value)} %`, `${name} that have it among their own oddest`]);
    }
    $("ranks").replaceChildren(...parts.map(([name, value, title]) =>
      element("span", { title }, `${name} `, element("b", {}, value))));
  }

  function show_scores({ scores }) {
    $("scores").replaceChildren(...Object.entries(scores).map(([name, { value, percentile }]) => {
      const bar = element("span", { class: "fill" });
      bar.style.width = `${percentile ?? 0}%`;
      if (percentile >= 99) bar.classList.add("high");
      const title = `${format(value)}: odder than ${(percentile ?? 0).toFixed(1)} % of the objects`;
      return element("tr", { title }, element("td", {}, name),
        element("td", { class: "track" }, bar), element("td", { class: "number" }, percentile == null ? "–" : `${percentile.toFixed(1)} %`));
    }));
  }

  function show_catalogue({ catalogue }) {
    const known = Object.fromEntries(state.columns.map((column) => [column.name, column]));
    $("catalogue").replaceChildren(...Object.entries(catalogue).map(([name, value]) => {
      const column = known[name] ?? {};
      const variable = column.kept !== undefined && column.kind;
      const told = !variable ? "" : column.kept ? "told" : "not told";
      const title = [column.description, variable && `the flow was ${told} this`];
      return element("tr", { title: title.filter(Boolean).join(" – ") }, element("td", {}, name),
        element("td", { class: "number" }, format(value), column.units ? ` ${column.units}` : ""),
        element("td", { class: column.kept ? "told" : "told not" }, told));
    }));
  }

  function show_neighbours({ neighbours }) {
    $("neighbours").replaceChildren(...(neighbours ?? []).map((near) => thumbnail(near, () => open(near.id).catch(failed))));
  }

  function show_history({ history }) {
    $("history-card").hidden = !history?.length;
    $("history").replaceChildren(...(history ?? []).slice().reverse().map((event) =>
      element("li", {}, element("b", {}, event.kind === "grade" ? `grade ${event.value}` : event.kind),
        ` by ${event.labeller}, ${new Date(event.time).toLocaleString()}`)));
  }

  function thumbnail(item, chosen) {
    const image = element("img", { src: Api.image(item.id, THUMBNAIL), loading: "lazy", alt: `object ${item.id}` });
    const cell = element("button", { class: "cell", title: `id ${item.id}`, "data-id": item.id }, image);
    mark(cell, item);
    cell.addEventListener("click", chosen);
    return cell;
  }

  function mark(cell, item) {
    cell.classList.remove("anomaly", "normal", "flagged");
    if (VERDICTS[item.verdict]) cell.classList.add(item.verdict);
    if (item.flagged) cell.classList.add("flagged");
    cell.querySelector(".badge")?.remove();
    const text = [item.verdict, item.grade ?? "", item.flagged ? "⚑" : ""].filter((t) => t !== "" && t != null).join(" ");
    if (text) cell.append(element("span", { class: "badge" }, text));
  }

  // --- what comes next --------------------------------------------------------------------------

  async function take(exclude) {
    const sort = $("sort").value;
    if ($("filter").value === "unlabelled") {
      const { item } = await Api.json("api/next", { labeller: me(), sort, exclude: exclude.join(",") });
      return item;
    }
    const found = await Api.json("api/objects", { sort, filter: $("filter").value, labeller: me(), offset: 0, limit: 500 });
    const seen = new Set([...exclude, ...visited]);
    return found.items.find((item) => !seen.has(item.id)) ?? null;
  }

  async function next() {
    if (moving) return;
    moving = true;
    $("one").classList.add("moving");
    try {
      if (ahead.length) return await open(ahead.pop());
      const coming = await prefetched;
      const object = coming && coming.id !== current?.id ? coming : await details();
      if (!object) return nothing();
      enter(object);
    } finally {
      moving = false;
      $("one").classList.remove("moving");
    }
    prefetch();
  }

  // Not what is shown, nor what has a label that the server may not have yet.
  async function details() {
    const item = await take([...(current ? [current.id] : []), ...Api.pending().map((event) => event.id)]);
    return item && Api.json("api/object", { id: item.id, labeller: me() });
  }

  // The one after: its image is there before it is asked for.
  function prefetch() {
    prefetched = details().then((object) => {
      if (object) new Image().src = Api.image(object.id, IMAGE);
      return object;
    }).catch(() => null);
  }

  function nothing() {
    if (current) visited.push(current.id);
    current = null;
    $("image").hidden = true;
    $("caption").textContent = "";
    $("nothing").hidden = false;
    $("nothing").textContent = $("filter").value === "unlabelled"
      ? "Every object is labelled, or on somebody else's screen." : "There is no further object of this kind.";
  }

  async function back() {
    if (!visited.length) return;
    const leaving = current?.id;
    await open(visited.pop(), { remember: false });
    if (leaving !== undefined) ahead.push(leaving);
  }

  // --- labels -----------------------------------------------------------------------------------

  async function give(kind, value, stay) {
    const target = grid.on ? grid.items[grid.chosen] : current;
    if (!target || (moving && !grid.on)) return;
    const event = { id: target.id, labeller: me(), kind };
    if (value !== undefined) event.value = value;
    if (!grid.on) event.seconds = Math.round((performance.now() - began) / 10) / 100;
    apply(target, kind, value);
    const sent = Api.label(event);
    const moves = !stay && kind !== "flag" && kind !== "unflag";
    if (grid.on) after_in_grid(target, moves);
    else {
      show_label();
      if (moves) next().catch(failed);
    }
    const answer = await sent;
    if (answer?.error) say(answer.error);
    if (answer?.counts) show_counts(answer.counts);
    refresh().catch(() => {});
  }

  function apply(target, kind, value) {
    if (VERDICTS[kind]) target.verdict = kind;
    if (kind === "grade") target.grade = value;
    if (kind === "skip") target.skipped = true;
    if (kind === "flag" || kind === "unflag") target.flagged = kind === "flag";
  }

  function flag() {
    const target = grid.on ? grid.items[grid.chosen] : current;
    if (target) give(target.flagged ? "unflag" : "flag");
  }

  async function undo() {
    const answer = await Api.label({ labeller: me(), kind: "undo" });
    if (answer === null) return say("The server does not answer. The undo is kept and sent when it is back.");
    if (answer.error) return say(answer.error);
    show_counts(answer.counts);
    prefetched = null;
    if (grid.on) await load_page();
    else if (answer.undone) await open(answer.undone.id);
    await refresh();
  }

  // --- grid -------------------------------------------------------------------------------------

  async function load_page() {
    const query = { sort: $("sort").value, filter: $("filter").value, offset: grid.offset, limit: PAGE, labeller: me() };
    const found = await Api.json("api/objects", query);
    Object.assign(grid, { total: found.total, items: found.items, chosen: Math.min(grid.chosen, Math.max(found.items.length - 1, 0)) });
    $("cells").replaceChildren(...found.items.map((item, index) => thumbnail(item, () => {
      if (grid.chosen === index) toggle_grid(false, item.id);
      else choose(index);
    })));
    const last = Math.min(grid.offset + found.items.length, found.total);
    $("page-where").textContent = found.total
      ? `${(grid.offset + 1).toLocaleString("en")} – ${last.toLocaleString("en")} of ${found.total.toLocaleString("en")}` : "nothing to show";
    $("page-back").disabled = grid.offset === 0;
    $("page-on").disabled = last >= found.total;
    choose(grid.chosen);
  }

  function choose(index) {
    if (!grid.items.length) return;
    grid.chosen = Math.min(Math.max(index, 0), grid.items.length - 1);
    [...$("cells").children].forEach((cell, i) => cell.classList.toggle("chosen", i === grid.chosen));
    $("cells").children[grid.chosen].scrollIntoView({ block: "nearest" });
    const item = grid.items[grid.chosen];
    Api.json("api/object", { id: item.id, labeller: me() }).then((object) => {
      if (grid.items[grid.chosen]?.id !== item.id) return;
      current = object;
      show(object);
    }).catch(failed);
  }

  function after_in_grid(item, moves) {
    mark($("cells").children[grid.chosen], item);
    if (!moves) return;
    if (grid.chosen + 1 < grid.items.length) choose(grid.chosen + 1);
    else if (!$("page-on").disabled) turn(1).catch(failed);
  }

  function turn(pages) {
    grid.offset = Math.max(0, grid.offset + pages * PAGE);
    grid.chosen = 0;
    return load_page();
  }

  async function toggle_grid(on, id) {
    grid.on = on;
    $("one").hidden = on;
    $("grid").hidden = !on;
    document.body.classList.toggle("gridded", on);
    $("tab-one").setAttribute("aria-selected", String(!on));
    $("tab-grid").setAttribute("aria-selected", String(on));
    if (on) await load_page();
    else if (id !== undefined) await open(id);
    else if (!current) await next();
  }

  const columns_across = () => {
    const cells = [...$("cells").children];
    const top = cells[0]?.offsetTop;
    return Math.max(1, cells.filter((cell) => cell.offsetTop === top).length);
  };

  // --- map --------------------------------------------------------------------------------------

  async function place() {
    const which = $("projection").value;
    const found = await Api.floats("api/scatter", { projection: which });
    if (found === null) {
      note(state.projections.umap === "failed" ? "UMAP failed; PCA is still there."
        : "UMAP is being made; PCA is there meanwhile.");
      if (state.projections.umap !== "failed") setTimeout(() => $("projection").value === which && place().catch(failed), 2000);
      return;
    }
    note();
    Map2D.place(new Float32Array(found.bytes));
  }

  function note(text) {
    $("map-note").textContent = text ?? "";
    $("map-note").hidden = !text;
  }

  async function colour() {
    const name = $("colour").value;
    const found = await Api.floats("api/column", { name });
    if (found === null) return;
    const low = Number(found.headers.get("X-Min")), high = Number(found.headers.get("X-Max"));
    const column = state.columns.find((c) => c.name === name);
    const kind = name === "label" ? "label" : ["categorical", "flag"].includes(column?.kind) ? "categorical" : "number";
    Map2D.paintBy(new Float32Array(found.bytes), [low, high], kind);
    legend(kind, low, high, column?.units);
  }

  function legend(kind, low, high, units) {
    const swatch = (rgb, text) => {
      const box = element("i", {});
      box.style.background = `rgb(${rgb.join(" ")})`;
      return element("span", {}, box, text);
    };
    if (kind === "label") {
      $("legend").replaceChildren(swatch(Map2D.labels[1], "anomaly"), swatch(Map2D.labels[-1], "normal"), swatch(Map2D.labels[0], "not labelled"));
    } else if (kind === "categorical") {
      const many = Array.from({ length: Math.min(high - low + 1, 20) }, (_, i) => low + i);
      $("legend").replaceChildren(...many.map((value) => swatch(Map2D.hue(value), String(value))));
    } else {
      const ramp = element("i", { class: "ramp" });
      ramp.style.background = `linear-gradient(90deg, ${Map2D.ramp().map((c) => `rgb(${c.join(" ")})`).join(", ")})`;
      $("legend").replaceChildren(element("span", {}, format(low)), ramp, element("span", {}, format(high), units ? ` ${units}` : ""));
    }
  }

  async function pick(row) {
    if (ids === null) ids = new Float64Array((await Api.floats("api/ids", {})).bytes);
    if (grid.on) await toggle_grid(false, ids[row]);
    else await open(ids[row]);
  }

  async function find(text) {
    const { items } = await Api.json("api/find", { id: text });
    if (!items.length) return say(`There is no object ${text}.`);
    $("find-id").blur();
    if (grid.on) await toggle_grid(false, items[0].id);
    else await open(items[0].id);
  }

  // --- keys -------------------------------------------------------------------------------------

  const KEYS = {
    a: (e) => give("anomaly", undefined, e.shiftKey),
    n: (e) => give("normal", undefined, e.shiftKey),
    s: () => give("skip"),
    f: flag,
    u: () => undo(),
    g: () => toggle_grid(!grid.on),
    "/": () => $("find-id").focus(),
    "?": () => $("help").showModal(),
    arrowright: () => (grid.on ? choose(grid.chosen + 1) : next()),
    arrowleft: () => (grid.on ? choose(grid.chosen - 1) : back()),
    arrowdown: () => grid.on && choose(grid.chosen + columns_across()),
    arrowup: () => grid.on && choose(grid.chosen - columns_across()),
    enter: () => grid.on && toggle_grid(false, grid.items[grid.chosen]?.id),
  };

  function pressed(event) {
    if (event.ctrlKey && event.key.toLowerCase() === "z") event.preventDefault();
    else if (event.ctrlKey || event.metaKey || event.altKey || $("help").open) return;
    if (/^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName)) {
      if (event.key === "Escape") event.target.blur();
      return;
    }
    if (event.key === "Enter" && event.target.tagName === "BUTTON" && !event.target.classList.contains("cell")) return;
    const grade = /^Digit([0-5])$|^Numpad([0-5])$/.exec(event.code);
    const act = grade ? () => give("grade", Number(grade[1] ?? grade[2]), event.shiftKey)
      : KEYS[event.ctrlKey ? "u" : event.key.toLowerCase()];
    if (!act || (event.repeat && !event.key.startsWith("Arrow"))) return;
    event.preventDefault();
    Promise.resolve(act(event)).catch(failed);
  }

  function listen() {
    document.addEventListener("keydown", pressed);
    for (const kind of ["anomaly", "normal", "skip"]) {
      $(`do-${kind}`).addEventListener("click", (e) => { e.currentTarget.blur(); give(kind, undefined, e.shiftKey).catch(failed); });
    }
    $("do-flag").addEventListener("click", (e) => { e.currentTarget.blur(); flag(); });
    $("undo").addEventListener("click", () => undo().catch(failed));
    $("open-help").addEventListener("click", () => $("help").showModal());
    $("tab-one").addEventListener("click", () => toggle_grid(false).catch(failed));
    $("tab-grid").addEventListener("click", () => toggle_grid(true).catch(failed));
    $("page-back").addEventListener("click", () => turn(-1).catch(failed));
    $("page-on").addEventListener("click", () => turn(1).catch(failed));
    $("projection").addEventListener("change", () => place().catch(failed));
    $("colour").addEventListener("change", () => colour().catch(failed));
    $("find").addEventListener("submit", (e) => { e.preventDefault(); find($("find-id").value.trim()).catch(failed); });
    $("labeller").addEventListener("change", () => {
      localStorage.setItem("wwdc-labeller", me());
      prefetched = null;
      refresh().catch(failed);
    });
    for (const id of ["sort", "filter"]) {
      $(id).addEventListener("change", (e) => {
        e.target.blur();
        [visited, ahead, prefetched] = [[], [], null];
        (grid.on ? ((grid.offset = 0), load_page()) : next()).catch(failed);
      });
    }
  }

  function pending(count) {
    $("pending").hidden = count === 0;
    $("pending").textContent = `${count} label${count === 1 ? "" : "s"} on the way`;
  }

  async function start() {
    Map2D.start($("map"), (row) => pick(row).catch(failed));
    listen();
    Api.onPending(pending);
    pending(Api.pending().length);
    await Api.flush();
    await refresh();
    await next();
    await Promise.all([place(), colour()]);
    setInterval(() => {
      Api.flush().then(refresh).catch(() => {});
    }, 2500);
    document.body.dataset.ready = "yes";
  }

  start().catch(failed);
})();
