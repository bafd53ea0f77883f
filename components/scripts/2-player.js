/* Sound: one player for each example with a cursor on the picture, and montages of half seconds. One thing plays at a time. */
(() => {
  const em = window.earmark;
  const NO_FADE_CLICK_S = 0.012;
  const PAUSE_S = 0.14;
  let playing = null; // the figure that plays
  let latest = null; // the figure that played last
  let round = 0;
  let began = ""; // the sample that the playing figure showed when it began

  const parts = (figure) => ({ audio: figure.querySelector("audio"), cursor: figure.querySelector(".em-cursor"), button: figure.querySelector(".em-play") });

  function follow() {
    if (!playing) return;
    const { audio, cursor } = parts(playing);
    const share = audio.currentTime / Number(playing.dataset.duration);
    cursor.style.left = `${Math.min(100, 100 * share)}%`;
    requestAnimationFrame(follow);
  }

  function stop() {
    if (!playing) return;
    const { audio, button } = parts(playing);
    audio.pause();
    playing.classList.remove("playing");
    button.setAttribute("aria-pressed", "false");
    playing = null;
  }

  function play(figure, from) {
    stop();
    montageStop();
    const { audio, button } = parts(figure);
    const src = audio.getAttribute("src");
    playing = latest = figure;
    began = figure.dataset.sample;
    figure.classList.add("playing", "heard");
    button.setAttribute("aria-pressed", "true");
    audio.currentTime = from;
    // some players forget a place that was set before they knew the length
    audio.addEventListener("loadedmetadata", () => { if (Math.abs(audio.currentTime - from) > 0.02 && audio.currentTime < from) audio.currentTime = from; }, { once: true });
    audio.onended = () => { if (playing === figure) stop(); };
    audio.onerror = () => { if (playing === figure) { stop(); figure.classList.add("broken"); figure.title = "This sound could not be played."; } };
    audio.play().catch((error) => { if (playing === figure && audio.getAttribute("src") === src && error.name !== "AbortError") stop(); });
    requestAnimationFrame(follow);
  }

  const toggle = (figure) => (playing === figure ? stop() : play(figure, Number(figure.dataset.start)));

  document.addEventListener("click", (event) => {
    const plot = event.target.closest?.(".em-plot");
    const button = event.target.closest?.(".em-play");
    if (button) toggle(button.closest(".em-ex"));
    else if (plot) {
      const box = plot.getBoundingClientRect();
      const figure = plot.closest(".em-ex");
      play(figure, Math.max(0, Math.min(0.999, (event.clientX - box.left) / box.width)) * Number(figure.dataset.duration));
    }
  });

  // the figure that is asked for, else what plays or played last, else the first one shown
  em.toggle = (figure, shown) => toggle(figure || playing || (latest?.isConnected ? latest : shown));

  // -- montage: fetch, decode, and schedule the pieces one after the other ------------------------------------------------------

  let context = null;
  let montage = null; // { button, unit, pieces, nodes, timers }
  const decoded = new Map();

  async function decode(url) {
    if (!decoded.has(url)) {
      if (decoded.size > 60) decoded.delete(decoded.keys().next().value);
      decoded.set(url, fetch(url).then((r) => { if (!r.ok) throw new Error(r.status); return r.arrayBuffer(); }).then((b) => context.decodeAudioData(b)));
    }
    try { return await decoded.get(url); } catch (error) { decoded.delete(url); throw error; }
  }

  function montageStop() {
    round += 1;
    if (!montage) return;
    montage.nodes.forEach((node) => { try { node.stop(); } catch { /* had ended */ } });
    montage.timers.forEach(clearTimeout);
    show(-1);
    montage.button.classList.remove("playing", "loading");
    montage.button.setAttribute("aria-pressed", "false");
    montage = null;
  }

  function show(index) {
    if (!montage) return;
    montage.unit.querySelectorAll(".em-heard > q").forEach((q, i) => q.classList.toggle("now", i === index));
    const mark = montage.unit.querySelector(".em-strip > i");
    if (mark) { mark.style.left = `${index * 20}%`; mark.style.opacity = index < 0 ? 0 : 1; }
    montage.index = index;
  }

  async function montageStart(button) {
    stop();
    montageStop();
    const mine = round;
    context ??= new AudioContext();
    context.resume();
    montage = { button, unit: button.closest(".em-unit"), nodes: [], timers: [], index: -1, pieces: [] };
    button.classList.add("loading");
    button.setAttribute("aria-pressed", "true");
    try {
      const pieces = await fetch(button.dataset.montage).then((r) => { if (!r.ok) throw new Error(r.status); return r.json(); });
      const sounds = await Promise.all(pieces.map((p) => decode(p.url).catch(() => null)));
      if (round !== mine) return;
      let at = context.currentTime + 0.06;
      const begun = context.currentTime;
      pieces.forEach((piece, i) => {
        if (!sounds[i]) return;
        const length = Math.max(0.05, Math.min(piece.end_s, sounds[i].duration) - piece.start_s);
        const node = new AudioBufferSourceNode(context, { buffer: sounds[i] });
        const gain = new GainNode(context, { gain: 0 });
        gain.gain.setValueAtTime(0, at);
        gain.gain.linearRampToValueAtTime(1, at + NO_FADE_CLICK_S);
        gain.gain.setValueAtTime(1, at + length - NO_FADE_CLICK_S);
        gain.gain.linearRampToValueAtTime(0, at + length);
        node.connect(gain).connect(context.destination);
        node.start(at, piece.start_s, length);
        montage.nodes.push(node);
        montage.timers.push(setTimeout(() => show(i), (at - begun) * 1000));
        montage.pieces.push({ ...piece, at: at - begun, length });
        at += length + PAUSE_S;
      });
      if (!montage.nodes.length) throw new Error("no sound");
      button.classList.replace("loading", "playing");
      montage.timers.push(setTimeout(montageStop, (at - begun) * 1000));
      em.montage = { pieces: montage.pieces, context };
    } catch {
      if (round !== mine) return;
      montageStop();
      button.classList.add("broken");
      button.title = "These sounds could not be played.";
    }
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest?.("[data-montage]");
    if (!button) return;
    event.preventDefault();
    if (montage?.button === button) montageStop(); else montageStart(button);
  });

  // a new view: whatever played belongs to the old one, whose elements may have been given to other samples
  document.addEventListener("earmark:view", (event) => {
    if (!event.detail.n) return; // the first view: whatever plays began in it
    // a visitor's own clip plays on while its list is sorted anew
    const own = em.tab === "audio" && playing?.hasAttribute("data-own") && playing.dataset.sample === began ? playing : null;
    if (!own) { stop(); latest = null; }
    montageStop();
    document.querySelectorAll(".em-ex audio").forEach((audio) => { if (!audio.paused && !own?.contains(audio)) audio.pause(); });
    document.querySelectorAll(".em-cursor").forEach((cursor) => { if (!own?.contains(cursor)) cursor.style.left = ""; });
    // an element that was given another picture shows the old one until the new one is here
    document.querySelectorAll(".em-plot img, .em-strip img").forEach((img) => {
      if (img.complete) return;
      img.style.opacity = 0;
      img.onload = img.onerror = () => { img.style.opacity = ""; };
    });
  });
  em.playFrom = play;
  em.playing = () => playing && parts(playing).audio;
})();
