// Keeps the arrival log and the limiter's fill up to date, and sends what is tried under Operations.
"use strict";

const SHOWN = 20;
const EVERY_MS = 1000;

function cell(row, label, text, kind = "td") {
  const made = document.createElement(kind);
  made.dataset.label = label;
  if (kind === "th") made.scope = "row";
  made.textContent = text;
  row.append(made);
  return made;
}

function rowOf(arrival) {
  const row = document.createElement("tr");
  cell(row, "No.", String(arrival.seq), "th");
  cell(row, "At", arrival.arrived_at.slice(11, 23));
  cell(row, "Provider", arrival.provider || "–");
  const request = cell(row, "Request", "");
  const code = document.createElement("code");
  code.textContent = `${arrival.method} ${arrival.path}`;
  request.append(code);
  cell(row, "Status", `${arrival.status || "–"}${arrival.limited ? " limited" : ""}`);
  cell(row, "Fault", arrival.fault || "–");
  return row;
}

async function showArrivals(log) {
  const overview = await (await fetch("/_sandbox/requests?limit=0")).json();
  const after = Math.max(0, overview.last_seq - SHOWN);
  const { requests } = await (await fetch(`/_sandbox/requests?after=${after}&limit=${SHOWN}`)).json();
  if (requests.length) log.replaceChildren(...requests.reverse().map(rowOf));
}

async function showLimits(limits) {
  const answer = await (await fetch("/_sandbox/limiter")).json();
  for (const [provider, counter] of Object.entries(answer.counters)) {
    const line = limits.querySelector(`[data-provider="${CSS.escape(provider)}"]`);
    if (!line) continue;
    line.querySelector("meter").value = counter.count;
    line.querySelector("span").textContent =
      `${counter.count} of ${answer.limit} requests in this window`;
  }
}

async function showClock(clock) {
  const answer = await (await fetch("/_sandbox/clock")).json();
  clock.textContent = answer.now.replace(/\.\d+Z$/, "Z");
}

function live() {
  const log = document.getElementById("log");
  const limits = document.getElementById("limits");
  if (!log || !limits) return;
  const round = async () => {
    try {
      if (!document.hidden) {
        await showArrivals(log);
        await showLimits(limits);
        await showClock(document.getElementById("now"));
      }
    } catch { /* the sandbox is away; the next round will tell */ }
    setTimeout(round, EVERY_MS);
  };
  round();
}

async function send(form) {
  const reply = form.querySelector(".reply");
  const options = {
    method: form.dataset.method,
    headers: {
      Authorization: `Bearer ${document.getElementById("token").value}`,
      Accept: "application/json",
    },
  };
  if (form.elements.body) {
    options.body = form.elements.body.value;
    options.headers["Content-Type"] = "application/json";
  }
  reply.hidden = false;
  try {
    const answer = await fetch(form.elements.path.value, options);
    const text = await answer.text();
    let shown = text;
    try { shown = JSON.stringify(JSON.parse(text), null, 2); } catch { /* not JSON: as it is */ }
    reply.textContent = `${answer.status} ${answer.statusText}\n\n${shown}`;
  } catch (error) {
    reply.textContent = `No answer: ${error}`;
  }
}

for (const form of document.querySelectorAll("form.try")) {
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    send(form);
  });
}

live();
