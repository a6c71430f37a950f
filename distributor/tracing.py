"""Spans for OpenTelemetry, where somebody collects them; else nothing, and nothing is imported.

They are collected when `distributor[otel]` is installed and `OTEL_EXPORTER_OTLP_ENDPOINT` says where to, or
when whoever starts us has set OpenTelemetry up (`opentelemetry-instrument`). No span names a reader.
"""

from __future__ import annotations

import os
import sys
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from distributor import __version__
from distributor.logs import Log

log = Log(__name__)


def span(name: str, **about: str | int) -> AbstractContextManager[Any]:
    """Around a piece of work; its attributes begin with `distributor.`."""
    api = sys.modules.get("opentelemetry.trace")  # whoever collects spans has imported it
    if api is None:
        return nullcontext()
    attributes = {f"distributor.{key}": value for key, value in about.items()}
    own: AbstractContextManager[Any] = api.get_tracer("distributor", __version__).start_as_current_span(
        f"distributor {name}", attributes=attributes
    )
    return own


def export() -> None:
    """Send spans where the environment says, if it does."""
    if not os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT"):
        return
    try:
        from opentelemetry import trace
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        log.warning("no spans are sent", reason=str(error), remedy="pip install 'distributor[otel]'")
        return
    provider = TracerProvider(resource=Resource.create({"service.name": "distributor"}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
