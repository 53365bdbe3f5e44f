// The page: loads queues, follows the keys, and applies each decision at once; the outbox sends it.

import { Outbox } from "./outbox.js";
import { describe, drawRow, element, fillRow, imageAddress, percent } from "./rows.js";
import { get, post, randomId } from "./server.js";

const config = JSON.parse(document.body.dataset.config);
const PAGE = 20; // bursts in one request
const AHEAD = 12; // bursts loaded below the current one: more than two screens
const KEPT_ABOVE = 30; // decided rows that stay in the page
const POLL = 4000; // milliseconds between two looks at what others decided
const MAX_UPDATED = 100; // bursts in the page that are described again
const RETRY = 2000; // milliseconds after a page that could not be loaded
const MAX_SECONDS = 600;
const MIN_VISIBLE = 30; // pixels of the current burst
const NOTICE = 10_000, WARNING = 5_000; // milliseconds that a notice or a warning is shown
const $ = (id) => document.getElementById(id);

const state = {
  queue: config.queue, filters: {}, items: [], total: 0, current: 0, anchor: null, first: 0,
  isPerImage: false, isComplete: false, isLoading: false, load: 0, note: "", shownAt: performance.now(), undo: [],
  changes: config.changes, isAtEnd: false, next: 0, isUpdating: false, faults: "", isKeyed: false,
};
const labelOf = new Map(); // key -> label
const outbox = new Outbox(config.workspace, drawUnsent, takeStored);

// ---- Loading

async function openQueue(name, filters = {}) {
  const load = ++state.load;
  if (isInField() && !state.isKeyed) document.activeElement.blur(); // keys are meant for bursts from now on
  Object.assign(state, { queue: name, filters, items: [], total: 0, current: 0, anchor: null, first: 0, isComplete: false, isLoading: false, note: "", isAtEnd: false, next: 0 });
  $("queue").value = name;
  $("filters").dataset.queue = name;
  $("rows").replaceChildren();
  $("end").hidden = true;
  await loadMore();
  if (load === state.load) setCurrent(0);
}

// Queues of work leave out what is decided; a class or a search shows everything.
function showsDone() {
  return state.queue === "class" || state.queue === "search";
}

async function loadMore() {
  if (state.isLoading || state.isComplete) return;
  state.isLoading = true;
  const load = state.load;
  const values = { queue: state.queue, ...state.filters, start: state.next, count: PAGE, open: showsDone() ? 0 : 1 };
  try {
    const answer = await get("/api/queue", values);
    if (load !== state.load) return;
    if (answer.version !== config.version) return setTimeout(update);
    state.total = answer.total;
    state.note = answer.note;
    state.isComplete = answer.items.length < PAGE;
    state.next = (answer.items.at(-1)?.position ?? -1) + 1;
    const unsent = outbox.bursts, known = new Set(state.items.map((item) => item.burst)), before = known.size;
    for (const item of answer.items) {
      if (known.has(item.burst)) continue; // it was there before an update
      if (item.state === "open" && unsent.has(item.burst)) continue; // decided before a reload
      item.selected = item.best;
      state.items.push(item);
      $("rows").append(drawRow(item, viewOf(state.items.length - 1)));
    }
    drawProgress(answer.progress);
    if (state.items.length === before && !state.isComplete) setTimeout(() => load === state.load && loadMore(), RETRY);
    if (state.isAtEnd) advance(state.current + 1);
    drawEnd();
  } catch (error) {
    if (load !== state.load) return;
    drawFaults(error.message);
    setTimeout(() => load === state.load && loadMore(), RETRY);
  } finally {
    if (load === state.load) state.isLoading = false;
  }
}

async function poll() {
  try {
    const answer = await get("/api/changes", { queue: state.queue, ...state.filters, start: state.changes });
    if (answer.version === config.version) {
      state.changes = answer.changes;
      takeItems(answer.items);
      takeLabels(answer);
      drawProgress(answer.progress);
    } else await update();
    drawFaults(answer.faults.join(" "));
    if (state.isAway) state.items.forEach((_, index) => redraw(index)); // images that could not be loaded
    state.isAway = false;
  } catch (error) {
    state.isAway = true;
    drawFaults(error.message);
  }
  setTimeout(poll, document.hidden ? POLL * 5 : POLL);
}

