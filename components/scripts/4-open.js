/* A dictionary without tables: a button fetches and opens it, a line says how far that is, and the view is drawn anew when it is there. */
(() => {
  const em = window.earmark;
  let polling = 0;

  const box = () => [...document.querySelectorAll(".em-bare")].find((el) => el.offsetParent);

  function say(text) {
    const line = box()?.querySelector("[data-open-say]");
    if (line) line.textContent = text;
  }

  async function follow(address) {
    clearTimeout(polling);
    if (box()?.dataset.model !== address) return;
    let answer;
    try { answer = await (await fetch(address)).json(); } catch { answer = { state: "loading", text: "The page does not answer; trying again." }; }
    if (box()?.dataset.model !== address) return;
    if (answer.state === "ready") { em.go(em.query.toString(), "replace"); return; }
    say(answer.text || answer.error || "");
    const button = box().querySelector("[data-open]");
    if (button) button.disabled = answer.state === "loading";
    if (answer.state === "loading") polling = setTimeout(() => follow(address), 800);
  }

  document.addEventListener("click", async (event) => {
    const button = event.target.closest?.("[data-open]");
    if (!button) return;
    button.disabled = true;
    const address = box().dataset.model;
    try { await fetch(button.dataset.open, { method: "POST" }); } catch { /* follow says it */ }
    follow(address);
  });

  document.addEventListener("earmark:view", () => {
    clearTimeout(polling);
    const button = box()?.querySelector("[data-open]");
    if (button && box().querySelector("[data-open-say]").textContent) follow(box().dataset.model);
  });
})();
