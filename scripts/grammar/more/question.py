"""Task `question`: a statement becomes the question that it answers."""

import json
from random import Random

from grammar import lexicon as lx
from grammar.more import forms
from grammar.paraphrase import QUESTIONS
from grammar.sample import Sample
from grammar.statements import Fact

FORMS = ("prose", "quote", "chat", "record", "json")


def card(fact: Fact, wording: str) -> dict[str, str]:
    """What the question's wording names, and the value under the name of the relation."""
    named = {name: text for name, text in fact.slots.items() if f"{{{name}}}" in wording}
    return named | {fact.relation: fact.slots["value"]}


def tell(rng: Random, form: str, fact: Fact, wording: str) -> str:
    """The fact in the form."""
    match form:
        case "prose":
            return fact.say(rng)
        case "quote":
            return f'"{fact.say(rng)}" These are the words of {rng.choice(lx.FIRST_NAMES)}.'
        case "chat":
            return forms.chat(rng, rng.choice(("any news?", "what did you hear?")), fact.say(rng))
        case "record":
            return forms.record(card(fact, wording))
        case _:
            return json.dumps(card(fact, wording))


def draw(rng: Random) -> Sample:
    """A fact and its question, always in the first of the wordings that `paraphrase` has for it."""
    fact = Fact(rng)
    wording = QUESTIONS[fact.topic][fact.relation][0]
    return Sample(tell(rng, rng.choice(FORMS), fact, wording), lx.fill(wording, fact.slots))
