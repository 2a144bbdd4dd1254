"""The twelve tasks that discovery is measured on: the six further ones have many forms and right responses."""

import json
import re
from collections import Counter
from random import Random

import pytest
from embedded_rows import DATA, Row, read
from grammar.lexicon import PROPER
from grammar.paraphrase import QUESTIONS
from grammar.sample import combination, share_of
from grammar.tasks import LABELS, MORE, TWELVE, TWELVE_PER_TASK, twelve_rows

# Task -> form -> what an instruction of this form looks like from its beginning to its end.
FORMS: dict[str, dict[str, str]] = {
    "extract": {
        "prose": r"[A-Z]\w+ [A-Z]\w+ [a-z][^,\n]+\.",
        "clause": r"[A-Z]\w+ [A-Z]\w+, wh(o|ich) .+, .+\.",
        "bullets": r"About [A-Z]\w+ [A-Z]\w+(\n- .+){2,3}",
        "chat": r"\w+: what of .+\?\n\w+: .+",
        "json": r'\{"name": ".+", "note": ".+"\}',
    },
    "order": {
        "commas": r"\w+(, \w+){2,4}",
        "slashes": r"\w+( / \w+){2,4}",
        "numbered": r"1\. \w+(\n\d\. \w+){2,4}",
        "array": r'\["\w+"(, "\w+"){2,4}\]',
        "record": r"first: \w+(\n\w+: \w+){2,4}",
        "story": r"On the first page we read \w+(, then \w+){2,4}\.",
        "question": r"How do .+ stand in the register\?",
    },
    "topic": {
        "prose": r"(?!\w+ - )[A-Z][^:\n]+\.",
        "dated": r"\w+day - [A-Z][^:\n]+\.",
        "chat": r"\w+: .+\?\n\w+: .+",
        "record": r"day: \w+\nnews: .+",
        "json": r'\{"day": "\w+", "text": ".+"\}',
    },
    "mood": {
        "prose": r"At the .+ in [A-Z]\w+ .+\.",
        "letter": r"Dear \w+,\nI saw the .+\nYours, \w+",
        "chat": r"\w+: how was the .+\?\n\w+: .+",
        "record": r"place: .+\nday: \w+\nreview: .+",
        "json": r'\{"visited": ".+", "comment": ".+"\}',
    },
    "question": {
        "prose": r"[A-Z0-9][^:\n]+\.",
        "quote": r'"[A-Z0-9].+\." These are the words of \w+\.',
        "chat": r"\w+: .+\?\n\w+: [A-Z0-9].+\.",
        "record": r"[a-z]+: .+(\n[a-z]+: .+){2,4}",
        "json": r'\{".+": ".+"\}',
    },
    "total": {
        "story": r"\w+ brings \w+ \w+(, then \w+ adds \w+){1,2}\.",
        "question": r"\w+ has .+\. How many \w+ have .+\?",
        "numbered": r"1\. \w+ - \w+ \w+(\n\d\. \w+ - \w+ \w+){1,2}",
        "chat": r"\w+: I have \w+ \w+(\n\w+: I have \w+ \w+){1,2}",
        "record": r"goods: \w+(\n\w+: \w+){2,3}",
        "json": r'\{"of": "\w+"(, "\w+": "\w+"){2,3}\}',
    },
}
TEENS = "ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen"
TWENTIES = "twenty twenty-one twenty-two twenty-three twenty-four twenty-five twenty-six twenty-seven"
WORDS = f"two three four five six seven eight nine {TEENS} {TWENTIES}"
NUMBER = {word: number for number, word in enumerate(WORDS.split(), start=2)}
# Task -> label -> words that only its texts have.
TELLING: dict[str, dict[str, str]] = {
    "topic": {"sport": "match|race", "business": "prices|bank", "culture": "museum|novel", "weather": "snow|frost"},
    "mood": {"good": "kind|praise|nothing was missing", "bad": "rude|nothing worked|would not go"},
}


@pytest.fixture(scope="module")
def rows() -> dict[str, list[Row]]:
    """The committed rows by task."""
    found: dict[str, list[Row]] = {task: [] for task in TWELVE}
    for row in read("twelve/train.jsonl"):
        found[row["task"]].append(row)
    return found


def test_every_task_has_its_count_of_different_rows_in_a_small_file(rows: dict[str, list[Row]]) -> None:
    assert len(TWELVE) == 12
    for task, own in rows.items():
        assert len({row["instruction"] for row in own}) == len(own) == TWELVE_PER_TASK, task
        assert all(list(row) == ["instruction", "response", "task"] and all(row.values()) for row in own)
    assert (DATA / "twelve" / "train.jsonl").stat().st_size < 1_600_000


