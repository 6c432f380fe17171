// What pages do beyond links and forms: regions that renew themselves, the live tail, keys, copying. Without it each page
// works as it is. Only this module makes HTML of text, and only of what its own server answered.

const policy = globalThis.trustedTypes?.createPolicy("relais", { createHTML: (text) => text }) ?? { createHTML: (text) => text };
const page = document.documentElement;
page.classList.add("script");

const parse = (text) => new DOMParser().parseFromString(policy.createHTML(text), "text/html");
const all = (selector, within = document) => [...within.querySelectorAll(selector)];

// -- regions that renew themselves: asked again with the ETag, left alone while somebody works in them

const FOCUSABLE = "a, button, summary";
let tag = null;
let failed = 0;
let answered = Date.now();

function isBusy(region) {
  const chosen = document.getSelection();
  const selects = chosen && !chosen.isCollapsed && region.contains(chosen.anchorNode);
  return selects || region.querySelector("a:hover, button:hover, input:focus, select:focus, textarea:focus") !== null;
}

async function renew() {
  const region = document.querySelector("[data-live]");
  if (!region) return;
  if (!document.hidden && !isBusy(region)) {
    try {
      const answer = await fetch(location.href, { headers: tag ? { "If-None-Match": tag } : {}, redirect: "manual" });
      if (answer.status === 200) swap(region, parse(await answer.text()));
      if (answer.type === "opaqueredirect") location.reload(); // the session has ended
      if (answer.ok || answer.status === 304) {
        tag = answer.headers.get("ETag");
        failed = 0;
        answered = Date.now();
        // The server's clock: that of this machine may be wrong.
        const at = new Date(answer.headers.get("Date") ?? Date.now());
        if (answer.status === 304) tellTime(at.toLocaleTimeString(page.lang, { hour12: false, timeZone: zone() }));
      } else failed += 1;
    } catch { failed += 1; }
  }
  region.classList.toggle("old", Date.now() - answered > 10_000 && !document.hidden && failed > 0);
  setTimeout(renew, Number((document.querySelector("[data-live]") ?? region).dataset.live) * 1000 * Math.min(8, 1 + failed));
}

const zone = () => document.getElementById("zone")?.value || undefined;

function tellTime(text) {
  const told = document.querySelector("[data-as-of]");
  if (told) told.textContent = text;
}

function swap(region, fresh) {
  const other = fresh.getElementById(region.id);
  const open = all("details", region).map((one) => one.open);
  const place = all(FOCUSABLE, region).indexOf(document.activeElement);
  const [x, y] = [scrollX, scrollY];
  if (!other) return location.reload();
  all("details", other).forEach((one, n) => { if (open[n] !== undefined) one.open = open[n]; });
  region.replaceWith(document.adoptNode(other));
  const banner = document.querySelector("main > .banner[role=status]");
  const theirs = fresh.querySelector("main > .banner[role=status]");
  if (banner && !theirs) banner.remove();
  if (!banner && theirs) document.querySelector("main").prepend(document.adoptNode(theirs));
  const told = fresh.querySelector("[data-as-of]");
  if (told) document.querySelector("[data-as-of]")?.replaceWith(document.adoptNode(told));
  if (place >= 0) all(FOCUSABLE, other)[place]?.focus({ preventScroll: true });
  scrollTo(x, y);
}

// -- the live tail: rows as they come; a paused one goes on counting, and shows what it kept

const MOST_ROWS = 200;

