"""What this process counts of its own work, for Prometheus; what all processes did is in the tables.

Counted since the process began, as Prometheus wants it. Names of channels and providers are the publisher's
own, and the rest are words from this file, so there are never many.
"""

from __future__ import annotations

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
)

# Else each has a series beside it of when it began, which nobody asks for.
disable_created_metrics()  # type: ignore[no-untyped-call]
LOCAL = CollectorRegistry()
ProcessCollector(registry=LOCAL)

MINUTES = (0.5, 1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21_600, 86_400)  # as seconds
SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
MOMENTS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5)

PUBLISHED = Histogram(
    "distributor_publish_to_accepted_seconds",
    "From the moment at which the newest article of a message was first seen public to its acceptance.",
    ["channel", "provider"],
    buckets=MINUTES,
    registry=LOCAL,
)
DUE = Histogram(
    "distributor_due_to_accepted_seconds",
    "From the moment at which a campaign was due to the acceptance of a batch of it.",
    ["channel", "provider"],
    buckets=MINUTES,
    registry=LOCAL,
)
CALLS = Histogram(
    "distributor_call_seconds",
    "Calls to providers, tries within them together, by how they ended.",
    ["provider", "outcome"],
    buckets=SECONDS,
    registry=LOCAL,
)
RECIPIENTS = Counter(
    "distributor_recipients",
    "Recipients of calls to providers, by what came of it.",
    ["channel", "provider", "outcome"],
    registry=LOCAL,
)
LOOKS = Histogram(
    "distributor_look_seconds",
    "Looks at the site: scanning and planning.",
    ["outcome"],
    buckets=SECONDS,
    registry=LOCAL,
)
REQUESTS = Counter(
    "distributor_web_requests", "Requests to the web endpoint.", ["route", "status"], registry=LOCAL
)
ANSWERS = Histogram(
    "distributor_web_request_seconds",
    "From a request to its answer.",
    ["route"],
    buckets=MOMENTS,
    registry=LOCAL,
)
NOTIFICATIONS = Counter(
    "distributor_notifications", "Messages to the people named in [alerts].", ["outcome"], registry=LOCAL
)

ROUTES = frozenset(
    {
        *("webhooks", "api", "admin", "media", "archive", "subscribe", "confirm", "unsubscribe"),
        *("preferences", "healthz", "readyz", "metrics"),
    }
)


def route_of(path: str) -> str:
    """The beginning of a path that we know; whatever strangers ask for besides is one."""
    first = path.split("/", 2)[1] if path.startswith("/") else ""
    return first if first in ROUTES else "other"
