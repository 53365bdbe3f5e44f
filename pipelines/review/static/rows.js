// Draws bursts. All texts come from files and people: they are set as text, never as HTML.

const STRIP = 8; // frames shown at once

export function element(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === true) node.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) node.setAttribute(name, value);
  }
  node.append(...children.filter((child) => child !== null && child !== ""));
  return node;
}

export function imageAddress(frame, size) {
  return `/image/${frame.hash}/${size}`; // the browser keeps it: a content never changes
}

export function percent(value) {
  return `${Math.round(value * 100)}\u202f%`;
}

// The frames of the strip: at most eight, around the selected one.
export function stripOf(item, selected) {
  const count = item.frames.length;
  const first = Math.max(0, Math.min(selected - STRIP / 2, count - STRIP));
  return item.frames.slice(first, first + STRIP).map((frame, i) => ({ frame, index: first + i }));
}

export function describe(item, total) {
  const parts = [`Burst ${item.position + 1} of ${total}`];
  if (item.prediction !== null) parts.push(`predicted ${item.prediction} ${Math.round(item.score * 100)} percent`);
  if (item.state !== "open") parts.push(`${item.state}: ${stateText(item)}`);
  else if (item.labels.length) parts.push(`labelled ${item.labels.join(", ")}`);
  parts.push(`${item.frame_count} ${item.frame_count === 1 ? "image" : "images"}`);
  if (item.station) parts.push(`station ${item.station}`);
  if (item.time) parts.push(item.time);
  return parts.join(", ");
}

function stateText(item) {
  if (item.state === "skipped") return "skipped";
  return item.labels.length ? item.labels.join(", ") : "cannot tell";
}

export function drawRow(item, view) {
  const row = element("article", { role: "listitem", tabindex: "-1", class: "row", "data-burst": item.burst });
  fillRow(row, item, view);
  return row;
}

// view: {total, selected, isCurrent, isInRange, isPerImage, isUnsent}
export function fillRow(row, item, view) {
  row.className = ["row", item.state, view.isCurrent && "current", view.isInRange && "in-range"].filter(Boolean).join(" ");
  row.setAttribute("aria-label", describe(item, view.total));
  row.toggleAttribute("aria-current", view.isCurrent);
  const shown = item.frames[view.selected];
  const children = [drawImage(shown, "main", `Image ${view.selected + 1} of ${item.frame_count}, ${shown.name}`)];
  if (item.frames.length > 1) children.push(drawStrip(item, view));
  else children.push(element("div", { class: "strip lone" }));
  children.push(drawFacts(item, view, shown));
  keepImages(row, children);
}

// A row that is drawn again keeps the elements of its images: they would flash otherwise.
function keepImages(row, children) {
  const old = new Map([...row.querySelectorAll("img:not(.missing)")].map((image) => [image.className + image.getAttribute("src"), image]));
  for (const child of children) {
    for (const image of child.querySelectorAll("img")) {
      const before = old.get(image.className + image.getAttribute("src"));
      if (before) {
        before.alt = image.alt;
        image.replaceWith(before);
      }
    }
  }
  row.replaceChildren(...children);
}

function drawImage(frame, kind, text) {
  if (frame.failure) return element("div", { class: `${kind} failed` }, `${frame.name}: ${frame.failure}`);
  const image = element("img", { src: imageAddress(frame, "small"), alt: text, decoding: "async", class: `${kind}-image` });
  image.addEventListener("error", () => image.classList.add("missing"));
  return element("div", { class: kind }, image);
}

function drawStrip(item, view) {
  const shown = stripOf(item, view.selected);
  const strip = element("div", { class: shown.length > 4 ? "strip two-lines" : "strip" });
  for (const { frame, index } of shown) {
    const cell = drawImage(frame, "cell", `Image ${index + 1}, ${frame.name}`);
    cell.dataset.index = index;
    if (index === view.selected) cell.classList.add("selected");
    if (index === item.best && item.prediction !== null) cell.append(element("span", { class: "mark", title: "decided the prediction" }, "◆"));
    if (frame.decided || view.isPerImage) cell.append(element("span", { class: "tag" }, frameText(frame)));
    strip.append(cell);
  }
  const hidden = item.frame_count - shown.length;
  if (hidden > 0) strip.append(element("span", { class: "more" }, `+${hidden}`));
  return strip;
}

function frameText(frame) {
  if (frame.decided) return `✓ ${frame.label ?? "cannot tell"}`;
  return frame.label ?? frame.prediction ?? "–";
}

function drawFacts(item, view, shown) {
  const facts = element("div", { class: "facts" });
  if (item.prediction !== null) {
    facts.append(
      element("p", { class: "prediction" }, element("b", {}, item.prediction), ` ${percent(item.score)}`),
      element("span", { class: "meter", "aria-hidden": "true" }, meter(item.score)),
    );
  }
  if (view.isPerImage && shown.prediction !== null) {
    facts.append(element("p", { class: "soft" }, `this image: ${shown.prediction} ${percent(shown.score)}`));
  }
  const place = [item.station, item.time].filter(Boolean).join(" · ");
  facts.append(element("p", { class: "soft" }, place || "no station, no time"));
  facts.append(element("p", { class: "soft name", title: shown.name }, shown.name));
  if (item.reason) facts.append(element("p", { class: "reason" }, item.reason));
  if (item.state === "open" && item.labels.length) {
    facts.append(element("p", { class: "soft" }, `label so far: ${item.labels.join(", ")}`));
  }
  if (item.state !== "open") {
    const sign = item.state === "skipped" ? "↷" : "✓";
    facts.append(element("p", { class: "verdict" }, element("b", {}, `${sign} ${stateText(item)}`), view.isUnsent ? " · not sent yet" : ""));
  }
  if (item.conflict.length) {
    const each = item.conflict.map((one) => `${one.reviewer || "another window"}: ${one.label ?? "cannot tell"}`);
    facts.append(element("p", { class: "conflict" }, `⚠ decided differently – ${each.join("; ")}. The newest counts.`));
  }
  return facts;
}

function meter(score) {
  const bar = element("i");
  bar.style.setProperty("inline-size", `${Math.round(score * 100)}%`); // not the attribute, which the CSP forbids
  return bar;
}
