/* Compare: where a unit's values are missing, the model is asked to take the sample; then the view is drawn once more. */
(() => {
  const em = window.earmark;
  let hear = null;
  let asked = ""; // what the model was last asked for: a sample that it cannot take is not asked for again and again

  function ask() {
    const figure = document.querySelector("#em-compare [data-hear]");
    if (em.tab !== "compare" || !figure || !hear) return;
    const { hear: sample, dictionary, other } = figure.dataset;
    const what = [sample, dictionary, other].join(" ");
    if (what === asked) return;
    asked = what;
    hear({ sample, dictionary, other });
  }

  em.compare = (element, watch, trigger) => {
    hear = trigger;
    const hearing = () => document.querySelector("#em-compare [data-hear] [data-hearing]");
    em.whenWaiting(element.closest("#em-compare-answer"), () => {
      if (hearing()) hearing().textContent = "The model did not get to it: something went wrong here. Try once more in a minute.";
    }, (words) => { if (hearing()?.firstChild) hearing().firstChild.textContent = `${words} `; });
    watch("value", () => {
      const sample = element.querySelector("[data-token]")?.dataset.token;
      const figure = document.querySelector("#em-compare [data-hear]");
      if (sample && figure?.dataset.hear === sample && em.tab === "compare") em.go(em.query.toString(), "replace");
      else if (figure && element.querySelector("[role=alert]")) figure.querySelector("[data-hearing]").textContent = figure.dataset.failed;
    });
    ask();
  };
  document.addEventListener("earmark:view", (event) => { if (event.detail.tab === "compare") ask(); else asked = ""; });
})();
