/* A link to a unit, pointed at or focused, shows the unit's preview: its name, its label, its strongest sample. Escape puts it away. */
(() => {
  const em = window.earmark;
  const WAIT_MS = 350;
  const SIZE = [360, 189]; // px: the preview's 1200 x 630, smaller
  const KNOWN = ".em-row, .em-turn, .em-hist, .em-tour, #em-hover, #em-header"; // what shows the unit already, or this same one
  let box = null;
  let shown = null; // the link
  let timer = 0;

  function unit(a) {
    const href = a?.getAttribute("href") || "";
    if (!href.startsWith("/?") || a.closest(KNOWN) || em.embedded) return null;
    const query = new URLSearchParams(href.slice(2));
    const [dictionary, index] = [query.get("dictionary"), query.get("unit")];
    if (query.get("tab") !== "feature" || !dictionary || !index) return null;
    return em.query?.get("dictionary") === dictionary && em.query?.get("unit") === index && em.tab === "feature" ? null : { dictionary, index };
  }

  function hide() {
    clearTimeout(timer);
    shown?.removeAttribute("aria-describedby");
    shown = null;
    if (box) box.hidden = true;
  }

  function show(a, { dictionary, index }) {
    if (!a.isConnected) return;
    box ||= document.body.appendChild(Object.assign(document.createElement("div"), { id: "em-hover", role: "tooltip" }));
    const picture = Object.assign(new Image(...SIZE), { alt: `Preview of unit ${index} of ${dictionary}`, src: `/media/unit/${encodeURIComponent(dictionary)}/${index}.png` });
    picture.onload = () => {
      if (shown !== a) return;
      box.hidden = false;
      const link = a.getBoundingClientRect();
      const below = link.bottom + SIZE[1] + 16 < innerHeight || link.top < SIZE[1] + 16;
      box.style.left = `${Math.max(8, Math.min(link.left, document.documentElement.clientWidth - SIZE[0] - 10))}px`;
      box.style.top = `${below ? link.bottom + 6 : link.top - SIZE[1] - 10}px`;
    };
    box.hidden = true;
    box.replaceChildren(picture);
    shown = a;
  }

  function point(event) {
    const a = event.target.closest?.("a");
    if (a && a === shown) return;
    if (event.target.closest?.("#em-hover")) { clearTimeout(timer); return; }
    clearTimeout(timer);
    const found = unit(a);
    if (found) timer = setTimeout(() => { hide(); show(a, found); }, WAIT_MS);
    else if (shown) timer = setTimeout(hide, 120); // the pointer may be on its way to the preview
  }

  document.addEventListener("pointerover", (event) => { if (event.pointerType !== "touch") point(event); });
  document.addEventListener("focusin", (event) => { if (event.target.matches?.(":focus-visible")) point(event); });
  document.addEventListener("focusout", () => hide());
  document.addEventListener("pointerdown", hide, true);
  document.addEventListener("scroll", hide, { capture: true, passive: true });
  document.addEventListener("earmark:view", hide);
  document.addEventListener("keydown", (event) => { if (event.key === "Escape" && shown) hide(); });
})();
