"use strict";
// The interactive part of the page. Every number and every place in a chart was made beforehand
// and is looked up here; nothing is fetched and nothing is computed but which entry is meant.
(() => {
  const $ = (id) => document.getElementById(id);
  const data = JSON.parse($("data").textContent);
  const [LEFT, RIGHT, TOP, BOTTOM] = data.frame;
  const MOST_OTHERS = 40; // grey curves of other experiments
  const state = { e: 0, kind: 0, m: 0, t: 0 };

  // What is looked up. A cell: [P, lower, upper, counts, y of P, y of lower, y of upper,
  // y of P if all undecided runs fail].
  const experiment = (e = state.e) => data.experiments[e];
  const bandOf = (e = state.e) => experiment(e).bands[state.kind];
  const gridOf = (e = state.e) => data.grids[bandOf(e).grid];
  const stepsOf = (e = state.e) => data.steps[experiment(e).steps];
  const limits = (m, t, e = state.e) => data.cells[bandOf(e).cells[m * stepsOf(e).texts.length + t]];
  const asked = (m, e = state.e) => bandOf(e).asked[m];
  const estimate = (m, t, e = state.e) => asked(m, e) && data.cells[asked(m, e).cells[t]];
  const threshold = (text) => `${data.kinds[state.kind].condition}${text}`;
  const range = (low, high) => `${low} to ${high}`;

  const element = (name, attributes = {}, text = "") => {
    const svg = ["svg", "g", "path", "line", "circle", "text", "rect"].includes(name);
    const made = svg
      ? document.createElementNS("http://www.w3.org/2000/svg", name)
      : document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    made.textContent = text;
    return made;
  };

  // Paths of embedded places. Between two thresholds a curve keeps the value of the left one, the
  // upper limit is that of the left one and the lower limit that of the right one.
  const stairs = (x, y) => x.map((at, k) => (k ? `H${at}V${y[k]}` : `M${at} ${y[k]}`)).join("");
  // The same without the stretches whose value is no answer, more being unresolved than known.
  const answered = (x, cells) => {
    let path = "";
    x.forEach((at, k) => {
      if (cells[k][0] === data.words.unresolved) return;
      const joined = k > 0 && cells[k - 1][0] !== data.words.unresolved;
      path += joined ? `V${cells[k][4]}` : `M${at} ${cells[k][4]}`;
      path += k + 1 < x.length ? `H${x[k + 1]}` : "";
    });
    return path;
  };
  const line = (x, y) => x.map((at, k) => `${k ? "L" : "M"}${at} ${y[k]}`).join("");
  const area = (x, low, high) => `${line(x, high)}${line(x.map((_, k) => x[x.length - 1 - k]),
    [...low].reverse()).replace("M", "L")}z`;
  const stairsBack = (x, y) => x.map((at, k) => (k ? `V${y[k - 1]}H${x[k - 1]}` : "")).reverse().join("");
  const stairsArea = (x, low, high) => {
    let path = stairs(x, high) + `V${low[x.length - 1]}`;
    for (let k = x.length - 1; k > 0; k -= 1) path += `H${x[k - 1]}V${low[k - 1]}`;
    return `${path}z`;
  };

  const frame = (chart, axis) => {
    const parts = [element("rect", { class: "ground", x: LEFT, y: TOP, width: RIGHT - LEFT, height: BOTTOM - TOP })];
    for (const [y, text] of data.y) {
      parts.push(element("line", { class: "grid", x1: LEFT, x2: RIGHT, y1: y, y2: y }));
      parts.push(element("text", { class: "tick end", x: LEFT - 12, y: y + 9 }, text));
    }
    for (const [x, text] of axis.ticks) {
      parts.push(element("line", { class: "grid", x1: x, x2: x, y1: TOP, y2: BOTTOM }));
      parts.push(element("text", { class: "tick middle", x, y: BOTTOM + 40 }, text));
    }
    chart.replaceChildren(...parts);
  };

  const others = (draw) => {
    if (data.experiments.length > MOST_OTHERS) return [];
    return data.experiments.flatMap((_, e) => {
      const path = e === state.e || !bandOf(e) ? "" : draw(e);
      return path ? [element("path", { class: "other", d: path })] : [];
    });
  };

  const bar = (x, cell) => [
    element("line", { class: "bar", x1: x, x2: x, y1: cell[5], y2: cell[6] }),
    ...(cell[0] === data.words.unresolved ? [] : [element("circle", { class: "dot", cx: x, cy: cell[4], r: 6 })]),
  ];

  const column = (cells, k) => cells.map((cell) => cell[k]);

  const drawAgainstThreshold = () => {
    const chart = $("against-threshold");
    const { x } = gridOf();
    const step = stepsOf().texts[state.t];
    const cells = x.map((_, m) => limits(m, state.t));
    frame(chart, gridOf());
    chart.append(
      element("path", { class: "band", d: stairsArea(x, column(cells, 5), column(cells, 6)) }),
      ...others((e) => {
        const t = stepsOf(e).texts.indexOf(step);
        return t < 0 ? "" : stairs(gridOf(e).x, gridOf(e).x.map((_, m) => limits(m, t, e)[4]));
      }),
      ...(cells.some((cell) => cell[7] !== cell[4])
        ? [element("path", { class: "undecided", d: `${stairs(x, column(cells, 7))}V${cells[x.length - 1][4]}${stairsBack(x, column(cells, 4))}z` })] : []),
      element("path", { class: "known", d: stairs(x, column(cells, 4)) }),
      element("path", { class: "curve", d: answered(x, cells) }),
      ...x.flatMap((at, m) => (asked(m) ? bar(at, estimate(m, state.t)) : [])),
      element("line", { class: "cursor", x1: x[state.m], x2: x[state.m], y1: TOP, y2: BOTTOM }),
      element("circle", { class: "here", cx: x[state.m], cy: limits(state.m, state.t)[4], r: 11 }),
    );
  };

  const drawAgainstSteps = () => {
    const chart = $("against-steps");
    const { x } = stepsOf();
    const text = gridOf().texts[state.m];
    const cells = x.map((_, t) => limits(state.m, t));
    const own = asked(state.m) ? x.map((_, t) => estimate(state.m, t)) : null;
    const bound = own && asked(state.m).bound_y;
    frame(chart, stepsOf());
    chart.append(
      element("path", { class: "band", d: area(x, column(cells, 5), column(cells, 6)) }),
      ...(own ? [element("path", { class: "interval", d: area(x, column(own, 5), column(own, 6)) })] : []),
      ...others((e) => {
        const m = gridOf(e).texts.indexOf(text);
        return m < 0 ? "" : line(stepsOf(e).x, stepsOf(e).x.map((_, t) => limits(m, t, e)[4]));
      }),
      ...(bound ? [element("line", { class: "bound", x1: LEFT, x2: RIGHT, y1: bound, y2: bound })] : []),
      ...(cells.some((cell) => cell[7] !== cell[4])
        ? [element("path", { class: "undecided", d: area(x, column(cells, 4), column(cells, 7)) })] : []),
      element("path", { class: "curve", d: line(x, column(cells, 4)) }),
      ...x.map((at, t) => element("circle", { class: "dot", cx: at, cy: cells[t][4], r: 5 })),
      element("line", { class: "cursor", x1: x[state.t], x2: x[state.t], y1: TOP, y2: BOTTOM }),
      element("circle", { class: "here", cx: x[state.t], cy: cells[state.t][4], r: 11 }),
    );
  };

  // In words, for the readout and the pointer.
  const said = (m, t) => {
    const own = estimate(m, t);
    const cell = limits(m, t);
    const [P, low, high, counts] = own || cell;
    const what = own ? "interval" : "band";
    return [P, `${range(low, high)} (${what})`, counts].filter(Boolean).join("; ");
  };

  const write = (id, text) => {
    if ($(id).textContent !== text) $(id).textContent = text;
  };

  const drawTable = () => {
    const eps = gridOf().texts[state.m];
    const step = stepsOf().texts[state.t];
    data.experiments.slice(0, data.rows).forEach((_, e) => {
      const row = $(`row-${e}`);
      const m = bandOf(e) ? gridOf(e).texts.indexOf(eps) : -1;
      const t = stepsOf(e).texts.indexOf(step);
      const known = m >= 0 && t >= 0;
      const cell = known ? limits(m, t, e) : ["-", "", "", ""];
      const own = known ? estimate(m, t, e) : null;
      const texts = [
        (own || cell)[0],
        own ? range(own[1], own[2]) : "-",
        known ? range(cell[1], cell[2]) : "-",
        (own || cell)[3] || "-",
      ];
      texts.forEach((text, k) => {
        if (row.children[k + 1].textContent !== text) row.children[k + 1].textContent = text;
      });
      row.classList.toggle("chosen", e === state.e);
    });
  };

  const update = () => {
    const { kinds, words } = data;
    const eps = gridOf().texts[state.m];
    const step = stepsOf().texts[state.t];
    const own = estimate(state.m, state.t);
    const cell = limits(state.m, state.t);
    $("threshold").value = state.m;
    $("step").value = state.t;
    for (const [id, text] of [["threshold", threshold(eps)], ["step", `n = ${step}`]]) {
      write(`${id}-value`, text);
      $(id).setAttribute("aria-valuetext", text);
    }
    const whose = data.experiments.length > 1 ? `, ${experiment().label}` : "";
    write("what", `${kinds[state.kind].of}${eps} ) after n = ${step} steps${whose}`);
    write("value", (own || cell)[0]);
    write("value-interval", own ? `${range(own[1], own[2])}: ${words.interval}` : words.no_interval);
    write("value-band", `${range(cell[1], cell[2])}: ${words.band}`);
    write("value-counts", (own || cell)[3]);
    write("value-bound", own && asked(state.m).bound ? `at least ${asked(state.m).bound} for every n, without any run` : "");
    // An event without a threshold has no axis of thresholds.
    const single = gridOf().texts.length < 2;
    for (const id of ["choose-threshold", "figure-threshold"]) $(id).hidden = single;
    const untrained = stepsOf().texts.length < 2;
    for (const id of ["choose-step", "figure-steps"]) $(id).hidden = untrained;
    $("shades").hidden = single && untrained;
    write("caption-threshold", `P against ${kinds[state.kind].symbol} after n = ${step} steps`);
    write("caption-steps", `P against n at ${threshold(eps)}`);
    $("against-threshold").setAttribute("aria-label", `P against ${kinds[state.kind].symbol} after ${step} steps; at ${threshold(eps)}: ${said(state.m, state.t)}`);
    $("against-steps").setAttribute("aria-label", `P against n at ${threshold(eps)}; after ${step} steps: ${said(state.m, state.t)}`);
    drawAgainstThreshold();
    drawAgainstSteps();
    drawTable();
  };

  // The sliders have a place for each threshold and checkpoint of the chosen experiment.
  const fit = (id, count) => $(id).setAttribute("max", String(count - 1));

  const choose = (change) => {
    const eps = gridOf().texts[state.m];
    const step = stepsOf().texts[state.t];
    change();
    if (!bandOf()) { // not every experiment has events of every kind
      state.kind = experiment().bands.findIndex(Boolean);
      showKind();
    }
    const { texts } = gridOf();
    const steps = stepsOf().texts;
    const m = texts.indexOf(eps);
    const t = steps.indexOf(step);
    state.m = m >= 0 ? m : Math.min(state.m, texts.length - 1);
    state.t = t >= 0 ? t : steps.length - 1;
    fit("threshold", texts.length);
    fit("step", steps.length);
    update();
  };

  // Chosen on one axis, the others stay as far as there is such an experiment.
  const nearest = (axis, value) => {
    const now = experiment().at;
    const alike = (at) => at.filter((place, k) => place === now[k]).length;
    const candidates = data.experiments.map((_, e) => e).filter((e) => experiment(e).at[axis] === value);
    return candidates.reduce((best, e) => (alike(experiment(e).at) > alike(experiment(best).at) ? e : best));
  };

  const selects = [];
  const addSelect = (name, values, changed) => {
    const label = element("label", {}, name);
    const select = element("select");
    values.forEach((text, k) => select.append(element("option", { value: k }, text)));
    select.addEventListener("change", () => changed(Number(select.value)));
    label.append(select);
    $("choices").append(label);
    return select;
  };

  const showAxes = () => selects.forEach((select, k) => { select.value = experiment().at[k]; });

  const addAsked = () => {
    const buttons = data.kinds[state.kind].asked.map((text) => {
      const button = element("button", { type: "button" }, text);
      button.addEventListener("click", () => {
        const m = gridOf().texts.indexOf(text);
        if (m >= 0) { state.m = m; update(); }
      });
      return button;
    });
    $("asked").replaceChildren("the study's own: ", ...buttons);
    write("threshold-name", data.kinds[state.kind].symbol);
  };

  const toAsked = () => {
    const { asked: texts } = data.kinds[state.kind];
    state.m = Math.max(0, gridOf().texts.indexOf(texts[texts.length >> 1]));
  };

  // The pointer reads off a chart; pressed, it moves the slider.
  const follow = (id, places, at, set) => {
    const chart = $(id);
    const nearestPlace = (event) => {
      const box = chart.getBoundingClientRect();
      const x = ((event.clientX - box.left) / box.width) * 1000;
      const distances = places().map((place) => Math.abs(place - x));
      return distances.indexOf(Math.min(...distances));
    };
    chart.addEventListener("pointermove", (event) => {
      const place = nearestPlace(event);
      if (event.buttons & 1) { set(place); update(); }
      write(`${id}-pointer`, at(place));
    });
    chart.addEventListener("pointerdown", (event) => { set(nearestPlace(event)); update(); });
    chart.addEventListener("pointerleave", () => write(`${id}-pointer`, ""));
  };

  let kindSelect = null;
  const showKind = () => {
    if (kindSelect) kindSelect.value = state.kind;
    addAsked();
    toAsked();
  };
  if (data.kinds.length > 1) {
    kindSelect = addSelect("event", data.kinds.map((kind) => kind.name), (kind) => {
      choose(() => {
        state.kind = kind;
        if (!bandOf()) state.e = data.experiments.findIndex((one) => one.bands[kind]);
        showKind();
      });
      showAxes();
    });
  }
  data.axes.forEach((axis, k) => selects.push(addSelect(axis.name, axis.values, (value) => {
    choose(() => { state.e = nearest(k, value); });
    showAxes();
  })));
  if (data.rows > 0) {
    data.experiments.slice(0, data.rows).forEach((one, e) => {
      const row = element("tr", { id: `row-${e}` });
      const head = element("th", { scope: "row", class: "text" });
      const button = element("button", { type: "button" }, one.label);
      button.addEventListener("click", () => { choose(() => { state.e = e; }); showAxes(); });
      head.append(button);
      row.append(head, ...[0, 1, 2, 3].map(() => element("td")));
      $("rows").append(row);
    });
    $("all").hidden = false;
  }
  $("threshold").addEventListener("input", () => { state.m = Number($("threshold").value); update(); });
  $("step").addEventListener("input", () => { state.t = Number($("step").value); update(); });
  follow("against-threshold", () => gridOf().x, (m) => `${threshold(gridOf().texts[m])}: ${said(m, state.t)}`, (m) => { state.m = m; });
  follow("against-steps", () => stepsOf().x, (t) => `n = ${stepsOf().texts[t]}: ${said(state.m, t)}`, (t) => { state.t = t; });
  write("limit", data.words.limit);
  showKind();
  state.t = stepsOf().texts.length - 1;
  fit("threshold", gridOf().texts.length);
  fit("step", stepsOf().texts.length);
  showAxes();
  $("explore").hidden = false;
  $("to-explore").hidden = false;
  update();
})();
