/* Keys: arrows through examples and units, space plays, / searches, ? lists them. None of them while something is typed, chosen or pressed. */
(() => {
  const em = window.earmark;
  const KEPT = "earmark-keys";
  const TAKES_KEYS = "input, textarea, select, [contenteditable], audio, video, dialog";
  const PRESSED = "button, a, summary";
  const BELOW_BAR = 70; // px: what lies higher is being left
  // what the arrows go through, by tab: the first kind that is there
  const STOPS = {
    feature: ["#em-feature .em-ex", "#em-feature .em-passage"],
    compare: ["#em-compare .em-ex", "#em-compare .em-passage", "#em-compare-examples .em-ex"],
    audio: ["#em-audio-hits article .em-name", "#em-audio-clip .em-ex"],
    text: ["#em-text-hits article .em-name"],
    browse: ["#em-browse .em-row:not(.head) .em-name"],
    list: ["#em-list .em-row .em-name"],
    find: ["#em-found .em-row:not(.head) .em-name"],
  };
  const HEARD = { feature: "#em-feature .em-ex", audio: "#em-audio-clip .em-ex", compare: "#em-compare .em-ex" };

  const list = () => document.querySelector("#em-keys");
  const working = () => { try { return localStorage.getItem(KEPT) !== "off"; } catch { return true; } };

  function stops() {
    for (const kind of STOPS[em.tab] || []) {
      const found = [...document.querySelectorAll(kind)].filter((el) => el.checkVisibility());
      if (found.length) return found;
    }
    return [];
  }

  const current = (all) => all.findIndex((el) => el === document.activeElement || (!el.matches("a") && el.contains(document.activeElement)));

  // false where there is nothing further that way: then the page scrolls, as it does without
  function step(by) {
    const all = stops();
    const here = current(all);
    const first = all.findIndex((el) => el.getBoundingClientRect().bottom > BELOW_BAR);
    const next = all[here < 0 ? (by > 0 ? first : -1) : here + by];
    if (!next) return false;
    if (!next.matches("a, button")) next.tabIndex = -1;
    next.focus({ preventScroll: true });
    next.scrollIntoView({ block: "nearest" });
    return true;
  }

  function turn(direction) {
    const rel = direction > 0 ? "next" : "prev";
    const a = { feature: `#em-feature a[rel=${rel}]`, browse: `#em-browse a[data-turn=${rel}]` }[em.tab];
    const link = a && !em.embedded && document.querySelector(a);
    if (!link) return false;
    em.go(link.getAttribute("href").slice(2));
    return true;
  }

  function hear() {
    const here = document.activeElement;
    const montage = here.closest?.(".em-row, .em-hit")?.querySelector(".em-montage:not(.off), [data-from]");
    if (montage) { montage.click(); return true; }
    const shown = HEARD[em.tab] && document.querySelector(HEARD[em.tab]);
    if (!shown) return false;
    em.toggle(here.closest?.(".em-ex"), shown);
    return true;
  }

  function search() {
    const field = (em.tab === "browse" && document.querySelector("#em-q")) || document.querySelector("#em-find");
    field?.focus();
    return Boolean(field);
  }

  function leave() {
    if (current(stops()) < 0) return false;
    document.activeElement.blur();
    return true;
  }

  function tell() {
    if (!list()) return false;
    list().querySelector("[data-keys-on]").checked = working();
    list().showModal();
    return true;
  }

  const KEYS = {
    ArrowDown: () => step(1), ArrowUp: () => step(-1), ArrowRight: () => turn(1), ArrowLeft: () => turn(-1),
    " ": hear, "/": search, "?": tell, Escape: leave,
  };

  document.addEventListener("keydown", (event) => {
    const act = Object.hasOwn(KEYS, event.key) && KEYS[event.key];
    if (!act || event.defaultPrevented || event.metaKey || event.ctrlKey || event.altKey || event.isComposing) return;
    if (event.target.closest?.(TAKES_KEYS) || document.querySelector("dialog[open]")) return;
    if (event.key === " " && event.target.closest?.(PRESSED) && !stops().includes(event.target)) return; // a button's own key
    if (event.shiftKey && event.key !== "?" && event.key !== "/") return;
    if (event.key !== "?" && !working()) return;
    if (act()) event.preventDefault();
  });

  document.addEventListener("change", (event) => {
    if (!event.target.matches?.("[data-keys-on]")) return;
    try { localStorage.setItem(KEPT, event.target.checked ? "on" : "off"); } catch { /* a page without storage keeps them on */ }
  });
  document.addEventListener("close", (event) => { // what has the focus is not shown any more: keys would go to it
    if (event.target.matches?.("#em-keys") && event.target.contains(document.activeElement)) document.activeElement.blur();
  }, true);
  document.addEventListener("click", (event) => {
    if (event.target.closest?.("[data-keys]")) tell();
    else if (event.target.matches?.("#em-keys")) list().close(); // beside the list
  });
})();
