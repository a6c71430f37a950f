"""Spans, for whoever collects them: where the time goes, and no reader."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from distributor.tracing import span
from tests.workspace import Clock, opened, subscribe, workspace, write_article

trace = pytest.importorskip(
    "opentelemetry.trace", reason="OpenTelemetry is not installed: no spans were made"
)
sdk = pytest.importorskip("opentelemetry.sdk.trace", reason="its SDK is not installed: no spans were made")


@pytest.fixture(scope="module")
def spans():
    """What was collected, by the one provider that a process may have."""
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    exporter = InMemorySpanExporter()
    provider = sdk.TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    return exporter


def test_a_whole_job_leaves_spans_and_no_reader_in_them(tmp_path: Path, spans):
    """A look with its plan, a rendition, what is frozen, and the call to the provider."""
    clock = Clock()
    with opened(workspace(tmp_path), clock) as app:
        app.look()
        subscribe(app, "ada@example.org")
        write_article(tmp_path, "ferry", published_at=clock())
        clock.go_on(days=1)
        app.look()
        app.deliver()
    found = {one.name: one for one in spans.get_finished_spans()}
    assert {
        "distributor look",
        "distributor plan",
        "distributor render",
        "distributor freeze",
    } <= found.keys()
    call = found["distributor call"].attributes
    assert (call["distributor.provider"], call["distributor.recipients"]) == ("outbox", 1)
    assert found["distributor render"].parent.span_id == found["distributor plan"].context.span_id
    assert "ada@" not in "".join(one.to_json() for one in spans.get_finished_spans())


def test_without_a_collector_a_span_is_nothing(tmp_path: Path):
    """And OpenTelemetry is not imported for it."""
    code = (
        "import sys\nfrom distributor.tracing import span, export\nexport()\n"
        "with span('look', channel='a') as it: assert it is None\n"
        "assert not [name for name in sys.modules if name.startswith('opentelemetry')]\n"
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OTEL")}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)


def test_an_error_leaves_the_span_as_it_came(spans):
    """What went wrong within is nobody else's."""
    with pytest.raises(ValueError, match="within"), span("look"):
        raise ValueError("within")
