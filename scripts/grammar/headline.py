"""Task `headline`: a news sentence becomes a short headline."""

from dataclasses import dataclass
from random import Random

from grammar import lexicon as lx
from grammar.sample import Sample

# Event kind -> (ways to tell it, its headline). Every clause reads well after "said that".
KINDS: dict[str, tuple[tuple[str, ...], str]] = {
    "opening": (
        (
            "{firm} will open a new {place} in {town} in {month}",
            "a new {place} in {town} will be opened by {firm} in {month}",
            "people in {town} will get a new {place}, which {firm} plans to open in {month}",
        ),
        "{firm} to open {place} in {town}",
    ),
    "closing": (
        (
            "the {place} in {town} has been closed because of {reason}",
            "{reason} has forced the {place} in {town} to close",
            "visitors must stay away from the {place} in {town}, closed since {day} because of {reason}",
        ),
        "{reason} closes {place} in {town}",
    ),
    "post": (
        (
            "{firm} has chosen {person} as its new {post}",
            "{person} will be the new {post} of {firm}",
            "the new {post} of {firm} will be {person}, who starts in {month}",
        ),
        "{person} named {post} of {firm}",
    ),
    "gift": (
        (
            "{person} has given {amount} to the {place} in {town}",
            "the {place} in {town} has received {amount} from {person}",
            "a gift of {amount} from {person} will help the {place} in {town}",
        ),
        "{person} gives {amount} to {town} {place}",
    ),
    "prize": (
        (
            "{person} has won the {prize} in {town}",
            "the {prize} in {town} has gone to {person}",
            "the judges in {town} have picked {person} as winner of the {prize}",
        ),
        "{person} wins {prize} in {town}",
    ),
    "jobs": (
        (
            "{firm} will hire {number} workers in {town}",
            "{number} new jobs will come to {town}, where {firm} is growing",
            "{town} can look forward to {number} new jobs at {firm}",
        ),
        "{firm} to create {number} jobs in {town}",
    ),
    "cuts": (
        (
            "{firm} will cut {number} jobs in {town}",
            "{number} workers in {town} will lose their jobs at {firm}",
            "because of {reason}, {firm} must let {number} workers in {town} go",
        ),
        "{firm} to cut {number} jobs in {town}",
    ),
    "recall": (
        (
            "{firm} has called back {number} {goods} sold in {town}",
            "{number} {goods} sold in {town} have been called back by {firm}",
            "buyers in {town} must return {number} {goods} made by {firm}",
        ),
        "{firm} recalls {number} {goods}",
    ),
    "delay": (
        (
            "the {event} in {town} has been put off to {day} because of {reason}",
            "because of {reason}, the {event} in {town} will now be held on {day}",
            "the {event} planned in {town} must wait until {day} after {reason}",
        ),
        "{town} {event} moved to {day}",
    ),
    "hurt": (
        (
            "{number} people were hurt by {reason} during the {event} in {town}",
            "{reason} during the {event} in {town} has left {number} people hurt",
            "{number} guests of the {event} in {town} needed a doctor after {reason}",
        ),
        "{number} hurt at {event} in {town}",
    ),
    "sale": (
        (
            "{person} has sold the {building} in {town} to {firm} for {amount}",
            "{firm} has paid {person} {amount} for the {building} in {town}",
            "the {building} in {town}, long held by {person}, has been bought by {firm} for {amount}",
        ),
        "{firm} buys {building} for {amount}",
    ),
    "leave": (
        (
            "{person} will step down as {post} of {firm} in {month}",
            "after many years {person} is leaving the post of {post} at {firm} in {month}",
            "{firm} must find a new {post}, since {person} will leave in {month}",
        ),
        "{person} to leave {firm} in {month}",
    ),
}
LEADS = (
    "{claim}, the {office} said on {said}.",
    "the {office} said on {said} that {claim}.",
    "{claim}, according to {speaker} of the {office}.",
    "{speaker} of the {office} said that {claim}.",
    "reports from the {office} say that {claim}.",
    "{claim}.",
)
TAILS = (
    "",
    "",
    " It was the talk of the day in {far}.",
    " {speaker} called it a surprise.",
    " More details are expected on {said}.",
    " The {office} in {far} gave no other details.",
)
DATELINES = ("", "{caps}, {said} - ", "{far} ({said}): ")


@dataclass(frozen=True)
class Event:
    """A thing that happened: its kind and all the words that it may need."""

    kind: str
    slots: dict[str, str]


def draw_event(rng: Random) -> Event:
    """A random event with every slot filled."""
    town = rng.choice(lx.TOWNS)
    far = lx.other(rng, lx.TOWNS, town)
    slots = {
        "firm": lx.firm(rng),
        "place": rng.choice(lx.PLACES),
        "town": town,
        "month": rng.choice(lx.MONTHS),
        "reason": rng.choice(lx.REASONS),
        "day": rng.choice(lx.DAYS),
        "person": lx.person(rng),
        "post": rng.choice(lx.POSTS),
        "amount": lx.amount(rng),
        "prize": rng.choice(lx.PRIZES),
        "number": rng.choice(lx.NUMBERS),
        "goods": rng.choice(lx.GOODS),
        "event": rng.choice(lx.EVENTS),
        "building": lx.building(rng),
        "far": far,
        "caps": far.upper(),
        "said": rng.choice(lx.DAYS),
        "speaker": lx.person(rng),
        "office": rng.choice(lx.OFFICES),
    }
    return Event(rng.choice(list(KINDS)), slots)


def clause(rng: Random, event: Event) -> str:
    """The event told in a clause, in one of its ways."""
    return rng.choice(KINDS[event.kind][0]).format(**event.slots)


def draw(rng: Random) -> Sample:
    """A news sentence and its headline."""
    event = draw_event(rng)
    lead = lx.fill(rng.choice(LEADS), event.slots | {"claim": clause(rng, event)})
    text = rng.choice(DATELINES).format(**event.slots) + lead + rng.choice(TAILS).format(**event.slots)
    return Sample(text, lx.fill(KINDS[event.kind][1], event.slots))
