"""Texts from outside without what nobody is to read in them: addresses of people, and our secrets."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterable
from urllib.parse import quote

SHORTEST = 4  # characters: a shorter secret hides nothing, and would black out half of every line


def without_addresses(text: str, *, own: Collection[str] = ()) -> str:
    """*text* with `<address>` for every mail address, but for the publisher's *own*."""

    def hide(found: re.Match[str]) -> str:
        return found[0] if found[0].strip("<>").lower() in own else "<address>"

    return _ADDRESS.sub(hide if own else "<address>", text)


# Begins only where a word begins, so that a long word is read once. `%40` and `\u0040` are how "@" is written
# in a URL and in JSON.
_ADDRESS = re.compile(
    r"""<?(?<![^\s@<>()\[\]{},;:"'\\])[^\s@<>()\[\]{},;:"'\\][^\s@<>()\[\]{},;:"\\]*"""
    r"""(?:@|%40|\\u0040)(?:[\w-]+(?:\.[\w-]+)*|\[[\w:.]+\])>?""",
    re.IGNORECASE,
)


def hiding(secrets: Iterable[str]) -> Callable[[str], str]:
    """What puts an ellipsis in the place of each secret, however it is written."""
    forms = {form for secret in secrets if len(secret) >= SHORTEST for form in _forms(secret)}
    if not forms:
        return lambda text: text
    known = re.compile("|".join(map(re.escape, sorted(forms, key=len, reverse=True))))
    return lambda text: known.sub("…", text)


def _forms(secret: str) -> tuple[str, ...]:
    """As it is, in an address, in JSON, and in Python's own words."""
    return secret, quote(secret, safe=""), json.dumps(secret)[1:-1], repr(secret)[1:-1]
