// Uploads what is chosen or dropped by tus 1.0.0: it can be paused, and goes on after a lost connection or a reload.
// Without this file the browser sends the form itself.
(() => {
  "use strict";
  const PARALLEL = 3, MAX_REMEMBERED = 20, RETRY_DELAYS = [500, 1000, 3000, 5000, 10000, 20000, 30000];
  const form = document.getElementById("upload");
  if (!form || !window.tus?.isSupported) return;
  const input = document.getElementById("upload-files"), zone = document.getElementById("drop");
  const list = document.getElementById("uploads"), template = document.getElementById("upload-row");
  const announcements = document.getElementById("announcements");
  const endpoint = new URL(form.dataset.endpoint, location.href).href;
  const storage = tus.defaultOptions.urlStorage;
  const rows = new Set();

  // Its text would always say that nothing is chosen: what is chosen is in the list at once.
  form.classList.add("scripted");
  document.getElementById("upload-button").hidden = true;
  for (const hint of form.querySelectorAll("[data-with-script]")) hint.hidden = false;
  input.required = false;

  function size(bytes) {
    if (bytes < 1000) return bytes === 1 ? "1 byte" : `${bytes} bytes`;
    const units = ["kB", "MB", "GB", "TB"];
    let unit = 0, value = bytes / 1000;
    while (value >= 999.95 && unit < 3) { value /= 1000; unit += 1; }
    return `${value.toFixed(1)} ${units[unit]}`;
  }

  const sentence = (text) => text[0].toUpperCase() + text.slice(1) + (/[.!?…]$/.test(text) ? "" : ".");
  const announce = (text) => { announcements.textContent = text; };

  /** Returns what a person typed for the files. */
  function fields() {
    const named = ["title", "description", "tags", "folder"].map((name) => [name, form.elements[name].value.trim()]);
    return Object.fromEntries(named.filter(([, value]) => value));
  }

  /** Returns the reason of a failure, from the problem document if there is one. */
  function reason(error) {
    const answer = error.originalResponse;
    if (!answer?.getStatus()) return { lost: true, text: "The server can’t be reached. Check the connection, then go on." };
    try {
      const { detail, errors = [] } = JSON.parse(answer.getBody());
      const texts = errors.length ? errors.map((each) => each.detail) : [detail];
      return { wrong: errors.map((each) => each.pointer.slice(1)), text: texts.map(sentence).join(" ") };
    } catch {
      return { text: `The server answered with ${answer.getStatus()}. Try again in a while.` };
    }
  }

  // Conflicts and locks pass: they are of a request of ours that has not ended yet. A full store does not.
  function isWorthAnotherTry(error) {
    const status = error.originalResponse?.getStatus() ?? 0;
    return status === 0 || [408, 409, 423, 429].includes(status) || (status >= 500 && status !== 507);
  }

  /** One line of the list, with its bar and buttons. */
  class Row {
    constructor(name, bytes) {
      Object.assign(this, { name, bytes, state: "waiting" });
      this.element = template.content.firstElementChild.cloneNode(true);
      const find = (selector) => this.element.querySelector(selector);
      [this.bar, this.text, this.toggle, this.end] = ["progress", ".about", "[data-toggle]", "[data-cancel]"].map(find);
      find(".name").textContent = name;
      this.bar.setAttribute("aria-label", `Upload of ${name}`);
      this.toggle.addEventListener("click", () => this.press());
      this.end.addEventListener("click", () => this.cancel());
      list.append(this.element);
      list.hidden = false;
      rows.add(this);
    }

    show(state, text, toggle, end) {
      this.state = state;
      this.element.className = `upload ${{ done: "completed", failed: "failed", uploading: "uploading" }[state] ?? "cancelled"}`;
      this.text.textContent = text;
      for (const [button, label] of [[this.toggle, toggle], [this.end, end]]) {
        button.hidden = !label;
        if (!label || button.textContent === label) continue;
        button.textContent = label;
      }
      for (const button of [this.toggle, this.end]) button.setAttribute("aria-label", `${button.textContent} ${this.name}`);
    }

    progress(sent) {
      this.sent = sent;
      this.bar.value = this.bytes ? sent / this.bytes : 1;
    }

    /** Takes the focus to where the next file is chosen, so that it isn't lost with the button. */
    leave() {
      if (this.element.contains(document.activeElement)) input.focus();
    }

    remove() {
      this.leave();
      this.element.remove();
      rows.delete(this);
      list.hidden = rows.size === 0;
      pump();
    }
  }

  /** File that this page uploads. */
  class FileRow extends Row {
    constructor(file) {
      super(file.name, file.size);
      this.file = file;
      const metadata = { filename: file.name, filetype: file.type, ...fields() };
      Object.assign(this, { metadata });
      if (file.size > Number(form.dataset.maxBytes)) {
        const most = size(Number(form.dataset.maxBytes));
        this.fail(`The file has ${size(file.size)}; at most ${most} are taken. Nothing of it was sent.`, "");
        return;
      }
      this.show("waiting", `${size(file.size)}, waits for the others`, "", "Cancel");
      this.upload = new tus.Upload(file, {
        endpoint,
        metadata,
        retryDelays: RETRY_DELAYS,
        removeFingerprintOnSuccess: true,
        onProgress: (sent) => this.report(sent),
        onSuccess: () => this.complete(),
        onError: (error) => this.refuse(reason(error)),
        onShouldRetry: (error) => {
          if (!isWorthAnotherTry(error)) return false;
          this.text.textContent = "No answer; trying again …";
          return true;
        },
      });
    }

    isSameAs({ name, size, lastModified }) {
      return this.name === name && this.bytes === size && this.file.lastModified === lastModified;
    }

    async begin() {
      this.show("uploading", "Starting …", "Pause", "Cancel");
      if (!this.upload.url) {
        const [previous] = await this.upload.findPreviousUploads().catch(() => []);
        if (this.state !== "uploading") return;
        if (previous) {
          this.upload.resumeFromPreviousUpload(previous);
          for (const row of rows) if (row.previous?.urlStorageKey === previous.urlStorageKey) row.remove();
        }
      }
      this.upload.start();
    }

    report(sent) {
      if (this.state !== "uploading") return;
      this.progress(sent);
      const share = Math.floor(100 * (this.bytes ? sent / this.bytes : 1));
      this.text.textContent = sent < this.bytes ? `${size(sent)} of ${size(this.bytes)}, ${share} %` : "All sent; being stored …";
    }

    complete() {
      this.progress(this.bytes);
      this.show("done", `${size(this.bytes)}, stored`, "", "Hide");
      const link = document.createElement("a");
      link.href = form.dataset.files + encodeURIComponent(this.upload.url.split("/").pop());
      link.textContent = this.name;
      this.element.querySelector(".name").replaceChildren(link);
      announce(`${this.name} is uploaded.`);
      document.dispatchEvent(new Event("filesys:changed"));
      pump();
    }

    refuse({ text, lost, wrong = [] }) {
      Object.assign(this, { lost, wrong });
      this.fail(text, "Try again");
      document.dispatchEvent(new Event("filesys:changed"));
      pump();
    }

    fail(text, toggle) {
      this.show("failed", text, toggle, "Remove");
      announce(`${this.name} was not uploaded. ${text}`);
    }

    async press() {
      if (this.state === "uploading") {
        this.show("paused", `Paused at ${size(this.sent ?? 0)} of ${size(this.bytes)}`, "Resume", "Cancel");
        await this.upload.abort().catch(() => {});
        pump();
        return;
      }
      // What was wrong is taken from the form once more.
      if (this.state === "failed" && !this.upload.url) {
        for (const name of this.wrong) delete this.metadata[name];
        Object.assign(this.metadata, fields());
      }
      this.begin();
    }

    async cancel() {
      const isOver = this.state === "done" || !this.upload;
      this.leave();
      this.show("cancelled", "Cancelling …", "", "");
      if (!isOver) {
        // An upload that has ended meanwhile, or can't be reached, is removed by the server in its own time.
        await this.upload.abort(true).catch(() => {});
        announce(`The upload of ${this.name} is cancelled.`);
        document.dispatchEvent(new Event("filesys:changed"));
      }
      this.remove();
    }
  }

  /** Upload of an earlier visit that can go on: the browser needs the file once more. */
  class InterruptedRow extends Row {
    constructor(previous, stored) {
      super(previous.metadata.filename, previous.size);
      this.previous = previous;
      this.tell(stored);
      // The request that the reload has cut off may still be storing what arrived.
      setTimeout(async () => {
        const later = await storedBytes(previous.uploadUrl);
        if (rows.has(this) && later > 0) this.tell(later);
      }, 3000);
    }

    tell(stored) {
      this.progress(stored);
      this.show("interrupted", `${size(stored)} of ${size(this.bytes)} are stored. Choose the same file to go on.`, "Choose", "Cancel");
    }

    isSameAs() { return false; }

    press() { input.click(); }

    async cancel() {
      await ask("DELETE", this.previous.uploadUrl).catch(() => {});
      await storage.removeUpload(this.previous.urlStorageKey);
      announce(`The upload of ${this.name} is cancelled.`);
      document.dispatchEvent(new Event("filesys:changed"));
      this.remove();
    }
  }

  const ask = (method, url) => fetch(url, { method, headers: { "Tus-Resumable": "1.0.0" }, signal: AbortSignal.timeout(8000) });

  /** Returns how many bytes are stored; -1 if the server doesn't know the upload, null if it doesn't say. */
  async function storedBytes(url) {
    const answer = await ask("HEAD", url).catch(() => null);
    if (answer?.ok) return Number(answer.headers.get("Upload-Offset"));
    return [404, 410].includes(answer?.status) ? -1 : null;
  }

  /** Begins as many of the waiting files as may be under way. */
  function pump() {
    let free = PARALLEL - [...rows].filter((row) => row.state === "uploading").length;
    for (const row of rows) {
      if (row.state !== "waiting" || free <= 0) continue;
      free -= 1;
      row.begin();
    }
  }

  function add(files) {
    for (const file of files) {
      const same = [...rows].find((row) => row.isSameAs(file));
      if (same && same.state !== "done" && same.state !== "failed") {
        announce(`${file.name} is in the list already.`);
        continue;
      }
      if (same) same.remove();
      new FileRow(file);
    }
    // The next files are not called the same.
    if (files.length) form.elements.title.value = form.elements.description.value = "";
    pump();
  }

  function take() {
    const files = [...input.files];
    input.value = "";
    add(files);
  }

  input.addEventListener("change", take);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (input.files.length) take(); else input.click();
  });

  const carriesFiles = (event) => event.dataTransfer?.types.includes("Files");
  const highlight = (on) => zone.classList.toggle("over", on);
  document.addEventListener("dragover", (event) => {
    if (!carriesFiles(event)) return;
    event.preventDefault();
    highlight(true);
  });
  document.addEventListener("dragleave", (event) => { if (!event.relatedTarget) highlight(false); });
  document.addEventListener("drop", (event) => {
    if (!carriesFiles(event)) return;
    event.preventDefault();
    highlight(false);
    const items = [...event.dataTransfer.items].filter((item) => item.kind === "file");
    const isFolder = (item) => item.webkitGetAsEntry?.()?.isDirectory;
    add(items.filter((item) => !isFolder(item)).map((item) => item.getAsFile()).filter(Boolean));
    if (items.some(isFolder)) announce("Folders can’t be uploaded here: choose the files in them.");
  });

  window.addEventListener("online", () => {
    for (const row of rows) if (row.state === "failed" && row.lost) row.begin();
  });

  // What an earlier visit left unfinished.
  (async () => {
    const all = await storage.findAllUploads().catch(() => []);
    const ours = all.filter((each) => each.metadata?.filename && each.uploadUrl?.startsWith(`${endpoint}/`));
    for (const previous of ours.slice(-MAX_REMEMBERED)) {
      const stored = await storedBytes(previous.uploadUrl);
      if (stored === null) continue;
      if (stored >= 0 && stored < previous.size) new InterruptedRow(previous, stored);
      else await storage.removeUpload(previous.urlStorageKey);
    }
    form.dataset.ready = "";
  })();
})();
