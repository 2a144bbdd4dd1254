"""The embedded data: the committed bytes, and what the shares promise."""

from collections import Counter
from pathlib import Path
from random import Random

import make_data
import pytest
from embedded_rows import DATA, Row, read
from grammar.lexicon import PROPER
from grammar.sample import SHARES, combination
from grammar.tasks import PER_TASK, TASKS, UNSEEN, draw_rows

from fedrouter_sim.bundled import BUNDLED_DATA


@pytest.fixture(scope="module")
def shares() -> dict[str, list[Row]]:
    """The committed rows of the four tasks by share."""
    return {share: read(f"multitask/{share}.jsonl") for share in SHARES}


def test_the_same_seed_writes_the_committed_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["make_data.py", "--out", str(tmp_path)])
    make_data.main()
    written = [path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file()]
    assert len(written) == 7
    for name in written:
        assert (DATA / name).read_bytes() == (tmp_path / name).read_bytes(), name


def test_another_seed_gives_other_rows(shares: dict[str, list[Row]]) -> None:
    rows = draw_rows(Random("1/triples"), "triples", TASKS["triples"], {"test": 20})["test"]
    assert not any(row in shares["test"] for row in rows)


def test_counts_keys_and_size(shares: dict[str, list[Row]]) -> None:
    for share, rows in shares.items():
        assert Counter(row["task"] for row in rows) == dict.fromkeys(TASKS, PER_TASK[share])
        assert all(list(row) == ["instruction", "response", "task"] and all(row.values()) for row in rows)
    assert Counter(row["task"] for row in read("unseen/test.jsonl")) == dict.fromkeys(UNSEEN, PER_TASK["test"])
    embedded = [path for name in BUNDLED_DATA for path in (DATA / name).glob("*.jsonl")]
    assert sum(path.stat().st_size for path in embedded) < 3_000_000


def test_no_instruction_occurs_twice(shares: dict[str, list[Row]]) -> None:
    instructions = Counter(row["instruction"] for rows in shares.values() for row in rows)
    instructions.update(row["instruction"] for row in read("unseen/test.jsonl"))
    assert instructions.most_common(1)[0][1] == 1


def test_held_out_rows_combine_names_as_no_training_row_does(shares: dict[str, list[Row]]) -> None:
    combinations = {share: {combination(row["instruction"]) for row in rows} for share, rows in shares.items()}
    assert all(len(names) == 2 for pairs in combinations.values() for names in pairs)
    assert combinations["train"].isdisjoint(combinations["validation"] | combinations["test"])
    assert combinations["validation"].isdisjoint(combinations["test"])


def test_every_name_of_a_test_row_is_known_from_training(shares: dict[str, list[Row]]) -> None:
    known = {name for row in shares["train"] for name in combination(row["instruction"])}
    assert known == PROPER


@pytest.mark.parametrize("share", SHARES)
def test_paraphrase_is_balanced_and_overlap_is_not_enough(shares: dict[str, list[Row]], share: str) -> None:
    rows = [row for row in shares[share] if row["task"] == "paraphrase"]
    assert Counter(row["response"] for row in rows) == {"Yes": len(rows) // 2, "No": len(rows) // 2}

    def overlap(row: Row) -> float:
        words = Counter(row["instruction"].lower().replace("?", "").split())
        return sum(count > 1 for count in words.values()) / len(words)

    # Unrelated questions share no words; the near negatives are beyond the best cut on the share of repeated words.
    ranked = sorted(rows, key=overlap)
    signs = [1 if row["response"] == "Yes" else -1 for row in ranked]
    best = max(abs(sum(signs[cut:]) - sum(signs[:cut])) for cut in range(len(signs)))
    assert 0.5 + best / (2 * len(signs)) < 0.85


@pytest.mark.parametrize("task", ["headline", "dialogue", "triples"])
def test_names_and_numbers_of_a_response_come_from_its_instruction(shares: dict[str, list[Row]], task: str) -> None:
    for row in shares["train"]:
        if row["task"] == task:
            words = row["response"].replace(".", "").split()
            facts = [word for word in words if word in PROPER or word.isdigit()]
            assert all(fact in row["instruction"] for fact in facts), row


@pytest.mark.parametrize("task", TASKS)
def test_a_grammar_is_varied(task: str) -> None:
    rng = Random(0)
    samples = {TASKS[task](rng).instruction for _ in range(500)}
    assert len(samples) > 480
