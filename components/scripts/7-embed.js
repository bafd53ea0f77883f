/* A card in another page's frame: what to paste there, and inside the frame links that open beside it. */
(() => {
  const em = window.earmark;
  const HEIGHT = 640;
  const escape = (text) => text.replaceAll("&", "&amp;").replaceAll('"', "&quot;").replaceAll("<", "&lt;");

  function code() {
    const query = new URLSearchParams(em.query);
    query.set("embed", "true");
    return `<iframe src="${escape(`${location.origin}/?${query}`)}" title="${escape(document.title)}" width="100%" height="${HEIGHT}" loading="lazy" style="border:0"></iframe>`;
  }

  document.addEventListener("toggle", (event) => {
    const details = event.target;
    if (details.matches?.(".em-embedding") && details.open) details.querySelector("textarea").value = code();
  }, true);
  document.addEventListener("click", (event) => {
    const button = event.target.closest?.("[data-copy-embed]");
    if (button) em.copy(button.closest(".em-embedding").querySelector("textarea").value, button);
  });
  document.addEventListener("focusin", (event) => { if (event.target.id === "em-embed-code") event.target.select(); });
})();
