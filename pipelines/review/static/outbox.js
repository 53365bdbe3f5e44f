// Decisions that the server has not acknowledged: sent in order, kept over a reload, sent again until they are stored.
// Their ids make a repeated request harmless.

import { post } from "./server.js";

const BATCH = 50;
const FIRST_RETRY = 500; // milliseconds; doubled up to
const LAST_RETRY = 8000;
const SLOW = 3000; // milliseconds without an answer until the page says so

export class Outbox {
  constructor(workspace, onChange, onStored) {
    this.prefix = `irbis-review:${workspace}:`;
    this.onChange = onChange;
    this.onStored = onStored;
    this.entries = this.readStored();
    this.refused = [];
    this.fault = "";
    this.retry = FIRST_RETRY;
    this.isSending = false;
    addEventListener("beforeunload", (event) => {
      if (this.entries.length) event.preventDefault();
    });
    addEventListener("online", () => this.send());
  }

  get bursts() {
    return new Set(this.entries.map((entry) => entry.decision.burst));
  }

  add(decisions) {
    for (const decision of decisions) {
      const entry = { at: performance.timeOrigin + performance.now(), decision };
      this.entries.push(entry);
      this.store(entry);
    }
    this.onChange();
    this.send();
  }

  // Sends what an earlier page left, before bursts are loaded: those would be shown as undecided.
  async drain() {
    do await this.send();
    while (this.entries.length && !this.fault);
  }

  async send() {
    if (this.isSending || !this.entries.length) return;
    this.isSending = true;
    clearTimeout(this.timer);
    const batch = this.entries.slice(0, this.single ? 1 : BATCH);
    const slow = setTimeout(() => this.say("The server has not answered yet."), SLOW);
    try {
      const answer = await post("/api/decisions", { decisions: batch.map((entry) => entry.decision) });
      this.remove(batch);
      this.fault = "";
      this.retry = FIRST_RETRY;
      this.single = false;
      this.onStored(answer);
    } catch (error) {
      this.handle(error, batch);
    }
    clearTimeout(slow);
    this.isSending = false;
    this.onChange();
    if (this.entries.length) this.timer = setTimeout(() => this.send(), this.fault ? this.retry : 0);
  }

  // A refused batch is sent one by one, so that only the decision at fault is given up.
  handle(error, batch) {
    const isRefused = [404, 409, 413, 422].includes(error.status);
    this.fault = isRefused ? "" : error.message;
    if (isRefused && batch.length > 1) {
      this.single = true;
    } else if (isRefused) {
      this.remove(batch);
      this.refused.push({ ...batch[0], reason: error.message });
      this.single = false;
    } else {
      this.retry = Math.min(LAST_RETRY, this.retry * 2);
    }
  }

  say(fault) {
    this.fault ||= fault;
    this.onChange();
  }

  remove(batch) {
    this.entries = this.entries.slice(batch.length);
    for (const entry of batch) localStorage.removeItem(this.prefix + entry.decision.id);
  }

  store(entry) {
    try {
      localStorage.setItem(this.prefix + entry.decision.id, JSON.stringify(entry));
    } catch {
      // full or forbidden: the page still holds it, and warns before it is left
    }
  }

  readStored() {
    const entries = [];
    for (const key of Object.keys(localStorage)) {
      if (!key.startsWith(this.prefix)) continue;
      try {
        entries.push(JSON.parse(localStorage.getItem(key)));
      } catch {
        localStorage.removeItem(key);
      }
    }
    return entries.sort((a, b) => a.at - b.at);
  }
}
