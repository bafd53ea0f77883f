/* Three steps on a first visit: each is ticked when it is taken; taken or dismissed, they do not come again. */
(() => {
  const em = window.earmark;
  const KEPT = "earmark-tour";
  const STEPS = ["hear", "card", "own"];
  const read = () => { try { return localStorage.getItem(KEPT) || ""; } catch { return ""; } };
  let taken = new Set(read().split(",").filter((step) => STEPS.includes(step)));
  if (read() !== "done") document.documentElement.classList.add("em-new");

  function keep(text) {
    try { localStorage.setItem(KEPT, text); } catch { /* a page without storage shows them on every visit */ }
  }

  const show = () => document.querySelectorAll(".em-tour [data-step]").forEach((li) => { li.classList.toggle("done", taken.has(li.dataset.step)); });

  function take(step) {
    if (read() === "done" || taken.has(step)) return;
    taken.add(step);
    keep(taken.size === STEPS.length ? "done" : [...taken].join(","));
    show();
  }

  document.addEventListener("click", (event) => {
    if (event.target.closest?.(".em-montage, .em-play")) take("hear");
    if (!event.target.closest?.("[data-tour-end]")) return;
    keep("done");
    document.documentElement.classList.remove("em-new");
    document.querySelector("#em-browse h1")?.focus();
  });
  document.addEventListener("earmark:view", () => {
    if (em.tab === "feature" && em.n) take("card");
    if ((em.tab === "audio" || em.tab === "text") && em.n) take("own");
    if (em.tab === "browse" && read() === "done") document.documentElement.classList.remove("em-new");
    show();
  });
})();
