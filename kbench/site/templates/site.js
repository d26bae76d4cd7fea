
// The search leaves those pages whose name and kind have all words.
for (const field of document.querySelectorAll("[data-search] input")) {
  const items = [...document.querySelectorAll("[data-page]")];
  const kind = (item) => item.parentElement.previousElementSibling.textContent;
  const texts = items.map((item) => `${kind(item)} ${item.textContent}`.toLowerCase());
  field.addEventListener("input", () => {
    const words = field.value.toLowerCase().split(/\s+/);
    items.forEach((item, index) => { item.hidden = !words.every((word) => texts[index].includes(word)); });
    const left = items.filter((item) => !item.hidden).length;
    field.parentElement.querySelector("[role=status]").textContent = field.value ? `${left} of ${items.length} pages` : "";
  });
}
