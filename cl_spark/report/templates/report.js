const read = (id) => JSON.parse(document.getElementById(id).textContent);
const element = (kind, text, className = "") => {
  const made = document.createElement(kind);
  made.className = className;
  made.textContent = text;
  return made;
};
const percent = (value) => (100 * value).toLocaleString("en", { maximumFractionDigits: 2 }) + " %";

// Cells are built of nodes and text, never of markup: whatever the data holds stays text.
const bar = (className) => (value, row, most) => {
  const made = element("div", "", "bar " + className);
  const line = element("i", "");
  line.style.width = (4 * value) / (most || 1) + "rem";
  made.append(line, element("b", percent(value)));
  return made;
};
const media = (value, row) => {
  if (!("image" in value)) return element("div", value.text, "long");
  const image = element("img", "");
  image.alt = "example " + row[1]; // after its rank comes its id
  image.src = value.image;
  return image;
};
const kinds = {
  text: (value) => document.createTextNode(value),
  count: (value) => document.createTextNode(value === null ? "" : value.toLocaleString("en")),
  score: (value) => document.createTextNode(value === null ? "" : value.toLocaleString("en", { maximumSignificantDigits: 4 })),
  noise: bar("noise"),
  inverse: bar("inverse"),
  media,
};
const numbers = new Set(["count", "score"]);

for (const [name, table] of Object.entries(read("data-tables"))) {
  new DataTable("#table-" + name, {
    data: table.rows,
    columns: table.columns.map(({ title, kind, most }) => ({
      title: element("span", title).outerHTML,
      ariaTitle: title,
      className: numbers.has(kind) ? "number" : kind,
      orderable: kind !== "media",
      type: kind === "text" ? undefined : "num",
      render: (value, purpose, row) => {
        if (purpose === "display") return kinds[kind](value, row, most);
        if (kind === "media") return value.text ?? "";
        return value;
      },
    })),
    order: [],
    deferRender: true,
    autoWidth: false,
    pageLength: table.rowsAtOnce,
    lengthMenu: [10, 25, 100, 500],
    paging: table.rows.length > 10,
    searching: table.rows.length > 1,
    info: table.rows.length > 10,
    language: { search: "Search", lengthMenu: "Show _MENU_" },
  });
}

const dark = matchMedia("(prefers-color-scheme: dark)");
const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const draw = () => {
  const ink = style("--ink");
  const config = {
    background: "transparent",
    font: "system-ui, sans-serif",
    view: { stroke: null },
    axis: { labelColor: ink, titleColor: ink, gridColor: style("--line"), domainColor: style("--dim"), tickColor: style("--dim") },
    legend: { labelColor: ink, titleColor: ink },
    title: { color: ink, anchor: "start", fontWeight: 500 },
    rule: { color: ink },
  };
  const charts = read("data-charts");
  for (const [name, { usermeta = {}, ...spec }] of Object.entries(charts)) {
    // the highest values stand out on either ground
    if (usermeta.reverse) spec.encoding[usermeta.reverse].scale.reverse = !dark.matches;
    vegaEmbed("#chart-" + name, spec, { config, ast: true, renderer: usermeta.renderer ?? "svg", actions: false, tooltip: { theme: dark.matches ? "dark" : "light" } });
  }
};
draw();
dark.addEventListener("change", draw);