// After other commands have written to the workspace: the bursts up to the current one stay, in what is known of them
// now, and all that is not decided below is loaded again in its new order.
async function update() {
  if (state.isUpdating) return;
  state.isUpdating = true;
  const load = state.load, rows = $("rows");
  try {
    const last = Math.max(state.current, state.anchor ?? 0);
    const isKept = (item, index) => index <= last || item.state !== "open";
    const bursts = state.items.filter(isKept).slice(-MAX_UPDATED).map((item) => item.burst);
    const answer = await post("/api/bursts", { queue: state.queue, ...state.filters, bursts });
    if (load !== state.load) return; // another queue was opened: the next poll finds the change again
    const [current, anchor] = [state.items[state.current], state.items[state.anchor]];
    const isNewState = parseInt(answer.version) !== parseInt(config.version);
    config.version = answer.version;
    state.items = state.items.filter(isKept);
    Object.assign(state, {
      changes: answer.changes, load: load + 1, isLoading: false, isComplete: false,
      current: Math.max(0, state.items.indexOf(current)), anchor: anchor ? state.items.indexOf(anchor) : null,
      next: showsDone() ? Math.max(-1, ...answer.items.map((item) => item.position ?? -1)) + 1 : 0,
    });
    rows.style.setProperty("min-height", `${rows.offsetHeight}px`); // nothing moves
    const kept = new Set(state.items.map((item) => item.burst));
    for (const row of [...rows.children]) if (!kept.has(row.dataset.burst)) row.remove();
    takeItems(answer.items, true);
    takeLabels(answer);
    drawStations(answer.stations);
    drawZoom();
    if (isNewState) notify(answer.notice);
    await loadMore();
  } catch (error) {
    say(error.message); // the next poll tries again
  } finally {
    rows.style.removeProperty("min-height");
    state.isUpdating = false;
  }
}

function takeStored(answer) {
  takeItems(answer.items);
  takeLabels(answer);
  const isNarrowed = Object.values(state.filters).some(Boolean); // the answer is about the whole queue
  if (answer.queue === state.queue && !showsDone() && !isNarrowed) drawProgress(answer.progress);
}

// What the server says of bursts that are in the page, unless a decision about them is still on its way.
function takeItems(items, isUpdate = false) {
  const unsent = outbox.bursts;
  for (const item of items) {
    const index = indexOf(item.burst);
    if (index < 0 || unsent.has(item.burst)) continue;
    const { position, reason, selected, frames, is_model_chosen } = state.items[index];
    const shown = item.frames.findIndex((frame) => frame.hash === frames[selected].hash);
    state.items[index] = { ...item, selected: shown < 0 ? item.best : shown, is_model_chosen };
    if (!isUpdate) Object.assign(state.items[index], { position, reason });
    redraw(index);
  }
}

function indexOf(burst) {
  return state.items.findIndex((item) => item.burst === burst);
}

// ---- Drawing

function rowAt(index) {
  return $("rows").children[index - state.first];
}

function viewOf(index) {
  const [low, high] = rangeLimits();
  return {
    total: state.total, selected: state.items[index].selected,
    isCurrent: index === state.current, isInRange: state.anchor !== null && index >= low && index <= high,
    isPerImage: state.isPerImage, isUnsent: outbox.bursts.has(state.items[index].burst),
  };
}

function redraw(index) {
  const row = rowAt(index);
  if (row) fillRow(row, state.items[index], viewOf(index));
}

function setCurrent(index, { keepRange = false, align = "auto" } = {}) {
  if (!state.items.length) return drawEnd();
  const before = [...rangeIndexes(), state.current];
  state.current = Math.max(0, Math.min(index, state.items.length - 1));
  if (!keepRange) state.anchor = null;
  state.isAtEnd = false;
  state.shownAt = performance.now();
  restoreAbove(state.current);
  for (const each of new Set([...before, ...rangeIndexes(), state.current])) redraw(each);
  const row = rowAt(state.current);
  if (!(isInField() && state.isKeyed)) row.focus({ preventScroll: true });
  scrollTo(row, align);
  trimAbove();
  drawZoom();
  if (state.current + AHEAD >= state.items.length) loadMore();
}

