"""The page. Only this folder and app.py import gradio. TABS is the one list of tabs, in the page's order.

A tab is a module with NAME (as in an address), TITLE, `build(context)` -> its components, and `show(context, link)` -> their
values for a link and the document's title.
"""

from . import about, audio, browse, compare, feature, find, health, lab, lists, text

TABS = (browse, feature, audio, text, lab, compare, health, about, find, lists)
