"""The membership attacks: what they score, and a whole measurement at a small size."""

import json
from pathlib import Path

import membership
import pytest
from private.attacks import Scores, deal, named

from fedrouter_sim.errors import UserError
from fedrouter_sim.examples.record import Example


def test_scores_say_how_well_members_are_told() -> None:
    told = Scores([3.0, 4.0, 5.0], [0.0, 1.0, 2.0])
    assert (told.auc, told.found) == (1.0, 1.0)
    guessed = Scores([1.0, 2.0], [1.0, 2.0])
    assert (guessed.auc, guessed.found) == (0.5, 0.0)
    others = [float(value) for value in range(1000)]
    assert Scores([995.0, 980.0, 5.0, 999.0], others).found == 0.5  # above the 990th of 1000


def test_members_and_others_have_rows_of_the_same_tasks_and_none_in_common() -> None:
    rows = [Example(f"{task} {number}", "yes", task) for task in "abc" for number in range(20)]
    dealt = deal(rows, clients=3, each=4, seed=1)
    assert deal(rows, clients=3, each=4, seed=1) == dealt != deal(rows, clients=3, each=4, seed=2)
    for member, other in zip(dealt.members, dealt.others, strict=True):
        assert [row.task for row in member] == [row.task for row in other]
    held = [row.instruction for own in (*dealt.members, *dealt.others) for row in own]
    assert len(held) == len(set(held)) == 24
    assert named("it", 0.0) == "it, without noise" and named("it", 8.0) == "it, epsilon 8"


def test_a_measurement_is_kept_and_goes_into_a_document(
    micro_model: Path, micro_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "page.md"
    page.write_text("Before\n\n<!-- privacy membership -->\nstale\n<!-- end of privacy membership -->\nAfter\n")
    given = [
        "--model", str(micro_model), "--data", str(micro_data), "--clients", "2", "--rows", "4", "--trials", "1",
        "--epsilon", "8", "--out", str(tmp_path / "kept"), "--markdown", str(page),
    ]  # fmt: skip
    membership.main(given)
    text, [file] = page.read_text(), list((tmp_path / "kept").iterdir())
    assert text.startswith("Before") and text.endswith("After\n") and "stale" not in text
    attacks = json.loads(file.read_text())["attacks"]
    assert len(attacks) == 2 + 2 * 5 and all(f"| {name} |" in text for name in attacks)
    assert all(0 <= value <= 1 for pair in attacks.values() for value in pair)
    kept = file.stat()
    membership.main(given)
    assert (file.stat().st_mtime_ns, page.read_text()) == (kept.st_mtime_ns, text)
    with pytest.raises(UserError, match=r"trial-0.json: was measured with another setting; give another --out"):
        membership.main([*given, "--rows", "6"])
