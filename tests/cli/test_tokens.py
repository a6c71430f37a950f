"""Who may use the API, as a person at the command line gives and takes it."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from distributor.access import SCOPES
from distributor.cli import tokens
from tests.cli.conftest import Cli


def test_a_token_is_shown_once_and_kept_as_a_hash(cli: Cli, house: Path):
    """The token stands alone on standard output; the database has its SHA-256, and the token nowhere."""
    said = cli("tokens", "add", "shop", "--scope", "subscribers:write")
    assert (said.code, said.err) == (
        0,
        "Keep it now: it is not shown again. Whoever has it may do all of this.\n",
    )
    token = said.out.strip()
    assert re.fullmatch(r"dst_[A-Za-z0-9]{40}", token)
    kept = b"".join(file.read_bytes() for file in (house / "var").glob("distributor.db*"))
    assert token.encode() not in kept
    assert hashlib.sha256(token.encode()).digest() in kept


def test_tokens_are_listed_with_what_they_may_do(cli: Cli):
    """Both listings name each token, its scopes and its end, and neither the token nor its hash."""
    made = cli("tokens", "add", "shop", "--scope", "subscribers:write", "--expires", "2099-01-01", "--json")
    cli("tokens", "add", "desk", "--scope", "events:read", "--scope", "articles:read")
    [desk, shop] = cli("tokens", "list", "--json").document["tokens"]
    assert (desk["name"], desk["scopes"], desk["expires_at"], desk["used_at"]) == (
        "desk",
        ["articles:read", "events:read"],
        None,
        None,
    )
    assert shop["expires_at"] == made.document["expires_at"] == "2099-01-01T00:00:00Z"
    assert set(shop) == {"name", "scopes", "created_at", "expires_at", "used_at"}
    shown = cli("tokens", "list").out
    assert "subscribers:write" in shown
    assert "never" in shown
    assert made.document["token"] not in shown


def test_a_revoked_token_leaves_its_name(cli: Cli):
    """Revoking asks first; then the token is gone, and its name free."""
    cli("tokens", "add", "shop", "--scope", "events:read")
    said = cli("tokens", "revoke", "shop")
    assert said.code == 2
    assert "--yes" in said.err
    assert cli("tokens", "revoke", "shop", "--yes").out == "The token 'shop' is over.\n"
    assert cli("tokens", "list").out == "There is no token, so nobody can use the API.\n"
    assert cli("tokens", "revoke", "shop", "--yes").code == 2
    assert cli("tokens", "add", "shop", "--scope", "events:read").code == 0


def test_what_cannot_be_a_token_is_told(cli: Cli):
    """An unknown scope, a name that is taken or none, a date that is over: a sentence, and no token."""
    assert cli("tokens", "add", "shop", "--scope", "events:read").code == 0
    for words, code, told in (
        (["shop", "--scope", "events:read"], 1, "there is a token 'shop' already"),
        (["desk", "--scope", "everything"], 2, "there is no scope 'everything'; there are: articles:read"),
        (["desk", "--scope", "events:read", "--expires", "2020-01-01"], 1, "is over already"),
        ([" ", "--scope", "events:read"], 1, "a token's name has"),
        (["x" * 61, "--scope", "events:read"], 1, "a token's name has"),
        (["line\nbreak", "--scope", "events:read"], 1, "a token's name has"),
        (["desk"], 2, "--scope"),
    ):
        said = cli("tokens", "add", *words)
        assert (said.code, said.out) == (code, ""), words
        assert told in said.err
    assert len(cli("tokens", "list", "--json").document["tokens"]) == 1


def test_help_names_every_scope():
    """Whoever makes a token reads what it may be for."""
    assert {scope for scope in SCOPES if scope not in (tokens.add.__doc__ or "")} == set()
