/* Waiting for the model: what is told of it is said aloud, too, and what Gradio itself says when something went wrong is one word. */
(() => {
  const em = window.earmark;

  // refused: called when Gradio says that something went wrong; told: called with the words beside the bar as they change
  em.whenWaiting = (answer, refused, told = () => {}) => {
    let failed = false;
    let last = "";
    new MutationObserver(() => {
      const fails = Boolean(answer.querySelector(".wrap .error"));
      const words = answer.querySelector("[role=progressbar]")?.getAttribute("aria-label") || "";
      if (words && words !== last) { em.announce(words); told(words); }
      if (fails && !failed) refused();
      [failed, last] = [fails, words];
    }).observe(answer, { childList: true, subtree: true, attributeFilter: ["aria-label"] });
  };
})();
