"""What a provider said, as the ledger may keep it."""

from __future__ import annotations

import re

LONGEST = 300  # characters
LONGEST_READ = 20_000  # characters; with so many addresses in it that all of them matter, nobody reads it


def reason(told: object) -> str:
    """*told* on one line, printable and short, with nobody's address: only `subscribers` keeps those."""
    text = str(told)[:LONGEST_READ]
    if not text.isprintable():
        text = "".join(character if character.isprintable() else " " for character in text)
    return " ".join(_ADDRESS.sub("<address>", text).split())[:LONGEST]


# Begins only where a word begins, so that a long word is read once. `%40` and `\u0040` are how "@" is written
# in a URL and in JSON.
_ADDRESS = re.compile(
    r"""<?(?<![^\s@<>()\[\]{},;:"'\\])[^\s@<>()\[\]{},;:"'\\][^\s@<>()\[\]{},;:"\\]*"""
    r"""(?:@|%40|\\u0040)(?:[\w-]+(?:\.[\w-]+)*|\[[\w:.]+\])>?""",
    re.IGNORECASE,
)
