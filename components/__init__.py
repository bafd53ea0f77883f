"""The page. Only this folder and app.py import gradio. TABS is the one list of tabs, in the page's order.

A tab is a module with NAME (as in an address), TITLE, `build(context)` -> its components, and `show(context, link)` -> what
they show for a link (`kept.Shown`). Where that depends on more than the link and the tables and is kept all the same, `also(context, link)` says on what.
"""

from . import about, audio, browse, compare, feature, find, health, lab, lists, text

TABS = (browse, feature, audio, text, lab, compare, health, about, find, lists)
