"""What counts as a word of a text, in any script, for ROUGE."""

import re
import unicodedata
from collections.abc import Callable

TOKENIZER = "unicode-2"
"""Name of these rules, which stands beside every score. 1 dropped symbols, and marks of letters that have no letter of
their own in Unicode."""

_ASCII_WORD = re.compile(r"[a-z0-9]+")
_WORD_OR_SIGNED = re.compile(r"(?<!\w)[+-]\d+|[^\W_]+")
_MINUS = str.maketrans({"\N{MINUS SIGN}": "-"})
# Scripts that put no spaces between words: each character is one.
_SPACELESS = re.compile(
    "[\u0e00-\u0eff\u0f00-\u0fff\u1000-\u109f\u1780-\u17ff\u1950-\u19df\u1a20-\u1aaf"  # Thai, Lao, Tibetan to Tai Tham
    "\u2e80-\u30ff\u3100-\u312f\u31a0-\u31bf\u31f0-\u31ff\u3400-\u9fff\ua000-\ua4cf"  # Han, Kana, Bopomofo, Yi
    "\uaa60-\uaa7f\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff]"
)
_FIRST_PICTOGRAPH = "\N{LEFTWARDS ARROW}"  # emoji and their like are symbols (So) from here on

Words = Callable[[str], list[str]]


def words_for(reference: str) -> Words:
    """Return how a reference and its answers are cut into words, so that an equal answer has equal words, and some.

    A reference with letters is cut into words, one with numbers alone into numbers with their signs, and any other into
    characters.
    """
    if any(char.isalpha() for char in reference):
        return words
    return _numbers if any(char.isdigit() for char in reference) else _characters


def words(text: str) -> list[str]:
    """Return the words of a text, lower-cased.

    Of ASCII text these are runs of letters and digits, as rouge-score has it. In other scripts marks belong to their
    letters, canonically equal texts have equal words (NFC), each character is a word where a script has no spaces, and
    so is each emoji.
    """
    text = _plain(text)
    if text.isascii():
        return _ASCII_WORD.findall(text)
    found: list[str] = []
    open_ = False  # whether the next letter belongs to the last word
    attached = False  # whether a mark does
    for char in text:
        kind = unicodedata.category(char)
        if kind[0] in "LN" and not _SPACELESS.match(char):
            if open_:
                found[-1] += char
            else:
                found.append(char)
            open_ = attached = True
        elif kind[0] in "LN" or (kind == "So" and char >= _FIRST_PICTOGRAPH):
            found.append(char)
            open_, attached = False, True
        elif kind[0] == "M" and attached:
            found[-1] += char
        elif kind != "Cf":  # joiners stand within words
            open_ = attached = False
    return found


def _numbers(text: str) -> list[str]:
    return _WORD_OR_SIGNED.findall(_plain(text).translate(_MINUS))


def _characters(text: str) -> list[str]:
    return [char for char in _plain(text) if not char.isspace()]


def _plain(text: str) -> str:
    return unicodedata.normalize("NFC", text).lower()
