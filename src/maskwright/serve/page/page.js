"use strict";

const error = document.getElementById("error");
const key = document.getElementById("key");
const examples = { fill: "The capital of France is [MASK].", explain: "A quiet, clever and wonderful film.",
  classify: "A quiet, clever and wonderful film.", tag: "Ada Lovelace went from London to Paris." };
let about = {};

function make(tag, content = "", attributes = {}) {
  const made = document.createElement(tag);
  made.append(content);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

function say(what) {
  error.textContent = what;
  error.hidden = !what;
}

async function fetched(path, body) {
  const headers = { "Content-Type": "application/json" };
  if (key.value) headers["Authorization"] = "Bearer " + key.value;
  const response = await fetch(path, body ? { method: "POST", headers, body: JSON.stringify(body) } : { headers });
  const answer = await response.json();
  if (response.status === 401) document.getElementById("key-field").hidden = false;
  if (!response.ok) throw new Error(answer.error);
  return answer;
}

/* A table of names with their probabilities as bars. */
function bars(caption, pairs) {
  const table = make("table");
  table.append(make("caption", caption));
  for (const [name, share] of pairs) {
    const row = make("tr"), cell = make("td"), said = (100 * share).toFixed(1) + "%";
    cell.append(make("meter", said, { min: 0, max: 1, value: share, "aria-label": name + " " + said }),
      make("span", said, { class: "number" }));
    row.append(make("th", name, { scope: "row" }), cell);
    table.append(row);
  }
  return table;
}

/* A text with parts of it, [start, end, mark], in colour. Offsets count characters, not UTF-16 units. */
function coloured(text, parts) {
  const letters = [...text], shown = make("p");
  let at = 0;
  for (const [start, end, mark] of parts) {
    shown.append(letters.slice(at, start).join(""));
    mark.prepend(letters.slice(start, end).join(""));
    shown.append(mark);
    at = end;
  }
  shown.append(letters.slice(at).join(""));
  return shown;
}

const show = {
  fill(row) {
    const masks = row.masks.map((mask, number) =>
      bars("Mask " + (number + 1), mask.tokens.map((token, place) => [token, mask.probabilities[place]])));
    if (row.masks.length > 1) masks.push(bars("Together", row.fills.map(fill => [fill.text, fill.probability])));
    return masks;
  },
  classify(row) {
    if (typeof row.predicted === "number") return [make("p", "Predicted: " + row.predicted.toPrecision(4))];
    if (row.predicted === null) return [make("p", "Nothing is left of this text after cleaning.")];
    const shares = row.probabilities;
    const pairs = Array.isArray(shares) ? shares.map((share, place) => [about.labels[place], share])
      : typeof shares === "object" && shares ? Object.entries(shares) : [];
    return [make("p", "Predicted: " + ([].concat(row.predicted).join(", ") || "none")), bars("Classes", pairs.sort((a, b) => b[1] - a[1]))];
  },
  tag(row) {
    const outside = "O", kinds = [...new Set(about.labels.map(name => name.replace(/^[A-Z]-/, "")))];
    const marks = row.offsets.map(([start, end], place) => [start, end, row.predicted[place]])
      .filter(part => part[2] !== outside).map(([start, end, tag]) => {
        const hue = Math.round(360 * kinds.indexOf(tag.replace(/^[A-Z]-/, "")) / kinds.length);
        const mark = make("mark", make("small", tag), { class: "word" });
        mark.style.setProperty("--hue", hue);
        return [start, end, mark];
      });
    return [coloured(row.text, marks), ...marks.length ? [] : [make("p", "No word has a tag.")]];
  },
  explain(row) {
    if (!row.explanations.length) return [make("p", "There is nothing to explain.")];
    return row.explanations.flatMap(found => {
      const most = Math.max(...found.values.map(Math.abs), 1e-9);
      const marks = found.spans.map(([start, end], place) => {
        const value = found.values[place];
        const mark = make("mark", "", { class: value < 0 ? "against" : "for", title: value.toFixed(4) });
        mark.style.setProperty("--share", (0.9 * Math.abs(value) / most).toFixed(2));
        return [start, end, mark];
      });
      const of = found.of ? " at “" + [...row.read].slice(...found.of).join("") + "”" : "";
      return [make("p", found.target + of + ": " + found.score.toPrecision(3)), coloured(row.read, marks)];
    });
  },
  mask(row) {
    const shown = make("p");
    for (const part of row.segments) {
      const text = part.kind === "random" ? part.text + "→" + part.shown : part.text;
      shown.append(part.kind === "plain" ? text : make("mark", text, { class: part.kind }));
    }
    return [shown];
  },
};

function asked(form) {
  const given = Object.fromEntries(new FormData(form));
  for (const name of ["ratio", "draw"]) if (name in given) given[name] = Number(given[name]);
  return given;
}

async function ask(form) {
  const name = form.dataset.ask, answer = form.parentElement.querySelector(".answer");
  const path = name === "classify" && !about.endpoints.includes("classify") ? "predict" : name;
  const turn = form.turn = (form.turn || 0) + 1;
  answer.setAttribute("aria-busy", "true");
  try {
    const { rows } = await fetched(path, asked(form));
    if (turn !== form.turn) return; // a later question has been asked
    answer.replaceChildren(...show[name](rows[0]));
    say("");
  } catch (failure) {
    if (turn === form.turn) say(failure.message);
  } finally {
    if (turn === form.turn) answer.removeAttribute("aria-busy");
  }
}

async function begin() {
  try {
    about = await fetched("about");
  } catch (failure) {
    say(failure.message);
    return;
  }
  say("");
  document.getElementById("model").textContent = about.model + " (" + about.engine + ")";
  for (const section of document.querySelectorAll("section"))
    section.hidden = !section.dataset.needs.split(" ").some(name => about.endpoints.includes(name));
  for (const code of document.querySelectorAll("code.mask")) code.textContent = about.mask;
  if (!about.endpoints.includes("classify") && !about.endpoints.includes("predict"))
    examples.explain = about.endpoints.includes("tag") ? examples.tag : examples.fill;
  const strategies = document.querySelector("[name=strategy]");
  strategies.replaceChildren(...about.strategies.map(name => make("option", name, { value: name })));
  for (const form of document.querySelectorAll("[data-ask]")) {
    const text = form.elements.text, example = examples[form.dataset.ask];
    if (example && !text.value) text.value = example.replace("[MASK]", about.mask);
  }
  const live = document.querySelector("[data-live]");
  if (!live.closest("section").hidden && live.elements.text.value) ask(live);
}

for (const form of document.querySelectorAll("[data-ask]")) {
  form.addEventListener("submit", event => { event.preventDefault(); ask(form); });
  // Enter asks; with Shift it begins a line
  form.elements.text.addEventListener("keydown", event => {
    if (event.key === "Enter" && !event.shiftKey) { event.preventDefault(); form.requestSubmit(); }
  });
  if ("live" in form.dataset) form.addEventListener("input", () => {
    form.elements.shown.value = Math.round(100 * form.elements.ratio.value) + "%";
    if (form.checkValidity()) ask(form);
  });
}
document.getElementById("key-field").addEventListener("submit", event => { event.preventDefault(); begin(); });
begin();
