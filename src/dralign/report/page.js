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