// Nothing moves while the next row is visible; then the page turns, with the row at the top.
function scrollTo(row, align) {
  const top = $("rows").getBoundingClientRect().top;
  const header = document.querySelector("header").getBoundingClientRect().bottom;
  const footer = $("keys").getBoundingClientRect().top;
  const box = row.getBoundingClientRect();
  const isVisible = box.top >= header - 1 && box.bottom <= footer + 1;
  if (align === "top" || (!isVisible && box.bottom > footer)) window.scrollBy(0, box.top - header - 8);
  else if (!isVisible && top <= box.top) window.scrollBy(0, box.top - header - 8);
}

function trimAbove() {
  const rows = $("rows");
  while (state.current - state.first > KEPT_ABOVE) {
    const before = rowAt(state.current).getBoundingClientRect().top;
    rows.firstElementChild.remove();
    state.first += 1;
    window.scrollBy(0, rowAt(state.current).getBoundingClientRect().top - before);
  }
}

function restoreAbove(index) {
  while (index < state.first + 3 && state.first > 0) {
    state.first -= 1;
    $("rows").prepend(drawRow(state.items[state.first], viewOf(state.first)));
  }
}

function drawEnd() {
  document.body.dataset.end = state.isAtEnd || !state.items.length;
  const isDone = state.isComplete && (state.isAtEnd || !state.items.length);
  $("end").hidden = !isDone && !state.isAtEnd;
  const isEmpty = !state.items.length && state.note;
  $("end").textContent = isDone ? (isEmpty ? state.note : "Nothing is left in this queue.") : "Loading more …";
}

function drawProgress(progress) {
  const format = new Intl.NumberFormat("en");
  $("p-done").textContent = `${format.format(progress.done)} of ${format.format(progress.total)}`;
  $("p-rate").textContent = progress.rate ? Math.round(progress.rate) : "–";
  $("p-left").textContent = progress.minutes_left === null ? "–" : duration(progress.minutes_left);
  $("p-bar").style.setProperty("inline-size", `${progress.total ? (100 * progress.done) / progress.total : 0}%`);
  $("advice").textContent = progress.advice;
  $("recall").hidden = progress.target === null; // there is no model
  const isKnown = progress.recall !== null;
  $("p-recall").textContent = isKnown ? `${percent(progress.recall)}, at least ${percent(progress.recall_low)}` : "–";
}

function duration(minutes) {
  if (minutes < 1) return "1 min";
  return minutes < 90 ? `${Math.round(minutes)} min` : `${(minutes / 60).toFixed(1)} h`;
}

function drawUnsent() {
  const count = outbox.entries.length;
  const parts = [];
  if (count && outbox.fault) parts.push(`${count} not sent: ${outbox.fault}`);
  if (outbox.refused.length) parts.push(`${outbox.refused.length} refused: ${outbox.refused.at(-1).reason}`);
  $("unsent").hidden = !parts.length;
  $("unsent").textContent = parts.join(" · ");
  document.body.dataset.unsent = count;
}

// A label that was typed gets a key, as far as there are free ones.
function takeLabels({ keys, labels }) {
  if (JSON.stringify([keys, labels]) === JSON.stringify([config.keys, config.labels])) return;
  Object.assign(config, { keys, labels });
  drawKeys();
  drawLabels(labels);
}

function drawLabels(labels) {
  const known = new Set([...$("labels").children].map((option) => option.value));
  for (const label of labels) if (!known.has(label)) $("labels").append(element("option", { value: label }));
}

function drawStations(names) {
  const known = new Set([...$("f-station").options].map((option) => option.value));
  for (const name of names) if (!known.has(name)) $("f-station").append(element("option", { value: name }, name));
}

function drawKeys() {
  for (const [label, key] of Object.entries(config.keys)) labelOf.set(key, label);
  const buttons = [...labelOf].map(([key, label]) => keyButton(key, label));
  buttons.push(keyButton("e", config.blank));
  const others = config.labels.filter((label) => !(label in config.keys) && label !== config.blank).length;
  if (others) buttons.push(element("span", { class: "hint" }, `and ${others} without a key: `, element("kbd", {}, "N")));
  $("label-keys").replaceChildren(...buttons);
}

function keyButton(key, label) {
  return element("button", { type: "button", title: label, "data-key": key }, element("kbd", {}, key.toUpperCase()), ` ${label}`);
}

function notify(text, milliseconds = NOTICE) {
  clearTimeout(state.notice);
  drawNotice(text || state.faults);
  state.notice = setTimeout(() => drawNotice(state.faults), milliseconds);
}

