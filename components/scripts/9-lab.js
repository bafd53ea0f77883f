/* The Lab: a form that trains, its losses while it does, and Stop. The token of what was trained stays in this page. */
(() => {
  const em = window.earmark;
  const EVERY_MS = 350;
  const NAMES = { total: "total", reconstruction: "reconstruction", sparsity: "L1", covariance: "covariance" };
  const lab = (em.lab = {});
  const root = () => document.querySelector("#em-lab-form .em-lab");
  const live = () => document.querySelector("#em-lab-answer .em-lab-live");
  let send = null; // events of the form: train, forget
  let upload = null;
  let path = ""; // of a sound that has been sent and waits to be trained on
  let ticket = ""; // of the training under way
  let polling = 0;
  let spoken = ""; // how far the training was when that was last read out
  let asked = ""; // the token with which a view was asked for again

  const keep = em.keeping("run", "earmark-run");
  const say = em.telling(root);
  const soon = em.soon(say);

  // -- the form ----------------------------------------------------------------------------------------------------------------

  lab.connect = (element, uploader, events) => {
    [upload, send] = [uploader, events];
    soon.ready();
  };

  const settings = (form) => Object.fromEntries([...new FormData(form)].filter(([name]) => name !== "sample"));

  document.addEventListener("submit", (event) => {
    const form = event.target.closest?.("form[data-lab]");
    if (!form) return;
    event.preventDefault();
    const text = form.querySelector("textarea")?.value;
    const sample = form.querySelector("[name=sample]:checked");
    const most = Number(root().dataset.maxCharacters);
    if (text !== undefined && !text.trim()) { say("Type or paste a text first.", true); return; }
    if (text?.length > most) { say(`The text has ${text.length.toLocaleString("en")} characters; at most ${most.toLocaleString("en")} are taken. Cut out the part you want.`, true); return; }
    if (text === undefined && (!sample || (!sample.value && !path && !em.run))) { say("Choose a clip, or a file of your own, first.", true); return; }
    say("");
    end();
    const own = text === undefined && !sample.value;
    const what = { fields: settings(form), text: text ?? "", sample: sample?.value || "", path: own ? path : "", run: own && !path ? em.run : "" };
    path = "";
    soon(() => send.train(what));
  });

  document.addEventListener("change", (event) => {
    const form = event.target.closest?.("form[data-lab]");
    if (!form) return;
    if (event.target.name === "kind") {
      const has = JSON.parse(event.target.dataset.has)[event.target.value];
      form.querySelectorAll("[data-of]").forEach((label) => { label.hidden = !has.includes(label.dataset.of); });
    }
    if (event.target.name === "model") { // another model may want a sound in place of a text
      const query = new URLSearchParams([["tab", "lab"], ...Object.entries(settings(form)).filter(([, value]) => value !== "")]);
      em.go(query.toString(), "push");
    }
    if (event.target.matches("[data-lab-file]")) {
      const file = event.target.files[0];
      event.target.value = "";
      if (file) bring(file);
    }
  });

  function bring(file) {
    const most = Number(root().dataset.maxMb);
    if (file.size > most * 1e6) { say(`That file has ${(file.size / 1e6).toFixed(1)} MB; at most ${most} MB are taken. Cut it, or save it as mp3.`, true); return; }
    if (!file.size) { say("That file is empty. Choose another one.", true); return; }
    soon(() => deliver(file));
  }

  async function deliver(file) {
    say("Sending your sound …");
    try {
      ({ path } = await upload(em.unnamed(file, file.name)));
      root().querySelector("[data-own-sound]").checked = true;
      root().querySelector("[data-own-name]").textContent = `Your own: ${file.name}`;
      say("");
    } catch {
      say("Your sound could not be sent. Check the connection and try once more.", true);
    }
  }

  // -- a training ----------------------------------------------------------------------------------------------------------------

  const address = (rest) => `/lab/training/${encodeURIComponent(ticket)}${rest}`;

  // whoever starts another one, or leaves, wants this one no longer
  function end() {
    clearTimeout(polling);
    if (ticket) navigator.sendBeacon(address("/stop?leave=1"));
    ticket = "";
  }
  window.addEventListener("pagehide", end);

  lab.answers = (element, watch) => {
    em.whenWaiting(element.closest("#em-lab-answer"), () => {
      say("Nothing was trained: too many are waiting in line, or something went wrong here. Try once more in a minute.", true);
    });
    watch("value", () => {
      const box = live();
      if (!box || box.dataset.ticket === ticket) return;
      ticket = box.dataset.ticket;
      document.querySelector("#em-tab-lab")?.classList.add("training");
      box.scrollIntoView({ block: "nearest" });
      follow(ticket);
    });
  };

  async function follow(mine) {
    clearTimeout(polling);
    let told;
    try {
      const response = await fetch(address(""));
      told = await response.json();
      if (!response.ok) told = { state: "failed", problem: told.error };
    } catch { told = { state: "lost" }; }
    const box = live();
    if (mine !== ticket || !box) return;
    draw(box, told);
    if (told.state === "done") { over(); arrive(told.token, box.dataset.query); return; }
    if (told.state === "failed" || told.state === "gone") { over(); say(told.problem || "The training was given up.", true); return; }
    polling = setTimeout(() => follow(mine), EVERY_MS);
  }

  function over() {
    ticket = "";
    document.querySelector("#em-tab-lab")?.classList.remove("training");
    live()?.replaceChildren();
  }

  function arrive(token, query) {
    keep(token);
    if (em.tab === "lab") em.go(query, em.query.toString() === query ? "replace" : "push"); else em.last.lab = query;
  }

  function draw(box, told) {
    const words = {
      waiting: told.before ? `Waiting for its turn: ${told.waits}` : "Waiting for its turn",
      reading: "The model is reading",
      training: `Step ${told.step} of ${told.n_steps}` + (told.left_s !== undefined ? `, ${Math.ceil(told.left_s)} s left` : ""),
      lost: "The page does not answer; trying again",
    };
    box.querySelector("[data-told]").textContent = words[told.state] || "";
    const far = `${told.state} ${Math.floor((4 * (told.step || 0)) / (told.n_steps || 1))}`;
    if (far !== spoken) em.announce(words[told.state] || "");
    spoken = far;
    if (told.step) box.querySelector("progress").value = told.step;
    if (!told.losses) return;
    const lines = Object.entries(told.losses).map(([name, line]) => [name, line.map((v) => (v > 0 ? Math.log10(v) : null))]);
    const all = lines.flatMap(([, line]) => line).filter((v) => v !== null);
    const [low, high] = [Math.min(...all), Math.max(...all)];
    const x = (i) => (100 * told.steps[i]) / Math.max(told.n_steps - 1, 1);
    const y = (v) => 97 - (94 * (v - low)) / (high - low || 1);
    const svg = box.querySelector("svg");
    svg.replaceChildren(...lines.map(([name, line]) => {
      const path = document.createElementNS("http://www.w3.org/2000/svg", "polyline");
      path.setAttribute("class", name);
      path.setAttribute("points", line.map((v, i) => (v === null ? "" : `${x(i).toFixed(2)},${y(v).toFixed(2)}`)).filter(Boolean).join(" "));
      return path;
    }));
    box.querySelector("[data-key]").replaceChildren(...Object.entries(told.losses).map(([name, line]) => {
      const item = Object.assign(document.createElement("span"), { className: name, textContent: ` ${NAMES[name]} ` });
      item.prepend(document.createElement("i"));
      item.append(Object.assign(document.createElement("small"), { textContent: line.at(-1).toPrecision(3) }));
      return item;
    }));
  }

  // loaded anew: the page knows the token, the address does not
  document.addEventListener("earmark:view", (event) => {
    if (event.detail.tab !== "lab" || !em.run || !root()?.hasAttribute("data-gone")) return;
    if (asked === em.run) { keep(""); return; }
    asked = em.run;
    em.go(em.query.toString(), "replace");
  });

  document.addEventListener("click", (event) => {
    if (event.target.closest?.("#em-lab-answer [data-stop]") && ticket) {
      fetch(address("/stop"), { method: "POST" });
      event.target.closest("[data-stop]").disabled = true;
    }
    const forget = event.target.closest?.("[data-forget-run]");
    if (forget) {
      soon(() => {
        send.forget({ run: forget.dataset.forgetRun });
        keep("");
        const query = new URLSearchParams(em.query);
        ["own", "unit"].forEach((name) => query.delete(name));
        setTimeout(() => em.go(query.toString(), "replace"), 150); // once it is forgotten
      });
    }
    const copy = event.target.closest?.("#em-lab-losses [data-copy-view]");
    if (copy) em.copy(location.origin + "/?" + em.query.toString(), copy);
  });
})();
