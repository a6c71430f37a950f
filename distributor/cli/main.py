"""All commands under one name, and what is said when one of them fails."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from distributor import __version__
from distributor.cli import (
    articles,
    campaigns,
    db,
    demo,
    doctor,
    explain,
    export,
    hooks,
    plan,
    preview,
    run,
    send,
    setup,
    subscribers,
    tokens,
)
from distributor.cli.console import CONFIG, Commands, State, complain, complain_of

app = Commands(
    name="distributor",
    help="Carries what a Hugo site publishes to its readers: nobody gets it twice, nobody misses it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
app.command("init")(setup.init)
app.command("demo")(demo.demo)
app.command("check")(setup.check)
app.command("doctor")(doctor.doctor)
app.command("articles")(articles.articles)
app.command("preview")(preview.preview)
app.command("plan")(plan.plan)
app.command("send")(send.send)
app.command("post")(send.post)
app.add_typer(campaigns.app, name="campaigns")
app.add_typer(subscribers.app, name="subscribers")
app.add_typer(export.app, name="export")
app.add_typer(tokens.app, name="tokens")
app.add_typer(hooks.app, name="hooks")
app.command("explain")(explain.explain)
app.command("run")(run.run)
app.command("worker")(run.worker)
app.command("serve")(run.serve)
app.add_typer(db.app, name="db")


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"distributor {__version__}")
        raise typer.Exit


@app.callback()
def options(
    config: Annotated[
        Path, typer.Option("--config", "-c", envvar="DISTRIBUTOR_CONFIG", help="The configuration file.")
    ] = CONFIG,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say which.")
    ] = False,
) -> None:
    """Options that stand before any command."""
    State.config = config


def main() -> None:
    """Run the command line; a failure that was foreseen is a sentence, not a traceback."""
    from distributor.errors import ConfigError, DistributorError

    try:
        app(prog_name="distributor")
    except ConfigError as error:
        complain_of(error.problems)
        sys.exit(error.exit_code)
    except DistributorError as error:
        complain(f"distributor: {error}")
        sys.exit(error.exit_code)
    except OSError as error:
        complain(f"distributor: {error.filename or 'the system'}: {error.strerror or error}")
        sys.exit(1)
    except KeyboardInterrupt:
        complain("distributor: stopped; what was under way is taken up again by the next run")
        sys.exit(130)
