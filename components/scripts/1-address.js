/* The address bar: links, forms and Back ask the bridge for a view; its answer writes the address. No framework, no state elsewhere. */
(() => {
  const em = (window.earmark = { n: 0, mode: "push", last: {}, tab: null, views: 0 });
  em.embedded = document.documentElement.matches(".em-embed"); // one card in another page's frame: no Gradio comes, links open beside it
  let send = null;
  let slow = 0;
  let late = 0;
  let typed = false;
  let asked = null; // what was asked for before Gradio had taken over

  // the first view lies in the page; it can be heard, read and left at once, and the rest waits for Gradio
  em.begin = () => {
    const theme = new URLSearchParams(location.search).get("__theme") || "";
    document.body.classList.toggle("dark", theme === "dark" || (theme !== "light" && matchMedia("(prefers-color-scheme: dark)").matches));
    settle(JSON.parse(first().dataset.answer));
    document.querySelector(".em-ex.target")?.scrollIntoView({ block: "center" });
    if (!em.embedded) return;
    em.views = 1;
    document.dispatchEvent(new CustomEvent("earmark:view", { detail: { tab: em.tab } }));
  };

  const first = () => document.getElementById("em-first");

  // Gradio's elements get the nodes that are there, with whatever plays, is typed, or is open in them, unless another view has come
  const drawn = (id) => document.querySelector(`gradio-app #${id} .html-container > div`);
  const content = (part) => part.querySelector(".html-container > div").childNodes;

  // Gradio draws a tab's elements some time after it has chosen the tab: until they are all there, nothing can be given to them
  function whenDrawn(work, until = performance.now() + 8000) {
    const missing = [...first()?.children || []].some((part) => content(part).length && !drawn(part.id));
    if (missing && performance.now() < until) requestAnimationFrame(() => whenDrawn(work, until)); else work();
  }

  function handOver(wanted) {
    const view = first();
    if (!view) return;
    const active = document.activeElement;
    if (wanted) [...view.children].forEach((part) => drawn(part.id)?.replaceChildren(...content(part)));
    view.remove();
    document.querySelector("gradio-app").inert = false;
    if (active !== document.activeElement && active.isConnected) active.focus({ preventScroll: true });
    if (asked) em.go(...asked);
    asked = null;
  }

  // between press and release nothing is moved away under the pointer: the click would be lost
  let held = false;
  let waiting = null;
  const released = (work) => { if (held && first()) waiting = work; else work(); };
  document.addEventListener("pointerdown", () => { held = true; }, true);
  for (const kind of ["pointerup", "pointercancel"]) {
    document.addEventListener(kind, () => setTimeout(() => { held = false; waiting?.(); waiting = null; }), true);
  }

  em.connect = (trigger, props, watch) => {
    const figures = () => document.querySelector("gradio-app [data-figures]")?.dataset.figures || "";
    const own = () => ({ clip: em.clip || "", passage: em.passage || "", run: em.run || "", figures: figures() });
    send = (query) => trigger({ query, n: em.n, ...own(), there: !em.n && Boolean(first()) });
    watch("value", () => {
      let answer;
      try { answer = JSON.parse(props.value); } catch { return; }
      if (answer.n === em.n) arrived(answer);
    });
    send(first() ? JSON.parse(first().dataset.answer).query : location.search.slice(1));
  };

  em.go = (query, mode = "push", y = null) => {
    if (em.embedded) { window.open("/?" + query, "_blank", "noopener"); return; }
    if (!send && !typed) { window.location.assign("/?" + query); return; }
    if (!send || first()) { // Gradio drops what is asked while its first answer is on its way
      asked = [query, mode, y];
      document.documentElement.classList.add("em-busy");
      return;
    }
    if (mode !== "none") history.replaceState({ ...history.state, y: window.scrollY }, "");
    em.n += 1;
    em.mode = mode;
    em.y = y;
    clearTimeout(slow);
    slow = setTimeout(() => document.documentElement.classList.add("em-busy"), 120);
    clearTimeout(late);
    late = setTimeout(() => document.documentElement.classList.remove("em-busy"), 20000);
    send(query);
  };

  const kept = () => [...new URLSearchParams(location.search)].filter(([name]) => name.startsWith("__") || (name === "embed" && em.embedded));

  function arrived(answer) {
    clearTimeout(slow);
    document.documentElement.classList.remove("em-busy");
    const before = [em.tab, em.query?.get("unit"), em.query?.get("page")];
    if (answer.n || !first()) settle(answer);
    document.title = answer.title;
    const moved = before.join() !== [em.tab, em.query.get("unit"), em.query.get("page")].join();
    // the tabs draw a little later than the bridge
    requestAnimationFrame(() => requestAnimationFrame(() => {
      const begun = Boolean(first()) && !answer.n;
      if (!begun) settleForms();
      if (em.mode === "none") window.scrollTo(0, em.y || 0);
      else if (em.mode === "push" && moved && em.n > 0) scrollToTop(answer.tab, em.query);
      if (!begun) document.querySelector(".em-ex.target")?.scrollIntoView({ block: "center" });
      const finish = () => released(() => {
        handOver(begun);
        em.views += 1;
        document.dispatchEvent(new CustomEvent("earmark:view", { detail: { ...answer, moved } }));
      });
      if (begun) whenDrawn(finish); else finish();
    }));
  }

  // what an answer says beside its view: the address, the title, the tab
  function settle(answer) {
    const query = new URLSearchParams(answer.query);
    const here = new URLSearchParams(location.search);
    const stays = kept();
    const address = "/?" + new URLSearchParams([...query, ...stays]).toString();
    const same = new URLSearchParams([...here].filter(([name]) => !name.startsWith("__"))).toString() === query.toString();
    if (em.n === 0 || em.mode === "replace" || em.mode === "none" || same) history.replaceState({ ...history.state }, "", address);
    else history.pushState({}, "", address);
    if (window.parent !== window && !em.embedded) window.parent.postMessage({ queryString: "?" + query.toString(), hash: "" }, "*");
    document.title = answer.title;
    em.last[answer.tab] = answer.query;
    em.tab = answer.tab;
    em.query = query;
    document.querySelectorAll("#em-find").forEach((input) => input.setAttribute("value", answer.tab === "find" ? query.get("q") || "" : ""));
    document.querySelectorAll("[data-tab]").forEach((a) => {
      const name = a.dataset.tab;
      if (name === answer.tab) a.setAttribute("aria-current", "page"); else a.removeAttribute("aria-current");
      if (name !== answer.tab && em.last[name]) a.setAttribute("href", "/?" + em.last[name]);
    });
    showTab();
  }

  // on a phone the bar scrolls; nodes that are moved begin at its left again
  function showTab() {
    const a = document.querySelector("nav [data-tab][aria-current]");
    const bar = a?.closest("nav");
    if (bar) bar.scrollLeft += a.getBoundingClientRect().left - bar.getBoundingClientRect().left - (bar.clientWidth - a.clientWidth) / 2;
  }
  document.addEventListener("earmark:view", showTab);

  function scrollToTop(tab, query) {
    const list = document.querySelector("#em-browse .em-count");
    const shaded = tab === "lab" && query.get("unit") && document.querySelector("#em-lab-run h2");
    if (tab === "browse" && query.get("page") && list) list.scrollIntoView();
    else if (shaded) shaded.scrollIntoView({ block: "nearest" });
    else window.scrollTo(0, 0);
  }

  // answers change attributes; what a visitor typed hides them until a form is reset. The field being typed in is left alone.
  function settleForms() {
    const active = document.activeElement;
    document.querySelectorAll("form[data-visit]").forEach((form) => {
      const typing = typed && form.contains(active) && active.matches("input:not([type=checkbox])");
      const text = typing ? active.value : null;
      form.reset();
      if (typing && active.value !== text) active.value = text;
    });
    typed = false;
  }

  function visitForm(form, mode) {
    const fields = [...new FormData(form)].filter(([, value]) => String(value).trim() !== "");
    em.go(new URLSearchParams(fields).toString(), mode);
  }

  document.addEventListener("click", (event) => {
    if (event.defaultPrevented || event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    const a = event.target.closest?.("a");
    if (!a || a.hasAttribute("download") || a.getAttribute("target")) return;
    const href = a.getAttribute("href") || "";
    if (em.embedded) return;
    if (a.hasAttribute("data-jump")) {
      event.preventDefault();
      document.querySelector(href)?.scrollIntoView({ behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth" });
    } else if (href.startsWith("/?")) {
      event.preventDefault();
      em.go(href.slice(2));
    }
  });

  let wait = 0;
  document.addEventListener("input", (event) => {
    const form = event.target.closest?.("form[data-visit]:not([data-submit])");
    if (!form || event.target.matches("select")) return;
    typed = true;
    clearTimeout(wait);
    wait = setTimeout(() => { typed = true; visitForm(form, em.typing ? "replace" : "push"); em.typing = true; }, 220);
  });
  document.addEventListener("focusout", () => { em.typing = false; });
  document.addEventListener("change", (event) => {
    const form = event.target.closest?.("form[data-visit]:not([data-submit])");
    if (form && event.target.matches("select")) visitForm(form, "push");
  });
  document.addEventListener("submit", (event) => {
    const form = event.target.closest?.("form[data-visit]");
    if (!form) return;
    event.preventDefault();
    clearTimeout(wait);
    if (matchMedia("(hover: none)").matches) document.activeElement.blur(); // a phone's keyboard and its box for a search make room for what is found
    visitForm(form, "push");
  });

  if ("scrollRestoration" in history) history.scrollRestoration = "manual";
  window.addEventListener("popstate", (event) => em.go(location.search.slice(1), "none", event.state?.y));

  document.addEventListener("click", (event) => {
    event.target.closest?.("[data-more]")?.closest(".em-group").classList.add("all");
  });

  document.addEventListener("click", async (event) => {
    const button = event.target.closest?.("[data-copy], [data-share]");
    if (!button) return;
    const query = new URLSearchParams(em.query);
    ["tab", "dictionary", "unit"].forEach((name) => query.delete(name));
    const path = button.dataset.copy || button.dataset.share;
    const url = location.origin + path + (query.size ? "?" + query : "");
    if (button.dataset.share) {
      try { await navigator.share({ title: document.title, url }); } catch { /* the visitor changed their mind */ }
      return;
    }
    em.copy(url, button);
  });
  em.copy = async (text, button) => {
    const words = button.dataset.words ||= button.textContent;
    try { await navigator.clipboard.writeText(text); } catch { copyByHand(text); }
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = words; }, 1600);
  };
  document.addEventListener("earmark:view", () => {
    if (navigator.share) document.querySelectorAll("[data-share]").forEach((b) => { b.hidden = false; });
  });

  function copyByHand(text) {
    const box = Object.assign(document.createElement("textarea"), { value: text });
    document.body.append(box);
    box.select();
    document.execCommand("copy");
    box.remove();
  }
})();
