"""Adding streams to a source's YAML file; all else in it, comments too, stays as it was written."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from headwater.errors import UsageError


def add_streams(path: Path, streams: Mapping[str, Mapping[str, Any]]) -> tuple[str, ...]:
    """Writes new streams at the end of the file's `streams:`; gives their names. Does nothing for none.

    Raises UsageError when `streams:` is written in one line (`{..}`), which can't be added to without writing it anew.
    """
    if not streams:
        return ()
    text = path.read_text()
    root = yaml.compose(text)
    assert isinstance(root, yaml.MappingNode)  # the project was loaded from it
    found = next((value for key, value in root.value if key.value == "streams"), None)
    lines = text.splitlines()
    if found is None:
        after, indent, head = len(lines), 2, ["streams:"]
    elif isinstance(found, yaml.MappingNode) and found.value and not found.flow_style:
        after, indent, head = _last_line(found), found.value[0][0].start_mark.column, []
    elif isinstance(found, yaml.ScalarNode):  # `streams:` with nothing behind it
        after, indent, head = found.start_mark.line + 1, 2, []
    else:
        raise UsageError(
            f"streams can't be added to {path.name}",
            expected="streams: with one stream a line",
            found="streams: {..}",
            hint="write it over several lines",
        )
    block = yaml.safe_dump({name: dict(definition) for name, definition in streams.items()}, sort_keys=False, allow_unicode=True, width=120)
    new = head + [" " * indent + line for line in block.splitlines()]
    path.write_text("\n".join([*lines[:after], *new, *lines[after:]]) + "\n")
    return tuple(streams)


def _last_line(node: yaml.Node) -> int:
    """How many lines of the file there are up to the end of the node's last value."""
    if isinstance(node, (yaml.MappingNode, yaml.SequenceNode)) and node.value and not node.flow_style:
        last = node.value[-1]
        return _last_line(last[1] if isinstance(last, tuple) else last)
    return node.end_mark.line + 1
