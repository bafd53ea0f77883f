/* Waiting in the line for the model: what Gradio itself says when the line is full, or when something went wrong, is one word. */
(() => {
  window.earmark.whenRefused = (answer, tell) => {
    let failed = false;
    new MutationObserver(() => {
      const fails = Boolean(answer.querySelector(".wrap .error"));
      if (fails && !failed) tell();
      failed = fails;
    }).observe(answer, { childList: true, subtree: true });
  };
})();
