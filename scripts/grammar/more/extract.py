"""Task `extract`: a text about a person or a company becomes its facts in one fixed form, the inverse of `triples`."""

import json
from random import Random

from grammar.more import forms
from grammar.sample import Sample
from grammar.triples import Fact, facts_about, predicate, prose

FORMS = ("prose", "clause", "bullets", "chat", "json")


def tell(rng: Random, form: str, facts: list[Fact]) -> str:
    """The facts about one subject, told in the form."""
    subject, told = facts[0].subject, [predicate(fact) for fact in facts]
    match form:
        case "prose":
            return prose(facts)
        case "clause":
            who = "who" if facts[0].kind == "person" else "which"
            return f"{subject}, {who} {forms.joined(told[1:])}, {told[0]}."
        case "bullets":
            return "\n".join([f"About {subject}", *(f"- {item}" for item in told)])
        case "chat":
            return forms.chat(rng, f"what of {subject}?", forms.joined(told))
        case _:
            return json.dumps({"name": subject, "note": ", ".join(told)})


def draw(rng: Random) -> Sample:
    """A text about a subject; the subject with what is said of it, in the order of the text."""
    facts = facts_about(rng, rng.choice(("person", "firm")), rng.choice((2, 2, 3)))
    form = rng.choice(FORMS)
    text = tell(rng, form, facts)
    # The clause tells its first fact last.
    ordered = [*facts[1:], facts[0]] if form == "clause" else facts
    return Sample(text, " | ".join([facts[0].subject, *(f"{fact.relation}: {fact.value}" for fact in ordered)]))
