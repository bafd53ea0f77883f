/* A list of units: collected card by card in this browser, until its address is sent to somebody. */
(() => {
  const em = window.earmark;
  const KEPT = "earmark-list";
  const MOST = 100;
  let list = read(); // { name, units: ["DICTIONARY:UNIT"] }
  let mine = false; // the list that is looked at is the one that is collected in

  function read() {
    try {
      const { name, units } = JSON.parse(localStorage.getItem(KEPT)) || {};
      return { name: String(name || ""), units: Array.isArray(units) ? units.map(String).slice(0, MOST) : [] };
    } catch { return { name: "", units: [] }; }
  }

  function keep(other) {
    list = other;
    try { localStorage.setItem(KEPT, JSON.stringify(list)); } catch { /* a page without storage keeps it until it is left */ }
    show();
  }

  // as an address has them: numbers behind their dictionary, a semicolon where another begins
  function written(units) {
    let [text, last] = ["", ""];
    for (const unit of units) {
      const at = unit.lastIndexOf(":");
      const [dictionary, number] = [unit.slice(0, at), unit.slice(at + 1)];
      text += dictionary === last ? `,${number}` : `${text && ";"}${dictionary}:${number}`;
      last = dictionary;
    }
    return text;
  }

  function units(text) {
    return text.split(";").flatMap((part) => {
      const at = part.lastIndexOf(":");
      return part.slice(at + 1).split(",").filter(Boolean).map((number) => `${part.slice(0, at)}:${number}`);
    });
  }

  function query({ name, units }) {
    const parts = new URLSearchParams({ tab: "list" });
    if (name) parts.set("name", name);
    if (units.length) parts.set("units", written(units));
    return parts.toString();
  }

  const here = () => ({ name: em.query.get("name") || "", units: units(em.query.get("units") || "") });

  function show() {
    document.querySelectorAll("[data-list]").forEach((a) => {
      a.hidden = !list.units.length;
      a.setAttribute("href", "/?" + query(list));
      a.querySelector("b").textContent = list.units.length;
      if (em.tab === "list" && mine) a.setAttribute("aria-current", "page"); else a.removeAttribute("aria-current");
    });
    document.querySelectorAll("[data-collect]").forEach((button) => {
      const there = list.units.includes(button.dataset.collect);
      button.setAttribute("aria-pressed", String(there));
      button.textContent = there ? "In the list" : list.units.length < MOST ? "Add to list" : `The list is full (${MOST})`;
    });
    document.querySelectorAll("[data-list-take]").forEach((button) => { button.hidden = mine || !here().units.length; });
  }

  document.addEventListener("click", (event) => {
    const unit = event.target.closest?.("[data-collect]")?.dataset.collect;
    if (unit && list.units.includes(unit)) keep({ ...list, units: list.units.filter((other) => other !== unit) });
    else if (unit && list.units.length < MOST) keep({ ...list, units: [...list.units, unit] });
    if (event.target.closest?.("[data-list-take]")) { mine = true; keep(here()); }
  });

  document.addEventListener("earmark:view", () => {
    const looked = em.tab === "list" && here();
    mine = Boolean(looked) && (mine || query(looked) === query(list));
    if (mine) keep(looked); else show();
  });
  window.addEventListener("storage", (event) => { if (event.key === KEPT) { list = read(); show(); } });
})();
