"""Whoever is woken finds what to do: the runbook has a section for everything that may be told."""

from __future__ import annotations

import re
from pathlib import Path

from distributor.watch import KINDS, SELDOM, STAYING

ROOT = Path(__file__).parent.parent
RUNBOOK = (ROOT / "docs/runbook.md").read_text(encoding="utf-8")
SECTIONS = set(re.findall(r"^#{2,3} (\S+)$", RUNBOOK, re.MULTILINE))


def test_every_kind_of_alert_has_its_section():
    """One heading for each, and each says something."""
    assert set(KINDS) <= SECTIONS
    assert set(KINDS) >= SELDOM | STAYING
    for kind in KINDS:
        words = RUNBOOK.split(f"\n## {kind}\n")[1].split("\n## ")[0]
        assert len(words.split()) > 10, kind


def test_every_alert_that_is_raised_is_of_a_known_kind():
    """An alert's key begins with its kind: a new one is cleared, counted and explained like the others."""
    sources = [file.read_text(encoding="utf-8") for file in (ROOT / "distributor").rglob("*.py")]
    watch = (ROOT / "distributor/watch.py").read_text(encoding="utf-8")
    keys = re.findall(r'yield \(\s*f?"(\w+)[ "]', watch)
    raised = re.findall(r'raise_alert\(\s*(?:db,\s*)?f?"(\w+) ', "".join(sources))
    assert len(raised) >= 5
    keys += raised
    assert len(keys) > 12
    assert set(keys) <= set(KINDS)
