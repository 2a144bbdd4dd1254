"""General text for pretraining: it knows the world and its languages, and reads, copies, restates and compares.

A document never holds an instruction of a task together with its response: task-side text appears unpaired, and what
restates it or is compared in it is of this module's own grammar.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from random import Random

from grammar import dialogue, headline, triples
from grammar import lexicon as lx
from grammar.paraphrase import QUESTIONS, draw_slots
from grammar.sample import Sample
from grammar.statements import Fact
from grammar.tasks import training_samples

ALPACA_WORDS = (
    "Below is an instruction that describes a task. Write a response that appropriately completes the request."
)
PREAMBLES = (ALPACA_WORDS, "Here is a text with what belongs to it.", "From the papers of the town hall.", "Read on.")
HEADS = (
    ("Instruction", "Response"), ("Notes", "Report"), ("Text", "Record"), ("Source", "Extract"), ("First part", "Second part"),
)  # fmt: skip
PAIR_LAYOUTS = (
    "{one}\n{two}",
    "{one}\n\n{two}",
    "{head}: {one}\n{tail}: {two}",
    "### {head}:\n{one}\n\n### {tail}:\n{two}",
    "{preamble}\n\n### {head}:\n{one}\n\n### {tail}:\n{two}",
    "{preamble}\n\n### {head}:\n{one}\n\n### {tail}:\n{two}",
)
# Relation of a card -> how the general prose puts it.
CARD_PROSE = {
    "job": "by trade {s} is a {o}",
    "home": "the home of {s} is {o}",
    "birth year": "the birth of {s} was in {o}",
    "birthplace": "the birthplace of {s} is {o}",
    "employer": "the employer of {s} is {o}",
    "instrument": "the {o} is the instrument of {s}",
    "hobby": "the hobby of {s} is {o}",
    "partner": "the partner of {s} is {o}",
    "seat": "the seat of {s} is in {o}",
    "product": "the product of {s} is {o}",
    "founder": "it was {o} who founded {s}",
    "founding year": "the founding of {s} was in {o}",
    "staff": "the staff of {s} is {o} people",
    "director": "the director of {s} is {o}",
    "location": "the place to find {s} is {o}",
    "architect": "the architect of {s} was {o}",
    "built in": "the building of {s} was in {o}",
    "owner": "the owner of {s} is {o}",
    "rooms": "the rooms of {s} are {o}",
    "opened by": "it was {o} who opened {s}",
}
DIARY = (
    "Dear diary, on {said} I heard in {far} that {claim}.",
    "My neighbour {speaker} told me on {said} that {claim}.",
    "We talked about {town2} first. Then {speaker} from the {office} told us: {claim}.",
    "It is true that {claim}. I read it on {said} in {far}.",
)
MAIL = ('{name} wrote: "{way}"', 'Then {name} wrote: "{way}"', 'A line from {name}: "{way}"')
POOLS = (
    lx.FIRST_NAMES, lx.SURNAMES, lx.TOWNS, lx.FIRMS, lx.PLACES, lx.ROLES, lx.GOODS, lx.THINGS, lx.EVENTS, lx.DAYS,
    lx.MONTHS, lx.HOURS, lx.NUMBERS, lx.YEARS,
)  # fmt: skip
FIELD_NAMES = {"a": "one", "b": "two"}


def card_lines(kind: str, template: str, slots: dict[str, str]) -> str:
    """A card of what matters: the slots of a template in their order, each with its name."""
    names = [part.split("}")[0] for part in template.split("{")[1:]]
    return "\n".join(
        [f"Kind: {kind}", *(f"{FIELD_NAMES.get(name, name).capitalize()}: {slots[name]}" for name in names)]
    )


def event_and_card(rng: Random) -> tuple[str, str]:
    """A page of a diary about an event, and the event's card."""
    event = headline.draw_event(rng)
    slots = event.slots | {"claim": headline.clause(rng, event), "town2": rng.choice(lx.TOWNS)}
    return rng.choice(DIARY).format(**slots), card_lines(event.kind, headline.KINDS[event.kind][1], event.slots)


