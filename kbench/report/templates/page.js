"use strict";

// Long tables come packed. Their rows are made when their part is unfolded: the first thousand of those that a filter
// leaves, in the order that was asked for.
const SHOWN = 1000;
const text = (cell) => (Array.isArray(cell) ? cell[0] : cell);

// What was gzipped and written in base 64.
function unpacked(written) {
  const bytes = Uint8Array.from(atob(written), (character) => character.charCodeAt(0));
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip")));
}

class LongTable {
  constructor(table) {
    this.table = table;
    this.rows = this.left = null;
    this.order = (one, other) => one.number - other.number;
  }
  async load() {
    if (this.rows) return;
    const cells = await unpacked(this.table.dataset.rows).json();
    delete this.table.dataset.rows;
    this.rows = this.left = cells.map((row, number) => ({ number, cells: row }));
    this.show();
  }
  filter(words) {
    this.left = this.rows.filter((row) => matches(row.cells.map((cell) => text(cell).toLowerCase()), words));
    this.show();
    return [this.left.length, this.rows.length];
  }
  sort(column, sign) {
    const value = (row) => (Array.isArray(row.cells[column]) ? (row.cells[column][1] ?? text(row.cells[column])) : row.cells[column]);
    this.order = (one, other) => compare(value(one), value(other), sign);
    this.show();
  }
  show() {
    const made = [...this.left].sort(this.order).slice(0, SHOWN).map((row) => this.make(row.cells));
    this.table.tBodies[0].replaceChildren(...made);
  }
  make(cells) {
    const row = document.createElement("tr");
    cells.forEach((cell, column) => {
      const made = document.createElement(column ? "td" : "th");
      if (!column) made.scope = "row";
      if (column >= Number(this.table.dataset.textColumns)) made.className = "n";
      const [shown, , href] = Array.isArray(cell) ? cell : [cell];
      const link = href && document.createElement("a");
      if (link) [link.href, link.textContent] = [href, shown];
      made.append(link || shown);
      row.append(made);
    });
    return row;
  }
}
const long = new Map([...document.querySelectorAll("table[data-rows]")].map((table) => [table, new LongTable(table)]));
for (const [table, rows] of long)
  table.closest("details")?.addEventListener("toggle", () => rows.load());

// Sorting: a click on a heading, ascending first, then descending. Empty cells ("–", "missing") stay last.
const key = (row, column) => {
  const cell = row.cells[column];
  return "sort" in cell.dataset ? Number(cell.dataset.sort) : cell.textContent.trim();
};
const empty = (value) => value === "–" || value === "missing" || value === "undefined" || value === "not tested";

function compare(a, b, sign) {
  if (empty(a) || empty(b)) return empty(a) - empty(b);
  const order = typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b));
  return sign * order;
}

function sortBy(table, column) {
  const heading = table.tHead.rows[0].cells[column];
  const sign = heading.getAttribute("aria-sort") === "ascending" ? -1 : 1;
  for (const cell of table.tHead.rows[0].cells) cell.removeAttribute("aria-sort");
  heading.setAttribute("aria-sort", sign === 1 ? "ascending" : "descending");
  if (long.has(table)) return long.get(table).sort(column, sign);
  const rows = [...table.tBodies[0].rows];
  rows.sort((one, other) => compare(key(one, column), key(other, column), sign));
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
function matches(cells, words) {
  const found = (word) =>
    word.startsWith('"') ? cells.includes(word.slice(1, -1)) : cells.some((shown) => shown.includes(word));
  return words.every(found);
}

function filterPlain(table, words) {
  let shown = 0;
  for (const row of table.tBodies[0].rows) {
    row.hidden = !matches([...row.cells].map((cell) => cell.textContent.trim().toLowerCase()), words);
    shown += !row.hidden;
  }
  return [shown, table.tBodies[0].rows.length];
}

async function filterRows(table, query, status) {
  const words = query.toLowerCase().match(/"[^"]*"|\S+/g) ?? [];
  await long.get(table)?.load();
  const [left, all] = long.has(table) ? long.get(table).filter(words) : filterPlain(table, words);
  const first = long.has(table) && left > SHOWN ? `, the first ${SHOWN} shown` : "";
  status.textContent = words.length || first ? `${left} of ${all} rows${first}` : "";
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

// Many runs come packed, a variant's together.
async function unpackRuns() {
  for (const part of document.querySelectorAll("[data-packed]"))
    part.outerHTML = await unpacked(part.dataset.packed).text();
}
unpackRuns().then(unfold);
