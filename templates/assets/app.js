// Keeps the part of the page that changes current: polls it while the page is seen and the switch is on.
// Everything works without this file.
(() => {
  "use strict";
  const EVERY = 2000, SLOWEST = 30000, GIVE_UP = 8000, KEY = "filesys.auto-refresh";
  const live = document.getElementById("live");
  const news = document.getElementById("news");
  const box = document.getElementById("auto-refresh");
  const note = document.getElementById("refresh-note");

  document.querySelector("[autofocus]")?.focus();
  const buttons = (form) => form.querySelectorAll("button[type=submit]");
  document.addEventListener("submit", ({ target }) => {
    if (target.matches("form[data-once]")) for (const button of buttons(target)) button.disabled = true;
  });
  // Going back shows the page as it was left, with the buttons still off.
  window.addEventListener("pageshow", () => { for (const button of buttons(document)) button.disabled = false; });
  if (!live || !box) return;

  let etag = live.dataset.etag, failures = 0, timer = 0, busy = false, skew = 0;

  const remembered = () => { try { return localStorage.getItem(KEY); } catch { return null; } };
  const remember = (value) => { try { localStorage.setItem(KEY, value); } catch { /* private mode */ } };
  const statuses = () => new Map([...live.querySelectorAll("[data-status]")].map((row) => [row.id, row]));

  function ago(iso) {
    const seconds = Math.floor((Date.now() + skew - Date.parse(iso)) / 1000);
    if (seconds < 5) return "just now";
    const units = [[31536000, "year"], [2592000, "month"], [86400, "day"], [3600, "hour"], [60, "minute"], [1, "second"]];
    const [length, name] = units.find(([length]) => seconds >= length);
    const number = Math.floor(seconds / length);
    return `${number} ${name}${number === 1 ? "" : "s"} ago`;
  }

  function retell() {
    for (const time of live.querySelectorAll("time[data-ago]")) {
      const text = ago(time.dateTime);
      if (time.textContent !== text) time.textContent = text;
    }
  }

  // Replaces the content and keeps focus, and what is in view where it is.
  function show(html) {
    const before = statuses();
    const focused = live.contains(document.activeElement) && document.activeElement.id;
    const anchor = [...before.values()].find((row) => row.getBoundingClientRect().top >= 0);
    const top = anchor?.getBoundingClientRect().top;
    const scrolled = live.getBoundingClientRect().top < 0;
    live.innerHTML = html;
    if (focused) (document.getElementById(focused) || live).focus({ preventScroll: true });
    const now = anchor && document.getElementById(anchor.id);
    if (now && scrolled) window.scrollBy({ top: now.getBoundingClientRect().top - top, behavior: "instant" });
    const changed = [...statuses()].filter(([id, row]) => before.has(id) && before.get(id).dataset.status !== row.dataset.status);
    for (const [, row] of changed) row.classList.add("changed");
    const say = ([, row]) => `${row.querySelector(".title").textContent}: ${row.dataset.status}`;
    if (changed.length) news.textContent = changed.length > 3 ? `${changed.length} files changed their status` : changed.map(say).join(". ");
  }

  // A press or a selection in progress is not pulled away from under the hand.
  const inUse = () => live.matches(":active") || (!getSelection().isCollapsed && live.contains(getSelection().anchorNode));

  async function poll() {
    clearTimeout(timer);
    if (busy || document.hidden || !box.checked) return;
    busy = true;
    try {
      const answer = await fetch(live.dataset.poll, { headers: { "If-None-Match": etag }, signal: AbortSignal.timeout(GIVE_UP) });
      if (answer.status !== 200 && answer.status !== 304) throw new Error(answer.status);
      const html = answer.status === 200 && await answer.text();
      skew = Date.parse(answer.headers.get("Date")) - Date.now() || 0;
      if (html && !inUse()) { show(html); etag = answer.headers.get("ETag"); }
      if (failures) news.textContent = "The server answers again.";
      failures = 0;
    } catch {
      if (!failures++) news.textContent = "The server doesn't answer. What you see may be out of date.";
    }
    busy = false;
    retell();
    const wait = Math.min(EVERY * 2 ** failures, SLOWEST);
    tell(wait);
    if (box.checked && !document.hidden) timer = setTimeout(poll, wait);
  }

  function tell(wait) {
    note.classList.toggle("wrong", failures > 0 && box.checked);
    note.textContent = !box.checked ? "Paused" : failures ? `No answer from the server; next try in ${wait / 1000} s` : "";
  }

  box.checked = remembered() !== "off";
  box.addEventListener("change", () => { remember(box.checked ? "on" : "off"); tell(EVERY); poll(); });
  document.addEventListener("visibilitychange", poll);
  document.getElementById("refresh").hidden = false;
  tell(EVERY);
  if (box.checked) timer = setTimeout(poll, EVERY);
})();
