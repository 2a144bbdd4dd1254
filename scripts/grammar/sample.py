"""What a task's grammar yields, and the rule that deals a sample to a share by the names in it."""

import hashlib
import re
from dataclasses import dataclass

from grammar.lexicon import PROPER

SHARES = ("train", "validation", "test")
_WORD = re.compile(r"[A-Za-z]+")


@dataclass(frozen=True)
class Sample:
    """One instruction with its response."""

    instruction: str
    response: str


def combination(instruction: str) -> tuple[str, ...]:
    """The first two different names of people, companies' families or towns in the text, in order."""
    names = dict.fromkeys(word for word in _WORD.findall(instruction) if word in PROPER)
    return tuple(names)[:2]


def share_of(instruction: str) -> str:
    """The share that a text belongs to.

    Hashing the combination of names, not the text, keeps every combination in one share: a test row never pairs
    two names as a training row does, although each name alone is known.
    """
    digest = hashlib.sha256("|".join(combination(instruction)).encode()).digest()
    # 70% of the combinations are for training; the rest is what 150 and 250 rows a task need.
    return "train" if digest[0] < 180 else "validation" if digest[0] < 210 else "test"
