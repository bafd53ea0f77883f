/* For those who hear the page instead of seeing it: what is new is said, what is drawn anew gets the focus back, and figures say what they show. */
(() => {
  const em = window.earmark;
  const line = Object.assign(document.createElement("div"), { id: "em-aloud", className: "sr" });
  let last = null; // what had the focus: { element, part }, the id of what it stands in
  let told = []; // what the view before had to say
  let drawn = null; // { moved, until }: a view whose nodes may still be on their way

  // read out once what is being read is over
  line.setAttribute("role", "status");
  document.addEventListener("DOMContentLoaded", () => document.body.append(line)); // there before anything is said, or it would be missed
  em.announce = (words) => {
    line.textContent = "";
    setTimeout(() => { line.textContent = words; }, 60);
  };

  const visible = (el) => el.checkVisibility({ visibilityProperty: true });
  const words = (el) => (el.dataset.aloud || el.textContent).replace(/\s+/g, " ").trim();

  function tell() {
    const now = [...document.querySelectorAll("[data-aloud]")].filter((el) => visible(el) && el !== document.activeElement).map(words);
    const fresh = now.filter((sentence) => sentence && !told.includes(sentence));
    told = now;
    if (fresh.length && em.views > 1) em.announce(fresh.join(" "));
  }

  // -- the focus: what a view takes it from gives it back, or whoever goes by keys would begin at the page's top again ---------------------

  document.addEventListener("focusin", ({ target }) => { last = { element: target, part: target.parentElement?.closest("[id^=em-]")?.id }; });
  document.addEventListener("pointerdown", () => { last = null; }, true); // whoever points leaves it
  document.addEventListener("keydown", ({ key }) => { if (key === "Escape") last = null; }, true);

  const WEIGHTS = [8, 4, 4, 2];
  const traits = (el) => [el.id, el.getAttribute("href"), el.getAttribute("aria-label") || el.textContent.trim(), Object.keys(el.dataset).length && JSON.stringify(el.dataset)];

  // itself, or what is most like it where it stood
  function again({ element, part }) {
    const fits = (el) => el.isConnected && visible(el) && !el.disabled;
    if (fits(element) && element.tabIndex >= 0) return element;
    const own = traits(element);
    const likeness = (el) => traits(el).reduce((sum, trait, i) => sum + (trait && trait === own[i] ? WEIGHTS[i] : 0), 0);
    const all = [...document.getElementById(part)?.querySelectorAll(element.localName) || []].filter(fits);
    return all.map((el) => [likeness(el), el]).filter(([n]) => n).sort((a, b) => b[0] - a[0])[0]?.[1];
  }

  function heading(part) {
    return [...document.getElementById(part)?.querySelectorAll("h1, h2") || [], ...document.querySelectorAll("h1")].find(visible);
  }

  // Gradio draws when it has time: what had the focus may lose it some frames after its view has come
  function refocus() {
    if (!drawn || performance.now() > drawn.until || !last || document.activeElement !== document.body) return;
    if (last.element.disabled) return; // it waits for what it has begun
    if (matchMedia("(hover: none)").matches && last.element.matches("input, textarea")) return; // a phone's keyboard would come with it
    give(drawn.moved ? heading() : again(last) || heading(last.part), { preventScroll: true });
  }

  function give(to, options = {}) {
    if (to?.tabIndex < 0) to.tabIndex = -1;
    to?.focus(options);
  }

  document.addEventListener("click", (event) => {
    if (!event.target.closest?.(".em-skip")) return;
    event.preventDefault();
    give(heading());
  });

  document.addEventListener("earmark:view", ({ detail }) => {
    drawn = { moved: detail.moved, until: performance.now() + 3000 };
    setTimeout(() => { refocus(); tell(); });
  });

  // -- figures that plotly draws: their sentence, in place of the letters of their axes --------------------------------------------

  function name() {
    for (const figure of document.querySelectorAll(".js-plotly-plot")) {
      const sentence = figure.layout?.meta?.told;
      if (!sentence) continue;
      figure.setAttribute("role", "figure");
      figure.setAttribute("aria-label", sentence);
      figure.querySelectorAll(".main-svg").forEach((svg) => svg.setAttribute("aria-hidden", "true"));
    }
  }

  let due = 0;
  const changed = () => { due = 0; refocus(); name(); };
  new MutationObserver(() => { due ||= requestAnimationFrame(changed); }).observe(document, { childList: true, subtree: true });
})();
