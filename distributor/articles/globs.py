"""Which pages a path pattern of the site's configuration names: https://gohugo.io/configuration/cascade/"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from distributor.articles.permalinks import Place


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The `target` of a cascade or permalink rule; an empty pattern names everything."""

    path: str = ""
    kind: str = ""
    lang: str = ""
    environment: str = ""

    def names(self, place: Place) -> bool:
        """Whether the page at *place* is meant."""
        return (
            _matches(self.kind, "page")
            and _matches(self.lang, place.language.code)
            and _matches(self.environment, "production")
            # Hugo before 0.123 compared the file's path, later versions the page's.
            and (_matches(self.path, place.page) or _matches(self.path, "/" + place.path.lower()))
        )


def target_of(table: Any) -> Target:
    """The target a configuration table describes."""
    if not isinstance(table, dict):
        return Target()
    given = {str(name).lower(): str(value).lower() for name, value in table.items()}
    return Target(
        path=given.get("path", ""),
        kind=given.get("kind", ""),
        lang=given.get("lang", ""),
        environment=given.get("environment", ""),
    )


def _matches(pattern: str, text: str) -> bool:
    return not pattern or bool(_compiled(pattern).fullmatch(text))


_SIGNS = {"**": ".*", "*": "[^/]*", "?": "[^/]", "{": "(?:", "}": ")"}
_SIGN = re.compile(r"\*\*|[*?{},]|\[[^\]/]+\]|\\.|.", re.DOTALL)


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> re.Pattern[str]:
    """*pattern* as a regular expression; one that cannot be read matches nothing."""
    depth = 0
    parts = []
    for sign in _SIGN.findall(pattern):
        depth += (sign == "{") - (sign == "}")
        if sign == ",":
            parts.append("|" if depth else ",")
        elif sign[0] == "[" and len(sign) > 1:
            parts.append(sign.replace("[!", "[^"))
        else:
            parts.append(_SIGNS.get(sign) or re.escape(sign[-1]))
    try:
        return re.compile("".join(parts), re.DOTALL)
    except re.error:
        return re.compile(r"(?!)")
