"""Statements about the world, each in several wordings: what the general text tells, compares and asks about."""

from random import Random

from grammar import lexicon as lx
from grammar.paraphrase import QUESTIONS, changed, draw_slots

# Topic -> relation -> (kind of value, wordings). Topics and relations are those of the questions.
STATEMENTS: dict[str, dict[str, tuple[str, tuple[str, ...]]]] = {
    "place": {
        "opens": (
            "hour",
            (
                "the {family} {place} in {town} opens at {value}",
                "from {value} one can enter the {family} {place} in {town}",
            ),
        ),
        "closes": (
            "hour",
            (
                "the {family} {place} in {town} closes at {value}",
                "until {value} one can stay in the {family} {place} in {town}",
            ),
        ),
        "runs": (
            "person",
            (
                "{value} runs the {family} {place} in {town}",
                "the {family} {place} in {town} is led by {value}",
                "in charge of the {family} {place} in {town} is {value}",
            ),
        ),
        "built": (
            "person",
            (
                "{value} built the {family} {place} in {town}",
                "the builder of the {family} {place} in {town} was {value}",
                "the {family} {place} in {town} was put up by {value}",
            ),
        ),
        "price": (
            "amount",
            (
                "a ticket for the {family} {place} in {town} is {value}",
                "to visit the {family} {place} in {town} one pays {value}",
                "the price of entry to the {family} {place} in {town} is {value}",
            ),
        ),
    },
    "event": {
        "date": (
            "day",
            (
                "the {family} {event} in {town} is on {value}",
                "{town} will hold the {family} {event} on {value}",
                "the date of the {family} {event} in {town} is {value}",
            ),
        ),
        "winner": (
            "person",
            (
                "{value} won the {family} {event} in {town}",
                "{value} came first at the {family} {event} in {town}",
                "the winner of the {family} {event} in {town} was {value}",
            ),
        ),
        "guests": (
            "number",
            (
                "{value} people came to the {family} {event} in {town}",
                "the crowd at the {family} {event} in {town} was {value}",
                "the {family} {event} of {town} had {value} guests",
            ),
        ),
        "reason": (
            "reason",
            (
                "the {family} {event} in {town} was called off because of {value}",
                "{value} stopped the {family} {event} in {town}",
                "there was no {family} {event} in {town}, the reason was {value}",
            ),
        ),
    },
    "person": {
        "job": (
            "role",
            (
                "{person} does the work of a {value} in {town}",
                "the job of {person} in {town} is {value}",
                "for a living {person} is a {value} in {town}",
            ),
        ),
        "home": (
            "street",
            (
                "{person} lives in {value} of {town}",
                "the address of {person} in {town} is {value}",
                "the home of {person} in {town} is in {value}",
            ),
        ),
        "arrival": (
            "year",
            (
                "{person} moved to {town} in {value}",
                "since {value} {person} has been in {town}",
                "{person} came to {town} in the year {value}",
            ),
        ),
        "leaving": (
            "excuse",
            (
                "{person} left {town} because of {value}",
                "{value} made {person} go away from {town}",
                "the reason for {person} to move away from {town} was {value}",
            ),
        ),
    },
    "firm": {
        "sells": (
            "number",
            (
                "{firm} sells {value} {goods} in {town}",
                "{value} {goods} are sold by {firm} in {town}",
                "buyers in {town} get {value} {goods} from {firm}",
            ),
        ),
        "price": (
            "amount",
            (
                "the {goods} of {firm} in {town} are {value}",
                "{goods} from {firm} cost {value} in {town}",
                "the price of {goods} made by {firm} in {town} is {value}",
            ),
        ),
        "staff": (
            "number",
            (
                "{value} people make {goods} for {firm} in {town}",
                "{firm} has {value} workers for its {goods} in {town}",
                "a team of {value} makes {goods} at {firm} in {town}",
            ),
        ),
    },
    "deal": {
        "owes": (
            "amount",
            (
                "{first} owes {second} {value}",
                "{first} must pay back {value} to {second}",
                "{second} can claim a debt of {value} from {first}",
            ),
        ),
        "gave": (
            "thing",
            (
                "{first} gave {second} a {value}",
                "{second} got a {value} from {first} as a gift",
                "a {value} came from {first} to {second} as a present",
            ),
        ),
        "taught": (
            "hobby",
            (
                "{first} taught {second} {value}",
                "{second} learned {value} from {first}",
                "{first} passed on {value} to {second}",
            ),
        ),
    },
}
STREETS = [
    f"{name} {kind}"
    for name in ("Mill", "Church", "Lake", "Rose", "Market", "Bridge")
    for kind in ("Street", "Lane", "Road")
]
VALUES = {
    "hour": lx.HOURS, "day": lx.DAYS, "number": lx.NUMBERS, "reason": lx.REASONS, "role": lx.ROLES, "street": STREETS,
    "year": lx.YEARS, "excuse": lx.EXCUSES, "thing": lx.THINGS, "hobby": lx.HOBBIES,
}  # fmt: skip


class Fact:
    """A statement that can be worded, asked about and changed."""

    def __init__(self, rng: Random) -> None:
        self.topic = rng.choice(list(STATEMENTS))
        self.relation = rng.choice(list(STATEMENTS[self.topic]))
        self.slots = draw_slots(rng)
        self.slots["value"] = self.draw_value(rng)

    def draw_value(self, rng: Random) -> str:
        """A value of the relation's kind."""
        kind = STATEMENTS[self.topic][self.relation][0]
        if kind == "person":
            return lx.person(rng)
        return lx.amount(rng) if kind == "amount" else rng.choice(VALUES[kind])

    def wordings(self, relation: str | None = None) -> tuple[str, ...]:
        """The wordings of this fact's relation or of another one of its topic."""
        return STATEMENTS[self.topic][relation or self.relation][1]

    def say(self, rng: Random) -> str:
        """The fact as a sentence."""
        return lx.fill(rng.choice(self.wordings()), self.slots) + "."

    def ask(self, rng: Random) -> str:
        """A question that the value answers."""
        return lx.fill(rng.choice(QUESTIONS[self.topic][self.relation]), self.slots)

    def differing(self, rng: Random) -> tuple[str, str]:
        """A sentence that says something else, and what differs."""
        wording = rng.choice(self.wordings())
        if rng.random() < 0.3:
            return self.other_relation(rng)
        things = {name: text for name, text in self.slots.items() if name != "value"}
        slots = self.slots | (changed(rng, things, wording) if rng.random() < 0.75 else {"value": self.draw_value(rng)})
        moved = [name for name in slots if slots[name] != self.slots[name]]
        if not moved:
            return self.differing(rng)
        told = " and ".join(f"{self.slots[name]} is not {slots[name]}" for name in moved)
        return lx.fill(wording, slots) + ".", told

    def other_relation(self, rng: Random) -> tuple[str, str]:
        """A sentence about another relation of the same things, and what differs."""
        twin = Fact(rng)
        twin.topic, twin.slots = self.topic, dict(self.slots)
        twin.relation = lx.other(rng, list(STATEMENTS[self.topic]), self.relation)
        twin.slots["value"] = twin.draw_value(rng)
        if STATEMENTS[self.topic][twin.relation][0] == STATEMENTS[self.topic][self.relation][0]:
            twin.slots["value"] = self.slots["value"]
        return twin.say(rng), f"{self.relation} is not {twin.relation}"