def test_rows_are_of_the_training_share_and_of_no_other_file(rows: dict[str, list[Row]]) -> None:
    instructions = {row["instruction"] for own in rows.values() for row in own}
    assert all(len(combination(text)) == 2 and share_of(text) == "train" for text in instructions)
    for name in ("multitask/train", "multitask/validation", "multitask/test", "unseen/test"):
        assert instructions.isdisjoint(row["instruction"] for row in read(f"{name}.jsonl"))


def test_a_seed_gives_its_own_rows(rows: dict[str, list[Row]]) -> None:
    one = twelve_rows(1)
    assert one == twelve_rows(1)
    committed = {row["instruction"] for own in rows.values() for row in own}
    assert sum(row["instruction"] in committed for row in one) < len(one) / 100


@pytest.mark.parametrize("task", MORE)
def test_the_same_state_gives_the_same_sample_and_states_differ(task: str) -> None:
    assert MORE[task](Random(3)) == MORE[task](Random(3))
    rng = Random(0)
    assert len({MORE[task](rng).instruction for _ in range(500)}) > 480


@pytest.mark.parametrize("task", MORE)
def test_an_instruction_has_one_of_many_forms_and_all_are_common(rows: dict[str, list[Row]], task: str) -> None:
    used: Counter[str] = Counter()
    for row in rows[task]:
        fitting = [form for form, pattern in FORMS[task].items() if re.fullmatch(pattern, row["instruction"])]
        assert len(fitting) == 1, (row, fitting)
        used.update(fitting)
    assert len(used) == len(FORMS[task]) >= 3
    assert min(used.values()) > TWELVE_PER_TASK / len(used) / 2


@pytest.mark.parametrize("task", LABELS)
def test_labels_are_balanced(rows: dict[str, list[Row]], task: str) -> None:
    counts = Counter(row["response"] for row in rows[task])
    assert set(counts.values()) == {TWELVE_PER_TASK // LABELS[task]} and len(counts) == LABELS[task]


@pytest.mark.parametrize("task", TELLING)
def test_texts_have_the_label_that_their_words_tell(rows: dict[str, list[Row]], task: str) -> None:
    for label, words in TELLING[task].items():
        telling = [row["response"] for row in rows[task] if re.search(rf"\b({words})\b", row["instruction"])]
        assert set(telling) == {label} and len(telling) > 20


@pytest.mark.parametrize("task", TELLING)
def test_a_form_does_not_give_the_label_away(rows: dict[str, list[Row]], task: str) -> None:
    for pattern in FORMS[task].values():
        counts = Counter(row["response"] for row in rows[task] if re.fullmatch(pattern, row["instruction"]))
        assert len(counts) == LABELS[task] and max(counts.values()) < 0.65 * counts.total()


def test_what_extract_answers_is_said_in_the_text_and_all_of_it(rows: dict[str, list[Row]]) -> None:
    for row in rows["extract"]:
        subject, *facts = row["response"].split(" | ")
        values = [fact.split(": ")[1] for fact in facts]
        text = row["instruction"]
        assert subject in text and len(values) in (2, 3)
        # In the order of the text, and no name or number of the text is left out but the speakers of a chat.
        places = [text.index(value, text.index(subject) + len(subject)) for value in values]
        assert places == sorted(places), row
        told = re.sub(r"(?m)^\w+: ", "", text)
        named = {word for word in re.findall(r"\w+", told) if word in PROPER or word.isdigit()}
        assert named <= set(re.findall(r"\w+", row["response"])), row


def test_order_answers_with_the_same_names_sorted(rows: dict[str, list[Row]]) -> None:
    for row in rows["order"]:
        names = [word for word in re.findall(r"\w+", row["instruction"]) if word in PROPER]
        assert row["response"].split(", ") == sorted(names) != names, row


def test_total_answers_with_the_sum(rows: dict[str, list[Row]]) -> None:
    for row in rows["total"]:
        words = re.findall(r"\w+", row["instruction"])
        number, goods = row["response"].split(" ")
        assert NUMBER[number] == sum(NUMBER[word] for word in words if word in NUMBER), row
        assert goods in words


def test_question_asks_for_what_the_statement_says_in_one_style(rows: dict[str, list[Row]]) -> None:
    first = [wordings[0] for relations in QUESTIONS.values() for wordings in relations.values()]
    styles = [re.sub(r"\\\{\w+\\\}", r"[\\w ]+", re.escape(wording)) for wording in first]
    for row in rows["question"]:
        assert any(re.fullmatch(style, row["response"], re.IGNORECASE) for style in styles), row
        asked = {word for word in re.findall(r"\w+", row["response"]) if word in PROPER}
        assert asked and all(name in row["instruction"] for name in asked), row


def test_json_is_json(rows: dict[str, list[Row]]) -> None:
    texts = [row["instruction"] for task in MORE for row in rows[task] if row["instruction"][0] in "{["]
    assert len(texts) > 300
    assert all(json.loads(text) for text in texts)
