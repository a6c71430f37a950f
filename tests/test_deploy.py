"""What is shipped for servers: the unit, the image and the compose file, tried as far as they can be here."""

from __future__ import annotations

import fnmatch
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import rtoml
import yaml
from typer.main import get_command

from distributor.app import App
from distributor.cli.main import app as program
from distributor.config import load
from tests.workspace import mails, subscribe, workspace, write_article

ROOT = Path(__file__).parent.parent
DEPLOY = ROOT / "deploy"
UNIT = (DEPLOY / "distributor.service").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
OURS = {name: service for name, service in COMPOSE["services"].items() if name != "postgres"}
IMAGE = (DEPLOY / "Dockerfile").read_text()
NOBODY = 65534
PROGRAM = "from distributor.cli import main; main()"  # the program, without a script of a virtual environment


# --- systemd ---


def systemd_analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    tool = shutil.which("systemd-analyze")
    if tool is None:
        pytest.skip("systemd-analyze is not installed: the unit was not checked by it")
    return subprocess.run([tool, *arguments], capture_output=True, text=True, check=False)


def test_the_unit_is_sound(tmp_path: Path) -> None:
    """systemd reads it without a complaint."""
    unit = tmp_path / "distributor.service"
    command = next(line for line in UNIT.splitlines() if line.startswith("ExecStart="))
    unit.write_text(UNIT.replace(command, f"ExecStart={sys.executable} -m distributor run"))
    found = systemd_analyze("verify", "--man=no", "--recursive-errors=no", str(unit))
    assert (found.returncode, found.stderr) == (0, "")


def test_the_unit_is_exposed_to_little() -> None:
    """Of ten points of exposure, as systemd counts them, it has fewer than two."""
    found = systemd_analyze(
        "security", "--offline=true", "--threshold=20", "--no-pager", str(DEPLOY / "distributor.service")
    )
    assert found.returncode == 0, found.stdout


# --- compose and image ---


def test_every_service_runs_a_command_that_there_is() -> None:
    """The image's entry point and a service's command make a command line of ours."""
    known = get_command(program).commands  # type: ignore[attr-defined]
    assert re.search(r'^ENTRYPOINT \["distributor"\]$', IMAGE, re.MULTILINE)
    assert {service["command"][0] for service in OURS.values()} <= set(known)


def test_every_service_of_ours_may_do_little() -> None:
    """Nobody's user, no capabilities, and nothing written but the site's folder and /tmp."""
    for service in OURS.values():
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["tmpfs"] == ["/tmp"]
        assert service["user"].startswith("${OWNER")
    user = re.search(r"^USER (\d+):(\d+)$", IMAGE, re.MULTILINE)
    assert user
    assert int(user[1]) > 0


def test_only_this_machine_reaches_the_ports() -> None:
    """What is published is published to the loopback address; HTTPS stands in front."""
    published = [port for service in COMPOSE["services"].values() for port in service.get("ports", [])]
    assert published
    assert all(port.startswith("127.0.0.1:") for port in published)


def test_what_the_compose_file_asks_for_is_described() -> None:
    """docs/deploy.md has a line of .env for each variable."""
    asked = set(re.findall(r"\$\{(\w+)", (DEPLOY / "compose.yaml").read_text()))
    told = set(re.findall(r"^([A-Z_]+)=", (ROOT / "docs/deploy.md").read_text(), re.MULTILINE))
    assert asked == told


def test_the_image_has_what_it_is_built_of(tmp_path: Path) -> None:
    """What .dockerignore lets through makes a whole wheel, by the program that install.sh calls for it."""
    context = tmp_path / "src"
    for name in let_through():
        copy(ROOT / name, context / name)
    assert re.search(r"^RUN /src/deploy/install\.sh /opt/distributor$", IMAGE, re.MULTILINE)
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path / "dist")]
    subprocess.run(build, cwd=context, check=True, capture_output=True)
    [wheel] = (tmp_path / "dist").glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    for wanted in (
        "distributor/app.py",
        "subscribers/store.py",
        "distributor/templates/email/digest.mjml.j2",
    ):
        assert wanted in names
    assert any(name.startswith("distributor/examples/") for name in names)
    assert any(fnmatch.fnmatch(name, "distributor/store/migrations/versions/*.py") for name in names)


def let_through() -> list[str]:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    assert lines[0] == "*"
    return [line[1:] for line in lines if line.startswith("!")]


def copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copy(source, target)


