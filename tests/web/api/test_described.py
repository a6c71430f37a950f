"""The API is as it describes itself, whatever is sent to it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import positive_data_acceptance
from schemathesis.generation import GenerationMode

from distributor.access import SCOPES
from distributor.app import App
from distributor.web.site import site
from tests.web.visits import TOPICS, WEEKEND
from tests.workspace import Clock, opened, subscribe, workspace, write_article

EXAMPLES = 12  # of each operation


@contextmanager
def house() -> Iterator[App]:
    """A site with readers, an article and an edition that went out."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "house"
        clock = Clock()
        path = workspace(folder, newsletter=TOPICS, config=WEEKEND, database=f"sqlite:///{name}/db")
        with opened(path, clock) as app:
            app.scan()
            subscribe(app, *(f"reader{n}@example.org" for n in range(5)))
            write_article(folder, "ferry", published_at=clock())
            clock.go_on(hours=1)
            app.run_once()
            yield app


@pytest.mark.parametrize("room", ["articles", "lists", "subscribers", "campaigns", "events"])
def test_whatever_is_sent_is_answered_as_described(room: str):
    """No answer is a 5xx, and none has a status, header or shape that the description does not know."""
    with house() as app:
        described = schemathesis.openapi.from_asgi("/api/v1/openapi.json", site(app))
        token = {"Authorization": f"Bearer {app.add_token('all', SCOPES)}"}
        operations = [one.ok() for one in described.include(tag=room).get_all_operations()]  # type: ignore[union-attr]
        assert operations
        for operation in operations:
            for mode in GenerationMode:
                _sent(operation, mode, token)


def _sent(operation: Any, mode: GenerationMode, token: dict[str, str]) -> None:
    """Send what fits the description, or what does not, and look at each answer."""

    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        deadline=None,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def sent(case: Any) -> None:
        # What lists and topics there are is configuration, and no description of the API can say it.
        unfair = [] if case.method == "GET" else [positive_data_acceptance]
        case.call_and_validate(headers=token, excluded_checks=unfair)

    sent()
