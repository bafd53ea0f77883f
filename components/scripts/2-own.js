/* What the tabs for a sample of one's own have in common: the token of what was brought stays in this page; one line says how it goes; nothing that
   is pressed before Gradio has taken a tab over is lost. */
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

  // letters that nobody guesses
  em.random = () => [...crypto.getRandomValues(new Uint8Array(16))].map((b) => b.toString(16).padStart(2, "0")).join("");

  // a sound's own name stays here: what goes out has a random one, so that no two visitors' files meet
  em.unnamed = (blob, name) => {
    const ending = (/\.[A-Za-z0-9]{1,5}$/.exec(name) || [".bin"])[0].toLowerCase();
    return new File([blob], em.random() + ending, { type: blob.type });
  };

  // files that are dropped on a box
  em.dropping = (boxes, take) => {
    for (const kind of ["dragover", "dragleave", "drop"]) {
      document.addEventListener(kind, (event) => {
        const box = event.target.closest?.(boxes);
        if (!box || !event.dataTransfer?.types.includes("Files")) return;
        event.preventDefault();
        box.classList.toggle("over", kind === "dragover");
        if (kind === "drop" && event.dataTransfer.files[0]) take(event.dataTransfer.files[0]);
      });
    }
  };

  // work that needs Gradio waits until Gradio has taken the tab over, and `say` tells so; of several the last one is carried out then
  em.soon = (say) => {
    let [ready, kept] = [false, null];
    const soon = (work, quietly = false) => {
      if (ready) { work(); return; }
      kept = work;
      if (!quietly) say("The page is still loading: this begins as soon as it is ready.");
    };
    soon.ready = () => {
      const work = kept;
      [ready, kept] = [true, null];
      if (work) { say(""); work(); }
    };
    return soon;
  };
})();
