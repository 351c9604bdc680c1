// On every page: keys, and the way to anywhere. Without this file /go does the same as a page.
// One key alone does something only while nothing is typed into, and can be switched off (in the window that "?" opens).
"use strict";
(() => {
  const places = { s: "/", d: "/drafts", c: "/history", j: "/jobs", a: "/acts" };
  const quiet = () => { try { return localStorage.getItem("keys") === "off"; } catch { return false; } };
  let window_, waiting = 0, asked = 0;

  function dialog() {
    if (!window_) {
      window_ = document.createElement("dialog");
      window_.setAttribute("aria-labelledby", "go-title");
      document.body.append(window_);
      window_.addEventListener("click", (e) => { if (e.target === window_ || e.target.closest("[data-close]")) window_.close(); });
      window_.addEventListener("input", (e) => { if (e.target.name === "q") find(e.target.value); });
      window_.addEventListener("change", (e) => {
        if (e.target.name === "keys") try { localStorage.setItem("keys", e.target.checked ? "on" : "off"); } catch { /* then not */ }
      });
      window_.addEventListener("keydown", (e) => {
        const step = { ArrowDown: 1, ArrowUp: -1 }[e.key];
        if (!step) return;
        const stops = [...window_.querySelectorAll("input[name=q], #found a")];
        stops[Math.min(Math.max(stops.indexOf(document.activeElement) + step, 0), stops.length - 1)]?.focus();
        e.preventDefault();
      });
    }
    return window_;
  }
  async function piece(address) {
    const answer = await fetch(address, { headers: { accept: "text/html" } });
    if (!answer.ok) throw new Error(answer.statusText);
    return answer.text();
  }
  async function open(what, link) {
    try {
      const html = await piece(`/go?piece=${what}`);
      const box = dialog();
      box.innerHTML = html;
      for (const box_ of box.querySelectorAll("[name=keys]")) { box_.closest("p").hidden = false; box_.checked = !quiet(); }
      if (!box.open) box.showModal();
    } catch { location.href = link; }
  }
  async function find(q) {
    clearTimeout(waiting);
    const mine = ++asked;
    waiting = setTimeout(async () => {
      try {
        const html = await piece(`/go?piece=found&q=${encodeURIComponent(q)}`);
        const old = document.getElementById("found");
        if (mine === asked && old) old.outerHTML = html;
      } catch { /* the form itself still works */ }
    }, 80);
  }

  document.addEventListener("click", (e) => {
    const link = e.target.closest("a[data-go], a[data-keys]");
    if (!link || e.ctrlKey || e.metaKey || e.shiftKey || e.button) return;
    e.preventDefault();
    open(link.hasAttribute("data-go") ? "go" : "keys", link.href);
  });
  let gone = 0;
  document.addEventListener("keydown", (e) => {
    if ((e.ctrlKey || e.metaKey) && !e.altKey && e.key.toLowerCase() === "k") {
      e.preventDefault();
      open("go", "/go");
      return;
    }
    if (e.ctrlKey || e.metaKey || e.altKey || quiet() || document.querySelector("dialog[open]")) return;
    if (e.target.closest("input, textarea, select, [contenteditable]")) return;
    if (e.key === "?") { e.preventDefault(); open("keys", "/go#keys"); return; }
    if (e.key === "/") {
      const search = document.querySelector("main input[type=search]");
      if (search) { e.preventDefault(); search.focus(); } else { e.preventDefault(); open("go", "/go"); }
      return;
    }
    if (e.key === "g") { gone = e.timeStamp; return; }
    if (gone && e.timeStamp - gone < 1500 && places[e.key]) location.href = places[e.key];
    gone = 0;
  });
})();
