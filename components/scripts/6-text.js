/* A text of one's own: typed, pasted, a file or an example; then a token, or a stretch of tokens, chosen with mouse, finger or keys. */
(() => {
  const em = window.earmark;
  const text = (em.text = {});
  const root = () => document.querySelector("#em-text-form .em-own");
  const reader = () => document.querySelector("#em-text-passage .em-reader");
  const section = () => document.querySelector("#em-text-passage section");
  let send = null; // events of the form: read, splice, forget
  let upload = null;
  let asked = ""; // what the page asked for by itself
  let brought = false; // the next answer is to a text that was brought, not to one in the address
  let fresh = false; // such an answer is about to be shown

  const keep = em.keeping("passage", "earmark-passage");
  const say = em.telling(root);
  const soon = em.soon(say);

  const view = () => new URLSearchParams(em.tab === "text" ? em.query : em.last.text || "tab=text");
  const dictionary = () => view().get("dictionary") || "";

  // -- bringing ----------------------------------------------------------------------------------------------------------------

  text.connect = (element, uploader, events) => {
    [upload, send] = [uploader, events];
    soon.ready();
  };

  function ask(what, quietly = false) {
    say("");
    soon(() => send.read({ ...what, dictionary: dictionary() }), quietly);
  }

  document.addEventListener("submit", (event) => {
    const form = event.target.closest?.("form[data-read]");
    if (!form) return;
    event.preventDefault();
    const typed = form.querySelector("textarea").value;
    const most = Number(root().dataset.maxCharacters);
    if (!typed.trim()) { say("Type or paste a text first.", true); return; }
    if (typed.length > most) { say(`The text has ${typed.length.toLocaleString("en")} characters; at most ${most.toLocaleString("en")} are taken. Cut out the part you want.`, true); return; }
    brought = true;
    ask({ text: typed });
    document.querySelector("#em-text-answer")?.scrollIntoView({ block: "nearest" }); // how far it is stands below what was typed
  });

  document.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && event.target.id === "em-text-in") event.target.form.requestSubmit();
  });

  function bring(file) {
    const most = Number(root().dataset.maxBytes);
    if (file.size > most) { say(`That file has ${(file.size / 1e6).toFixed(1)} MB; at most ${most / 1e6} MB of text are taken. Cut out the part you want.`, true); return; }
    if (!file.size) { say("That file is empty. Choose another one.", true); return; }
    soon(() => deliver(file));
  }

  async function deliver(file) {
    say("Sending your text …");
    try {
      const { path } = await upload(new File([file], `${em.random()}.txt`, { type: "text/plain" }));
      brought = true;
      ask({ path });
    } catch {
      say("Your text could not be sent. Check the connection and try once more.", true);
    }
  }

  document.addEventListener("change", (event) => {
    if (!event.target.matches?.("[data-text-file]")) return;
    const file = event.target.files[0];
    event.target.value = "";
    if (file) bring(file);
  });
  em.dropping("form[data-read]", bring);

  text.answers = (element, watch) => {
    em.whenWaiting(element.closest("#em-text-answer"), () => {
      refused("Your text was not taken: too many are waiting in line, or something went wrong here. Try once more in a minute.");
    });
    watch("value", () => {
      const data = element.querySelector("[data-once]")?.dataset;
      if (!data) return;
      if (data.token === undefined && data.spliced === undefined) { refused(""); return; }
      const query = view();
      if (data.token !== undefined) {
        keep(data.token);
        if (data.text) query.set("text", decodeURIComponent(data.text)); else query.delete("text");
        if (brought) {
          ["unit", "at", "to"].forEach((name) => query.delete(name));
          if (["moment", "region"].includes(query.get("sort"))) query.delete("sort");
        }
      }
      const mode = brought ? "push" : "replace";
      [fresh, brought] = [brought, false];
      if (em.tab === "text") em.go(query.toString(), mode); else em.last.text = query.toString();
    });
  };

  function refused(words) {
    if (words) say(words, true);
    brought = false;
    const waits = document.querySelector("#em-text-passage [data-ask] .em-state");
    if (waits) waits.textContent = "The text was not read.";
    document.querySelectorAll("[data-splice]").forEach((button) => { button.disabled = false; });
  }

  // -- a token, or a stretch ---------------------------------------------------------------------------------------------------

  const places = () => [...reader().querySelectorAll("[data-at]")];
  const at = (token) => Number(token.dataset.at);
  let drag = null; // { from, to }: positions
  let anchor = null; // position where a stretch chosen with Shift begins

  function tell(token) {
    const line = document.querySelector("#em-text-passage [data-readout]");
    if (line) line.textContent = `“${em.plainText(token.cloneNode(true)).trim() || token.querySelector("[data-sign]")?.dataset.sign || " "}”: ${token.title}`;
  }

  // one stop of the Tab key for the whole text; arrows go on from there
  function settle() {
    const [first, last] = (section()?.dataset.chosen || "").split(" ").filter(Boolean).map(Number);
    const all = places();
    if (!all.length) return;
    let stop = all[0];
    all.forEach((token, i) => {
      const end = i + 1 < all.length ? at(all[i + 1]) - 1 : Infinity;
      const inside = first !== undefined && end >= first && at(token) <= last;
      token.classList.toggle("chosen", inside);
      token.tabIndex = -1;
      if (inside && at(stop) < first) stop = token;
    });
    stop.tabIndex = 0;
  }

  function mark(from, to) {
    const [low, high] = [Math.min(from, to), Math.max(from, to)];
    places().forEach((token) => token.classList.toggle("chosen", at(token) >= low && at(token) <= high));
  }

  function choose(from, to) {
    const query = view();
    const order = from === to ? "moment" : "region";
    const mode = query.get("sort") === order ? "replace" : "push";
    query.set("sort", order);
    query.set("at", String(Math.min(from, to)));
    if (from === to) query.delete("to"); else query.set("to", String(Math.max(from, to)));
    em.go(query.toString(), mode);
  }

  const tokenOf = (event) => event.target.closest?.("#em-text-passage .em-reader [data-at]");

  document.addEventListener("pointerdown", (event) => {
    const token = event.button === 0 ? tokenOf(event) : null;
    drag = token && event.pointerType !== "touch" ? { from: at(token), to: at(token) } : null; // a finger scrolls
  });
  document.addEventListener("pointermove", (event) => {
    if (!drag) return;
    const token = document.elementFromPoint(event.clientX, event.clientY)?.closest(".em-reader [data-at]");
    if (!token || at(token) === drag.to) return;
    drag.to = at(token);
    getSelection()?.removeAllRanges();
    mark(drag.from, drag.to);
  });
  document.addEventListener("pointerup", () => {
    const done = drag;
    drag = null;
    if (done && done.from !== done.to) { anchor = done.from; choose(done.from, done.to); }
  });
  document.addEventListener("click", (event) => {
    const token = tokenOf(event);
    if (token) {
      if (!event.shiftKey || anchor === null) anchor = at(token);
      choose(anchor, at(token));
      return;
    }
    if (event.target.closest?.("[data-forget-text]")) {
      soon(() => {
        send.forget({ passage: section().dataset.token });
        keep("");
        const query = view();
        ["text", "unit", "sort", "at", "to", "words", "in", "by"].forEach((name) => query.delete(name));
        em.go(query.toString(), "push");
      });
    }
    const copy = event.target.closest?.("[data-copy-text], [data-copy-view]");
    if (copy) {
      const whole = copy.matches("[data-copy-view]") ? location.origin + "/?" + em.query.toString() : em.plainText(reader().cloneNode(true));
      em.copy(whole, copy);
    }
    const splice = event.target.closest?.("[data-splice]");
    if (splice) {
      splice.disabled = true;
      soon(() => send.splice({ passage: section().dataset.token, dictionary: dictionary() }));
    }
  });
  for (const kind of ["pointerover", "focusin"]) {
    document.addEventListener(kind, (event) => { const token = tokenOf(event); if (token) tell(token); });
  }
  document.addEventListener("focusin", (event) => {
    const token = tokenOf(event);
    if (!token) return;
    places().forEach((other) => { other.tabIndex = other === token ? 0 : -1; });
  });
  document.addEventListener("keydown", (event) => {
    const token = tokenOf(event);
    if (!token || event.metaKey || event.ctrlKey || event.altKey) return;
    const all = places();
    const here = all.indexOf(token);
    const backwards = getComputedStyle(token).direction === "rtl";
    const step = { ArrowLeft: backwards ? 1 : -1, ArrowRight: backwards ? -1 : 1, Home: -here, End: all.length - 1 - here }[event.key];
    if (step !== undefined) {
      event.preventDefault();
      const next = all[Math.min(Math.max(here + step, 0), all.length - 1)];
      if (event.shiftKey) { anchor ??= at(token); mark(anchor, at(next)); } else anchor = at(next);
      next.focus();
    } else if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      if (!event.shiftKey || anchor === null) anchor = at(token);
      choose(anchor, at(token));
    }
  });

  document.addEventListener("earmark:view", (event) => {
    if (event.detail.tab !== "text") return;
    const now = section();
    if (now?.hasAttribute("data-gone")) keep("");
    const wants = now?.dataset.ask;
    const key = `${wants} ${em.query.get("dictionary")} ${wants === "text" ? em.query.get("text") : em.passage}`;
    if (wants && key !== asked) { asked = key; ask(wants === "text" ? { text: em.query.get("text") } : { passage: em.passage }, true); }
    else if (!wants) asked = "";
    if (!wants && !reader() && em.passage && !em.query.get("text") && !now?.hasAttribute("data-gone")) { em.go(view().toString(), "replace"); return; } // loaded anew
    if (reader()) {
      settle();
      if (fresh) section().scrollIntoView({ block: "nearest" });
      fresh = false;
    }
    em.follow(root, "text");
  });
})();
