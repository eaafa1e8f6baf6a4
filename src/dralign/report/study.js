// Draws each chart when it comes near the window, and shows only what the filters leave.
const figures = JSON.parse(document.getElementById("charts").textContent);
const filters = document.getElementById("filters");
const drawn = new Set();

function shown(method) {
  const box = filters.querySelector(`input[value="${method}"]`);
  return !box || box.checked;
}

function draw(chart) {
  if (drawn.has(chart)) return;
  drawn.add(chart);
  const { data, layout } = figures[chart.id];
  for (const trace of data) trace.visible = shown(trace.meta);
  const buttons = [["toImage", "resetScale2d"]];
  Plotly.newPlot(chart, data, layout, { displaylogo: false, responsive: true, modeBarButtons: buttons });
}

function filter() {
  const panel = document.getElementById("panel")?.value ?? "";
  for (const part of document.querySelectorAll("[data-panel], [data-method]")) {
    const method = part.dataset.method;
    const other = panel !== "" && (part.dataset.panel ?? panel) !== panel;
    part.hidden = other || (method !== undefined && !shown(method));
  }
  for (const chart of drawn) {
    const visible = chart.data.map((trace) => shown(trace.meta));
    Plotly.restyle(chart, { visible });
  }
}

if (filters) {
  const near = new IntersectionObserver(
    (entries) => entries.filter((entry) => entry.isIntersecting).forEach((entry) => draw(entry.target)),
    { rootMargin: "400px" },
  );
  const charts = document.querySelectorAll(".chart");
  charts.forEach((chart) => near.observe(chart));
  filters.addEventListener("change", filter);
  filters.addEventListener("submit", (event) => event.preventDefault());
  window.addEventListener("beforeprint", () => charts.forEach(draw));
  filter(); // a browser may remember boxes that were empty
}
