"use strict";

// Sorting: a click on a heading, ascending first, then descending. Empty cells ("–", "missing") stay last.
const key = (row, column) => {
  const cell = row.cells[column];
  return "sort" in cell.dataset ? Number(cell.dataset.sort) : cell.textContent.trim();
};
const empty = (value) => value === "–" || value === "missing" || value === "undefined" || value === "not tested";

function sortBy(table, column) {
  const heading = table.tHead.rows[0].cells[column];
  const sign = heading.getAttribute("aria-sort") === "ascending" ? -1 : 1;
  const rows = [...table.tBodies[0].rows];
  rows.sort((one, other) => {
    const [a, b] = [key(one, column), key(other, column)];
    if (empty(a) || empty(b)) return empty(a) - empty(b);
    const order = typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b));
    return sign * order;
  });
  for (const cell of table.tHead.rows[0].cells) cell.removeAttribute("aria-sort");
  heading.setAttribute("aria-sort", sign === 1 ? "ascending" : "descending");
  table.tBodies[0].append(...rows);
}

for (const table of document.querySelectorAll("table")) {
  [...table.tHead.rows[0].cells].forEach((heading, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.title = "Sort";
    button.append(...heading.childNodes);
    button.addEventListener("click", () => sortBy(table, column));
    heading.append(button);
  });
}

// Filtering: every word must occur in the row; a word in double quotes must be a whole cell.
function filterRows(table, query, status) {
  const words = query.toLowerCase().match(/"[^"]*"|\S+/g) ?? [];
  let shown = 0;
  for (const row of table.tBodies[0].rows) {
    const cells = [...row.cells].map((cell) => cell.textContent.trim().toLowerCase());
    const found = (word) =>
      word.startsWith('"') ? cells.includes(word.slice(1, -1)) : cells.some((text) => text.includes(word));
    row.hidden = !words.every(found);
    shown += !row.hidden;
  }
  status.textContent = words.length ? `${shown} of ${table.tBodies[0].rows.length} rows` : "";
}

for (const table of document.querySelectorAll("table[data-searchable]")) {
  const label = document.createElement("label");
  const input = document.createElement("input");
  const status = document.createElement("span");
  label.className = "filter";
  status.setAttribute("role", "status");
  input.type = "search";
  input.id = `${table.id}-filter`;
  input.addEventListener("input", () => filterRows(table, input.value, status));
  label.append("Filter ", input, status);
  table.parentElement.before(label);
}

// A link into a folded part unfolds it; a number shows the results that it is made of.
function unfold() {
  const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  for (let node = target; node; node = node.parentElement) if (node.tagName === "DETAILS") node.open = true;
  if (target) target.scrollIntoView();
}
document.addEventListener("click", (event) => {
  const link = event.target.closest("a[data-filter]");
  if (!link) return;
  const input = document.getElementById("results-filter");
  input.value = link.dataset.filter;
  input.dispatchEvent(new Event("input"));
  setTimeout(unfold);
});
addEventListener("hashchange", unfold);
unfold();
