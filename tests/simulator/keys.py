"""Our own keys, found in whatever a vendor is sent."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

# `7-2-abcdef01`: campaign, recipient, installation. The edges keep it out of UUIDs, which could contain one.
KEY = re.compile(r"(?<![\w-])\d+-\d+-[0-9a-f]{8}(?![\w-])")
UUID = re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b")  # a batch's request key
LONGEST = 2000  # characters of a string in which a key is looked for: bodies are longer

Place = tuple[str | int, ...]


def keys_of(items: Sequence[object]) -> list[str]:
    """The delivery key of each message ("": none); where it is in the first, it is sought in the others."""
    if not items:
        return []
    place = _place(items[0])
    return [_at(item, place) or _anywhere(item) for item in items]


def request_key(*parts: object) -> str:
    """The key of the whole call, if it stands in any of *parts*; else "-"."""
    found = (UUID.search(text) for part in parts for _, text in _strings(part))
    return next((match[0] for match in found if match), "-")


def _place(item: object) -> Place | None:
    return next((place for place, text in _strings(item) if KEY.fullmatch(text)), None)


def _at(item: object, place: Place | None) -> str | None:
    if place is None:
        return None
    found: object = item
    for step in place:
        try:
            found = found[step]  # type: ignore[index]  # whatever is no such thing raises
        except (LookupError, TypeError):
            return None
    return found if isinstance(found, str) and KEY.fullmatch(found) else None


def _anywhere(item: object) -> str:
    """The key inside a longer string, as `<7-2-abcdef01@news.example>`, where none is one by itself."""
    found = (KEY.search(text) for _, text in _strings(item))
    return _at(item, _place(item)) or next((match[0] for match in found if match), "")


def _strings(value: object, place: Place = ()) -> Iterator[tuple[Place, str]]:
    """Every short string inside, and where it stands."""
    if isinstance(value, str):
        if len(value) <= LONGEST:
            yield place, value
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield from _strings(inner, (*place, name))
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from _strings(inner, (*place, number))