function watch(line) {
  const rows = document.querySelector("[data-rows]");
  const [begin, pause, told] = ["begin", "pause", "told"].map((name) => line.querySelector(`[data-${name}]`));
  let source = null, wrong = "", paused = false, kept = [], keptCount = 0, recent = [], left = 0;
  if (!rows) return;

  const unhide = () => { rows.closest(".scroll").hidden = rows.rows.length === 0; };
  const say = () => {
    const now = Date.now();
    recent = recent.filter(([at]) => now - at < 5000);
    const rate = recent.reduce((sum, [, count]) => sum + count, 0) / 5;
    const text = wrong || (paused ? told.dataset.textPaused : told.dataset.text);
    told.textContent = text.replace("{rate}", rate.toFixed(1)).replace("{left}", left).replace("{count}", keptCount);
  };
  const show = (text) => {
    const found = parse(`<table><tbody>${text}</tbody></table>`).querySelectorAll("tr");
    rows.prepend(...[...found].map((row) => document.adoptNode(row)));
    unhide();
    while (rows.rows.length > MOST_ROWS) rows.lastElementChild.remove();
  };
  // A proxy that keeps an answer back until it has more of it: the list is asked for instead.
  const poll = async () => {
    if (!source && !paused && !document.hidden) {
      const answer = await fetch(location.href).catch(() => null);
      const fresh = answer?.ok && parse(await answer.text()).querySelector("[data-rows]");
      if (fresh) rows.replaceChildren(...document.adoptNode(fresh).children);
      unhide();
    }
    if (!source) setTimeout(poll, 3000);
  };
  const connect = () => {
    source = new EventSource(line.dataset.tail);
    const begun = source;
    const buffered = setTimeout(() => {
      if (source !== begun) return;
      begun.close();
      source = null;
      wrong = told.dataset.textBuffered;
      say();
      poll();
    }, 5000);
    source.addEventListener("begun", () => { clearTimeout(buffered); wrong = ""; say(); });
    source.addEventListener("frame", (message) => {
      const frame = JSON.parse(message.data);
      recent.push([Date.now(), frame.shown + frame.left_out]);
      left += frame.left_out;
      if (paused) {
        keptCount += frame.shown + frame.left_out;
        kept = [...kept, frame.rows].slice(-MOST_ROWS);
      } else show(frame.rows);
      say();
    });
    source.onerror = () => { wrong = told.dataset.textLost; say(); };
  };
  const toggle = () => {
    paused = !paused;
    pause.textContent = paused ? pause.dataset.resumeLabel : pause.dataset.pauseLabel;
    if (!paused) {
      kept.forEach(show);
      kept = [];
      keptCount = 0;
    }
    say();
  };
  begin.addEventListener("click", () => {
    begin.hidden = true;
    pause.hidden = false;
    connect();
    pause.focus();
    setInterval(say, 1000);
  });
  pause.addEventListener("click", toggle);
  // A browser has six connections to a host: a tab that nobody sees gives its own back.
  document.addEventListener("visibilitychange", () => {
    if (begin.hidden && document.hidden) source?.close();
    if (begin.hidden && !document.hidden) connect();
  });
}

// -- keys: they move and look; none decides anything

let going = false;

function move(step) {
  const rows = all("main tbody tr");
  const here = rows.findIndex((row) => row.getAttribute("aria-selected") === "true");
  const next = rows[Math.max(0, Math.min(rows.length - 1, here + step))];
  if (!next) return;
  rows[here]?.removeAttribute("aria-selected");
  next.setAttribute("aria-selected", "true");
  (next.querySelector("a") ?? next).focus({ preventScroll: true });
  next.scrollIntoView({ block: "nearest" });
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input, select, textarea")) return;
  const target = going && document.querySelector(`[data-go="${CSS.escape(event.key)}"]`);
  going = event.key === "g" && !going;
  if (target) location.assign(target.href);
  else if (event.key === "/") document.querySelector("form.search input")?.focus();
  else if (event.key === "j") move(1);
  else if (event.key === "k") move(-1);
  else if (event.key === "p") document.querySelector("[data-pause]:not([hidden])")?.click();
  else return;
  event.preventDefault();
});

// -- copying, a double click, and the time zone of who looks for the first time

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy], [data-copy-link]");
  if (!button) return;
  await navigator.clipboard.writeText(button.dataset.copy ?? new URL(button.dataset.copyLink, location.origin).href);
  const before = button.textContent;
  button.textContent = "✓";
  setTimeout(() => { button.textContent = before; }, 1500);
});

document.addEventListener("submit", (event) => {
  const button = event.submitter;
  if (event.target.method !== "post" || !button) return;
  setTimeout(() => { button.disabled = true; });
  setTimeout(() => { button.disabled = false; }, 5000); // the back button brings the form back as it was
});

async function learnZone() {
  const field = document.getElementById("zone");
  const here = Intl.DateTimeFormat().resolvedOptions().timeZone;
  if (!field || field.dataset.chosen || here === field.value || here === "UTC") return;
  const answer = await fetch(field.form.action, { method: "POST", redirect: "manual", body: new URLSearchParams({ zone: here }) });
  if (answer.type === "opaqueredirect" && document.querySelector("nav")) location.reload();
}

learnZone();
all("[data-tail]").forEach(watch);
if (document.querySelector("[data-live]")) setTimeout(renew, Number(document.querySelector("[data-live]").dataset.live) * 1000);
