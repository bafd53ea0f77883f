/* Texts with marks. Copying from one gives the text: signs are not in it, and characters that the page only names are. A click shows all of one. */
(() => {
  const TEXT = ".em-text";

  const plain = (nodes) => {
    nodes.querySelectorAll("[data-codes]").forEach((sign) => {
      sign.replaceWith(String.fromCodePoint(...sign.dataset.codes.split(" ").map((code) => parseInt(code, 16))));
    });
    return nodes.textContent;
  };
  window.earmark.plainText = plain;

  document.addEventListener("copy", (event) => {
    const selection = getSelection();
    if (!selection.rangeCount || selection.isCollapsed || !event.clipboardData) return;
    const range = selection.getRangeAt(0);
    const within = range.commonAncestorContainer;
    if (!(within.nodeType === Node.ELEMENT_NODE ? within : within.parentElement)?.closest(TEXT)) return;
    event.clipboardData.setData("text/plain", plain(range.cloneContents()));
    event.preventDefault();
  });

  document.addEventListener("click", (event) => {
    const text = event.target.closest?.(".em-passages:not(.whole) blockquote");
    if (text && getSelection().isCollapsed) text.closest(".em-passage").classList.toggle("open");
  });
  document.addEventListener("earmark:view", () => document.querySelectorAll(".em-passage.open").forEach((el) => el.classList.remove("open")));
})();
