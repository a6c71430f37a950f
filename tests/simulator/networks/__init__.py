"""Networks as their documentation describes them: they remember what was posted.

One module for each, with one class; nothing was tried against a live account.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from inspect import getmembers, isclass
from pkgutil import iter_modules

from tests.simulator.networks.network import Network, Posted

__all__ = ["NETWORKS", "Network", "Posted", "new_networks"]


def _classes() -> dict[str, type[Network]]:
    modules = [import_module(f"{__name__}.{found.name}") for found in iter_modules(__path__)]
    members = [member for module in modules for _, member in getmembers(module, isclass)]
    return {one.name: one for one in members if issubclass(one, Network) and one is not Network}


NETWORKS: Mapping[str, type[Network]] = _classes()


def new_networks() -> dict[str, Network]:
    """One of each, on which nothing was posted so far."""
    return {name: one() for name, one in NETWORKS.items()}
