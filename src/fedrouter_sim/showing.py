"""Text that is not ours, on its way to a terminal, a page or a message."""

import re

_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # controls, with which a terminal is told what to do; tab and line feed stay
    "\u061c\u200e\u200f\u202a-\u202e\u2028\u2029\u2066-\u2069"  # what turns the direction of reading, or ends a line
    "\ud800-\udfff]"  # half characters
)


def plain(text: str) -> str:
    r"""Return a text for a terminal or a page: what would steer either is written out, as \x1b or \u202e."""
    return _UNSEEN.sub(lambda found: _written_out(found[0]), text)


def shown(value: object, quote: str = "'", most: int = 60) -> str:
    """Return a value for a message: one line, cut where it is long, and nothing in it that steers a terminal."""
    text = value if isinstance(value, str) else str(value) if isinstance(value, int | float) else repr(value)
    text = plain(" ".join(text[: most + 1].split()) if text.strip() else text[: most + 1])
    text = text if len(text) <= most else f"{text[:most]}..."
    return f"{quote}{text}{quote}" if isinstance(value, str) else text


def _written_out(character: str) -> str:
    number = ord(character)
    return f"\\x{number:02x}" if number < 256 else f"\\u{number:04x}"
