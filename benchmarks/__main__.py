"""Run benchmarks: all of them, or those that are named."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping

from rich.console import Console

from benchmarks import (
    beside,
    cli,
    delivery,
    digest,
    imports,
    latency,
    limits,
    networks,
    pictures,
    plan,
    report,
    scan,
    smtp,
    web,
)
from benchmarks.measure import Figure
from benchmarks.targets import TARGETS

BENCHMARKS: Mapping[str, Callable[[], Iterator[Figure]]] = {
    "scan": scan.figures,
    "digest": digest.figures,
    "pictures": pictures.figures,
    "cli": cli.figures,
    "import": imports.figures,
    "plan": plan.figures,
    "delivery": delivery.figures,
    "smtp": smtp.figures,
    "limits": limits.figures,
    "networks": networks.figures,
    "beside": beside.figures,
    "latency": latency.figures,
    "web": web.figures,
}


def main(names: list[str]) -> int:
    if unknown := [name for name in names if name not in BENCHMARKS]:
        print(f"there is no benchmark {unknown[0]!r}; there are {', '.join(BENCHMARKS)}", file=sys.stderr)
        return 2
    console = Console(width=None if sys.stdout.isatty() else 110)
    for name in names or BENCHMARKS:
        run(name, console)
    return 0


def run(name: str, console: Console) -> None:
    """Measure, show and keep one benchmark."""
    found: list[Figure] = []
    console.rule(name, align="left")
    with console.status("measuring") as status:
        for figure in BENCHMARKS[name]():
            found.append(figure)
            status.update(f"measured {figure.name}")
    report.show(console, found, TARGETS[name])
    report.write(name, found)
    forgotten = TARGETS[name].keys() - {figure.name for figure in found}
    assert not forgotten, f"nothing was measured for {forgotten}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
