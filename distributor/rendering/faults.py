"""What is wrong with templates, before any reader is waiting for them."""

from __future__ import annotations

from collections.abc import Iterator

from jinja2 import Environment, TemplateSyntaxError

from distributor.errors import Problem


def faults(environment: Environment) -> Iterator[Problem]:
    """Every template of a kind that cannot be compiled, at its file and line."""
    for name in environment.list_templates():
        if not name.endswith(".j2"):
            continue
        try:
            environment.get_template(name)
        except TemplateSyntaxError as error:
            path = error.filename or error.name or name
            yield Problem(path=path, line=error.lineno, reason=error.message or "cannot be compiled")
        except (OSError, UnicodeDecodeError) as error:
            yield Problem(path=name, reason=f"cannot be read: {error}")
