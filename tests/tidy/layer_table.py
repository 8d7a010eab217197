"""Reads the table of layers in docs/architecture.md and the link lines in engine/CMakeLists.txt."""

import re
from typing import NamedTuple

DOCUMENT = "docs/architecture.md"
FIRST_HEADING = "layer of `engine/`"
CODE = re.compile(r"`([^`]+)`")


class Layer(NamedTuple):
    name: str
    line: int  # in the document
    layers: set  # layers that it may include, without itself
    headers: set  # single headers of other layers that it may also include
    libraries: set  # headers, or folders with a trailing /, that only this layer may include


def cells(text):
    return [cell.strip() for cell in text.strip().strip("|").split("|")]


def read(document):
    """The layers by name, lowest first; empty if the document has no such table."""
    table = {}
    inside = False
    for number, text in enumerate(document.read_text().splitlines(), start=1):
        row = cells(text) if text.startswith("|") else []
        if row and row[0] == FIRST_HEADING:
            inside = True
        elif not row:
            inside = False
        elif inside and CODE.fullmatch(row[0]):
            included = set(CODE.findall(row[1]))
            headers = {name for name in included if "/" in name}
            name = row[0].strip("`")
            table[name] = Layer(name, number, included - headers, headers, set(CODE.findall(row[2])))
    return table


def upward(table):
    """Yields (layer, a layer that it may include although that is not in a row above)."""
    above = set()
    for layer in table.values():
        for other in sorted(layer.layers - above):
            yield layer, other
        above.add(layer.name)


def linked(cmake):
    """For each layer with a link line: (line number, the layers that it reaches by links)."""
    direct = {}
    for number, text in enumerate(cmake.read_text().splitlines(), start=1):
        text = text.split("#")[0]
        if match := re.match(r"cpgring_layer\((\w+)([^)]*)\)", text):
            direct[match.group(1)] = (number, set(re.findall(r"\bcpgring_(\w+)", match.group(2))))
        elif match := re.match(r"\s*add_library\(cpgring_(\w+) SHARED (.*_all_objects.*)", text):
            direct[match.group(1)] = (number, set(re.findall(r"\bcpgring_(\w+)_all_objects", match.group(2))))
    reached = {}
    for name, (number, others) in direct.items():
        waiting, seen = list(others), set()
        while waiting:
            other = waiting.pop()
            if other not in seen:
                seen.add(other)
                waiting += direct.get(other, (0, set()))[1]
        reached[name] = (number, seen)
    return reached
