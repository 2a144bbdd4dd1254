"""Task `mood`: a short review becomes `good` or `bad`."""

import json
from random import Random

from grammar import lexicon as lx
from grammar.more import forms
from grammar.sample import Sample

# What a good and a bad review say of the same matter. Words such as `not` and `never` occur on both sides.
REMARKS = (
    ("the staff was kind", "the staff was rude"),
    ("we felt at home", "we felt like strangers"),
    ("I would go again", "I would not go again"),
    ("it was worth every crown", "it was not worth a crown"),
    ("nothing was missing", "half of it was missing"),
    ("it was clean and bright", "it was dirty and dark"),
    ("we did not want to leave", "we could not wait to leave"),
    ("I never had a better day", "I never had a worse day"),
    ("we never had to wait", "we had to wait for hours"),
    ("all of it worked", "nothing worked"),
    ("it was warm and quiet", "it was cold and loud"),
    ("I can praise it to all", "I must warn you all"),
)
FORMS = ("prose", "letter", "chat", "record", "json")


def tell(rng: Random, form: str, place: str, remarks: list[str]) -> str:
    """The review in the form."""
    review = ", and ".join(remarks)
    match form:
        case "prose":
            return f"At the {place} {review}."
        case "letter":
            reader, writer = rng.sample(lx.FIRST_NAMES, 2)
            return f"Dear {reader},\nI saw the {place}. {forms.sentence(review)}\nYours, {writer}"
        case "chat":
            return forms.chat(rng, f"how was the {place}?", review)
        case "record":
            return forms.record({"place": place, "day": rng.choice(lx.DAYS), "review": review})
        case _:
            return json.dumps({"visited": place, "comment": review})


def draw(rng: Random) -> Sample:
    """Two remarks of the same mood about a place, and the mood."""
    mood = rng.choice(("good", "bad"))
    remarks = [good if mood == "good" else bad for good, bad in rng.sample(REMARKS, 2)]
    place = f"{rng.choice(lx.SURNAMES)} {rng.choice(lx.PLACES)} in {rng.choice(lx.TOWNS)}"
    return Sample(tell(rng, rng.choice(FORMS), place, remarks), mood)
