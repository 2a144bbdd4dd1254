"""Task `topic`: a short piece of news becomes one of four labels."""

import json
from random import Random

from grammar import lexicon as lx
from grammar.more import forms
from grammar.sample import Sample

# Label -> what is told. Every label has news of a person in a town and of two towns, so that names do not give it away.
NEWS: dict[str, tuple[str, ...]] = {
    "sport": (
        "{person} has won the rowing race in {town}",
        "{person} scored twice in the match at {town}",
        "{person} will train the young runners of {town}",
        "{person} swam across the river at {town} in record time",
        "the goalkeeper {person} leaves the club of {town}",
        "the match between {town} and {far} ended without a goal",
        "{town} has beaten {far} in the last minute",
        "the fencers of {town} lost to those of {far}",
    ),
    "business": (
        "{firm} sells more {goods} in {town} than last year",
        "{firm} will hire {number} workers in {town}",
        "{firm} must pay {amount} to its bank in {town}",
        "{firm} closes its factory in {town}",
        "{person} buys the shares of {firm}",
        "{person} of {town} asks the bank for a loan",
        "{goods} are cheaper in {town} than in {far}",
        "traders from {town} and {far} agreed on prices",
    ),
    "culture": (
        "{person} plays the {instrument} at the concert in {town}",
        "paintings by {person} hang in the museum of {town}",
        "the theatre of {town} shows a new play by {person}",
        "{person} reads poems in the library of {town}",
        "a film about {person} is on in {town}",
        "{person} has set a novel in {town}",
        "the choirs of {town} and {far} sing together",
        "{town} lends old statues to the gallery of {far}",
    ),
    "weather": (
        "{person} measured the hottest day of the year in {town}",
        "{person} has seen hail as big as eggs in {town}",
        "{person} expects frost in the valleys of {town}",
        "heavy rain moves from {town} to {far}",
        "deep snow lies between {town} and {far}",
        "it will be sunny in {town} and cloudy in {far}",
        "fog over {town} will reach {far} by noon",
        "the night in {town} was colder than in {far}",
    ),
}
FORMS = ("prose", "dated", "chat", "record", "json")


def tell(rng: Random, form: str, news: str) -> str:
    """The news in the form."""
    day = rng.choice(lx.DAYS)
    match form:
        case "prose":
            return forms.sentence(news)
        case "dated":
            return f"{day} - {forms.sentence(news)}"
        case "chat":
            return forms.chat(rng, rng.choice(("any news?", "what did you hear?")), news)
        case "record":
            return forms.record({"day": day, "news": news})
        case _:
            return json.dumps({"day": day, "text": news})


def draw(rng: Random) -> Sample:
    """A piece of news and its label."""
    label = rng.choice(list(NEWS))
    town, far = rng.sample(lx.TOWNS, 2)
    news = rng.choice(NEWS[label]).format(
        person=lx.person(rng),
        firm=lx.firm(rng),
        town=town,
        far=far,
        goods=rng.choice(lx.GOODS),
        number=rng.choice(lx.NUMBERS),
        amount=lx.amount(rng),
        instrument=rng.choice(lx.INSTRUMENTS),
    )
    return Sample(tell(rng, rng.choice(FORMS), news), label)
