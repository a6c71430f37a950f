"""Make strings.json anew: `python -m tests.rendering.golden` (the same every time, but for new rules).

Strings by hand come first, then generated ones, each beside what every network counts of it by `rules.py`.
"""

from __future__ import annotations

import json
import random
import tomllib
from collections.abc import Iterator
from pathlib import Path

from tests.rendering import rules
from tests.rendering.golden.by_hand import BY_HAND

OF_A_KIND = 90  # generated strings
LONGEST = 700  # code points of one

FOLDER = Path(__file__).parent
WORDS = {
    kind: " ".join(lines).split(" ")
    for kind, lines in tomllib.loads((FOLDER / "words.toml").read_text(encoding="utf-8")).items()
}
KINDS = [kind for kind in WORDS if kind not in ("hosts", "paths")] + ["addresses"]


def main() -> None:
    said = dict.fromkeys(BY_HAND, "by hand")
    for kind, text in generated(random.Random(20261123)):
        said.setdefault(text, kind)
    lines = [
        json.dumps(
            {"kind": kind, "text": text, "counts": {name: of(text) for name, of in rules.COUNTS.items()}},
            ensure_ascii=True,
        )
        for text, kind in said.items()
    ]
    (FOLDER / "strings.json").write_text("[\n" + ",\n".join(lines) + "\n]\n", encoding="ascii")
    print(f"{len(lines)} strings")


def generated(chance: random.Random) -> Iterator[tuple[str, str]]:
    for kind in KINDS:
        for _ in range(OF_A_KIND):
            yield kind, one(chance, kind)[:LONGEST]


def one(chance: random.Random, kind: str) -> str:
    """Words of a *kind*, with others between them: as people write, or as a program mangles it."""
    parts = [
        word(chance, kind if chance.random() < 0.7 else chance.choice(KINDS))
        for _ in range(chance.choice((1, 2, 3, 5, 8, 13, 40)))
    ]
    between = chance.choice((" ", " ", " ", "", "\n", "\n\n", ", ", ". ", "、", "/", "(", ") "))
    return between.join(parts)


def word(chance: random.Random, kind: str) -> str:
    return address(chance) if kind == "addresses" else chance.choice(WORDS[kind])


def address(chance: random.Random) -> str:
    scheme = chance.choice(("https://", "https://", "http://", "HTTPS://", "", "gemini://", "ftp://", "//"))
    port = chance.choice(("", "", "", ":8443", ":80"))
    path = chance.choice(("", *WORDS["paths"]))
    much = "a" * chance.choice((0, 0, 0, 0, 25, 300))
    around = chance.choice(
        ("{}", "{}", "{}", "({})", "“{}”", "{}.", "{},", "<{}>", "「{}」", "[{}]", "{}。", "'{}'")
    )
    return around.format(scheme + chance.choice(WORDS["hosts"]) + port + path + much)


if __name__ == "__main__":
    main()
