"""What a provider said, as the ledger may keep it."""

from __future__ import annotations

from distributor.masking import without_addresses

LONGEST = 300  # characters
LONGEST_READ = 20_000  # characters; with so many addresses in it that all of them matter, nobody reads it


def reason(told: object) -> str:
    """*told* on one line, printable and short, with nobody's address: only `subscribers` keeps those."""
    text = str(told)[:LONGEST_READ]
    if not text.isprintable():
        text = "".join(character if character.isprintable() else " " for character in text)
    return " ".join(without_addresses(text).split())[:LONGEST]
