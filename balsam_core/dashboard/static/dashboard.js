// Keeps a page as the site is: when the server tells of a change, the parts marked `data-live` are fetched anew.
"use strict";

// The colours of states are those of the style sheet.
function colorOf(state) {
  const probe = document.createElement("i");
  probe.className = state;
  document.body.append(probe);
  const color = getComputedStyle(probe).getPropertyValue("--state").trim();
  probe.remove();
  return color;
}

async function refresh() {
  const answer = await fetch(location.href, { headers: { accept: "text/html" } });
  if (!answer.ok) return;
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const part of document.querySelectorAll("[data-live]")) {
    const fresh = page.getElementById(part.id);
    if (fresh && fresh.innerHTML !== part.innerHTML) part.innerHTML = fresh.innerHTML;
  }
}

async function draw() {
  const places = [...document.querySelectorAll("[data-chart]")];
  if (!places.length) return;
  const answer = await fetch("/charts.json");
  if (answer.status === 202) {
    // The server reads a long history; it says so when it is done, and the next try may come too early.
    places[0].textContent = "the history is being read …";
    setTimeout(draw, 2000);
    return;
  }
  const charts = await answer.json();
  for (const place of places) {
    const values = charts[place.dataset.chart];
    const lines = Array.isArray(values) ? { [place.dataset.title]: values } : values;
    place.replaceChildren();
    if (!charts.times.length) continue;
    const series = Object.keys(lines).map((name) => ({ label: name, stroke: colorOf(name) || colorOf("RUNNING"), width: 2 }));
    new uPlot(
      { title: place.dataset.title, width: place.clientWidth, height: 200, series: [{}, ...series], axes: [{}, { size: 80 }] },
      [charts.times, ...Object.values(lines)],
      place,
    );
  }
}

function listen() {
  const note = document.getElementById("link");
  const source = new EventSource("/changes");
  let waiting = false;
  source.addEventListener("change", () => {
    if (waiting) return;
    waiting = true;
    setTimeout(async () => {
      waiting = false;
      await refresh().catch(() => {});
    }, 200);
  });
  source.onopen = () => { note.textContent = "live"; };
  source.onerror = () => { note.textContent = "the dashboard does not answer; is `balsam dashboard` still running?"; };
}

document.addEventListener("submit", (event) => {
  const asked = event.submitter && event.submitter.dataset.ask;
  if (asked && !confirm(asked)) event.preventDefault();
});
listen();
draw();
setInterval(draw, 15000);
