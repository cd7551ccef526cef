"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const tracks = data.tracks;
  const at = (id) => document.getElementById(id);
  const PALETTE = ["#1b6ca8", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8a6d3b", "#7f7f7f"];
  const DARK_PALETTE = ["#6db3e8", "#ff9a52", "#3fd3a5", "#f0a6cd", "#ffc64d", "#8fd3ff", "#cfae78", "#b5b5b5"];
  const VIRIDIS = [[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]];
  const UNKNOWN_RATE = 255;
  const SMOOTHED = 20; // updates over which the score from the reset is averaged
  const LABELLED = 12; // rewards named beside the chart
  const SCREENS = 12; // pictures shown at once, one a segment
  const PROTOCOLS = { deterministic: "diamond", noop: "square", sticky: "circle", epsilon: "x" };
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const sameDemo = tracks.every((track) => track.demo === tracks[0].demo && track.length === tracks[0].length);
  let track = tracks[0];
  let index = 0;
  let timer = null;
  let axis = "steps";

  const number = (value, digits = 0) =>
    value === null || value === undefined ? "–" : value.toLocaleString("en", { maximumFractionDigits: digits });
  const percent = (value) => (value === null || value === undefined ? "–" : `${Math.round(100 * value)} %`);
  const clock = (seconds) => {
    const whole = Math.round(seconds);
    const two = (part) => String(part).padStart(2, "0");
    return `${Math.floor(whole / 3600)}:${two(Math.floor(whole / 60) % 60)}:${two(whole % 60)}`;
  };
  const element = (name, text, className) => {
    const made = document.createElement(name);
    if (text !== undefined) made.textContent = text;
    if (className) made.className = className;
    return made;
  };
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
  const colourOf = (which) => (dark.matches ? DARK_PALETTE : PALETTE)[which % PALETTE.length];
  // The last value known at or before a moment: most updates see no episode from the reset.
  const lastKnown = (values, moment) => {
    for (let i = moment; i >= 0; i--) if (values[i] !== null) return values[i];
    return null;
  };
  // The first moment at which `values` is at least `value`.
  const momentOf = (values, value) => {
    let low = 0, high = values.length - 1;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (values[middle] < value) low = middle + 1; else high = middle;
    }
    return low;
  };
  const rates = new Map();
  const heatOf = (which) => {
    if (!which.heat) return null;
    if (!rates.has(which)) rates.set(which, Uint8Array.from(atob(which.heat.percent), (c) => c.charCodeAt(0)));
    return rates.get(which);
  };
  const viridis = (share) => {
    const place = Math.min(Math.max(share, 0), 1) * (VIRIDIS.length - 1);
    const low = Math.min(Math.floor(place), VIRIDIS.length - 2);
    return `rgb(${VIRIDIS[low].map((c, i) => Math.round(c + (place - low) * (VIRIDIS[low + 1][i] - c)))})`;
  };

  // The demo: its pictures, and a bar with rewards, the frontier, and how often each start is tied.

  const SVG = "http://www.w3.org/2000/svg";
  const shape = (name, attributes) => {
    const made = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    return made;
  };
  // Where the climb ends: the demo's first step, or the reset before it where the frontier goes there.
  const first = (which) => Math.min(0, ...which.frontier);
  const share = (step) => (step - first(track)) / (track.length - first(track));
  // A demo is climbed in one segment or more, each back from its goal to its beginning.
  const segmentsOf = (which, moment) => which.segments[moment].map(([begin, frontier], i, all) =>
    ({ begin, frontier, goal: i + 1 < all.length ? all[i + 1][0] : which.length }));
  const leftOf = (which, moment) => segmentsOf(which, moment).reduce((sum, one, i) =>
    sum + one.frontier - (i ? one.begin : first(which)), 0);

  function drawBar() {
    const bar = at("bar");
    while (bar.childNodes.length > 1) bar.lastChild.remove();
    const segments = segmentsOf(track, index);
    const piece = (from, to, fill) => bar.append(shape("rect", {
      x: `${100 * share(from)}%`, width: `${Math.max(100 * (share(to) - share(from)), 0.05)}%`, y: "30%", height: "40%", fill,
    }));
    piece(first(track), track.length, colour("ahead"));
    const heat = heatOf(track);
    if (heat) {
      const column = momentOf(track.heat.steps, track.steps[index]);
      for (let row = 0; row < track.heat.rows; row++) {
        const rate = heat[row * track.heat.steps.length + column];
        if (rate === UNKNOWN_RATE) continue;
        for (const one of segments) {
          const begin = Math.max(row * track.heat.width, one.frontier);
          const end = Math.min((row + 1) * track.heat.width, one.goal);
          if (end > begin) piece(begin, end, viridis(rate / 100));
        }
      }
    } else {
      for (const one of segments) if (one.frontier < one.goal) piece(one.frontier, one.goal, colour("accent"));
    }
    for (const [step, reward] of track.rewards) {
      const dot = shape("circle", { cx: `${100 * share(step)}%`, cy: "50%", r: 5, fill: colour(reward > 0 ? "reward" : "bad"),
        stroke: colour("card"), "stroke-width": 1.5 });
      const title = shape("title", {});
      title.textContent = `${reward > 0 ? "+" : ""}${number(reward)} at step ${number(step)}`;
      dot.append(title);
      bar.append(dot);
    }
    for (const step of track.livesLost) {
      const cross = shape("text", { x: `${100 * share(step)}%`, y: "50%", "text-anchor": "middle", "dominant-baseline": "central", fill: colour("bad") });
      cross.textContent = "✗";
      bar.append(cross);
    }
    for (const one of segments) {
      const x = `${100 * share(one.frontier)}%`;
      bar.append(shape("line", { x1: x, x2: x, y1: "0", y2: "100%", stroke: colour("ink"), "stroke-width": 3, class: "mark" }));
    }
    at("barText").textContent = `The demo: trained ${segments.map((one) =>
      `from step ${number(one.frontier)} to ${number(one.goal)}`).join(", ")}`;
  }

  const stripCount = () => Math.max(4, Math.floor(at("bar").clientWidth / 90));
  function fillStrip() {
    const strip = at("strip");
    strip.replaceChildren();
    const pictures = data.pictures[track.demo];
    if (!pictures) return;
    const count = stripCount();
    for (let i = 0; i < count; i++) {
      const step = ((i + 0.5) / count) * track.length;
      const chosen = nearest(pictures.steps, step);
      const image = element("img");
      image.src = pictures.images[chosen];
      image.alt = "";
      image.title = `step ${number(pictures.steps[chosen])}`;
      image.dataset.step = pictures.steps[chosen];
      image.onclick = () => show(reached(pictures.steps[chosen]));
      strip.append(image);
    }
  }
  const nearest = (steps, step) => {
    const after = momentOf(steps, step);
    return after > 0 && step - steps[after - 1] < steps[after] - step ? after - 1 : after;
  };
  // The first moment at which this step was trained; the last one where it never was.
  const reached = (step) => {
    const found = track.segments.findIndex((_, moment) =>
      segmentsOf(track, moment).some((one) => one.frontier <= step && (step < one.goal || step === track.length)));
    return found < 0 ? track.frontier.length - 1 : found;
  };

  // What the agent sees at each frontier: the demo's picture there, one a segment.
  function showScreens() {
    const pictures = data.pictures[track.demo];
    if (!pictures) return;
    const all = segmentsOf(track, index);
    const shown = all.length > SCREENS ? all.filter((one) => one.frontier > one.begin).slice(-SCREENS) : all;
    const screens = at("screens");
    while (screens.children.length > Math.max(shown.length, 1)) screens.lastChild.remove();
    while (screens.children.length < shown.length) {
      const figure = element("figure");
      figure.append(element("img"), element("figcaption"));
      screens.append(figure);
    }
    screens.style.setProperty("--across", Math.ceil(Math.sqrt(shown.length)));
    shown.forEach((one, i) => {
      const [picture, caption] = screens.children[i].children;
      const chosen = nearest(pictures.steps, Math.max(one.frontier, 0));
      if (picture.src !== pictures.images[chosen]) picture.src = pictures.images[chosen];
      picture.alt = `The demo at step ${pictures.steps[chosen]}`;
      const begun = i === 0 && one.frontier <= Math.max(first(track), 0);
      const gathered = track.rewards.reduce((sum, [step, reward]) => (step < one.frontier ? sum + reward : sum), 0);
      screens.children[i].classList.toggle("done", all.length > 1 && one.frontier <= one.begin);
      caption.textContent = all.length > 1
        ? `step ${number(one.frontier)}, ${one.frontier > one.begin ? `${number(one.frontier - one.begin)} left` : "done ✓"}`
        : begun ? "The beginning: the agent plays all of the demo's game"
        : `Demo step ${number(one.frontier)}: from here on the agent plays, ${number(track.target - gathered)} points to go`;
    });
  }

  function show(moment) {
    index = Math.min(Math.max(moment, 0), track.steps.length - 1);
    const slider = at("slider");
    slider.value = index;
    const frontier = track.frontier[index];
    const segments = segmentsOf(track, index);
    const left = leftOf(track, index), whole = track.length - first(track);
    const climbed = `${Math.round(100 * (1 - left / whole))} % climbed`;
    showScreens();
    const figures = [
      segments.length > 1
        ? ["Left to climb", number(left), `of ${number(whole)} steps, in ${segments.length} segments, ${climbed}`]
        : ["Frontier", number(frontier), `of ${number(track.length)}, ${climbed}`],
      ["Trained for", clock(track.seconds[index]), `${number(track.steps[index])} agent steps`],
      ["Ties at the frontier", percent(lastKnown(track.ties, index)), segments.length > 1 ? "of the episodes from there, all segments" : "of the episodes from there"],
      ["Ties from the reset", percent(lastKnown(track.resetTies, index)), "of the whole game"],
      ["Score from the reset", number(lastKnown(smooth(track), index), 1), `the demo has ${number(track.target)}`],
      ["Speed", `${number(track.rate[index])}/s`, `update ${number(track.update[index])}`],
    ];
    at("figures").replaceChildren(...figures.map(([name, value, more]) => {
      const box = element("div");
      const shown = element("dd", value);
      shown.append(element("small", more));
      box.append(element("dt", name), shown);
      return box;
    }));
    slider.setAttribute("aria-valuetext",
      `${segments.length > 1 ? `${number(left)} steps left to climb` : `frontier ${number(frontier)}`}, ${number(track.steps[index])} agent steps, ${clock(track.seconds[index])}`);
    for (const image of at("strip").children) {
      const step = Number(image.dataset.step);
      image.classList.toggle("ahead", !segments.some((one) => one.frontier <= step && (step < one.goal || one.goal === track.length)));
    }
    drawBar();
    moveCursor();
  }

  // The charts: one figure, so that all share the time axis and one cursor.

  const time = (which, values) => values.map((value) => (axis === "steps" ? value : value / unit()[0]));
  const unit = () => {
    const longest = Math.max(...tracks.map((one) => one.seconds[one.seconds.length - 1]));
    return longest > 7200 ? [3600, "hours"] : longest > 240 ? [60, "minutes"] : [1, "seconds"];
  };
  const times = (which) => time(which, axis === "steps" ? which.steps : which.seconds);
  const height = (which, step) => (sameDemo ? step : (100 * step) / which.length);
  const smoothed = new Map();
  function smooth(which) {
    if (!smoothed.has(which)) {
      const recent = [];
      smoothed.set(which, which.score.map((value) => {
        if (value === null) return null;
        recent.push(value);
        if (recent.length > SMOOTHED) recent.shift();
        return recent.reduce((a, b) => a + b) / recent.length;
      }));
    }
    return smoothed.get(which);
  }

  const evaluated = [...new Set(tracks.flatMap((one) => one.evals.map((two) => two.protocol)))];
  const MARKS = { diamond: "◆", square: "■", circle: "●", x: "✖" };
  const symbolOf = (protocol) => PROTOCOLS[protocol] || "star";
  const inSegments = tracks.some((one) => one.segments.some((moment) => moment.length > 1));
  // Number of the y axis, height, title.
  const ROWS = [[1, 3, "Where training starts (dotted: rewards)"],
    ...(inSegments ? [[7, 1.3, "Left to climb, all segments together"]] : []), [2, 2.4, "How often each start is tied"],
    [3, 1.3, "Ties: frontier (thin), reset (thick)"],
    [4, 1.6, "Score from the game's own reset, in training" + (evaluated.length ? "</b><br>evaluated: "
      + evaluated.map((name) => `${MARKS[symbolOf(name)] || "★"} ${name.replace(/[<>&]/g, "")}`).join("  ") : "")],
    [5, 1.1, "Exploration bonus, mean of an agent step"], [6, 1.1, "Entropy of the policy, nats"]];
  // x and y of the frontiers of all segments but the last, with a gap after each.
  function otherFrontiers(which) {
    const x = [], y = [], moments = times(which), open = new Map();
    which.segments.forEach((_, moment) => {
      for (const one of segmentsOf(which, moment).slice(0, -1)) {
        if (!open.has(one.goal)) open.set(one.goal, []);
        open.get(one.goal).push([moments[moment], height(which, one.frontier)]);
      }
    });
    for (const points of open.values()) {
      for (const [a, b] of points) { x.push(a); y.push(b); }
      x.push(null); y.push(null);
    }
    return { x, y };
  }

  function layoutAndTraces() {
    const narrow = at("charts").clientWidth < 560;
    const traces = [], annotations = [];
    const shapes = [{ type: "line", xref: "x", yref: "paper", y0: 0, y1: 1, x0: 0, x1: 0, line: { color: colour("ink"), width: 1.5 } }];
    const total = (narrow ? 1350 : 1250) + (inSegments ? 130 : 0), gap = 50;
    const weights = ROWS.reduce((sum, row) => sum + row[1], 0);
    const usable = total - 100 - gap * (ROWS.length - 1);
    const layout = {
      height: total, margin: { l: narrow ? 46 : 62, r: narrow ? 12 : 76, t: 40, b: 60 }, paper_bgcolor: "transparent",
      plot_bgcolor: "transparent", font: { color: colour("ink"), family: "system-ui, sans-serif", size: narrow ? 11 : 12 },
      showlegend: false,
      hovermode: "closest", dragmode: narrow ? false : "zoom",
      xaxis: { title: { text: axis === "steps" ? "agent steps" : `wall-clock, ${unit()[1]}` }, anchor: "y6", gridcolor: colour("line"),
        zeroline: false, rangemode: "tozero", hoverformat: axis === "steps" ? ",.0f" : ",.2f",
        range: [0, Math.max(...tracks.map((one) => times(one)[one.steps.length - 1])) * 1.005] },
    };
    let top = total - 100;
    const scale = total - 100;
    for (const [axisNumber, weight, title] of ROWS) {
      const bottom = top - (usable * weight) / weights;
      layout[axisNumber > 1 ? `yaxis${axisNumber}` : "yaxis"] = { domain: [Math.max(bottom / scale, 0), Math.min(top / scale, 1)], gridcolor: colour("line"), zeroline: false, automargin: !narrow };
      annotations.push({ text: `<b>${title}</b>`, xref: "paper", yref: "paper", x: 0, y: top / scale, xanchor: "left", align: "left",
        yanchor: "bottom", showarrow: false, yshift: 3 });
      top = bottom - gap;
    }
    const lines = (which, order, row, y, extra) => traces.push({ type: "scatter", mode: "lines", x: times(which), y,
      yaxis: row ? `y${row + 1}` : "y", name: which.name,
      line: { color: colourOf(order), width: 2 }, connectgaps: true, ...extra });

    const span = (which) => [height(which, first(which)), height(which, which.length)];
    const low = Math.min(...tracks.map((one) => span(one)[0])), high = Math.max(...tracks.map((one) => span(one)[1]));
    for (const key of ["yaxis", "yaxis2"]) Object.assign(layout[key], { range: [low - 0.02 * (high - low), high + 0.02 * (high - low)],
      title: { text: narrow ? "" : sameDemo ? "demo step" : "% of the demo" } });
    tracks.forEach((which, order) => {
      lines(which, order, 0, which.frontier.map((step) => height(which, step)), {
        line: { color: colourOf(order), width: which === track ? 2.6 : 1.8, shape: "hv" },
        hovertemplate: "frontier %{y:,.0f} after %{x}<extra>" + which.name.replace(/[<>&]/g, "") + "</extra>" });
      if (inSegments) lines(which, order, 6, which.segments.map((_, moment) => height(which, leftOf(which, moment))), {
        line: { color: colourOf(order), width: 2, shape: "hv" }, hovertemplate: "%{y:,.0f} left after %{x}<extra></extra>" });
      const others = otherFrontiers(which);
      if (others.x.length) traces.push({ type: "scatter", mode: "lines", x: others.x, y: others.y, yaxis: "y", name: which.name, connectgaps: false,
        line: { color: colourOf(order), width: which === track ? 2 : 1.2, shape: "hv" },
        hovertemplate: "segment's frontier %{y:,.0f} after %{x}<extra>" + which.name.replace(/[<>&]/g, "") + "</extra>" });
      for (const [kind, symbol, tint] of [["retreat", "triangle-up", "bad"], ["merge", "circle-open", "ink"], ["bridge", "diamond-open", "ink"], ["cut", "cross-open", "ink"], ["remedy", "star-diamond", "remedy"], ["resume", "line-ns-open", "quiet"]]) {
        const marked = which.events.filter((event) => event.kind === kind);
        if (marked.length) traces.push({ type: "scatter", mode: "markers", name: kind,
          x: time(which, marked.map((event) => (axis === "steps" ? event.steps : event.seconds))),
          y: marked.map((event) => height(which, event.at ?? which.frontier[momentOf(which.steps, event.steps)])),
          text: marked.map((event) => event.text.replace(/[<>&]/g, "")), hovertemplate: "%{text}<extra></extra>",
          marker: { symbol, size: kind === "remedy" ? 11 : 8, color: colour(tint), line: { color: colour("card"), width: kind === "resume" ? 2 : 1 } } });
      }
      lines(which, order, 2, which.ties.map((rate) => (rate === null ? null : 100 * rate)), { line: { color: colourOf(order), width: 0.8 }, opacity: 0.6, hoverinfo: "skip" });
      lines(which, order, 2, which.resetTies.map((rate) => (rate === null ? null : 100 * rate)), { hovertemplate: "from the reset %{y:.0f} %<extra></extra>" });
      traces.push({ type: "scatter", mode: "markers", x: times(which), y: which.score, yaxis: "y4",
        marker: { color: colourOf(order), size: 3, opacity: 0.35 }, hoverinfo: "skip" });
      lines(which, order, 3, smooth(which), { hovertemplate: "mean score %{y:,.1f}<extra></extra>" });
      if (which.evals.length) traces.push({ type: "scatter", mode: "markers", yaxis: "y4",
        x: time(which, which.evals.map((one) => (axis === "steps" ? one.agent_steps : which.seconds[momentOf(which.update, one.update)]))),
        y: which.evals.map((one) => one.mean), marker: { symbol: which.evals.map((one) => symbolOf(one.protocol)), size: 10, color: colourOf(order), line: { color: colour("ink"), width: 1.5 } },
        text: which.evals.map((one) => `${one.protocol}${(one.temperature ?? 1) === 1 ? "" : `, temperature ${number(one.temperature, 2)}`}, ${one.episodes} episodes: mean ${number(one.mean, 1)}, ties ${percent(one.ties)}`.replace(/[<>&]/g, "")),
        hovertemplate: "%{text}<extra></extra>" });
      lines(which, order, 4, which.bonus, { hovertemplate: "bonus %{y:.3g}<extra></extra>" });
      lines(which, order, 5, which.entropy, { hovertemplate: "entropy %{y:.3f}<extra></extra>" });
    });
    const line = (row, y, tint, dash) => shapes.push({ type: "line", xref: "paper", x0: 0, x1: 1, yref: row ? `y${row + 1}` : "y", y0: y, y1: y,
      line: { color: colour(tint), width: 1, dash }, layer: "below" });
    const named = [];
    for (const [step, reward] of [...track.rewards].sort((a, b) => Math.abs(b[1]) - Math.abs(a[1])).slice(0, 40)) {
      const y = height(track, step);
      line(0, y, reward > 0 ? "reward" : "bad", "dot");
      if (!narrow && named.length < LABELLED && named.every((other) => Math.abs(other - y) > 0.05 * (high - low))) {
        named.push(y);
        annotations.push({ text: (reward > 0 ? "+" : "") + number(reward), xref: "paper", x: 1, xanchor: "left", xshift: 4, yref: "y", y,
          showarrow: false, font: { color: colour(reward > 0 ? "reward" : "bad"), size: 11 } });
      }
    }
    for (const target of new Set(tracks.map((one) => one.target))) {
      line(3, target, "reward", "dash");
      annotations.push({ text: "the demo", xref: "paper", x: narrow ? 0.01 : 1, xanchor: "left", xshift: narrow ? 0 : 4, yref: "y4", y: target,
        yanchor: narrow ? "bottom" : "middle", showarrow: false, font: { color: colour("reward"), size: 11 } });
    }
    if (inSegments) Object.assign(layout.yaxis7, { rangemode: "tozero", title: { text: narrow ? "" : sameDemo ? "demo steps" : "% of the demo" } });
    Object.assign(layout.yaxis3, { range: [-4, 104], ticksuffix: " %" });
    const scores = tracks.flatMap((one) => [0, one.target, ...one.score.filter((value) => value !== null), ...one.evals.map((two) => two.mean)]);
    const least = scores.reduce((a, b) => Math.min(a, b)), most = scores.reduce((a, b) => Math.max(a, b));
    Object.assign(layout.yaxis4, { range: [least - 0.04 * (most - least), most + 0.08 * (most - least)] });
    Object.assign(layout.yaxis5, { type: "log", exponentformat: "power", dtick: 1 });
    Object.assign(layout.yaxis6, { rangemode: "tozero" });
    const heat = heatOf(track);
    shapes.push({ type: "rect", xref: "paper", x0: 0, x1: 1, yref: "y2 domain", y0: 0, y1: 1, fillcolor: colour("heat-empty"), line: { width: 0 }, layer: "below" });
    if (heat) {
      const columns = track.heat.steps.length, z = [], y = [];
      for (let row = 0; row <= track.heat.rows; row++) y.push(height(track, Math.min(row * track.heat.width, track.length)));
      for (let row = 0; row < track.heat.rows; row++) {
        z.push(Array.from(heat.subarray(row * columns, (row + 1) * columns), (rate) => (rate === UNKNOWN_RATE ? null : rate)));
      }
      const ends = time(track, axis === "steps" ? track.heat.steps : track.heat.seconds);
      traces.push({ type: "heatmap", x: [0, ...ends], y, z, yaxis: "y2", zmin: 0, zmax: 100, colorscale: "Viridis", hoverongaps: false,
        hovertemplate: "starts near %{y:,.0f}: %{z} % ties<extra></extra>", showscale: !narrow,
        colorbar: { thickness: 10, len: layout.yaxis2.domain[1] - layout.yaxis2.domain[0], y: layout.yaxis2.domain[0], yanchor: "bottom",
          ticksuffix: " %", nticks: 5, outlinewidth: 0, x: 1.005 } });
      traces.push({ type: "scatter", mode: "lines", x: times(track), y: track.frontier.map((step) => height(track, step)), yaxis: "y2",
        line: { color: dark.matches ? "#ffffff" : "#000000", width: 1, shape: "hv" }, hoverinfo: "skip" });
      traces.push({ type: "scatter", mode: "lines", ...otherFrontiers(track), yaxis: "y2", connectgaps: false,
        line: { color: dark.matches ? "#ffffff" : "#000000", width: 1, shape: "hv" }, hoverinfo: "skip" });
    } else {
      annotations.push({ text: "not logged", xref: "paper", x: 0.5, yref: "y2 domain", y: 0.5, showarrow: false });
    }
    if (!tracks.some((one) => one.bonus.some((value) => value !== null))) {
      annotations.push({ text: "trained without a bonus", xref: "paper", x: 0.5, yref: "y5 domain", y: 0.5, showarrow: false });
    }
    return [traces, { ...layout, shapes, annotations }];
  }

  // The settings in which the runs on this page differ, as this one has them.
  const settings = tracks.map((one) => Object.assign({}, ...one.about.filter(([name]) => name !== "versions").map(([, values]) => values)));
  const differing = Object.keys(Object.assign({}, ...settings)).filter((key) => key !== "started"
    && new Set(settings.map((one) => JSON.stringify(one[key]))).size > 1);
  const differences = (which) => differing.length
    ? ` (${differing.map((key) => `${key.replaceAll("_", " ")} ${settings[tracks.indexOf(which)][key] ?? "–"}`).join(", ")})` : "";

  let drawn = false;
  function drawCharts() {
    const [traces, layout] = layoutAndTraces();
    const options = { displayModeBar: false, responsive: true, scrollZoom: false };
    at("runs").hidden = tracks.length < 2;
    at("runs").replaceChildren(...tracks.map((one, order) => {
      const entry = element("li"), key = element("span", "", "key");
      key.style.background = colourOf(order);
      entry.append(key, element(one === track ? "b" : "span", one.name + differences(one)));
      return entry;
    }));
    Plotly.react("charts", traces, layout, options);
    if (!drawn) at("charts").on("plotly_click", (event) => show(momentOf(times(track), event.points[0].x)));
    drawn = true;
    moveCursor();
  }
  let waiting = false;
  function moveCursor() {
    if (!drawn || waiting) return;
    waiting = true;
    requestAnimationFrame(() => {
      waiting = false;
      const x = times(track)[index];
      Plotly.relayout("charts", { "shapes[0].x0": x, "shapes[0].x1": x });
    });
  }

  function chooseTrack(which) {
    track = which;
    at("track").value = tracks.indexOf(track);
    at("headline").textContent = track.headline;
    at("protocol").textContent = track.protocol + (track.ended ? `; ended: ${track.ended}` : "; still training, or was killed");
    at("slider").max = track.steps.length - 1;
    const known = Boolean(data.pictures[track.demo]);
    at("screens").hidden = !known;
    at("stage").classList.toggle("blind", !known);
    fillStrip();
    at("happened").hidden = !track.events.length;
    at("happened").firstElementChild.textContent = `Retreats, joined segments, remedies, best episodes, interruptions (${track.events.length})`;
    at("events").replaceChildren(...track.events.map((event) => {
      const entry = element("li");
      const button = element("button", `${clock(event.seconds)}  ${event.text}`, event.kind);
      button.type = "button";
      button.onclick = () => show(momentOf(track.steps, event.steps));
      entry.append(button);
      return entry;
    }));
    at("about").replaceChildren(...track.about.map(([name, values]) => {
      const table = element("table");
      table.append(element("caption", name));
      for (const [key, value] of Object.entries(values)) {
        const row = element("tr");
        row.append(element("td", key), element("td", typeof value === "object" ? JSON.stringify(value) : String(value)));
        table.append(row);
      }
      return table;
    }));
    drawCharts();
    show(track.steps.length - 1);
  }

  function play(on) {
    clearInterval(timer);
    timer = null;
    at("play").textContent = on ? "❚❚" : "▶";
    at("play").setAttribute("aria-label", on ? "Pause" : "Play");
    if (!on) return;
    if (index >= track.steps.length - 1) show(0);
    const began = performance.now(), from = index;
    const whole = Number(at("speed").value) * 1000;
    timer = setInterval(() => {
      show(from + Math.round(((performance.now() - began) / whole) * track.steps.length));
      if (index >= track.steps.length - 1) play(false);
    }, 66);
  }

  const jump = (moment) => { play(false); show(moment); };
  at("play").onclick = () => play(timer === null);
  at("speed").onchange = () => { if (timer !== null) play(true); };
  at("slider").oninput = (event) => jump(Number(event.target.value));
  at("bar").onclick = (event) => {
    const box = at("bar").getBoundingClientRect();
    jump(reached(((event.clientX - box.left) / box.width) * (track.length - first(track)) + first(track)));
  };
  at("track").onchange = (event) => { play(false); chooseTrack(tracks[Number(event.target.value)]); };
  for (const radio of document.getElementsByName("axis")) {
    radio.onchange = () => { axis = radio.value; drawCharts(); };
  }
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const page = Math.max(1, Math.round(track.steps.length / 20));
    const moves = { ArrowLeft: index - 1, ArrowRight: index + 1, PageUp: index + page, PageDown: index - page, Home: 0, End: track.steps.length - 1 };
    const busy = event.target.closest("select, button, summary, input[type=radio]");
    if (event.key === " " && !busy) play(timer === null);
    else if ((event.key === "r" || event.key === "R") && event.target.tagName !== "SELECT") {
      const next = track.events.find((one) => one.steps > track.steps[index]);
      if (next) jump(momentOf(track.steps, next.steps));
    } else if (event.key in moves && (!busy || event.target === at("play")) && (event.target !== document.body || !["PageUp", "PageDown", "Home", "End"].includes(event.key))) jump(moves[event.key]);
    else return;
    event.preventDefault();
  });
  dark.addEventListener("change", () => { drawCharts(); show(index); });
  let width = innerWidth;
  addEventListener("resize", () => {
    if (innerWidth === width) return;
    width = innerWidth;
    fillStrip(); drawCharts(); show(index);
  });

  for (const note of data.notes) at("notes").append(element("p", note));
  tracks.forEach((one, order) => at("track").append(new Option(one.name, order)));
  at("choice").hidden = tracks.length < 2;
  chooseTrack(track);
})();
