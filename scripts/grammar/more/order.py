"""Task `order`: names in any order become the same names in alphabetical order."""

import json
from random import Random

from grammar import lexicon as lx
from grammar.more import forms
from grammar.sample import Sample

POOLS = (lx.FIRST_NAMES, lx.SURNAMES, lx.TOWNS, sorted(lx.PROPER))
PLACES = ("first", "second", "third", "fourth", "fifth")
FORMS = ("commas", "slashes", "numbered", "array", "record", "story", "question")


def tell(form: str, names: list[str]) -> str:
    """The names in the form."""
    match form:
        case "commas":
            return ", ".join(names)
        case "slashes":
            return " / ".join(names)
        case "numbered":
            return forms.numbered(names)
        case "array":
            return json.dumps(names)
        case "record":
            return forms.record(dict(zip(PLACES, names, strict=False)))
        case "story":
            return f"On the first page we read {names[0]}, then {', then '.join(names[1:])}."
        case _:
            return f"How do {forms.joined(names)} stand in the register?"


def draw(rng: Random) -> Sample:
    """Three to five names that are not yet in order, and the names in order."""
    names = rng.sample(rng.choice(POOLS), rng.randint(3, 5))
    # Of names that are in order already, the answer would be a mere copy.
    while names == sorted(names):
        rng.shuffle(names)
    return Sample(tell(rng.choice(FORMS), names), ", ".join(sorted(names)))