// Faults are shown until they are over.
function drawFaults(text) {
  if (text === state.faults) return;
  clearTimeout(state.notice);
  drawNotice((state.faults = text));
}

function drawNotice(text) {
  $("notice").textContent = text;
  $("notice").hidden = !text;
}

// Why a key did nothing, or changed what is not on the screen.
function warn(text) {
  say(text);
  notify(text, WARNING);
}

function say(text) {
  $("live").textContent = text;
}

// ---- Decisions

function rangeLimits() {
  const anchor = state.anchor ?? state.current;
  return [Math.min(anchor, state.current), Math.max(anchor, state.current)];
}

function rangeIndexes() {
  if (state.anchor === null) return [];
  const [low, high] = rangeLimits();
  return Array.from({ length: high - low + 1 }, (_, i) => low + i);
}

function targets() {
  return state.anchor === null ? [state.current] : rangeIndexes();
}

function decide(indexes, action, labelFor) {
  if (state.isAtEnd) return say("Nothing is left here.");
  const seconds = Math.min(MAX_SECONDS, (performance.now() - state.shownAt) / 1000) / Math.max(1, indexes.length);
  const step = [];
  for (const index of indexes) {
    const item = state.items[index];
    const label = action === "label" ? labelFor(item) : null;
    if (!item || (action === "label" && !label)) continue;
    const isImage = state.isPerImage && state.anchor === null && action !== "skip";
    const frame = item.frames[item.selected];
    if (isImage && frame.failure) {
      warn("This image cannot be read.");
      continue;
    }
    const decision = {
      id: randomId(), burst: item.burst, contents: isImage ? [frame.hash] : contentsOf(item), action, label, queue: state.queue,
      scope: isImage ? "image" : "burst", seconds: Math.round(seconds * 100) / 100, seen: item.seen ?? item.decision?.id ?? null,
      is_model_chosen: item.is_model_chosen,
    };
    step.push({ decision, index, before: structuredClone(item) });
    apply(item, decision);
    item.seen = decision.id; // until the server has answered
  }
  if (!step.length) return false;
  state.undo.push(step);
  outbox.add(step.map((each) => each.decision));
  step.forEach((each) => redraw(each.index));
  const { label, action: done } = step[0].decision;
  say(`${label ?? done}${step.length > 1 ? ` for ${step.length} bursts` : ""}`);
  return true;
}

function contentsOf(item) {
  return [...item.frames.filter((frame) => !frame.failure).map((frame) => frame.hash), ...item.more];
}

function apply(item, decision) {
  const isSkip = decision.action === "skip";
  for (const frame of item.frames) {
    if (isSkip || !decision.contents.includes(frame.hash)) continue;
    frame.decided = true;
    frame.label = decision.label;
  }
  const readable = item.frames.filter((frame) => !frame.failure);
  if (isSkip) item.state = "skipped";
  else if (readable.every((frame) => frame.decided)) item.state = "done";
  if (!isSkip) item.labels = [...new Set(readable.map((frame) => frame.label).filter(Boolean))].sort();
}

function undo() {
  const step = state.undo.pop();
  if (!step) return warn("There is nothing to undo since this page was loaded. Earlier decisions are in the queue “A class, station or day”.");
  const decisions = step.map(({ decision }) => ({ ...decision, id: randomId(), action: "undo", label: null, undoes: decision.id, seconds: null }));
  outbox.add(decisions);
  say("undone");
  const here = step.map((each) => ({ ...each, index: indexOf(each.decision.burst) })).filter(({ index }) => index >= 0);
  for (const { index, before } of here) {
    const { position, reason, conflict } = state.items[index];
    state.items[index] = { ...before, position, reason, conflict };
    redraw(index);
  }
  if (here.length) setCurrent(here[0].index);
  else warn(`Undone in another queue: ${step[0].decision.label ?? step[0].decision.action}.`);
  drawEnd();
}

function decideAndAdvance(action, labelFor) {
  if (!isCurrentVisible()) {
    setCurrent(state.current, { keepRange: true });
    return warn("The current burst was not on the screen. Nothing is decided: press the key again.");
  }
  const indexes = targets();
  if (!decide(indexes, action, labelFor)) return;
  const item = state.items[state.current];
  if (state.isPerImage && state.anchor === null && action !== "skip") {
    const next = item.frames.findIndex((frame, i) => i > item.selected && !frame.failure && !frame.decided);
    if (next >= 0) {
      item.selected = next;
      return setCurrent(state.current);
    }
  }
  advance(indexes.at(-1) + 1);
}

