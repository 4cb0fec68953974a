// Keeps a page as the site is: when the server tells of a change, the parts marked `data-live` are fetched anew.
"use strict";

const COLORS = {
  CREATED: "#bbbbbb", AWAITING_PARENTS: "#c4b7d6", READY: "#9fc3e1", STAGED_IN: "#a9cde6", PREPROCESSED: "#56b4e9",
  RUNNING: "#0072b2", RUN_DONE: "#7fd1b9", POSTPROCESSED: "#40b898", JOB_FINISHED: "#009e73", RUN_TIMEOUT: "#e0d230",
  RUN_ERROR: "#e69f00", RESTART_READY: "#cc79a7", FAILED: "#d55e00", USER_KILLED: "#999999",
};

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
  const charts = await (await fetch("/charts.json")).json();
  for (const place of places) {
    const values = charts[place.dataset.chart];
    const lines = Array.isArray(values) ? { [place.dataset.title]: values } : values;
    place.replaceChildren();
    if (!charts.times.length) continue;
    const series = Object.keys(lines).map((name) => ({ label: name, stroke: COLORS[name] || COLORS.RUNNING, width: 2 }));
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
