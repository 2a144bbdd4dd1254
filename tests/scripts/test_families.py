"""A handful of families agree with plain transformers and PEFT, and a family that does not would be seen."""

import dataclasses
import re
from pathlib import Path
from typing import Any

import families
import numpy as np
import pytest
from doc_pages import DOCS
from tiny_families import show
from tiny_families.comparing import TOLERANCE, Row, compare
from tiny_families.making import make_examples, make_tokenizer
from tiny_families.table import FAMILIES, WINDOW, Family

import fedrouter_sim.backbone.model as model_module
from fedrouter_sim.backbone import Backbone
from fedrouter_sim.backbone.kind import _BLIND_TO_PADDING
from fedrouter_sim.backbone.model import Generated

LENGTHS = (5, 45, 9, 9, 21, 30)
FEW = {
    "llama": "padded right",
    "gpt_neo": "padded left",
    "mistral": "padded left",
    "bloom": "padded right",
    "mamba": "stateful, equal lengths",
}
RIGHT = Row("llama", "llama", "full", "padded right", ("q_proj",), 1e-7, 2e-7, 3e-7, "4 of 4", "3 of 4", True)
WRONG = dataclasses.replace(RIGHT, fault="answers: 1 of 6 differ alone")


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return make_tokenizer()


@pytest.mark.parametrize("name", FEW)
def test_a_family_agrees(name: str, tokenizer: Any) -> None:
    row = compare(name, FAMILIES[name], tokenizer, LENGTHS)
    assert row.fault == ""
    assert (row.found, row.stock) == (FEW[name], True)
    for found in (row.embeddings, row.losses, row.losses_adapted):
        assert found is not None and found < TOLERANCE / 10
    every = 2 * len(LENGTHS) + len(LENGTHS) // 3
    assert row.answers == row.answers_adapted == f"{every} of {every}"


def test_texts_have_the_lengths_that_are_asked_for_and_most_exceed_a_window(tokenizer: Any) -> None:
    examples = make_examples(tokenizer, LENGTHS)
    assert [len(tokenizer(example.instruction)["input_ids"]) for example in examples] == list(LENGTHS)
    assert sum(length > WINDOW for length in LENGTHS) >= len(LENGTHS) / 2


def test_padding_that_counts_is_seen(tokenizer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    found = model_module.kind_of
    monkeypatch.setattr(model_module, "kind_of", lambda *given: dataclasses.replace(found(*given), pads_left=False))
    assert re.match(r"answers: \d of 6 differ together", compare("mpt", FAMILIES["mpt"], tokenizer, LENGTHS).fault)


def test_everything_that_is_wrong_is_said(tokenizer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    embed, score, generate = Backbone.embed, Backbone.score, Backbone.generate

    def one_wrong(self: Any, adapter: Any, asked: Any, most: int) -> Generated:
        found = generate(self, adapter, asked, most)
        return found if adapter is None or len(asked) < 6 else Generated([*found.answers[:-1], "wrong"], found.cut)

    monkeypatch.setattr(Backbone, "generate", one_wrong)
    monkeypatch.setattr(Backbone, "embed", lambda self, texts: embed(self, texts) * 1.01)
    monkeypatch.setattr(Backbone, "score", lambda self, of, some: score(self, of, some) * (1.02 if of else 1))
    assert compare("llama", FAMILIES["llama"], tokenizer, LENGTHS).fault == (
        "answers with the adapter: 1 of 6 differ together; embeddings differ by 1.0e-02; "
        "losses with the adapter differ by 2.0e-02"
    )


def test_numbers_that_are_none_do_not_agree(tokenizer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    embed = Backbone.embed
    monkeypatch.setattr(Backbone, "embed", lambda self, texts: np.append(embed(self, texts)[:-1], [[np.nan] * 64], 0))
    assert "embeddings differ by nan" in compare("llama", FAMILIES["llama"], tokenizer, LENGTHS[:2]).fault


def test_what_is_refused_is_said_in_one_line(tokenizer: Any) -> None:
    row = compare("llama", Family(targets=("absent",)), tokenizer, LENGTHS)
    assert row.fault.startswith("opening it: UserError: --lora-targets 'absent'") and "\n" not in row.fault


@pytest.mark.parametrize(("row", "code"), [(RIGHT, 0), (WRONG, 1), (dataclasses.replace(WRONG, known="a fault"), 0)])
def test_the_exit_code_says_whether_all_agree(
    row: Row, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(families, "compare", lambda *given: row)
    assert families.main(["llama", "--json", str(tmp_path / "rows.json")]) == code
    first = capsys.readouterr().out
    assert "llama" in first and ("1 of 6 differ alone" in first) == bool(row.fault)
    assert show.read_records([tmp_path / "rows.json"]) == [row]
    assert families.main(["--from", str(tmp_path / "rows.json")]) == code
    assert capsys.readouterr().out == first


def test_an_unknown_family_is_refused_with_those_that_are_known(capsys: pytest.CaptureFixture[str]) -> None:
    assert families.main(["llama", "lama"]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line == f"error: lama: no such family; there are {', '.join(FAMILIES)}"


def test_a_page_of_some_families_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(families, "compare", lambda *given: RIGHT)
    assert families.main(["llama", "--page", str(tmp_path / "page.md")]) == 2
    assert "error: --page: is for all families" in capsys.readouterr().err
    assert not (tmp_path / "page.md").exists()


def test_a_record_of_other_versions_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    show.write_record(tmp_path / "rows.json", [RIGHT])
    monkeypatch.setattr(show, "versions", lambda: {"torch": "0"})
    assert families.main(["--from", str(tmp_path / "rows.json")]) == 2


def test_the_page_of_the_docs_has_every_family_and_none_disagrees_unknown() -> None:
    page = (DOCS / "families.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([^`]+)`.*\| ([^|]+) \|$", page, flags=re.MULTILINE)
    assert [name for name, _ in rows] == sorted(FAMILIES) == list(FAMILIES), "run `make families`"
    assert all(said == "yes" or FAMILIES[name].known in said != "" for name, said in rows)


def test_kinds_that_are_padded_right_are_all_of_families_that_agree() -> None:
    page = (DOCS / "families.md").read_text(encoding="utf-8")
    right = re.findall(r"^\| `([^`]+)`[^|]*\|[^|]*\| padded right \|.*\| yes \|$", page, flags=re.MULTILINE)
    assert {FAMILIES[name].model_type or name for name in right} == _BLIND_TO_PADDING
