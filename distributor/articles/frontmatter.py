"""Front matter as Hugo reads it: TOML between `+++`, YAML between `---`, a JSON object, or none.

A byte-order mark, blank lines and an opening HTML comment may stand before it; line ends may be CRLF.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import rtoml
import yaml
from yaml._yaml import CParser

MAX_LENGTH = 256 * 1024  # bytes; longer is hostile, or no front matter
MAX_DEPTH = 100  # levels of nesting; deeper is hostile, and unsafe in libraries that recurse


class FrontMatterError(ValueError):
    """The front matter cannot be read; `line` is its place in the file, where that is known."""

    def __init__(self, reason: str, line: int | None = None) -> None:
        self.line = line
        super().__init__(reason)


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A content file in its two halves."""

    values: dict[str, Any]  # names in lower case; dates as their format has them
    source: str  # the front matter's own text
    first_line: int  # where `source` starts in the file
    body: bytes  # everything after the front matter
    body_line: int  # where `body` starts in the file

    def line_of(self, *names: str) -> int | None:
        """The line of the file where the last of *names* is set; None where it cannot be told."""
        line = None
        lines = self.source.splitlines()
        start = 0
        for name in names:
            setting = re.compile(rf"""[\s\[{{,.-]*["']?{re.escape(name)}["']?\s*[\]:=.]""", re.IGNORECASE)
            found = next((n for n in range(start, len(lines)) if setting.match(lines[n])), None)
            if found is None:
                break
            start, line = found, self.first_line + found
        return line


_BEFORE = re.compile(rb"(?:\xef\xbb\xbf|\s)*(?:<!--[^\n]*\n)?")
_FENCES = {b"+": (b"+++", "TOML"), b"-": (b"---", "YAML")}


def read_document(data: bytes) -> Document:
    """Split *data* and parse its front matter; a file without any has no values.

    Raises:
        FrontMatterError: it does not end, does not parse, or is not a table of names and values.
    """
    before = _BEFORE.match(data)
    start = before.end() if before else 0
    sign = data[start : start + 1]
    line = data.count(b"\n", 0, start) + 1
    if sign in _FENCES:
        return _fenced(data, start, line, *_FENCES[sign])
    if sign == b"{":
        return _json(data, start, line)
    return Document(values={}, source="", first_line=1, body=data, body_line=1)


def _fenced(data: bytes, start: int, line: int, fence: bytes, name: str) -> Document:
    if not data.startswith(fence, start):
        shown = fence.decode()
        raise FrontMatterError(
            f"starts with {shown[0]!r} but not with the line {shown} of front matter", line
        )
    end = data.find(b"\n" + fence, start + 3)
    if end < 0:
        raise FrontMatterError(f"the front matter has no second line {fence.decode()}", line)
    source = _decoded(data[start + 3 : end + 1], line)
    values = _toml(source, line) if name == "TOML" else _yaml(source, line)
    body = end + 1 + len(fence)
    return Document(
        values=_lowered(values),
        source=source,
        first_line=line,
        body=data[body:],
        body_line=line + source.count("\n"),
    )


def _decoded(source: bytes, line: int) -> str:
    if len(source) > MAX_LENGTH:
        raise FrontMatterError(f"the front matter is longer than {MAX_LENGTH // 1024} KiB", line)
    try:
        return source.decode()
    except UnicodeDecodeError as error:
        place = line + source.count(b"\n", 0, error.start)
        raise FrontMatterError("the front matter is not UTF-8 text", place) from error


def _toml(source: str, line: int) -> Any:
    try:
        return rtoml.loads(source)
    except (ValueError, OverflowError, RecursionError) as error:
        found = re.search(r"at line (\d+)", str(error))
        reason = re.sub(r"\s*at line \d+ column \d+.*", "", str(error), flags=re.DOTALL)
        raise FrontMatterError(
            f"the front matter is not TOML: {reason}", line + int(found[1]) - 1 if found else line
        ) from error