// After the last burst, keys decide nothing until more are loaded or somebody goes back: it must not be decided twice.
function advance(from, options) {
  let next = from;
  while (next < state.items.length && !showsDone() && state.items[next].state !== "open") next += 1;
  setCurrent(next, options);
  state.isAtEnd = next >= state.items.length;
  if (state.isAtEnd) loadMore();
  drawEnd();
}

// People decide about what they see: the page may have been scrolled with the mouse.
function isCurrentVisible() {
  const row = rowAt(state.current);
  if (!row || !$("zoom").hidden) return true;
  const header = document.querySelector("header").getBoundingClientRect().bottom;
  const footer = $("keys").getBoundingClientRect().top;
  const box = row.getBoundingClientRect();
  return header >= footer || (box.bottom > header + MIN_VISIBLE && box.top < footer - MIN_VISIBLE);
}

function agreedLabel(item) {
  if (state.isPerImage && state.anchor === null) return item.frames[item.selected].prediction ?? item.frames[item.selected].label;
  return item.prediction ?? (item.labels.length === 1 ? item.labels[0] : null);
}

function agree() {
  if (!agreedLabel(state.items[state.current] ?? { frames: [], labels: [], prediction: null })) return warn("There is no prediction to agree with.");
  decideAndAdvance("label", agreedLabel);
}

function agreeWithVisible() {
  const header = document.querySelector("header").getBoundingClientRect().bottom;
  const footer = $("keys").getBoundingClientRect().top;
  const visible = state.items.map((_, index) => index).filter((index) => {
    const box = rowAt(index)?.getBoundingClientRect();
    return box && state.items[index].state === "open" && box.top >= header - 2 && box.bottom <= footer + 2;
  });
  const wasPerImage = state.isPerImage;
  state.isPerImage = false;
  const hasDecided = decide(visible, "label", agreedLabel);
  state.isPerImage = wasPerImage;
  if (hasDecided) advance(visible.at(-1) + 1, { align: "top" });
  else if (!state.isAtEnd) warn("No burst that is completely visible has a prediction to agree with.");
}

// ---- Zoom and modes

function toggleZoom(isOpen = $("zoom").hidden) {
  $("zoom").hidden = !isOpen;
  drawZoom();
}

function drawZoom() {
  const item = state.items[state.current];
  if ($("zoom").hidden || !item) return;
  const frame = item.frames[item.selected];
  $("zoom-image").src = imageAddress(frame, "large");
  $("zoom-image").alt = describe(item, state.total);
  const prediction = item.prediction === null ? "" : ` · ${item.prediction} ${percent(item.score)}`;
  $("zoom-caption").textContent = `${item.selected + 1} of ${item.frame_count} · ${frame.name}${prediction}`;
  for (const next of state.items.slice(state.current + 1, state.current + 4)) new Image().src = imageAddress(next.frames[next.best], "large");
}

function togglePerImage() {
  state.isPerImage = !state.isPerImage;
  document.querySelector('[data-key="p"]').setAttribute("aria-pressed", state.isPerImage);
  document.body.classList.toggle("per-image", state.isPerImage);
  state.items.forEach((_, index) => redraw(index));
  say(state.isPerImage ? "Keys label single images." : "Keys label bursts.");
}

function moveFrame(by) {
  const item = state.items[state.current];
  if (!item) return;
  item.selected = Math.max(0, Math.min(item.frames.length - 1, item.selected + by));
  redraw(state.current);
  drawZoom();
}

function moveBurst(by, isExtending) {
  if (isExtending && state.anchor === null) state.anchor = state.current;
  setCurrent(state.current + by, { keepRange: isExtending });
}

function openNewLabel(isOpen) {
  $("new-label").hidden = !isOpen;
  if (isOpen) {
    $("new-label-text").value = "";
    $("new-label-text").focus({ preventScroll: true });
  } else rowAt(state.current)?.focus({ preventScroll: true });
}

// ---- Keys

const COMMANDS = {
  enter: agree, e: () => decideAndAdvance("label", () => config.blank), u: () => decideAndAdvance("unknown"),
  s: () => decideAndAdvance("skip"), z: undo, a: agreeWithVisible, " ": () => toggleZoom(), p: togglePerImage,
  n: () => openNewLabel(true), q: openQueueList,
};

