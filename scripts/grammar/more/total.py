"""Task `total`: how many things two or three people have becomes their sum in words."""

import json
from random import Random

from grammar import lexicon as lx
from grammar.more import forms
from grammar.sample import Sample

UNITS = tuple("one two three four five six seven eight nine".split())
# WORDS[n] is the word for n; three numbers below ten add up to 27 at most.
WORDS = (
    "zero", *UNITS,
    *"ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen twenty".split(),
    *(f"twenty-{unit}" for unit in UNITS[:7]),
)  # fmt: skip
# `cheese`, `tea` and `paper` cannot be counted.
THINGS = [goods for goods in lx.GOODS if goods.endswith("s")]
FORMS = ("story", "question", "numbered", "chat", "record", "json")


def tell(form: str, goods: str, counts: dict[str, str]) -> str:
    """The counts of all people in the form."""
    people = list(counts)
    match form:
        case "story":
            first, *others = counts.items()
            more = [f"{name} adds {count}" for name, count in others]
            return forms.sentence(f"{first[0]} brings {first[1]} {goods}, then {', then '.join(more)}")
        case "question":
            shares = forms.joined([f"{name} has {count}" for name, count in counts.items()])
            return f"{shares}. How many {goods} have {forms.joined(people)}?"
        case "numbered":
            return forms.numbered(f"{name} - {count} {goods}" for name, count in counts.items())
        case "chat":
            return "\n".join(f"{name}: I have {count} {goods}" for name, count in counts.items())
        case "record":
            return forms.record({"goods": goods} | counts)
        case _:
            return json.dumps({"of": goods} | counts)


def draw(rng: Random) -> Sample:
    """Counts of the same goods, and their sum with the name of the goods."""
    people = rng.sample(lx.FIRST_NAMES, rng.choice((2, 3)))
    # From two on, so that the goods are always in the plural.
    numbers = [rng.randint(2, 9) for _ in people]
    goods = rng.choice(THINGS)
    counts = {name: WORDS[number] for name, number in zip(people, numbers, strict=True)}
    return Sample(tell(rng.choice(FORMS), goods, counts), f"{WORDS[sum(numbers)]} {goods}")
