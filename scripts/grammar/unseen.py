"""Two further skills in the same world, for which there are test rows only: `lookup` and `correct`."""

from random import Random

from grammar import headline
from grammar import lexicon as lx
from grammar.sample import Sample


def draw_lookup(rng: Random) -> Sample:
    """A small timetable with a question, and the answer."""
    towns = rng.sample(lx.TOWNS, rng.randint(3, 5))
    rows = [(town, rng.choice(lx.DAYS), rng.choice(lx.HOURS)) for town in towns]
    vehicle = rng.choice(("train", "bus", "boat"))
    town, day, hour = rng.choice(rows)
    table = "\n".join(f"{name} | {when} | {clock}" for name, when, clock in rows)
    question, answer = rng.choice(
        (
            (f"When does the {vehicle} to {town} leave?", f"It leaves on {day} at {hour}."),
            (f"On which day does the {vehicle} go to {town}?", f"The {vehicle} to {town} goes on {day}."),
            (f"At what hour is the {vehicle} to {town}?", f"The {vehicle} to {town} is at {hour}."),
        )
    )
    return Sample(f"to | day | hour\n{table}\n{question}", answer)


def draw_correct(rng: Random) -> Sample:
    """A sentence with a correction, and the corrected sentence."""
    event = headline.draw_event(rng)
    ways = headline.KINDS[event.kind][0]
    way = rng.choice(ways)
    pools = {
        "town": lx.TOWNS,
        "month": lx.MONTHS,
        "day": lx.DAYS,
        "place": lx.PLACES,
        "number": lx.NUMBERS,
        "post": lx.POSTS,
    }
    name = rng.choice([name for name in pools if f"{{{name}}}" in way])
    wrong = event.slots | {name: lx.other(rng, pools[name], event.slots[name])}
    notes = (
        "Correction: {right}, not {wrong}.",
        "Please put {right} in place of {wrong}.",
        "It should be {right}, not {wrong}.",
    )
    note = rng.choice(notes).format(right=event.slots[name], wrong=wrong[name])
    return Sample(f"{lx.fill(way, wrong)}.\n{note}", f"{lx.fill(way, event.slots)}.")
