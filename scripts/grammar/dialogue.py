"""Task `dialogue`: a chat becomes a summary of who will do what, when and why."""

from random import Random

from grammar import lexicon as lx
from grammar.sample import Sample

# Kind -> (the turns that matter, as (speaker, ways to say it); the summary). `a` speaks first.
Turns = tuple[tuple[str, tuple[str, ...]], ...]
KINDS: dict[str, tuple[Turns, str]] = {
    "outing": (
        (
            (
                "a",
                (
                    "do you want to see the {event} in {town} on {day}?",
                    "there is a {event} in {town} on {day}, shall we go?",
                ),
            ),
            ("b", ("yes, gladly! what time?", "sounds great, when do we meet?", "I am in! when?")),
            ("a", ("let us meet at {hour}", "at {hour}, by the {place}", "{hour} would be good")),
        ),
        "{a} and {b} will go to the {event} in {town} on {day} at {hour}.",
    ),
    "refusal": (
        (
            ("a", ("are you coming to the {event} on {day}?", "see you at the {event} on {day}?")),
            (
                "b",
                (
                    "sorry, I can't, because of {excuse}",
                    "I won't make it, I have {excuse}",
                    "no, {excuse} keeps me away",
                ),
            ),
            ("a", ("what a pity", "too bad, next time then", "I understand")),
        ),
        "{b} will miss the {event} on {day} because of {excuse}.",
    ),
    "loan": (
        (
            ("a", ("can I borrow your {thing}?", "do you still have that {thing}? I need one")),
            ("b", ("sure, when do you need it?", "of course, until when?", "yes, you can have it")),
            ("a", ("I will fetch it on {day} at {hour}", "I can pick it up on {day}, around {hour}")),
        ),
        "{a} will borrow a {thing} from {b} on {day} at {hour}.",
    ),
    "job": (
        (
            ("a", ("I have news: {firm} wants me as {role}!", "guess what, I got the job as {role} at {firm}")),
            ("b", ("congratulations! when do you start?", "wonderful, starting when?")),
            ("a", ("in {month}, and I am moving to {town}", "I start in {month} in {town}")),
        ),
        "{a} will start as {role} at {firm} in {town} in {month}.",
    ),
    "late": (
        (
            ("a", ("where are you? we are waiting at the {place}", "the rest of us are at the {place} already")),
            ("b", ("sorry, I am late because of {reason}", "{reason} is holding me up")),
            ("b", ("I will be there at {hour}", "start without me, I come at {hour}")),
        ),
        "{b} will reach the {place} at {hour} because of {reason}.",
    ),
    "purchase": (
        (
            ("a", ("is your {thing} still for sale?", "I saw that you are selling a {thing}")),
            ("b", ("yes, for {amount}", "it is, I want {amount} for it")),
            ("a", ("deal, I will come on {day}", "good price, can I come by on {day}?")),
        ),
        "{a} will buy a {thing} from {b} for {amount} on {day}.",
    ),
    "found": (
        (
            ("a", ("I can't find my {thing} anywhere", "have you seen my {thing}?")),
            ("b", ("you left it at the {place}", "it is still at the {place} in {town}, I saw it there")),
            ("a", ("thanks, I will get it on {day}", "great, I can go there on {day}")),
        ),
        "{a} left a {thing} at the {place} and will get it on {day}.",
    ),
    "ride": (
        (
            ("a", ("can you drive me to {town} on {day}?", "I need a lift to {town} on {day}")),
            ("b", ("yes, what for?", "sure, what is there?")),
            ("a", ("I have to visit the {place}", "I want to go to the {place} there")),
        ),
        "{b} will drive {a} to the {place} in {town} on {day}.",
    ),
    "bring": (
        (
            ("a", ("what shall I bring to the {event} on {day}?", "can I bring anything to the {event} on {day}?")),
            ("b", ("some {goods} would be nice", "{goods}, please", "we still need {goods}")),
            ("a", ("no problem", "will do", "easy")),
        ),
        "{a} will bring {goods} to the {event} on {day}.",
    ),
    "lesson": (
        (
            ("a", ("could you teach me {hobby}?", "I would like to learn {hobby}, can you help?")),
            ("b", ("yes, on {day}s at {hour}", "I have time every {day} at {hour}")),
            ("a", ("where?", "at your place?")),
            ("b", ("at the {place} in {town}", "come to the {place} in {town}")),
        ),
        "{b} will teach {a} {hobby} at the {place} on {day} at {hour}.",
    ),
}
OPENERS = ("hi {b}!", "hello {b}, how are you?", "hey, long time no see", "good morning!", "are you there?")
REPLIES = (
    "hi {a}!",
    "hello {a}, all well here",
    "hey, good to hear from you",
    "yes, tell me",
    "fine, only a bit tired",
)
CLOSERS = ("great, see you", "bye for now", "say hello to {third}", "talk to you soon", "thank you so much")


def draw_slots(rng: Random) -> dict[str, str]:
    """The words that a chat may need."""
    a, b, third = rng.sample(lx.FIRST_NAMES, 3)
    return {
        "a": a,
        "b": b,
        "third": third,
        "event": rng.choice(lx.EVENTS),
        "town": rng.choice(lx.TOWNS),
        "day": rng.choice(lx.DAYS),
        "hour": rng.choice(lx.HOURS),
        "place": rng.choice(lx.PLACES),
        "excuse": rng.choice(lx.EXCUSES),
        "thing": rng.choice(lx.THINGS),
        "firm": lx.firm(rng),
        "role": rng.choice(lx.ROLES),
        "month": rng.choice(lx.MONTHS),
        "reason": rng.choice(lx.REASONS),
        "amount": lx.amount(rng),
        "goods": rng.choice(lx.GOODS),
        "hobby": rng.choice(lx.HOBBIES),
    }


def draw(rng: Random) -> Sample:
    """A chat of three to seven turns and its summary."""
    slots = draw_slots(rng)
    turns, summary = KINDS[rng.choice(list(KINDS))]
    said = [(speaker, rng.choice(ways)) for speaker, ways in turns]
    if rng.random() < 0.4:
        said = [("a", rng.choice(OPENERS)), ("b", rng.choice(REPLIES)), *said]
    if rng.random() < 0.4:
        # The one who did not speak last says goodbye.
        said.append(("b" if said[-1][0] == "a" else "a", rng.choice(CLOSERS)))
    text = "\n".join(f"{slots[speaker]}: {way.format(**slots)}" for speaker, way in said)
    return Sample(text, summary.format(**slots))