def letters_and_card(rng: Random) -> tuple[str, str]:
    """An exchange of letters about a plan, and the plan's card."""
    slots = dialogue.draw_slots(rng)
    kind = rng.choice(list(dialogue.KINDS))
    turns, summary = dialogue.KINDS[kind]
    said = [(slots[speaker], rng.choice(ways).format(**slots)) for speaker, ways in turns]
    if rng.random() < 0.4:
        said.insert(0, (slots["a"], rng.choice(dialogue.OPENERS).format(**slots)))
    text = "\n".join(rng.choice(MAIL).format(name=name, way=way) for name, way in said)
    return text, card_lines(kind, summary, slots)


def card_and_prose(rng: Random) -> tuple[str, str]:
    """A card about a person, company or building, and the same in general prose, or the other way round."""
    facts = triples.draw_facts(rng, rng.randint(1, 4))
    card, subject = "", ""
    for fact in facts:
        card += "" if fact.subject == subject else f"Name: {fact.subject}\n"
        card, subject = f"{card}{fact.relation.capitalize()}: {fact.value}\n", fact.subject
    told = [CARD_PROSE[fact.relation].format(s=fact.subject, o=fact.value) for fact in facts]
    prose = " ".join(f"{text[0].upper()}{text[1:]}." for text in told)
    pair = (card.rstrip(), prose)
    return pair if rng.random() < 0.7 else pair[::-1]


def passage_and_answers(rng: Random) -> tuple[str, str]:
    """A passage of statements, and questions with short answers copied from it."""
    facts = [Fact(rng) for _ in range(rng.randint(2, 5))]
    asked = rng.sample(facts, rng.randint(1, 2))
    answers = "\n".join(f"Q: {fact.ask(rng)}\nA: {fact.slots['value']}" for fact in asked)
    return " ".join(fact.say(rng) for fact in facts), answers


def comparison(rng: Random) -> tuple[str, str]:
    """Two notes, and whether they say the same, or what differs, or nothing is in common."""
    fact = Fact(rng)
    nearness = rng.random()
    if nearness < 0.45:
        one, two = (lx.fill(wording, fact.slots) + "." for wording in rng.sample(fact.wordings(), 2))
        verdict = "These two notes say the same."
    elif nearness < 0.75:
        one, two = fact.say(rng), Fact(rng).say(rng)
        verdict = "They have nothing in common."
    else:
        one = fact.say(rng)
        two, told = fact.differing(rng)
        verdict = f"They differ: {told}."
    return rng.choice(("{}\n{}", "First note: {}\nSecond note: {}", "{} / {}", "a) {}\nb) {}")).format(
        one, two
    ), verdict


def restated(rng: Random) -> tuple[str, str]:
    """A few statements, and the same statements in other words."""
    facts = [Fact(rng) for _ in range(rng.randint(1, 3))]
    return " ".join(fact.say(rng) for fact in facts), " ".join(fact.say(rng) for fact in facts)


PAIRS: dict[Callable[[Random], tuple[str, str]], int] = {
    event_and_card: 14,
    letters_and_card: 12,
    card_and_prose: 16,
    passage_and_answers: 8,
    comparison: 28,
    restated: 6,
}


def paired(rng: Random) -> str:
    """Two parts that belong together, in one of many layouts."""
    one, two = rng.choices(list(PAIRS), list(PAIRS.values()))[0](rng)
    head, tail = rng.choice(HEADS)
    layout = rng.choice(PAIR_LAYOUTS)
    return layout.format(one=one, two=two, head=head, tail=tail, preamble=rng.choice(PREAMBLES))


def comparisons(rng: Random) -> str:
    """Several comparisons one after the other."""
    return "\n\n".join("\n".join(comparison(rng)) for _ in range(rng.randint(2, 4)))


def question_list(rng: Random) -> str:
    """Questions in several wordings, sorted by what they ask."""
    slots = draw_slots(rng)
    relations = QUESTIONS[rng.choice(list(QUESTIONS))]
    groups = []
    for relation in rng.sample(list(relations), 2):
        wordings = rng.sample(relations[relation], 3)
        groups.append("\n".join([f"To learn about {relation}:", *(f"- {lx.fill(text, slots)}" for text in wordings)]))
    return "\n".join(groups)


