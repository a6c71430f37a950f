"""What other programs were told, as a person at the command line sees and mends it."""

from __future__ import annotations

from pathlib import Path

from tests.cli.conftest import Cli
from tests.receiver import hook, receiver


def test_what_a_hook_did_not_take_is_told_again(cli: Cli, house: Path):
    """`hooks list` says how much was given up, and `retry` has it told; in JSON, too."""
    assert cli("hooks", "list").out == "There is no hook, so no other program is told anything.\n"
    config = house / "distributor.toml"
    with receiver() as crm:
        config.write_text(config.read_text() + hook(crm))
        newsletter = "morning" if "newsletters.morning" in config.read_text() else "daily"
        cli("subscribers", "add", "ada@example.org", "--newsletter", newsletter)
        crm.answer = lambda told: (410, {})
        cli("run", "--once")
        [listed] = cli("hooks", "list", "--json").document["hooks"]
        assert (listed["name"], listed["waiting"], listed["given_up"] > 0) == ("crm", 0, True)
        crm.answer = lambda told: (204, {})
        said = cli("hooks", "retry", "crm").out
        assert said.startswith(f"To be told again: {listed['given_up']} message")
        cli("run", "--once")
        assert "subscriber.subscribed" in crm.types
        assert "crm" in cli("hooks", "list").out
    assert cli("hooks", "retry", "nobody").code == 2
