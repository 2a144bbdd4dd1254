"""Task `paraphrase`: do two questions ask the same?"""

from random import Random

from grammar import lexicon as lx
from grammar.sample import Sample

# Topic -> relation -> wordings. Relations of a topic share their slots, so one can stand in for another.
QUESTIONS: dict[str, dict[str, tuple[str, ...]]] = {
    "place": {
        "opens": (
            "when does the {family} {place} in {town} open?",
            "from what time can one enter the {family} {place} in {town}?",
            "at what hour does the {family} {place} of {town} let people in?",
        ),
        "closes": (
            "when does the {family} {place} in {town} close?",
            "until what time can one stay in the {family} {place} in {town}?",
            "at what hour does the {family} {place} of {town} shut its doors?",
        ),
        "runs": (
            "who runs the {family} {place} in {town}?",
            "who is in charge of the {family} {place} in {town}?",
            "which person leads the {family} {place} of {town}?",
        ),
        "built": (
            "who built the {family} {place} in {town}?",
            "who was the builder of the {family} {place} in {town}?",
            "which person put up the {family} {place} of {town}?",
        ),
        "price": (
            "how much is a ticket for the {family} {place} in {town}?",
            "what does one pay to visit the {family} {place} in {town}?",
            "what is the price of entry to the {family} {place} of {town}?",
        ),
    },
    "event": {
        "date": (
            "when is the {family} {event} in {town}?",
            "on what day does {town} hold the {family} {event}?",
            "what is the date of the {family} {event} in {town}?",
        ),
        "winner": (
            "who won the {family} {event} in {town}?",
            "who came first at the {family} {event} in {town}?",
            "which person was the winner of the {family} {event} of {town}?",
        ),
        "guests": (
            "how many people came to the {family} {event} in {town}?",
            "how large was the crowd at the {family} {event} in {town}?",
            "how many guests did the {family} {event} of {town} have?",
        ),
        "reason": (
            "why was the {family} {event} in {town} called off?",
            "what stopped the {family} {event} in {town}?",
            "for what reason was there no {family} {event} in {town}?",
        ),
    },
    "person": {
        "job": (
            "what does {person} do for a living in {town}?",
            "what is the job of {person} in {town}?",
            "in {town}, what work does {person} do?",
        ),
        "home": (
            "where in {town} does {person} live?",
            "what is the address of {person} in {town}?",
            "in which street of {town} is the home of {person}?",
        ),
        "arrival": (
            "when did {person} move to {town}?",
            "since when has {person} been in {town}?",
            "in what year did {person} come to {town}?",
        ),
        "leaving": (
            "why did {person} leave {town}?",
            "for what reason did {person} move away from {town}?",
            "what made {person} go away from {town}?",
        ),
    },
    "firm": {
        "sells": (
            "how many {goods} does {firm} sell in {town}?",
            "what number of {goods} is sold by {firm} in {town}?",
            "in {town}, how many {goods} does {firm} bring to buyers?",
        ),
        "price": (
            "how much are the {goods} of {firm} in {town}?",
            "what do {goods} from {firm} cost in {town}?",
            "in {town}, what is the price of {goods} made by {firm}?",
        ),
        "staff": (
            "how many people make {goods} for {firm} in {town}?",
            "how many workers has {firm} for its {goods} in {town}?",
            "in {town}, how large is the team that makes {goods} at {firm}?",
        ),
    },
    "deal": {
        "owes": (
            "how much does {first} owe {second}?",
            "how much must {first} pay back to {second}?",
            "what is the debt that {second} can claim from {first}?",
        ),
        "gave": (
            "what did {first} give {second}?",
            "what did {second} get from {first} as a gift?",
            "which present came from {first} to {second}?",
        ),
        "taught": (
            "what did {first} teach {second}?",
            "what did {second} learn from {first}?",
            "which skill did {first} pass on to {second}?",
        ),
    },
}
LAYOUTS = ("{one}\n{two}", "1. {one}\n2. {two}", "Question 1: {one}\nQuestion 2: {two}", "{one} / {two}")
POOLS = {"place": lx.PLACES, "town": lx.TOWNS, "event": lx.EVENTS, "goods": lx.GOODS, "family": lx.SURNAMES}


def draw_slots(rng: Random) -> dict[str, str]:
    """The words that a question may need."""
    first, second = rng.sample(lx.FIRST_NAMES, 2)
    fixed = {name: rng.choice(pool) for name, pool in POOLS.items()}
    return fixed | {"person": lx.person(rng), "firm": lx.firm(rng), "first": first, "second": second}


def changed(rng: Random, slots: dict[str, str], wording: str) -> dict[str, str]:
    """The slots with one that the wording uses replaced; two people of a deal may also trade places."""
    name = rng.choice([name for name in slots if f"{{{name}}}" in wording])
    if name in ("first", "second"):
        if rng.random() < 0.3:
            return slots | {"first": slots["second"], "second": slots["first"]}
        return slots | {name: lx.other(rng, lx.FIRST_NAMES, slots["first"], slots["second"])}
    if name in ("person", "firm"):
        head, tail = slots[name].split()
        if name == "person":
            return slots | {name: f"{lx.other(rng, lx.FIRST_NAMES, head)} {tail}"}
        return slots | {name: f"{lx.other(rng, lx.SURNAMES, head)} {tail}"}
    return slots | {name: lx.other(rng, POOLS[name], slots[name])}


def draw(rng: Random) -> Sample:
    """Two questions and whether they ask the same; half of the pairs do."""
    slots = draw_slots(rng)
    topic = rng.choice(list(QUESTIONS))
    relations = QUESTIONS[topic]
    relation = rng.choice(list(relations))
    one, two = rng.sample(relations[relation], 2)
    same = rng.random() < 0.5
    other_slots = slots
    if not same:
        # As among real questions, half of the negatives have nothing in common. A near one may repeat the wording:
        # only its content tells.
        nearness = rng.random()
        if nearness < 0.5:
            unrelated = QUESTIONS[lx.other(rng, list(QUESTIONS), topic)]
            two, other_slots = rng.choice(unrelated[rng.choice(list(unrelated))]), draw_slots(rng)
        elif nearness < 0.7:
            two = rng.choice(relations[lx.other(rng, list(relations), relation)])
        else:
            two = rng.choice(relations[relation])
            other_slots = changed(rng, slots, two)
    pair = {"one": lx.fill(one, slots), "two": lx.fill(two, other_slots)}
    return Sample(rng.choice(LAYOUTS).format(**pair), "Yes" if same else "No")