def copy_probe(rng: Random) -> tuple[str, str]:
    """Names and words in random order with a call to tell them again, and the second telling."""
    pools: tuple[Callable[[], str], ...] = (
        lambda: lx.person(rng),
        lambda: rng.choice(lx.FIRST_NAMES),
        lambda: rng.choice(lx.TOWNS),
        lambda: lx.firm(rng),
        lambda: f"{rng.choice(lx.NUMBERS)} {rng.choice(lx.GOODS)}",
        lambda: rng.choice(lx.PLACES),
    )
    items = [rng.choice(pools)() for _ in range(rng.randint(3, 10))]
    joint = rng.choice((", ", "\n", " | ", "; ", " "))
    return f"{joint.join(items)}\nAgain:\n", joint.join(items)


def name_list(rng: Random) -> str:
    """A list told twice: what grows the circuits that copy."""
    return "".join(copy_probe(rng))


def drill(rng: Random) -> str:
    """A few words over and over: nothing but copying tells what comes next."""
    words = [rng.choice(rng.choice(POOLS)) for _ in range(rng.randint(4, 16))]
    return " ".join(words * (60 // len(words) + 1))


def recall(rng: Random) -> str:
    """Pairs of names, then some of the pairs once more in another order."""
    keys = rng.sample(lx.FIRST_NAMES, rng.randint(3, 7))
    pool = rng.choice((lx.TOWNS, lx.ROLES, lx.GOODS, lx.THINGS, lx.SURNAMES))
    pairs = [(key, rng.choice(pool)) for key in keys]
    again = rng.sample(pairs, len(pairs))
    first, second = rng.sample((": ", " | ", " - ", " -> ", " = "), 2)
    return "\n".join([first.join(pair) for pair in pairs] + [second.join(pair) for pair in again])


class Corpus:
    """An endless stream of general documents.

    A document is drawn again if it contains the text of a held-out row, or an instruction of a task with its response.
    `drills` is the share of documents that only teach to copy.
    """

    def __init__(self, rng: Random, held_out: list[str], drills: float = 0.02) -> None:
        self.rng = rng
        self.drills = drills
        self.samples = training_samples(rng)
        self.drawn: list[Sample] = []  # those that the document at hand quotes from
        self.held_out = TextFinder(text for text in held_out if text not in ("Yes", "No"))
        self.kinds: dict[Callable[[], str], int] = {
            lambda: paired(rng): 74,
            lambda: comparisons(rng): 12,
            lambda: question_list(rng): 4,
            lambda: name_list(rng): 6,
            lambda: recall(rng): 4,
            self.side: 14,
            self.echo: 6,
        }

    def sample(self) -> Sample:
        """A fresh sample of a task."""
        self.drawn.append(next(self.samples))
        return self.drawn[-1]

    def side(self) -> str:
        """An instruction or a response by itself; a few unrelated responses may stand together."""
        if self.rng.random() < 0.5:
            return self.sample().instruction
        return "\n".join(self.sample().response for _ in range(self.rng.randint(1, 3)))

    def echo(self) -> str:
        """A text of either side, and the same once more."""
        text = self.side()
        return f"{text}\n{self.rng.choice(('The same again:', 'Copy:', 'I repeat:'))}\n{text}"

    def document(self) -> str:
        """The next document."""
        while True:
            self.drawn.clear()
            if self.rng.random() < self.drills:
                return drill(self.rng)
            text = self.rng.choices(list(self.kinds), list(self.kinds.values()))[0]()
            if not any(holds_pair(text, sample) for sample in self.drawn) and not any(self.held_out.find(text)):
                return text


def holds_pair(document: str, sample: Sample) -> bool:
    """Whether a document holds an instruction and, outside it, its response."""
    rest = document.replace(sample.instruction, "")
    return rest != document and re.search(rf"(?<!\w){re.escape(sample.response)}(?!\w)", rest) is not None


class TextFinder:
    """Finds which of many texts a document contains; an index of their beginnings keeps that fast."""

    WIDTH = 12

    def __init__(self, texts: Iterable[str]) -> None:
        self.by_start: dict[str, list[str]] = {}
        for text in texts:
            self.by_start.setdefault(text[: self.WIDTH], []).append(text)

    def find(self, document: str) -> Iterator[str]:
        """The texts that the document contains."""
        for place in range(len(document)):
            for text in self.by_start.get(document[place : place + self.WIDTH], ()):
                if document.startswith(text, place):
                    yield text
