"""The tasks by name, and the rows of every share."""

from collections import Counter
from collections.abc import Callable, Iterator
from random import Random

from grammar import dialogue, headline, paraphrase, triples, unseen
from grammar.more import extract, mood, order, question, topic, total
from grammar.sample import SHARES, Sample, combination, share_of

TASKS: dict[str, Callable[[Random], Sample]] = {
    "paraphrase": paraphrase.draw,
    "headline": headline.draw,
    "dialogue": dialogue.draw,
    "triples": triples.draw,
}
UNSEEN: dict[str, Callable[[Random], Sample]] = {"lookup": unseen.draw_lookup, "correct": unseen.draw_correct}
MORE: dict[str, Callable[[Random], Sample]] = {
    "extract": extract.draw,
    "order": order.draw,
    "topic": topic.draw,
    "mood": mood.draw,
    "question": question.draw,
    "total": total.draw,
}
TWELVE = TASKS | UNSEEN | MORE
PER_TASK = {"train": 1500, "validation": 150, "test": 250}
TWELVE_PER_TASK = 700
UNRELATED_PER_TASK = 24
LABELS = {"paraphrase": 2, "topic": len(topic.NEWS), "mood": 2}
"""How many labels a task has whose responses are labels."""

Row = dict[str, str]


def draw_rows(rng: Random, task: str, draw: Callable[[Random], Sample], counts: dict[str, int]) -> dict[str, list[Row]]:
    """Draw until every share has its count of different instructions; labels come in equal numbers."""
    rows: dict[str, list[Row]] = {share: [] for share in counts}
    seen: set[str] = set()
    answers: Counter[tuple[str, str]] = Counter()
    while any(len(rows[share]) < count for share, count in counts.items()):
        sample = draw(rng)
        if len(combination(sample.instruction)) < 2:
            continue  # A single name could not be held out without hiding the name itself.
        share = share_of(sample.instruction)
        if share not in counts or len(rows[share]) == counts[share] or sample.instruction in seen:
            continue
        if task in LABELS:
            if answers[share, sample.response] == counts[share] // LABELS[task]:
                continue
            answers[share, sample.response] += 1
        seen.add(sample.instruction)
        rows[share].append({"instruction": sample.instruction, "response": sample.response, "task": task})
    return rows


def multitask(seed: int) -> dict[str, list[Row]]:
    """All rows of the four tasks by share, shuffled together."""
    shares: dict[str, list[Row]] = {share: [] for share in SHARES}
    for task, draw in TASKS.items():
        for share, rows in draw_rows(Random(f"{seed}/{task}"), task, draw, PER_TASK).items():
            shares[share] += rows
    for share, rows in shares.items():
        Random(f"{seed}/{share}").shuffle(rows)
    return shares


def unseen_rows(seed: int) -> list[Row]:
    """The test rows of the two unseen tasks, shuffled together."""
    counts = {"test": PER_TASK["test"]}
    rows = [
        row for task, draw in UNSEEN.items() for row in draw_rows(Random(f"{seed}/{task}"), task, draw, counts)["test"]
    ]
    Random(f"{seed}/unseen").shuffle(rows)
    return rows


def unrelated_rows(seed: int) -> list[Row]:
    """Rows of the six first tasks, task by task; drawn apart from those of the other files."""
    counts = {"train": UNRELATED_PER_TASK}
    tasks = (TASKS | UNSEEN).items()
    drawn = (draw_rows(Random(f"{seed}/unrelated/{task}"), task, draw, counts) for task, draw in tasks)
    return [row for rows in drawn for row in rows["train"]]


def twelve_rows(seed: int) -> list[Row]:
    """Training rows of all twelve tasks, shuffled together; drawn apart from those of the other files."""
    counts = {"train": TWELVE_PER_TASK}
    rows = [
        row
        for task, draw in TWELVE.items()
        for row in draw_rows(Random(f"{seed}/twelve/{task}"), task, draw, counts)["train"]
    ]
    Random(f"{seed}/twelve").shuffle(rows)
    return rows


def training_samples(rng: Random) -> Iterator[Sample]:
    """Endless fresh samples of the four tasks whose combinations of names belong to the training share."""
    draws = list(TASKS.values())
    while True:
        sample = rng.choice(draws)(rng)
        if share_of(sample.instruction) == "train":
            yield sample
