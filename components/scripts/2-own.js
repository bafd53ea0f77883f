/* What the tabs for a sample of one's own have in common: the token of what was brought stays in this page; one line says how it goes. */
(() => {
  const em = window.earmark;

  // em[name] is the token, kept under a key for as long as the page is open; returns what sets it, and with "" forgets it
  em.keeping = (name, key) => {
    try { em[name] = sessionStorage.getItem(key) || ""; } catch { em[name] = ""; }
    return (token) => {
      em[name] = token;
      try { if (token) sessionStorage.setItem(key, token); else sessionStorage.removeItem(key); } catch { /* a page without storage keeps it until it is left */ }
    };
  };

  // what writes into a tab's [data-say]
  em.telling = (root) => (words, bad = false) => {
    const line = root()?.querySelector("[data-say]");
    if (!line) return;
    line.textContent = words;
    line.classList.toggle("bad", bad);
  };
})();
