"""Task `triples`: one to four facts become a text that states them all."""

from dataclasses import dataclass
from random import Random

from grammar import lexicon as lx
from grammar.sample import Sample

# Subject kind -> relation -> how a predicate states it.
RELATIONS: dict[str, dict[str, str]] = {
    "person": {
        "job": "works as a {value}",
        "home": "lives in {value}",
        "birth year": "was born in {value}",
        "birthplace": "comes from {value}",
        "employer": "is employed by {value}",
        "instrument": "plays the {value}",
        "hobby": "enjoys {value}",
        "partner": "is married to {value}",
    },
    "firm": {
        "seat": "is based in {value}",
        "product": "makes {value}",
        "founder": "was founded by {value}",
        "founding year": "dates from {value}",
        "staff": "employs {value} people",
        "director": "is led by {value}",
    },
    "building": {
        "location": "stands in {value}",
        "architect": "was designed by {value}",
        "built in": "was built in {value}",
        "owner": "belongs to {value}",
        "rooms": "has {value} rooms",
        "opened by": "was opened by {value}",
    },
}
FORMS = (
    "{s} | {r} | {o}",
    "({s}, {r}, {o})",
    "{r} of {s}: {o}",
    "{s} -> {r} -> {o}",
    "<{s}> {r} = {o}",
)


@dataclass(frozen=True)
class Fact:
    """One relation of a subject."""

    kind: str
    subject: str
    relation: str
    value: str


def draw_value(rng: Random, relation: str) -> str:
    """A random value of a relation."""
    match relation:
        case "job":
            return rng.choice(lx.ROLES)
        case "home" | "birthplace" | "seat" | "location":
            return rng.choice(lx.TOWNS)
        case "birth year" | "founding year" | "built in":
            return rng.choice(lx.YEARS)
        case "employer":
            return lx.firm(rng)
        case "instrument":
            return rng.choice(lx.INSTRUMENTS)
        case "hobby":
            return rng.choice(lx.HOBBIES)
        case "product":
            return rng.choice(lx.GOODS)
        case "staff" | "rooms":
            return rng.choice(lx.NUMBERS)
        case _:
            return lx.person(rng)


def facts_about(rng: Random, kind: str, count: int) -> list[Fact]:
    """That many different facts about one subject of the kind."""
    subject = {"person": lx.person, "firm": lx.firm, "building": lx.building}[kind](rng)
    relations = rng.sample(list(RELATIONS[kind]), count)
    return [Fact(kind, subject, relation, draw_value(rng, relation)) for relation in relations]


def draw_facts(rng: Random, count: int) -> list[Fact]:
    """That many facts about one subject; a last one may be about a company or person named before."""
    facts = facts_about(rng, rng.choice(list(RELATIONS)), count)
    named = [fact for fact in facts[:-1] if fact.relation in ("employer", "founder", "architect", "owner")]
    if named and rng.random() < 0.5:
        about = "firm" if named[0].relation == "employer" else "person"
        relation = rng.choice(list(RELATIONS[about]))
        facts[-1] = Fact(about, named[0].value, relation, draw_value(rng, relation))
    return facts


def predicate(fact: Fact) -> str:
    """What the text says of the subject."""
    return RELATIONS[fact.kind][fact.relation].format(value=fact.value)


def topic(fact: Fact) -> str:
    """The subject as the text names it."""
    return f"The {fact.subject}" if fact.kind == "building" else fact.subject


def prose(facts: list[Fact]) -> str:
    """The facts in their order, two to a sentence as long as the subject stays."""
    sentences: list[str] = []
    rest = list(facts)
    while rest:
        fact, *rest = rest
        sentence = f"{topic(fact)} {predicate(fact)}"
        if rest and rest[0].subject == fact.subject:
            sentence += f" and {predicate(rest.pop(0))}"
        sentences.append(sentence + ".")
    return " ".join(sentences)


def draw(rng: Random) -> Sample:
    """Facts in one of the surface forms and the text that states them."""
    facts = draw_facts(rng, rng.choices((1, 2, 3, 4), (1, 4, 3, 2))[0])
    form, joint = rng.choice(FORMS), rng.choice(("\n", "; "))
    text = joint.join(form.format(s=fact.subject, r=fact.relation, o=fact.value) for fact in facts)
    return Sample(text, prose(facts))