function press(key) {
  if (labelOf.has(key)) return state.items.length && decideAndAdvance("label", () => labelOf.get(key));
  return COMMANDS[key]?.();
}

function openQueueList() {
  toggleZoom(false);
  $("queue").focus({ preventScroll: true });
}

function isInField() {
  return Boolean(document.activeElement?.matches("#queue, #filters *, #new-label-text"));
}

// Layouts differ in what Shift and letters give: digits by their place, letters by what they type if that is Latin.
// The digits of the number pad are digits with NumLock only: without it they move.
function keyName(event) {
  if (/^Digit\d$/.test(event.code)) return event.code.at(-1);
  const key = event.key.toLowerCase();
  return /^Key[A-Z]$/.test(event.code) && !/^[a-z]$/.test(key) ? event.code.at(-1).toLowerCase() : key;
}

document.addEventListener("keydown", (event) => {
  const isTyping = event.target.matches("input, select, textarea");
  if (isTyping) state.isKeyed = event.key !== "Enter" && event.key !== "Escape";
  if (event.key === "Escape") {
    if (!$("new-label").hidden) return openNewLabel(false);
    if (!$("zoom").hidden) return toggleZoom(false);
    return leaveField(event.target);
  }
  if (event.key === "Enter" && event.target.matches("select")) return leaveField(event.target);
  if ((event.ctrlKey || event.metaKey) && event.key === "z" && !isTyping && !event.repeat) return undo();
  if (isTyping || event.ctrlKey || event.metaKey || event.altKey || event.getModifierState("AltGraph")) return;
  if (event.target.matches("button, a") && (event.key === "Enter" || event.key === " ")) return;
  const moves = { ArrowDown: () => moveBurst(1, event.shiftKey), ArrowUp: () => moveBurst(-1, event.shiftKey), ArrowRight: () => moveFrame(1), ArrowLeft: () => moveFrame(-1) };
  const name = keyName(event);
  if (!moves[event.key] && !labelOf.has(name) && !COMMANDS[name]) return;
  event.preventDefault();
  if (event.repeat && !moves[event.key]) return; // a key held down decides once
  moves[event.key] ? moves[event.key]() : press(name);
});

// Who types in a field keeps it while its queue is loaded: a date is valid before its last digit, and a queue is found
// by its first letters. Enter, Escape or the mouse lead to the bursts.
addEventListener("pointerdown", () => (state.isKeyed = false), true);

function leaveField(field) {
  field.blur();
  setCurrent(state.current);
}

$("keys").addEventListener("click", (event) => {
  const button = event.target.closest("button[data-key]");
  if (button) press(button.dataset.key.toLowerCase());
});
$("rows").addEventListener("click", (event) => {
  const row = event.target.closest(".row");
  if (!row) return;
  const index = state.first + [...$("rows").children].indexOf(row);
  const cell = event.target.closest("[data-index]");
  if (cell) state.items[index].selected = Number(cell.dataset.index);
  if (event.shiftKey && state.anchor === null) state.anchor = state.current;
  setCurrent(index, { keepRange: event.shiftKey });
});
$("zoom").addEventListener("click", () => toggleZoom(false));
$("queue").addEventListener("change", (event) => openQueue(event.target.value, readFilters(event.target.value)));
$("filters").addEventListener("change", applyFilters);
$("filters").addEventListener("submit", (event) => {
  event.preventDefault();
  applyFilters();
});
$("new-label").addEventListener("submit", (event) => {
  event.preventDefault();
  const label = $("new-label-text").value.trim();
  openNewLabel(false);
  if (label && state.items.length) decideAndAdvance("label", () => label);
});

function applyFilters() {
  openQueue(state.queue, readFilters(state.queue));
}

// What the fields show is what applies, also in the next queue.
function readFilters(queue) {
  const filters = { station: $("f-station").value, day: $("f-day").value };
  if (queue === "class") filters.label = $("f-label").value.trim();
  if (queue === "search") filters.text = $("f-text").value.trim();
  return filters;
}

drawKeys();
drawLabels(config.labels);
drawStations(config.stations);
drawUnsent();
await outbox.drain();
await openQueue(config.queue);
setTimeout(poll, POLL);
document.body.dataset.ready = "true";
