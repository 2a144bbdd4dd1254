"""For the API reference: the comment behind a field of a dataclass describes it (mkdocs.yml names this file)."""

import ast
import tokenize
from functools import cache
from io import StringIO
from pathlib import Path
from typing import Any

from griffe import Attribute, Docstring, Extension, ObjectNode


class FieldComments(Extension):
    """Gives an attribute of a class the comment on its line as docstring, if it has none."""

    def on_attribute_instance(self, *, node: ast.AST | ObjectNode, attr: Attribute, **kwargs: Any) -> None:
        """Called for every attribute that is found."""
        if attr.docstring is not None or attr.lineno is None or attr.parent is None or not attr.parent.is_class:
            return
        if comment := comments(Path(str(attr.filepath))).get(attr.endlineno or attr.lineno):
            text = comment[0].upper() + comment[1:]
            attr.docstring = Docstring(text if text.endswith(".") else f"{text}.", parent=attr)


@cache
def comments(file: Path) -> dict[int, str]:
    """Return the comments of a Python file by line, without those for tools."""
    tokens = tokenize.generate_tokens(StringIO(file.read_text(encoding="utf-8")).readline)
    found = {token.start[0]: token.string.lstrip("# ") for token in tokens if token.type == tokenize.COMMENT}
    return {line: text for line, text in found.items() if text and not text.startswith(("type:", "noqa", "fmt:"))}
