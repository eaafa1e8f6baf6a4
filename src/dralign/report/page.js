"use strict";
// Makes every column of every table sortable: numbers by size, text by letter, undefined last.
for (const table of document.querySelectorAll("table")) {
  table.querySelectorAll("th").forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const sign = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
      table.querySelectorAll("th").forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", sign === 1 ? "ascending" : "descending");
      const text = (row) => row.cells[column].textContent;
      const rows = [...table.tBodies[0].rows];
      const numeric = rows.some((row) => !Number.isNaN(parseFloat(text(row))));
      rows.sort((a, b) => {
        if (!numeric) return sign * text(a).localeCompare(text(b));
        const [x, y] = [parseFloat(text(a)), parseFloat(text(b))];
        if (Number.isNaN(x) || Number.isNaN(y)) return Number.isNaN(x) - Number.isNaN(y);
        return sign * (x - y);
      });
      table.tBodies[0].append(...rows);
    });
  });
}

// Draws each chart when it comes near the window, and shows only what the filters leave.
const figures = JSON.parse(document.getElementById("charts").textContent);
const filters = document.getElementById("filters");
const drawn = new Set();

function shown(method) {
  const box = filters?.querySelector(`input[value="${method}"]`);
  return !box || box.checked;
}

function draw(chart) {
  if (drawn.has(chart)) return;
  drawn.add(chart);
  const { data, layout } = figures[chart.id];
  if (filters) for (const trace of data) trace.visible = shown(trace.meta);
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

const near = new IntersectionObserver(
  (entries) => entries.filter((entry) => entry.isIntersecting).forEach((entry) => draw(entry.target)),
  { rootMargin: "400px" },
);
const charts = document.querySelectorAll(".chart");
charts.forEach((chart) => near.observe(chart));
// Those that are near already need not wait for the browser to tell of it.
charts.forEach((chart) => {
  if (chart.checkVisibility() && chart.getBoundingClientRect().top < innerHeight + 400) draw(chart);
});
const paper = 960; // pixels: what an A4 page on its side has room for
window.addEventListener("beforeprint", () => {
  document.querySelectorAll("details").forEach((part) => (part.open = true));
  for (const chart of charts) {
    draw(chart);
    Plotly.relayout(chart, { autosize: false, width: paper });
  }
});
window.addEventListener("afterprint", () => {
  for (const chart of charts) Plotly.relayout(chart, { autosize: true, width: null });
});
if (filters) {
  filters.addEventListener("change", filter);
  filters.addEventListener("submit", (event) => event.preventDefault());
  filter(); // a browser may remember boxes that were empty
}
