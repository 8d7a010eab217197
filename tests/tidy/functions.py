"""Finds the functions of a C++ file and their lengths by counting braces.

Comments, preprocessor lines and string, character and raw string literals are skipped; the layout is free.
"""

import re
from typing import NamedTuple


class Function(NamedTuple):
    name: str
    line: int  # of the signature; a template<...> before it does not count
    lines: int  # from the signature to the closing brace


TOKEN = re.compile(
    r"""
      //[^\n]*
    | /\*.*?\*/
    | ^[ \t]*\#(?:\\\n|[^\n])*
    | (?:u8|[uUL])?R"(?P<mark>[^()\s\\]*)\(.*?\)(?P=mark)"
    | "(?:\\.|[^"\\\n])*"
    | (?<![0-9A-Fa-f])'(?:\\.|[^'\\\n])+'
    """,
    re.VERBOSE | re.DOTALL | re.MULTILINE,
)


def without_text(source):
    """The source with comments, literals and preprocessor lines as spaces; line ends stay where they are."""
    return TOKEN.sub(lambda match: re.sub(r"[^\n]", " ", match.group()), source)


OPERATOR = re.compile(r"\boperator\s*(?:\(\s*\)|\[\s*\]|[^\w\s(]+)")
ATTRIBUTE = re.compile(r"\[\[[^\]]*\]\]|\balignas\s*\([^()]*\)|\b__attribute__\s*\(\(.*?\)\)")
PARENTHESES = re.compile(r"\([^()]*\)")
ANGLES = re.compile(r"<[^<>]*>")
SCOPE = re.compile(r"^(?:inline\s+)?(?:namespace|class|struct|union|enum|extern)\b|^(?:typedef|export)\s+\w+")
LABEL = re.compile(r"^(?:public|private|protected)\s*:(?!:)")


def blank(pattern, text, by="\x01"):
    """Blanks what matches, from the innermost brackets outwards; the length stays the same."""
    while True:
        changed = pattern.sub(lambda match: by * len(match.group()), text)
        if changed == text:
            return text
        text = changed


def declaration_of(head):
    """The declaration in head without access labels and template<...>: its offset and its text."""
    offset = 0
    while True:
        rest = head[offset:]
        offset += len(rest) - len(rest.lstrip())
        rest = head[offset:]
        label = LABEL.match(rest)
        if label:
            offset += label.end()
            continue
        if re.match(r"template\s*<", rest):
            depth = 0
            for at, character in enumerate(rest):
                depth += {"<": 1, ">": -1}.get(character, 0)
                if character == ">" and depth == 0:
                    break
            offset += at + 1
            continue
        return offset, rest


def opens(head):
    """What a brace after `head` opens: 'scope' (namespace, class), 'function' or 'value' (an initialiser)."""
    _, text = declaration_of(head)
    text = ATTRIBUTE.sub("", text)
    text = OPERATOR.sub(lambda match: "operator" + "_" * (len(match.group()) - 8), text)
    flat = blank(PARENTHESES, text)
    if SCOPE.match(text) and "\x01" not in blank(ANGLES, flat, by=" "):
        return "scope"
    if flat == text:  # no parentheses
        return "value"
    before = flat.rstrip()[-1:]
    if re.search(r"\x01\s*(?:noexcept\s*\x01*\s*)?:(?!:)", flat):  # initialisers, then the body
        return "function" if before in "\x01}" else "value"
    if "=" in blank(ANGLES, flat):  # a variable: its value, or a lambda's body
        return "function" if re.search(r"\]\s*(?:<[^<>]*>)?\s*(?:\x01|$)", flat) else "value"
    return "function"


def closing(text, at):
    """The offset of the brace that closes the one at `at`."""
    depth = 0
    for match in re.compile(r"[{}]").finditer(text, at):
        depth += 1 if match.group() == "{" else -1
        if depth == 0:
            return match.start()
    return len(text) - 1


NAME = re.compile(r"([\w:~]*operator\s*(?:\(\s*\)|[^\s(]+)|[\w:~]+)\s*\(")
VARIABLE = re.compile(r"(\w+)\s*=")


def name_of(declaration):
    declaration = ATTRIBUTE.sub("", declaration)
    variable = VARIABLE.search(declaration.split("(")[0])
    named = variable if variable and "operator" not in declaration else NAME.search(declaration)
    return named.group(1) if named else "?"


def functions(source):
    """The functions of a file. A lambda or a local class belongs to the function around it."""
    text = without_text(source)
    start = at = 0
    parentheses = 0
    while at < len(text):
        character = text[at]
        if character in "([":
            parentheses += 1
        elif character in ")]":
            parentheses -= 1
        elif character == ";" and parentheses == 0 or character == "}":
            start = at + 1
        elif character == "{":
            head = text[start:at]
            kind = "value" if parentheses else opens(head)
            if kind == "scope":
                start = at + 1
            else:
                end = closing(text, at)
                if kind == "function":
                    first = start + declaration_of(head)[0]
                    line = text.count("\n", 0, first) + 1
                    yield Function(name_of(text[first : at]), line, text.count("\n", first, end) + 1)
                    start = end + 1
                else:  # an initialiser: blanked, since the declaration continues after it
                    text = text[:at] + re.sub(r"[^\n]", " ", text[at:end]) + "\x01" + text[end + 1 :]
                at = end
        at += 1
