"""Runs the simulator until SIGTERM; its first line of output says where it listens."""

from __future__ import annotations

import asyncio
import gc
import json
import signal
import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path

from tests.simulator.ledger import Ledger
from tests.simulator.server import Connection, Simulator
from tests.simulator.smtp import Session

HOST = "127.0.0.1"


def main() -> None:
    parser = ArgumentParser(prog="python -m tests.simulator", description=__doc__)
    parser.add_argument("--host", default=HOST, help="the address on which it listens")
    parser.add_argument("--port", type=int, default=0, help="of HTTP; 0: any free one")
    parser.add_argument("--smtp-port", type=int, default=0)
    parser.add_argument("--log", type=Path, help="where every accepted message becomes a line")
    parser.add_argument("--fsync", action="store_true", help="each call's lines outlive a power cut")
    parser.add_argument("--count-only", action="store_true", help="for benchmarks: no log, no look-ups")
    parser.add_argument("--latency", type=float, default=0.0, metavar="SECONDS", help="of every answer")
    parser.add_argument("--with-parent", action="store_true", help="stop when standard input is closed")
    arguments = parser.parse_args()
    if bool(arguments.log) == arguments.count_only:
        parser.error("give either --log FILE or --count-only")
    asyncio.run(_serve(arguments))


async def _serve(arguments: Namespace) -> None:
    simulator = Simulator(Ledger(arguments.log, fsync=arguments.fsync), latency=arguments.latency)
    gc.freeze()
    gc.set_threshold(200_000)  # a call of a thousand makes ten thousand dicts that live for a millisecond
    loop, stopped = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    if arguments.with_parent:
        loop.add_reader(sys.stdin.fileno(), stopped.set)
    http = await loop.create_server(lambda: Connection(simulator), arguments.host, arguments.port)
    smtp = await loop.create_server(lambda: Session(simulator), arguments.host, arguments.smtp_port)
    where = {"port": http.sockets[0].getsockname()[1], "smtp_port": smtp.sockets[0].getsockname()[1]}
    print(json.dumps(where), flush=True)
    await stopped.wait()
    http.close()
    smtp.close()


if __name__ == "__main__":
    main()