def _json(data: bytes, start: int, line: int) -> Document:
    text = data[start:].decode(errors="replace")
    try:
        values, end = json.JSONDecoder().raw_decode(text)
    except json.JSONDecodeError as error:
        raise FrontMatterError(
            f"the front matter is not JSON: {error.msg}", line + error.lineno - 1
        ) from error
    except (ValueError, RecursionError) as error:
        raise FrontMatterError(f"the front matter is not JSON: {error}", line) from error
    source = _decoded(data[start : start + len(text[:end].encode())], line)
    return Document(
        values=_lowered(values),
        source=source,
        first_line=line,
        body=data[start + len(source.encode()) :],
        body_line=line + source.count("\n"),
    )


def _lowered(values: Any) -> dict[str, Any]:
    """Hugo takes names in any letter case."""
    if values is None:
        return {}
    if not isinstance(values, Mapping):
        raise FrontMatterError("the front matter is not a table of names and values")
    return {str(name).lower(): value for name, value in values.items()}


def read_yaml(source: str) -> Any:
    """What *source* says, as Go's YAML libraries read it.

    Unlike PyYAML's own loaders: dates stay text, `yes` and `on` stay text (Hugo's versions disagree about
    them), and so do numbers with leading zeros.

    Raises:
        yaml.YAMLError, ValueError: it does not parse, nests too deeply, or refers to itself.
    """
    _refuse_depth(source)
    loader = _Loader(source)
    try:
        node = loader.get_single_node()
        return None if node is None else _Values().of(node)
    finally:
        loader.dispose()


def _yaml(source: str, line: int) -> Any:
    try:
        return read_yaml(source)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = line + mark.line if mark else line
        raise FrontMatterError(f"the front matter is not YAML: {error.problem}", place) from error
    except yaml.reader.ReaderError as error:
        place = line + source.count("\n", 0, error.position)
        raise FrontMatterError(f"the front matter is not YAML: {error.reason}", place) from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise FrontMatterError(f"the front matter is not YAML: {error}", line) from error


def _refuse_depth(source: str) -> None:
    """libyaml's composer recurses in C without a limit: a few thousand brackets would end the process."""
    if sum(map(source.count, "[{?-")) <= MAX_DEPTH * 10:
        return
    depth = 0
    for event in yaml.parse(source, Loader=yaml.CSafeLoader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > MAX_DEPTH:
            raise ValueError(f"it nests deeper than {MAX_DEPTH} levels")


class _Loader(CParser):
    """Parses without resolving: `_Values` decides what a plain word means."""

    def resolve(self, kind: type[yaml.Node], value: Any, implicit: Any) -> str:
        return ""

    def descend_resolver(self, parent: Any, index: Any) -> None: ...

    def ascend_resolver(self) -> None: ...

    def dispose(self) -> None: ...


_WORDS = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9_]{0,30})")
_FLOAT = re.compile(r"[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?")
_NUMBER_STARTS = frozenset("+-.0123456789")


class _Values:
    """Values of nodes, each made once however often an alias names it."""

    def __init__(self) -> None:
        self._made: dict[int, Any] = {}
        self._open: set[int] = set()

    def of(self, node: yaml.Node) -> Any:
        if isinstance(node, yaml.ScalarNode):
            return _scalar(node)
        known = id(node)
        if known in self._open:
            raise ValueError("an alias names the value it stands in")
        if known not in self._made:
            self._open.add(known)
            self._made[known] = self._collection(node)
            self._open.discard(known)
        return self._made[known]

    def _collection(self, node: yaml.Node) -> Any:
        if isinstance(node, yaml.SequenceNode):
            return [self.of(item) for item in node.value]
        made: dict[str, Any] = {}
        merged: list[dict[str, Any]] = []
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise ValueError(f"a name is not a word at line {key.start_mark.line + 1}")
            if key.value == "<<" and not key.style:
                inner = self.of(value)
                merged += [m for m in (inner if isinstance(inner, list) else [inner]) if isinstance(m, dict)]
            else:
                made[key.value] = self.of(value)
        for table in merged:
            made = {**table, **made}
        return made


def _scalar(node: yaml.ScalarNode) -> Any:
    text: str = node.value
    if node.style or (node.tag and node.tag.endswith("str")):
        return text
    if text in _WORDS:
        return _WORDS[text]
    if text[0] in _NUMBER_STARTS:
        if _INTEGER.fullmatch(text):
            return int(text.replace("_", ""))
        if _FLOAT.fullmatch(text):
            return float(text)
    return text
