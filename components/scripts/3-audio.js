/* A sound of one's own: file, microphone or an example; then traces over its spectrogram. The token of the clip stays in this page. */
(() => {
  const em = window.earmark;
  const audio = (em.audio = {});
  const root = () => document.querySelector("#em-audio-form .em-own");
  const figure = () => document.querySelector("#em-audio-clip .em-ex.own");
  let send = null; // events of the form: bring, listen, forget
  let upload = null;
  let recorder = null; // { media, stream, timer }
  let drawn = ""; // dictionary:unit
  let polling = 0;
  let fresh = false; // the next view is the answer to a sound
  let shown = ""; // the corpus's clip in the last view
  let asked = ""; // dictionary:sample that the model has been asked to hear

  const keep = em.keeping("clip", "earmark-clip");
  const say = em.telling(root);
  const soon = em.soon(say);

  const view = () => new URLSearchParams(em.tab === "audio" ? em.query : em.last.audio || "tab=audio");

  // -- bringing ----------------------------------------------------------------------------------------------------------------

  audio.connect = (element, uploader, events) => {
    [upload, send] = [uploader, events];
    soon.ready();
  };

  document.addEventListener("change", (event) => {
    if (!event.target.matches?.("[data-file]")) return;
    const file = event.target.files[0];
    event.target.value = "";
    if (file) bring(file, file.name);
  });
  document.addEventListener("click", (event) => {
    const tried = event.target.closest?.("[data-try]");
    if (tried) soon(() => ask({ sample: tried.dataset.try }));
    if (event.target.closest?.("[data-record]")) { if (recorder) stopRecording(); else record(); }
  });
  em.dropping("#em-audio-form [data-drop]", (file) => bring(file, file.name));

  const dictionary = () => view().get("dictionary") || "";

  function ask(what) {
    say("");
    send.bring({ ...what, dictionary: dictionary() });
  }

  function bring(blob, name) {
    const most = Number(root().dataset.maxMb);
    if (blob.size > most * 1e6) { say(`That file has ${(blob.size / 1e6).toFixed(1)} MB; at most ${most} MB are taken. Cut it, or save it as mp3.`, true); return; }
    if (!blob.size) { say("That file is empty. Choose another one.", true); return; }
    soon(() => deliver(em.unnamed(blob, name)));
  }

  async function deliver(file) {
    say("Sending your sound …");
    try {
      const { path } = await upload(file);
      ask({ path });
    } catch {
      say("Your sound could not be sent. Check the connection and try once more.", true);
    }
  }

  async function record() {
    const button = root().querySelector("[data-record]");
    if (!navigator.mediaDevices?.getUserMedia || !window.MediaRecorder) { say("This browser does not record here. Choose a file instead.", true); return; }
    let stream;
    try { stream = await navigator.mediaDevices.getUserMedia({ audio: true }); } catch (error) {
      say(error.name === "NotFoundError" ? "No microphone was found. Choose a file instead." : "The microphone was not allowed. Allow it in the browser, or choose a file.", true);
      return;
    }
    const media = new MediaRecorder(stream);
    const pieces = [];
    const begun = performance.now();
    const most = Number(root().dataset.maxS);
    const tick = () => {
      const seconds = Math.floor((performance.now() - begun) / 1000);
      button.querySelector("[data-words]").textContent = `Stop · ${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
      if (seconds >= most) stopRecording();
    };
    media.ondataavailable = (event) => { if (event.data.size) pieces.push(event.data); };
    media.onstop = () => bring(new Blob(pieces, { type: media.mimeType }), /mp4/.test(media.mimeType) ? "r.m4a" : /ogg/.test(media.mimeType) ? "r.ogg" : "r.webm");
    media.start(1000);
    recorder = { media, stream, timer: setInterval(tick, 250) };
    button.classList.add("on");
    button.setAttribute("aria-pressed", "true");
    say("Recording. Press Stop when you are done.");
    tick();
  }

  function stopRecording() {
    if (!recorder) return;
    const { media, stream, timer } = recorder;
    recorder = null;
    clearInterval(timer);
    media.stop();
    stream.getTracks().forEach((track) => track.stop());
    const button = root()?.querySelector("[data-record]");
    if (!button) return;
    button.classList.remove("on");
    button.setAttribute("aria-pressed", "false");
    button.querySelector("[data-words]").textContent = "Record";
  }

  audio.answers = (element, watch) => {
    em.whenWaiting(element.closest("#em-audio-answer"), () => {
      say("Your sound was not taken: too many are waiting in line, or something went wrong here. Try once more in a minute.", true);
    });
    watch("value", () => {
      const { token, ticket, heard } = element.querySelector("[data-token], [data-ticket], [data-heard]")?.dataset || {};
      if (ticket) send.listen({ ticket, dictionary: dictionary() });
      if (heard && heard === view().get("sample") && em.tab === "audio") em.go(view().toString(), "replace");
      if (element.querySelector("[role=alert]")) { asked = ""; document.querySelector("#em-audio-hits [data-hear]")?.remove(); }
      if (!token) return;
      if (em.clip) send.forget({ clip: em.clip });
      keep(token);
      drawn = "";
      fresh = true;
      const query = view();
      query.delete("sample");
      if (["moment", "region"].includes(query.get("sort"))) ["sort", "at", "to"].forEach((name) => query.delete(name));
      if (em.tab === "audio") em.go(query.toString(), "replace"); else em.last.audio = query.toString();
    });
  };

  // -- the results -------------------------------------------------------------------------------------------------------------

  function draw(row) {
    const own = figure();
    if (!own || !row) return;
    drawn = `${em.query.get("dictionary")}:${row.dataset.unit}`;
    const [area, line] = ["area", "line"].map((name) => row.querySelector(`.em-mini .${name}`)?.getAttribute("d") || "");
    own.querySelector(".area").setAttribute("d", area);
    own.querySelectorAll(".halo, .line").forEach((path) => path.setAttribute("d", line));
    const peak = own.querySelector(".em-peak");
    peak.hidden = false;
    peak.style.left = `${row.dataset.marker}%`;
    own.querySelector("[data-drawn]").textContent = row.dataset.caption;
    document.querySelectorAll("#em-audio-hits .em-hit").forEach((other) => {
      other.classList.toggle("drawn", other === row);
      other.querySelector("[data-draw]")?.setAttribute("aria-pressed", String(other === row));
    });
  }

  function drawAgain() {
    const own = figure();
    if (!own) return;
    const rows = [...document.querySelectorAll("#em-audio-hits article.em-hit")];
    const same = rows.find((row) => `${em.query.get("dictionary")}:${row.dataset.unit}` === drawn);
    if (rows.length) draw(same || rows[0]);
    else {
      own.querySelectorAll(".em-plot path").forEach((path) => path.setAttribute("d", ""));
      own.querySelector(".em-peak").hidden = true;
      own.querySelector("[data-drawn]").textContent = "";
    }
    const query = view();
    const moment = ["moment", "region"].includes(query.get("sort")) ? query.get("at") || "0" : "";
    mark(moment, query.get("to") || moment);
  }

  // a moment, or the stretch from one to another, in seconds of the clip
  function mark(from, to, on = figure()) {
    if (!on.querySelector(".em-moment")) on.querySelector(".em-plot").append(Object.assign(document.createElement("i"), { className: "em-moment" }));
    const line = on.querySelector(".em-moment");
    const share = (seconds) => (100 * Number(seconds)) / Number(on.dataset.duration);
    line.hidden = from === "";
    line.style.left = `${share(from)}%`;
    line.style.width = `${share(to) - share(from)}%`;
    line.classList.toggle("stretch", to !== from);
  }

  // -- a stretch of any clip: press, drag, let go; or a word or phone below it -----------------------------------------------------

  let drag = null; // { plot, from, to } in seconds
  let dragged = false; // the pointer has just been let go after a drag
  const LEAST_S = 0.06;
  const PLOTS = "#em-audio-clip .em-plot, .em-ex[data-sample]:not([data-sample='']) .em-plot";

  function secondsAt(plot, x) {
    const box = plot.getBoundingClientRect();
    return Math.max(0, Math.min(0.9999, (x - box.left) / box.width)) * Number(plot.closest(".em-ex").dataset.duration);
  }

  // the units specific to a stretch: of the clip on this tab here, of any other clip on this tab, too
  function stretch(on, from, to) {
    const here = on === figure();
    const place = { tab: "audio", dictionary: on.closest("[data-dictionary]")?.dataset.dictionary || em.query.get("dictionary"), sample: on.dataset.sample };
    const query = here ? view() : new URLSearchParams(place);
    const mode = here && query.get("sort") === "region" ? "replace" : "push";
    query.set("sort", "region");
    query.set("at", Math.min(from, to).toFixed(3));
    query.set("to", Math.max(from, to).toFixed(3));
    em.go(query.toString(), mode);
  }

  document.addEventListener("pointerdown", (event) => {
    const plot = event.target.closest?.(PLOTS);
    dragged = false;
    drag = plot && event.button === 0 ? { plot, from: secondsAt(plot, event.clientX), to: null } : null;
  });
  document.addEventListener("pointermove", (event) => {
    if (!drag) return;
    const to = secondsAt(drag.plot, event.clientX);
    if (drag.to === null && Math.abs(to - drag.from) < LEAST_S) return;
    drag.to = to;
    mark(Math.min(drag.from, to), Math.max(drag.from, to), drag.plot.closest(".em-ex"));
  });
  document.addEventListener("pointercancel", () => { drag = null; });
  document.addEventListener("pointerup", () => { // a finger that was drawn along makes no click
    const done = drag;
    drag = null;
    dragged = Boolean(done && done.to !== null);
    if (dragged) stretch(done.plot.closest(".em-ex"), done.from, done.to);
  });
  document.addEventListener("click", (event) => {
    if (!dragged) return;
    dragged = false;
    event.stopImmediatePropagation(); // the end of a drag is no click on the picture
    event.preventDefault();
  }, true);
  document.addEventListener("click", (event) => {
    const span = event.target.closest?.(".em-ex .em-speech span");
    if (!span) return;
    const on = span.closest(".em-ex");
    const second = (Number(on.dataset.duration)) / 100;
    const from = parseFloat(span.style.left) * second;
    stretch(on, from, from + parseFloat(span.style.width) * second);
  });

  document.addEventListener("click", (event) => {
    const target = event.target;
    const plot = target.closest?.("#em-audio-clip .em-plot");
    if (plot) {
      const query = view();
      const mode = query.get("sort") === "moment" ? "replace" : "push";
      query.set("sort", "moment");
      query.set("at", secondsAt(plot, event.clientX).toFixed(3));
      query.delete("to");
      em.go(query.toString(), mode);
      return;
    }
    if (target.closest?.("[data-forget]")) {
      soon(() => {
        send.forget({ clip: em.clip });
        keep("");
        em.go(view().toString(), "replace");
      });
      return;
    }
    const row = target.closest?.("#em-audio-hits article.em-hit");
    if (!row) return;
    const from = target.closest("[data-from]");
    if (from) em.playFrom(figure(), Math.max(0, Number(from.dataset.from) - 0.25));
    if (from || !target.closest("a, button:not([data-draw])")) draw(row);
  });

  // how far the model is, and how many wait for it, told in a tab's own place for it, as long as somebody looks
  em.follow = async (root, tab) => {
    const place = root()?.querySelector("[data-model-state]");
    if (!place || em.tab !== tab) return;
    clearTimeout(polling);
    if (document.hidden) { polling = setTimeout(() => em.follow(root, tab), 5000); return; }
    try {
      const { state, text } = await fetch(root().dataset.model).then((r) => r.json());
      if (place.textContent !== text) { place.dataset.state = state; place.textContent = text; }
      polling = setTimeout(() => em.follow(root, tab), state === "loading" || state === "idle" ? 1200 : 5000);
    } catch { /* the next visit asks again */ }
  };

  document.addEventListener("earmark:view", (event) => {
    if (event.detail.tab !== "audio") { stopRecording(); return; }
    if (document.querySelector("#em-audio-clip [data-gone]")) keep("");
    else if (em.clip && !figure()) { em.go(view().toString(), "replace"); return; } // the page was loaded anew, and still has its clip
    const sample = document.querySelector("#em-audio-hits [data-hear]")?.dataset.hear;
    if (sample && asked !== `${dictionary()}:${sample}`) {
      asked = `${dictionary()}:${sample}`;
      soon(() => send.hear({ sample, dictionary: dictionary() }), true);
    } else if (!sample) asked = "";
    drawAgain();
    const named = view().get("sample") || "";
    if (fresh) figure()?.scrollIntoView({ block: "nearest" });
    else if (named && named !== shown) figure()?.scrollIntoView({ block: "start" }); // what was asked for, not the form above it
    [fresh, shown] = [false, named];
    em.follow(root, "audio");
  });
})();
