"""What is shipped for Prometheus and Grafana speaks of figures that there are, in a form that they take."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import Metric

from distributor import metrics
from distributor.measures import Measures
from tests.test_runbook import SECTIONS
from tests.workspace import Clock, opened, workspace

ROOT = Path(__file__).parent.parent
RULES = ROOT / "deploy/prometheus/alerts.yml"
DASHBOARD = ROOT / "deploy/grafana/dashboard.json"
PROMETHEUS = {"up"}  # what it makes itself
SUFFIXES = {"counter": ("_total",), "histogram": ("_bucket", "_count", "_sum"), "gauge": ("",)}


@pytest.fixture
def known(tmp_path: Path) -> dict[str, set[str]]:
    """Every name that can be asked for, with the labels it may have."""
    with opened(workspace(tmp_path), Clock()) as app:
        app.look()
        return {name: labels for family in Measures(app).collect() for name, labels in _names(family)}


def _names(family: Metric) -> Iterator[tuple[str, set[str]]]:
    labels = {label for sample in family.samples for label in sample.labels}
    for suffix in SUFFIXES.get(family.type, ("",)):
        yield family.name + suffix, labels


def rules() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"][0]["rules"]
    return found


def panels() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]
    return found


def expressions() -> list[str]:
    return [rule["expr"] for rule in rules()] + [t["expr"] for panel in panels() for t in panel["targets"]]


def asked_for(expression: str) -> set[str]:
    """The names of figures in an expression."""
    bare = re.sub(r'"[^"]*"|\{[^}]*\}|\[[^\]]*\]', "", expression)
    bare = re.sub(r"\b(by|without)\s*\([^)]*\)", "", bare)
    words = re.findall(r"[a-zA-Z_:][\w:]*(?!\w*\s*\()", bare)
    return {word for word in words if "_" in word or word in PROMETHEUS} - {"histogram_quantile"}


def test_every_figure_that_is_asked_for_exists(known: dict[str, set[str]]):
    """A figure that is renamed takes its rules and panels along."""
    asked = {name for expression in expressions() for name in asked_for(expression)}
    assert len(asked) > 30
    assert asked - known.keys() - PROMETHEUS == set()


def test_every_figure_of_the_work_is_shown_or_watched(known: dict[str, set[str]]):
    """What nobody looks at need not be counted, but for a few that explain the others."""
    asked = {name for expression in expressions() for name in asked_for(expression)}
    ours = {family.name for family in metrics.LOCAL.collect() if family.name.startswith("distributor_")}
    assert {name for name in ours if not any(one.startswith(name) for one in asked)} == set()


def test_the_rules_are_sound_and_explained():
    """Each has a name of its own, a patience, a weight, and a section of the runbook."""
    found = rules()
    assert len({rule["alert"] for rule in found}) == len(found) > 15
    for rule in found:
        assert set(rule) == {"alert", "expr", "for", "labels", "annotations"}
        assert re.fullmatch(r"\d+[mh]", rule["for"])
        assert rule["labels"]["severity"] in ("page", "warn")
        assert rule["annotations"]["summary"]
        assert rule["annotations"]["runbook"] == f"docs/runbook.md#{rule['alert'].lower()}"
        assert rule["alert"] in SECTIONS
        assert rule["expr"].count("(") == rule["expr"].count(")")


def test_the_dashboard_is_sound():
    """Every panel asks something, has its own number, and lies beside the others, not upon them."""
    found = panels()
    assert len({panel["id"] for panel in found}) == len(found)
    taken: set[tuple[int, int]] = set()
    for panel in found:
        assert panel["title"]
        assert panel["targets"]
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells


def test_prometheus_takes_the_rules():
    """As its own tool says, where it is installed."""
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed: the rules were not checked by it")
    done = subprocess.run(
        [promtool, "check", "rules", str(RULES)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
