/* Units turned up, down or off: sliders write the list of edits into the address; Run, Stop and the results. */
(() => {
  const em = window.earmark;
  const editing = (em.editing = {});
  const sends = {}; // tab -> events of its answer: run, stop; of a text also goOn
  const soons = {}; // tab -> what waits until they are there
  let running = null; // { run, tab }: what has been asked for
  let growing = null; // the same of a continuation
  let settled = null; // { key, edits }: the control that wrote the address last; going on with it is one step of Back
  let wanted = null; // the unit whose slider gets the focus when it is there
  let wait = 0;
  let pending = null; // { unit, factor } of a slider that is on its way: a view drawn meanwhile does not take it back

  const shown = (selector) => [...document.querySelectorAll(selector)].find((el) => el.offsetParent);
  const panel = () => shown("[data-edits]");
  const rows = () => [...panel()?.querySelectorAll("[data-edit]") || []];
  const rowOf = (unit) => rows().find((row) => row.dataset.edit === unit);

  function say(words, bad = false) {
    const line = panel()?.querySelector("[data-edit-say]");
    if (!line) return;
    line.textContent = words;
    line.classList.toggle("bad", bad);
  }

  const soonOn = (tab) => (soons[tab] ||= em.soon(say));
  const soon = (work) => { const tab = em.tab; soonOn(tab)(() => { if (em.tab === tab) work(); }); };

  // -- the list ----------------------------------------------------------------------------------------------------------------

  // a field's number; null, with a word to the visitor, where there is none
  function number(row, name, otherwise, most) {
    const field = row.querySelector(`[data-${name}]`);
    const text = field.value.trim().replace(",", ".").replace("−", "-");
    const value = text === "" ? otherwise : Number(text);
    const fits = Number.isFinite(value) && Math.abs(value) <= most;
    field.setAttribute("aria-invalid", String(!fits));
    if (!fits) say(`“${field.value}” does not do here: it must be a number from −${most.toLocaleString("en")} to ${most.toLocaleString("en")}.`, true);
    return fits ? value : null;
  }

  function written() {
    const { maxFactor, maxAdded } = panel().dataset;
    const found = rows().map((row) => {
      const [factor, added] = [number(row, "factor", 1, Number(maxFactor)), number(row, "added", 0, Number(maxAdded))];
      if (factor === null || added === null) return null;
      const where = row.querySelector("[data-where]")?.value;
      return `${row.dataset.edit}=${factor}${added > 0 ? "+" : ""}${added || ""}${where ? "@" + where : ""}`;
    });
    return found.includes(null) ? null : found.join(",");
  }

  function visit(edits, key = "") {
    const query = new URLSearchParams(em.query);
    if (edits === query.get("edits")) return;
    const goesOn = settled && settled.key === key && settled.edits === query.get("edits");
    query.set("edits", edits);
    settled = key ? { key, edits } : null;
    em.go(query.toString(), goesOn ? "replace" : "push");
  }

  function commit(key) {
    clearTimeout(wait);
    wait = 0;
    pending = null;
    const edits = written();
    if (edits === null) return;
    say("");
    visit(edits, key);
  }

  function dial(row, factor) {
    row.querySelector("[data-factor]").value = factor;
    row.querySelector("[data-slide]").value = factor;
    row.querySelector("[data-off]").setAttribute("aria-pressed", String(Number(factor) === 0));
  }

  document.addEventListener("input", (event) => {
    const row = event.target.closest?.("[data-edit]");
    if (!row || !event.target.matches("[data-slide]")) return;
    dial(row, event.target.value);
    pending = { unit: row.dataset.edit, factor: event.target.value };
  });
  document.addEventListener("change", (event) => {
    const row = event.target.closest?.("[data-edit]");
    if (!row) return;
    if (event.target.matches("[data-factor]")) { const value = number(row, "factor", 1, Number(panel().dataset.maxFactor)); if (value !== null) dial(row, value); }
    const key = `${row.dataset.edit} ${Object.keys(event.target.dataset)[0]}`;
    clearTimeout(wait);
    wait = setTimeout(() => commit(key), event.target.matches("[data-slide]") ? 300 : 0); // held arrow keys make many changes
  });

  function add(unit) {
    wanted = unit;
    if (rowOf(unit)) { focus(); return; }
    if (rows().length >= Number(panel().dataset.max)) { say(`At most ${panel().dataset.max} edits are made at once. Remove one to add another.`, true); return; }
    const edits = written();
    if (edits !== null) visit([edits, `${unit}=1`].filter(Boolean).join(","));
  }

  function focus() {
    const slider = wanted !== null ? rowOf(wanted)?.querySelector("[data-slide]") : null;
    wanted = null;
    if (!slider) return;
    slider.closest("[data-edits]").scrollIntoView({ block: "nearest" });
    slider.focus();
  }

  document.addEventListener("submit", (event) => {
    if (!event.target.matches?.("[data-edit-add]")) return;
    event.preventDefault();
    const text = event.target.querySelector("[data-edit-unit-in]").value.trim();
    if (/^\d{1,9}$/.test(text)) add(String(Number(text)));
    else say(`“${text}” is no unit: a unit is a whole number from 0.`, true);
  });

  // -- runs --------------------------------------------------------------------------------------------------------------------

  const asked = (run) => ({ run, query: em.query.toString(), clip: em.clip || "", passage: em.passage || "" });

  function run() {
    if (wait) commit("");
    running = { run: em.random(), tab: em.tab };
    settled = null;
    say("");
    const data = asked(running.run);
    if (panel() && em.tab !== "feature") {
      const edits = written(), query = new URLSearchParams(data.query);
      if (edits === null) { running = null; return; }
      query.set("edits", edits);
      data.query = query.toString();
    }
    sends[em.tab].run(data);
    paint();
  }

  function writeOn(panel) {
    growing = { run: em.random(), tab: "text" };
    const [n, seed] = ["n", "seed"].map((name) => panel.querySelector(`[data-${name}]`).value);
    sends.text.goOn({ ...asked(growing.run), n, seed });
    paint();
  }

  function stop(which) {
    if (!which) return;
    sends[which.tab].stop({ run: which.run });
    if (which === running) say("Stopping …");
  }

  // what is running, as the buttons show it: a view drawn meanwhile knows nothing of it
  function paint() {
    for (const [name, which] of [["edit", running], ["go", growing]]) {
      document.querySelectorAll(`[data-${name}-run]`).forEach((button) => { button.disabled = Boolean(which); });
      document.querySelectorAll(`[data-${name}-stop]`).forEach((button) => { button.hidden = !which; });
    }
  }

  editing.connect = (tab, element, watch, events) => {
    sends[tab] = events;
    soonOn(tab).ready();
    em.whenWaiting(element.closest(`#em-${tab}-edits-answer`), () => {
      running = null;
      paint();
      say("This was not run: too many are waiting in line, or something went wrong here. Try once more in a minute.", true);
    });
    watch("value", () => {
      const answer = element.querySelector("[data-run]")?.dataset.run;
      if (!running || answer !== running.run) return;
      running = null;
      say("");
      paint();
      if (!element.querySelector("[role=alert]") && em.tab === tab) em.go(em.query.toString(), "replace");
    });
  };

  // a continuation as it grows; one of a text or of edits that are no longer shown gives way to what is
  editing.grows = (element, watch) => {
    watch("value", () => {
      const now = element.querySelector("[data-continued]")?.dataset;
      if (!now) return;
      if (growing && now.run === growing.run && now.done !== undefined) growing = null;
      paint();
      if (now.done !== undefined) em.announce(element.querySelector("[data-how-far]")?.textContent || "");
      if (now.edits !== (em.query.get("edits") || "") && now.run && em.tab === "text") em.go(em.query.toString(), "replace");
    });
  };

  document.addEventListener("click", (event) => {
    const target = event.target;
    const unit = target.closest?.("[data-edit-unit]");
    if (unit) add(unit.dataset.editUnit);
    const row = target.closest?.("[data-edit]");
    if (row && target.closest("[data-off]")) {
      dial(row, Number(row.querySelector("[data-factor]").value) === 0 ? 1 : 0);
      commit(`${row.dataset.edit} off`);
    }
    if (target.closest?.("[data-edit-run]")) soon(run);
    if (target.closest?.("[data-edit-stop]")) stop(running);
    if (target.closest?.("[data-go-stop]")) stop(growing);
    const goOn = target.closest?.("[data-go-run]")?.closest("[data-continued]");
    if (goOn) soon(() => writeOn(goOn));
  });
  document.addEventListener("click", (event) => { // what is set on a card goes along, settled or not
    const a = event.target.closest?.("a[data-edit-go]");
    const edits = a ? written() : null;
    if (edits === null) return;
    const query = new URLSearchParams(a.getAttribute("href").slice(2));
    query.set("edits", edits);
    a.setAttribute("href", "/?" + query);
  }, true);

  // -- a text's positions ------------------------------------------------------------------------------------------------------

  const places = (near) => [...near.closest("[data-changes]").querySelectorAll("[data-at]")];
  const placeOf = (event) => event.target.closest?.("[data-changes] [data-at]");

  function tell(token) {
    const all = token.closest("[data-changes]");
    const step = all.querySelector(`[data-step="${token.dataset.at}"]`);
    all.querySelectorAll("[data-step]").forEach((other) => { other.hidden = other !== step; });
    all.querySelector("[data-no-step]").hidden = Boolean(step);
    places(token).forEach((other) => { other.tabIndex = other === token ? 0 : -1; other.classList.toggle("chosen", other === token); });
  }

  for (const kind of ["pointerover", "focusin", "click"]) {
    document.addEventListener(kind, (event) => { const token = placeOf(event); if (token) tell(token); });
  }
  document.addEventListener("keydown", (event) => {
    const token = placeOf(event);
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!token || !step || event.metaKey || event.ctrlKey || event.altKey) return;
    event.preventDefault();
    const all = places(token);
    all[Math.min(Math.max(all.indexOf(token) + step, 0), all.length - 1)].focus();
  });

  document.addEventListener("earmark:view", (event) => {
    const back = em.mode === "none";
    for (const row of rows()) row.querySelectorAll("input, select").forEach((field) => { // what was set by hand hides what the address says
      if (back || field !== document.activeElement) field.value = field.matches("select") ? field.querySelector("[selected]").value : field.getAttribute("value") || "";
    });
    if (back) { clearTimeout(wait); wait = 0; pending = null; }
    const moving = pending && rowOf(pending.unit);
    if (moving) dial(moving, pending.factor);
    shown("[data-changes]")?.querySelectorAll("[data-at].most").forEach(tell);
    if (growing && event.detail.tab !== "text") stop(growing);
    paint();
    focus();
  });
})();
