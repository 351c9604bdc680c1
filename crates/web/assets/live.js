// Live progress of one job. Without this file the page reloads itself; with it, the rows that changed are put in place.
// The server sends finished HTML (the same templates as the page), so that there is one way to draw a step, not two.
"use strict";

const job = document.querySelector("[data-events]");

// Elapsed times tick here: the server says how long it has been, the clock of this machine goes on from there.
const since = new WeakMap();
function words(seconds) {
  const s = Math.floor(seconds);
  return s < 60 ? `${s} s` : s < 3600 ? `${Math.floor(s / 60)} min ${s % 60} s` : `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
}
function tick() {
  for (const node of document.querySelectorAll("[data-seconds]")) {
    if (!since.has(node)) since.set(node, performance.now() - 1000 * Number(node.dataset.seconds));
    node.textContent = words((performance.now() - since.get(node)) / 1000);
  }
  for (const node of document.querySelectorAll("[data-left]")) {
    if (!since.has(node)) since.set(node, performance.now() + 1000 * Number(node.dataset.left));
    node.textContent = words(Math.max(0, (since.get(node) - performance.now()) / 1000));
  }
}

// Each piece replaces the element with its id, or goes to the end of the element it names.
function place(html) {
  const template = document.createElement("template");
  template.innerHTML = html;
  for (const node of [...template.content.children]) {
    const old = document.getElementById(node.id);
    const box = (old ?? document.getElementById(node.dataset.into))?.closest(".box");
    const below = box && box.scrollHeight - box.scrollTop - box.clientHeight < 40;
    if (old) old.replaceWith(node);
    else document.getElementById(node.dataset.into)?.append(node);
    // Who reads further up is left there.
    if (below) box.scrollTop = box.scrollHeight;
    if (node.dataset.title) document.title = node.dataset.title;
  }
}

if (job) {
  const line = document.getElementById("connection");
  const said = document.getElementById("said");
  const source = new EventSource(job.dataset.events);
  source.addEventListener("patch", (event) => { place(event.data); tick(); });
  const pre = document.getElementById("console");
  const write = (text) => {
    const below = pre.scrollHeight - pre.scrollTop - pre.clientHeight < 40;
    pre.textContent = text.slice(-65536);
    if (below) pre.scrollTop = pre.scrollHeight;
  };
  source.addEventListener("console-all", (event) => { if (pre) write(event.data); });
  source.addEventListener("console", (event) => { if (pre) write(pre.textContent + event.data); });
  source.addEventListener("say", (event) => { said.textContent = event.data; });
  source.addEventListener("end", () => { source.close(); line.textContent = ""; });
  source.addEventListener("open", () => { line.textContent = ""; });
  source.addEventListener("error", () => {
    line.textContent = source.readyState === EventSource.CLOSED
      ? "The connection ended. Reload this page to go on watching; the job itself goes on."
      : "The connection was lost; trying again. The job itself goes on.";
  });
}
setInterval(tick, 1000);
tick();
