"""Markdown as Hugo's Goldmark reads it by default: CommonMark, GFM, footnotes and definition lists."""

from __future__ import annotations

import re

from markdown_it import MarkdownIt
from mdit_py_plugins.deflist import deflist_plugin
from mdit_py_plugins.footnote import footnote_plugin
from mdit_py_plugins.tasklists import tasklists_plugin

from distributor.articles import shortcodes

_ENGINE = (
    MarkdownIt("gfm-like", {"html": True, "linkify": True})
    .use(deflist_plugin)
    .use(footnote_plugin)
    .use(tasklists_plugin)
)
if _ENGINE.linkify is not None:
    # Goldmark makes links of addresses with a scheme only: "file.md" is no web site.
    _ENGINE.linkify.set({"fuzzy_link": False, "fuzzy_email": False})

_HEADING_ATTRIBUTES = re.compile(r"^( {0,3}#{1,6}[^\n]*?)[ \t]*\{[#.][^{}\n]*\}[ \t]*$", re.MULTILINE)
_BLOCK_ATTRIBUTES = re.compile(r"^\{[#.][^{}\n]*\}[ \t]*$", re.MULTILINE)
_BOX = re.compile(r'<input class="task-list-item-checkbox"([^>]*)>')


def to_html(text: str) -> str:
    """*text* as HTML, not sanitised; its shortcodes are dropped."""
    text = shortcodes.dropped(text).replace("\r\n", "\n")
    text = _BLOCK_ATTRIBUTES.sub("", _HEADING_ATTRIBUTES.sub(r"\1", text))
    made: str = _ENGINE.render(text)
    return _BOX.sub(lambda box: "☑" if "checked" in box[1] else "☐", made)
