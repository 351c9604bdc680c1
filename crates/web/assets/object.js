// On pages of objects: one cursor in form and text, and lists that answer while one types. Both work by links and forms without this file.
"use strict";
(() => {
  const find = document.getElementById("find");
  if (find) {
    const items = [...document.querySelectorAll("[data-find]")];
    const said = document.getElementById("found");
    find.addEventListener("input", () => {
      const words = find.value.toLowerCase().split(/\s+/).filter(Boolean);
      let n = 0;
      for (const item of items) {
        item.hidden = !words.every((word) => item.dataset.find.includes(word));
        if (!item.hidden) n += 1;
      }
      for (const group of document.querySelectorAll(".groups > .group")) {
        group.hidden = words.length > 0 && !group.querySelector("[data-find]:not([hidden])");
      }
      said.textContent = words.length ? `${n} found` : "";
    });
  }

  const fields = new Map([...document.querySelectorAll(".field[data-key]")].map((node) => [node.dataset.key, node]));
  const lines = [...document.querySelectorAll(".lines li[data-key]")];
  if (fields.size && lines.length) {
    const mark = (key, scroll) => {
      for (const [name, node] of fields) node.classList.toggle("marked", name === key);
      let first = null;
      for (const line of lines) {
        const here = line.dataset.key === key;
        line.classList.toggle("marked", here);
        if (here) first ??= line;
      }
      // Only the text moves, never the page under somebody's hands.
      const box = first?.closest(".lines");
      if (scroll && box && box.scrollHeight > box.clientHeight) box.scrollTop = first.offsetTop - box.offsetTop - box.clientHeight / 3;
      const at = new URL(location.href);
      at.searchParams.set("at", key);
      at.hash = "";
      history.replaceState(null, "", at);
    };
    document.querySelector("form.object")?.addEventListener("focusin", (e) => {
      const key = e.target.closest(".field")?.dataset.key;
      if (key) mark(key, true);
    });
    for (const line of lines) {
      line.querySelector("a")?.addEventListener("click", (e) => {
        const field = fields.get(line.dataset.key);
        if (!field || e.ctrlKey || e.metaKey || e.shiftKey) return;
        e.preventDefault();
        for (let up = field.parentElement; up; up = up.parentElement) if (up.tagName === "DETAILS") up.open = true;
        field.querySelector("input:not([type=hidden]), select, textarea, pre")?.focus();
        mark(line.dataset.key, false);
      });
    }
  }
})();
