/* Copying from a text with marks gives the text: signs are not in it, and characters that the page only names are. */
(() => {
  const TEXT = ".em-text";

  const plain = (nodes) => {
    nodes.querySelectorAll("[data-codes]").forEach((sign) => {
      sign.replaceWith(String.fromCodePoint(...sign.dataset.codes.split(" ").map((code) => parseInt(code, 16))));
    });
    return nodes.textContent;
  };

  document.addEventListener("copy", (event) => {
    const selection = getSelection();
    if (!selection.rangeCount || selection.isCollapsed || !event.clipboardData) return;
    const range = selection.getRangeAt(0);
    const within = range.commonAncestorContainer;
    if (!(within.nodeType === Node.ELEMENT_NODE ? within : within.parentElement)?.closest(TEXT)) return;
    event.clipboardData.setData("text/plain", plain(range.cloneContents()));
    event.preventDefault();
  });
})();
