const data = JSON.parse(document.getElementById("data").textContent);
const at = (id) => document.getElementById(id);
const SKIP = "skip";
const KEYS = { 1: "given", 2: "suggested", 3: "both", 4: "neither", 5: SKIP };

// The browser's memory. Where it has none, as in some private windows, answers last as long as the page.
const PREFIX = "cl_spark review ";
const memory = new Map();
const warn = (text) => {
  at("warning").textContent = text;
  at("warning").hidden = false;
};
const recall = (key) => {
  try {
    return localStorage.getItem(PREFIX + key);
  } catch {
    return memory.get(key) ?? null;
  }
};
const remember = (key, value) => {
  memory.set(key, value);
  try {
    localStorage.setItem(PREFIX + key, value);
  } catch {
    warn("This browser does not remember your answers: save them as a file before you close the page.");
  }
};

// Whether an example has a class has no two right answers: there is nothing to say "both" to.
if (data.asksForClass) {
  delete KEYS[3];
  document.querySelector('[data-answer="both"]').hidden = true;
  at("neither").textContent = "cannot be told";
  at("question").hidden = false;
}

const NAME = data.queue + " name";
let annotator = "";
let answers = {}; // by position of the row, as text
let place = 0;

const element = (kind, text, className = "") => {
  const made = document.createElement(kind);
  made.className = className;
  made.textContent = text;
  return made;
};
// Built of nodes and text, never of markup: whatever the data holds stays text.
const showCell = (cell, title) => {
  const parts = title ? [element("h3", title)] : [];
  if ("image" in cell) {
    const image = element("img", "");
    image.alt = title || "example";
    image.src = cell.image;
    return [...parts, image];
  }
  return [...parts, element("div", cell.text, "text")];
};

const countDone = () => Object.keys(answers).length;
const show = (focus = false) => {
  const row = data.rows[place];
  at("progress").max = Math.max(data.rows.length, 1);
  at("progress").value = countDone();
  at("count").textContent = `${countDone()} of ${data.rows.length} done`;
  at("annotator").textContent = annotator;
  if (row === undefined) {
    at("place").textContent = "There are no rows to look at.";
    return;
  }
  const ids = data.idColumns.map((name, i) => `${name} ${row.ids[i]}`).join(", ");
  at("place").textContent = `Row ${place + 1} of ${data.rows.length}: ${ids}`;
  const cells = row.cells.flatMap((cell, i) => showCell(cell, data.reviewColumns[i]));
  at("example").replaceChildren(...(cells.length ? cells : [element("p", "This queue has no review columns: look the example up by its id.", "dim")]));
  at("question").textContent = row.question ?? "";
  at("given").textContent = row.given;
  at("suggested").textContent = row.suggested;
  for (const button of document.querySelectorAll("[data-answer]"))
    button.setAttribute("aria-pressed", String(answers[place] === button.dataset.answer));
  at("before").disabled = place === 0;
  at("after").disabled = place === data.rows.length - 1;
  if (focus) at("place").focus();
};

const firstOpen = (from = 0) => {
  for (let i = 0; i < data.rows.length; i++) {
    const one = (from + i) % data.rows.length;
    if (!(one in answers)) return one;
  }
  return -1;
};
const goTo = (next) => {
  place = Math.min(Math.max(next, 0), Math.max(data.rows.length - 1, 0));
  show();
};
const tell = (text) => {
  at("told").textContent = text;
};
const give = (answer) => {
  if (data.rows[place] === undefined) return;
  answers[place] = answer;
  remember(`${data.queue} by ${annotator}`, JSON.stringify(answers));
  const next = firstOpen(place);
  tell(next < 0 ? "All rows are done: save your answers." : `Row ${place + 1}: ${answer}`);
  goTo(next < 0 ? place : next);
};

const start = (name) => {
  annotator = name;
  remember(NAME, name);
  answers = JSON.parse(recall(`${data.queue} by ${name}`) ?? "{}");
  at("start").hidden = true;
  at("review").hidden = false;
  place = Math.max(firstOpen(), 0);
  show(true);
};

// CSV that spreadsheets neither run nor rewrite, as the package writes it: see review_csv.py.
const keepText = (value) => (/^ *[=+\-@|%'\t\r\n＝＋－＠]/.test(value) ? "'" + value : value);
const keepId = (value) => (/^(0|[1-9][0-9]{0,14})$/.test(value) ? value : "'" + value);
const cell = (value) => (/[",\r\n;\t]/.test(value) ? `"${value.replaceAll('"', '""')}"` : value);
const toCsv = () => {
  const header = [...data.idColumns.map(keepText), ...data.labelColumns, ...data.answerColumns];
  const lines = data.rows.flatMap((row, i) =>
    i in answers
      ? [[...row.ids.map(keepId), keepText(row.given), keepText(row.suggested), answers[i] === SKIP ? "" : answers[i], "", keepText(annotator)]]
      : [],
  );
  return "\ufeff" + [header, ...lines].map((line) => line.map(cell).join(",") + "\r\n").join("");
};
const save = () => {
  const link = element("a", "");
  const address = URL.createObjectURL(new Blob([toCsv()], { type: "text/csv;charset=utf-8" }));
  link.href = address;
  link.download = `review_${annotator.replace(/[^\p{L}\p{N}._-]+/gu, "_")}.csv`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
  tell(`${countDone()} answers saved as ${link.download}`);
};

at("start").addEventListener("submit", (event) => {
  event.preventDefault();
  const name = at("name").value.trim();
  if (name) start(name);
});
at("rename").addEventListener("click", () => {
  at("review").hidden = true;
  at("start").hidden = false;
  at("name").value = annotator;
  at("name").select();
});
at("save").addEventListener("click", save);
at("before").addEventListener("click", () => goTo(place - 1));
at("after").addEventListener("click", () => goTo(place + 1));
at("open").addEventListener("click", () => {
  const next = firstOpen();
  if (next < 0) tell("All rows are done: save your answers.");
  else goTo(next);
});
for (const button of document.querySelectorAll("[data-answer]"))
  button.addEventListener("click", () => give(button.dataset.answer));
document.addEventListener("keydown", (event) => {
  if (at("review").hidden || event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  if (event.target instanceof HTMLInputElement) return;
  if (event.key in KEYS) give(KEYS[event.key]);
  else if (event.key === "ArrowLeft") goTo(place - 1);
  else if (event.key === "ArrowRight") goTo(place + 1);
  else return;
  event.preventDefault();
});

const known = recall(NAME);
if (known) start(known);
else at("name").focus();
