// Charts with uPlot over the drawings of the service, which stay where this file or uPlot is absent.
// Law: nothing is shown here that the drawing, its sentence and its table do not say. Colours are the page's own and
// change with it; every element is made by name, never from text.

const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
const scheme = window.matchMedia("(prefers-color-scheme: dark)");
const percent = (value) => (value == null ? "–" : `${value.toFixed(1)} %`);

// A colour by the name the stylesheet gives it.
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

function axis(extra) {
  return { stroke: colour("soft"), grid: { stroke: colour("line"), width: 1 }, ticks: { show: false }, font: "12px system-ui, sans-serif", ...extra };
}

// Hours where they are told apart by hours, days elsewhere; in the reader's zone and way of writing.
function moments(chart, splits, _axis, _space, step) {
  return splits.map((at) => {
    const moment = new Date(at * 1000);
    const isDay = step >= 86400 || (moment.getHours() === 0 && moment.getMinutes() === 0);
    return isDay ? moment.toLocaleDateString(undefined, { day: "numeric", month: "short" }) : moment.toLocaleTimeString(undefined, { hour: "numeric", minute: "2-digit" });
  });
}

// While nobody points anywhere, the newest values are told.
const newest = {
  ready: [(chart) => chart.setLegend({ idx: lastOf(chart) })],
  setCursor: [(chart) => { if (chart.cursor.left < 0) chart.setLegend({ idx: lastOf(chart) }); }],
};

function lastOf(chart) {
  const known = chart.data[3] ?? chart.data[0];
  let at = known.length - 1;
  while (at > 0 && known[at] == null) at -= 1;
  return at;
}

function line(context, from, to, stroke, dash) {
  context.save();
  context.beginPath();
  context.strokeStyle = stroke;
  context.lineWidth = devicePixelRatio;
  context.setLineDash(dash.map((n) => n * devicePixelRatio));
  context.moveTo(...from);
  context.lineTo(...to);
  context.stroke();
  context.restore();
}

function diamond(context, x, y) {
  const half = 6 * devicePixelRatio;
  context.save();
  context.fillStyle = colour("ink");
  context.beginPath();
  for (const [dx, dy] of [[0, -half], [half, 0], [0, half], [-half, 0]]) context.lineTo(x + dx, y + dy);
  context.fill();
  context.restore();
}

// When forecasts were made and how it ended, behind the lines.
function drawMarks(chart, marks) {
  const { ctx, bbox } = chart;
  for (const mark of marks) {
    const x = Math.min(chart.valToPos(mark.at, "x", true), bbox.left + bbox.width);
    if (mark.kind === "run") line(ctx, [x, bbox.top], [x, bbox.top + bbox.height], colour("soft"), [2, 4]);
    else diamond(ctx, x, mark.price == null ? bbox.top + bbox.height / 2 : chart.valToPos(mark.price, "y", true));
  }
}

// A price stays until the next one; the forecast is one number from its moment on.
function prices(told, width) {
  const { uPlot } = window;
  const stepped = uPlot.paths.stepped({ align: 1 });
  const quiet = { points: { show: false }, value: (_, value) => percent(value), paths: stepped };
  const hasForecast = told.forecast != null;
  const t = [...told.t];
  const columns = [told.ask, told.bid, told.mid].map((column) => [...column]);
  if (told.span[1] > t.at(-1)) {
    t.push(told.span[1]);
    for (const column of columns) column.push(null);
  }
  if (hasForecast) columns.push(t.map((at) => (at >= told.since || at === t.at(-1) ? told.forecast : null)));
  const narrow = width < 480;
  return [{
    width, height: narrow ? 240 : 300,
    cursor: { drag: { x: false, y: false }, points: { size: 7 } },
    legend: { live: true, isolate: false },
    scales: { x: { range: () => told.span }, y: { range: () => told.range } },
    axes: [axis({ space: narrow ? 80 : 100, values: moments }), axis({ size: 48, values: (_, values) => values.map((v) => `${v.toFixed(told.range[1] - told.range[0] > 10 ? 0 : 1)} %`) })],
    series: [
      { label: "Time", value: (_, at) => (at == null ? "–" : new Date(at * 1000).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" })) },
      { label: "Ask", stroke: colour("soft"), width: 0, ...quiet },
      { label: "Bid", stroke: colour("soft"), width: 0, ...quiet },
      { label: "Mid", stroke: colour("accent"), width: 2, ...quiet },
      ...(hasForecast ? [{ label: "Forecast", stroke: colour("warm"), width: 2, dash: [7, 5], ...quiet }] : []),
    ],
    bands: [{ series: [1, 2], fill: colour("band") }],
    hooks: { ...newest, drawAxes: [(chart) => drawMarks(chart, told.marks)] },
  }, [t, ...columns]];
}

// What was said against what happened, with the band in which luck alone leaves an honest forecaster.
function calibration(told, width) {
  const dots = { paths: () => null, width: 0, points: { show: true, size: 9, fill: colour("accent"), stroke: colour("card") } };
  const value = (_, share) => percent(share);
  return [{
    width, height: Math.min(width, 320),
    cursor: { drag: { x: false, y: false } },
    legend: { live: true, isolate: false },
    scales: { x: { time: false, range: () => [0, 100] }, y: { range: () => [0, 100] } },
    axes: [axis({ values: (_, values) => values.map((v) => `${v} %`) }), axis({ size: 48, values: (_, values) => values.map((v) => `${v} %`) })],
    series: [
      { label: "Said", value },
      { label: "Most by luck", stroke: colour("soft"), width: 0, points: { show: false }, value },
      { label: "Least by luck", stroke: colour("soft"), width: 0, points: { show: false }, value },
      { label: "Happened", stroke: colour("accent"), ...dots, value },
    ],
    bands: [{ series: [1, 2], fill: colour("band") }],
    hooks: { ...newest, drawAxes: [(chart) => line(chart.ctx, [chart.valToPos(0, "x", true), chart.valToPos(0, "y", true)], [chart.valToPos(100, "x", true), chart.valToPos(100, "y", true)], colour("soft"), [7, 5])] },
  }, [told.said, told.high, told.low, told.happened]];
}

const KINDS = { prices, calibration };

class DrawnChart extends HTMLElement {
  connectedCallback() {
    if (!window.uPlot || this.chart) return;
    this.again = () => this.draw();
    scheme.addEventListener("change", this.again);
    this.watch = new ResizeObserver(() => this.fit());
    this.watch.observe(this);
    this.draw();
  }

  disconnectedCallback() {
    scheme.removeEventListener("change", this.again);
    this.watch?.disconnect();
    this.clear();
  }

  clear() {
    this.chart?.destroy();
    this.chart = null;
    this.classList.remove("drawn");
  }

  draw() {
    this.clear();
    if (!this.clientWidth) return; // in something closed: drawn when it opens
    const [options, data] = KINDS[this.dataset.kind](JSON.parse(this.dataset.told), this.clientWidth);
    this.chart = new window.uPlot(options, data, this);
    const shape = this.chart.root.querySelector(".u-wrap");
    shape.setAttribute("role", "img");
    shape.setAttribute("aria-label", this.dataset.summary);
    this.classList.add("drawn");
    for (const place of this.parentElement.querySelectorAll("[data-zone]")) place.textContent = `times in ${zone}`;
  }

  fit() {
    if (!this.chart) this.draw();
    else if (this.chart.width !== this.clientWidth && this.clientWidth) this.chart.setSize({ width: this.clientWidth, height: this.chart.height });
  }
}

customElements.define("drawn-chart", DrawnChart);