def test_the_installer_refuses_what_it_does_not_know() -> None:
    """Without a folder, or with another word than --editable, it says how it is called."""
    for wrong in ([], ["x", "--edit"], ["x", "--editable", "y"]):
        found = subprocess.run([DEPLOY / "install.sh", *wrong], capture_output=True, text=True, check=False)
        assert (found.returncode, found.stdout) == (2, "")
        assert found.stderr.startswith("install.sh FOLDER [--editable]")


# --- as they are run ---


def unit_command() -> list[str]:
    [line] = re.findall(r"^ExecStart=(.*)$", UNIT, re.MULTILINE)
    return shlex.split(line)[1:]


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A site's folder with one reader, and a web endpoint on a free port."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    path = workspace(tmp_path / "site", newsletter='cadences = ["daily", "instant"]')
    path.write_text(path.read_text().replace("[web]\n", f'[web]\nlisten = "127.0.0.1:{port}"\n'))
    write_article(path.parent, "old", published_at=datetime(2026, 1, 1, tzinfo=UTC))
    return path.parent


def first_look(site: Path, environment: dict[str, str]) -> None:
    """What is old counts as known, one reader wants news at once, and there is some."""
    app = App(load(site / "distributor.toml", environment))
    app.open()
    app.scan()
    subscribe(app, "ada@example.org", cadence="instant")
    app.close()
    just_now = datetime.now(UTC) - timedelta(minutes=1)
    write_article(site, "bridge", published_at=just_now, distributor={"breaking": True})


@contextmanager
def running(
    commands: Sequence[Sequence[str]],
    site: Path,
    environment: dict[str, str],
    *,
    through: Sequence[str] = (),
) -> Iterator[list[subprocess.Popen[str]]]:
    """The program's commands in a site's folder, ended by SIGTERM as systemd and Docker end them."""
    started = [
        subprocess.Popen(
            [*through, sys.executable, "-c", PROGRAM, *command],
            cwd=site,
            env={"PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": str(ROOT)}
            | environment,
            stderr=subprocess.PIPE,
            text=True,
        )
        for command in commands
    ]
    try:
        yield started
        for process in started:
            process.send_signal(signal.SIGTERM)
        assert [process.wait(timeout=60) for process in started] == [0] * len(started)
    finally:
        for process in started:
            process.kill()
            process.communicate()


def wait_for_mail(site: Path, processes: list[subprocess.Popen[str]]) -> None:
    """Until the outbox has it; a minute at most."""
    until = datetime.now(UTC) + timedelta(minutes=1)
    while not mails(site) and datetime.now(UTC) < until:
        assert all(process.poll() is None for process in processes)


def healthcheck(site: Path) -> list[str]:
    """The compose file's own, asking the port of this site."""
    listen = rtoml.load(site / "distributor.toml")["web"]["listen"]
    [cmd, python, *rest] = OURS["daemon"]["healthcheck"]["test"]
    assert (cmd, python) == ("CMD", "python")
    return [sys.executable, *(word.replace("127.0.0.1:8080", listen) for word in rest)]


def test_the_units_command_writes_in_var_alone(site: Path) -> None:
    """A process without privileges, which owns `var` alone, sends the news, and ends well at SIGTERM."""
    powerless = [shutil.which("setpriv") or "", "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs"]
    if os.geteuid() != 0 or not powerless[0]:
        pytest.skip("not root, or no setpriv: the unit's command was not tried without privileges")
    first_look(site, {})
    outside = [site, *(path for path in site.rglob("*") if "var" not in path.parts)]
    for path in outside:
        os.chown(path, NOBODY, NOBODY)
    before = {path: path.stat().st_mtime_ns for path in outside}
    with running([unit_command()], site, {}, through=powerless) as processes:
        wait_for_mail(site, processes)
    assert [mail["To"] for mail in mails(site)] == ["ada@example.org"]
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_the_compose_files_commands_run_together(site: Path, postgres: str) -> None:
    """The daemon and its worker share a PostgreSQL; the health check agrees; one mail for one reader."""
    import psycopg

    host = postgres.rpartition("host=")[2]
    with psycopg.connect(f"postgresql://postgres:@/postgres?host={host}", autocommit=True) as admin:
        admin.execute("CREATE DATABASE composed")
    assert OURS["daemon"]["environment"]["DATABASE_URL"].startswith("postgresql+psycopg://")
    environment = {"DATABASE_URL": postgres.format(name="composed")}
    first_look(site, environment)
    with running([OURS[name]["command"] for name in ("daemon", "worker")], site, environment) as processes:
        wait_for_mail(site, processes)
        subprocess.run(healthcheck(site), check=True)
    assert [mail["To"] for mail in mails(site)] == ["ada@example.org"]
