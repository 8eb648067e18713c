// Keeps the changing part of the page current: polls it while the page is visible and the switch is on.
// Everything works without this file.
(() => {
  "use strict";
  const MAX_INTERVAL = 30000, TIMEOUT = 8000, STORAGE_KEY = "filesys.auto-refresh";
  const live = document.getElementById("live");
  const announcements = document.getElementById("announcements");
  const toggle = document.getElementById("auto-refresh");
  const note = document.getElementById("refresh-note");

  document.querySelector("[autofocus]")?.focus();
  const buttons = (form) => form.querySelectorAll("button[type=submit]");
  document.addEventListener("submit", ({ target }) => {
    if (target.matches("form[data-once]")) for (const button of buttons(target)) button.disabled = true;
  });
  // Going back shows the page as it was left, with the buttons still disabled.
  window.addEventListener("pageshow", () => { for (const button of buttons(document)) button.disabled = false; });
  if (!live || !toggle) return;

  const INTERVAL = Number(live.dataset.interval);
  let etag = live.dataset.etag, failures = 0, timer = 0, busy = false, skew = 0;

  const remembered = () => { try { return localStorage.getItem(STORAGE_KEY); } catch { return null; } };
  const remember = (value) => { try { localStorage.setItem(STORAGE_KEY, value); } catch { /* private mode */ } };
  const statuses = () => new Map([...live.querySelectorAll("[data-status]")].map((row) => [row.id, row]));

  function ago(iso) {
    const seconds = Math.floor((Date.now() + skew - Date.parse(iso)) / 1000);
    if (seconds < 5) return "just now";
    const units = [[31536000, "year"], [2592000, "month"], [86400, "day"], [3600, "hour"], [60, "minute"], [1, "second"]];
    const [length, name] = units.find(([length]) => seconds >= length);
    const number = Math.floor(seconds / length);
    return `${number} ${name}${number === 1 ? "" : "s"} ago`;
  }

  function updateAges() {
    for (const time of live.querySelectorAll("time[data-ago]")) {
      const text = ago(time.dateTime);
      if (time.textContent !== text) time.textContent = text;
    }
  }

  // Replaces the content, and keeps focus and scroll position: what is in view stays where it is.
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
    const describe = ([, row]) => `${row.querySelector(".title").textContent}: ${row.dataset.status}`;
    if (changed.length) announcements.textContent = changed.length > 3 ? `${changed.length} files changed their status` : changed.map(describe).join(". ");
  }

  // Content is not replaced while somebody presses a button or selects text in it.
  const inUse = () => live.matches(":active") || (!getSelection().isCollapsed && live.contains(getSelection().anchorNode));

  async function poll() {
    clearTimeout(timer);
    if (busy || document.hidden || !toggle.checked) return;
    busy = true;
    try {
      const answer = await fetch(live.dataset.poll, { headers: { "If-None-Match": etag }, signal: AbortSignal.timeout(TIMEOUT) });
      if (answer.status !== 200 && answer.status !== 304) throw new Error(answer.status);
      const html = answer.status === 200 && await answer.text();
      skew = Date.parse(answer.headers.get("Date")) - Date.now() || 0;
      if (html && !inUse()) { show(html); etag = answer.headers.get("ETag"); }
      if (failures) announcements.textContent = "The server answers again.";
      failures = 0;
    } catch {
      if (!failures++) announcements.textContent = "The server doesn't answer. What you see may be out of date.";
    }
    busy = false;
    updateAges();
    const wait = Math.min(INTERVAL * 2 ** failures, MAX_INTERVAL);
    updateNote(wait);
    if (toggle.checked && !document.hidden) timer = setTimeout(poll, wait);
  }

  function updateNote(wait) {
    note.classList.toggle("wrong", failures > 0 && toggle.checked);
    note.textContent = !toggle.checked ? "Paused" : failures ? `No answer from the server; next try in ${wait / 1000} s` : "";
  }

  toggle.checked = remembered() !== "off";
  toggle.addEventListener("change", () => { remember(toggle.checked ? "on" : "off"); updateNote(INTERVAL); poll(); });
  document.addEventListener("visibilitychange", poll);
  document.addEventListener("filesys:changed", poll);
  document.getElementById("refresh").hidden = false;
  updateNote(INTERVAL);
  if (toggle.checked) timer = setTimeout(poll, INTERVAL);
})();
