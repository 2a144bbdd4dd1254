"""`data`: numbers of hand-made data, the marked part of prompts, and no weights in memory."""

import json
import shutil
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoModelForCausalLM, AutoTokenizer

from fedrouter_sim.config import RunConfig
from fedrouter_sim.errors import UserError
from fedrouter_sim.examples.record import Example
from fedrouter_sim.operations import look as look_module
from fedrouter_sim.operations.look import Bin, ClientsLook, DataLook, Refused, look

ConfigMaker = Callable[..., RunConfig]
Rows = Iterable[Mapping[str, Any]]

TRAIN = [
    {"instruction": "one", "response": "1", "task": "a"},
    {"instruction": "two", "response": "2", "task": "b"},
    {"instruction": "one", "response": "1", "task": "a"},  # again
    {"instruction": "two", "response": "zwei", "task": "b"},  # contradicts
    {"instruction": " ", "response": "x", "task": "a"},
    {"instruction": "three", "response": "3", "task": "c"},
    {"instruction": "empty", "response": None, "task": "a"},
    {"instruction": "void", "response": "", "task": "a"},
]
TEST = [
    {"instruction": "one", "response": "eins", "task": "a"},  # is trained on
    {"instruction": "new", "response": "neu", "task": "a"},
]


@pytest.fixture(autouse=True)
def no_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail where a model is loaded."""
    monkeypatch.setattr(AutoModelForCausalLM, "from_pretrained", lambda *_, **__: pytest.fail("loads the weights"))


@pytest.fixture
def folder(tmp_path: Path) -> Callable[..., str]:
    """Return a function that writes a data folder from rows of its shares."""

    def write(**shares: Rows) -> str:
        for name, rows in shares.items():
            (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        return str(tmp_path)

    return write


def shares(found: DataLook) -> dict[str, Any]:
    return {share.name: share for share in found.shares}


def test_rows_tasks_duplicates_and_leaks_are_counted(micro_config: ConfigMaker, folder: Callable[..., str]) -> None:
    found = look(micro_config(data=folder(train=TRAIN, test=TEST)))
    train, test = shares(found)["train"], shares(found)["test"]
    assert [*shares(found)] == ["train", "test"]
    assert (train.rows, train.tasks, train.without_task, train.clients) == (5, {"a": 2, "b": 2, "c": 1}, 0, None)
    assert (train.repeated, train.contradicting, train.also_in) == (1, 1, {"test": 2})
    assert (test.rows, test.repeated, test.contradicting, test.also_in) == (2, 0, 0, {"train": 1})


def test_all_refused_rows_are_counted_by_reason(micro_config: ConfigMaker, folder: Callable[..., str]) -> None:
    found = look(micro_config(data=folder(train=TRAIN, test=TEST)))
    train, test = found.parts
    assert Path(train.where).name == "train.jsonl"
    assert train.columns == ("instruction", "response", "task")
    assert (train.rows, train.examples, train.rows_refused) == (8, 5, 3)
    assert train.refused == (
        Refused("column 'response' is empty", 2, (7, 8)),
        Refused("column 'instruction' is empty", 1, (5,)),
    )
    assert (test.rows, test.examples, test.rows_refused, test.refused) == (2, 2, 0, ())
    assert found.notes == ()
    assert any("3 of 10 rows cannot be used, and a run refuses the data" in one for one in found.advice)
    found = look(micro_config(data=folder(), on_bad_row="skip"))
    assert any("and a run leaves them out: correct them" in one for one in found.advice)


def test_lengths_are_those_of_the_tokenizer(
    micro_config: ConfigMaker, micro_model: Path, folder: Callable[..., str]
) -> None:
    rows = [{"instruction": "bread " * n, "response": "rice " * (n % 7 + 1)} for n in range(1, 21)]
    found = look(micro_config(data=folder(train=rows, test=TEST), template="plain", max_tokens=30))
    tokenizer = AutoTokenizer.from_pretrained(micro_model)

    def count(text: str) -> int:
        return len(tokenizer(text)["input_ids"])

    prompts = [count(row["instruction"].strip() + "\n") for row in rows]
    responses = [count(row["response"].strip()) + 1 for row in rows]
    both = [one + two for one, two in zip(prompts, responses, strict=True)]
    tokens = shares(found)["train"].tokens
    assert tokens.measured == 20
    for lengths, counts in ((tokens.prompt, prompts), (tokens.response, responses), (tokens.both, both)):
        counts.sort()
        assert (lengths.median, lengths.percentile_90, lengths.longest) == (counts[9], counts[17], counts[19])
        for one in lengths.histogram:
            assert one.rows == sum(one.least <= few <= one.most for few in counts)
        assert sum(one.rows for one in lengths.histogram) == 20
    assert tokens.cut == sum(one > 30 for one in both) > 0 and tokens.misfits == 0
    assert (found.limit, found.context) == (30, 256)
    assert any(f"{tokens.cut} of 20 train rows are cut to fit 30 tokens" in one for one in found.advice)


def test_bins_have_no_gaps_and_their_edges_are_usual_limits() -> None:
    lengths = look_module._lengths([8, 9, 33, 512])
    assert lengths is not None
    assert lengths.histogram == (
        Bin(1, 8, 1), Bin(9, 12, 1), Bin(13, 16, 0), Bin(17, 24, 0), Bin(25, 32, 0), Bin(33, 48, 1), Bin(49, 64, 0),
        Bin(65, 96, 0), Bin(97, 128, 0), Bin(129, 192, 0), Bin(193, 256, 0), Bin(257, 384, 0), Bin(385, 512, 1),
    )  # fmt: skip
    assert (lengths.median, lengths.percentile_90, lengths.longest) == (9, 512, 512)
    assert look_module._lengths([]) is None


def test_responses_that_do_not_fit_are_counted_apart_and_not_shown(
    micro_config: ConfigMaker, folder: Callable[..., str]
) -> None:
    rows = [{"instruction": "x", "response": "z" * 400}, {"instruction": "y", "response": "short"}]
    found = look(micro_config(data=folder(train=rows, test=TEST)))
    tokens = shares(found)["train"].tokens
    assert (tokens.misfits, tokens.cut, tokens.failing) == (1, 0, 0)
    assert [shown.prompt for shown in found.prompts] == ["y\n"]
    assert any("responses of 1 of 2 train rows do not fit 128 tokens" in one for one in found.advice)


def test_the_marked_part_is_the_response_and_its_end(
    micro_config: ConfigMaker, micro_model: Path, folder: Callable[..., str]
) -> None:
    found = look(micro_config(data=folder(train=TRAIN, test=TEST), template="Q: {instruction} A:"))
    end = AutoTokenizer.from_pretrained(micro_model).eos_token
    texts = [(shown.task, shown.prompt, shown.learnt) for shown in found.prompts]
    assert texts == [
        ("a", "Q: one A:", f"1{end}"), ("b", "Q: two A:", f"2{end}"), ("c", "Q: three A:", f"3{end}")
    ]  # fmt: skip
    assert all(shown.prompt_tokens > 0 and not shown.cut for shown in found.prompts)


def test_data_without_labels_shows_its_first_rows(micro_config: ConfigMaker, folder: Callable[..., str]) -> None:
    rows = [{"instruction": f"q{n}", "response": f"a{n}"} for n in range(5)]
    found = look(micro_config(data=folder(train=rows, test=rows[:1])))
    train = shares(found)["train"]
    assert (train.tasks, train.without_task) == ({}, 5)
    assert [(shown.task, shown.prompt) for shown in found.prompts] == [(None, "q0\n"), (None, "q1\n"), (None, "q2\n")]


def test_clients_that_rows_name_are_counted(micro_config: ConfigMaker, folder: Callable[..., str]) -> None:
    rows = [{"instruction": f"q{n}", "response": "a", "user": user} for n, user in enumerate([1, 1, 1, 2, 2, 3])]
    found = look(micro_config(data=folder(train=rows, test=rows[:1]), client_column="user"))
    assert shares(found)["train"].clients == ClientsLook(3, 1, 3)
    assert shares(found)["test"].clients == ClientsLook(1, 1, 1)


CHAT = (
    "{{ bos_token }}{% for message in messages %}"
    "{% if message['role'] == 'narrator' %}{{ raise_exception('nobody narrates') }}{% endif %}"
    "<{{ message['role'] }}>{{ message['content'] }}\n{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}"
)


def talk(*said: str) -> dict[str, Any]:
    """A row of turns: 'user who?' is what the user says."""
    return {"messages": [dict(zip(("role", "content"), one.split(" ", 1), strict=True)) for one in said]}


def test_conversations_go_through_the_chat_template_and_those_it_fails_on_are_counted(
    micro_config: ConfigMaker, micro_model: Path, folder: Callable[..., str], tmp_path: Path
) -> None:
    model = Path(shutil.copytree(micro_model, tmp_path / "model"))
    tokenizer = AutoTokenizer.from_pretrained(model)
    tokenizer.chat_template = CHAT
    tokenizer.save_pretrained(model)
    rows = [
        talk("user who?", "assistant me", "user and who else?", "assistant nobody"),
        talk("user who?", "narrator he thinks", "assistant me"),
        talk("user who?"),
    ]
    data = folder(train=rows, test=[talk("user x", "assistant y")])
    found = look(micro_config(data=data, model=str(model), template="chat"))
    (shown,) = found.prompts
    end = tokenizer.eos_token
    assert shown.prompt == f"{end}<user>who?\n<assistant>me\n<user>and who else?\n<assistant>"
    assert shown.learnt == f"nobody{end}"
    tokens = shares(found)["train"].tokens
    assert (tokens.measured, tokens.failing, tokens.prompt.longest) == (2, 1, shown.prompt_tokens)
    assert "nobody narrates" in tokens.first_failure
    assert any("no prompts can be made of 1 of 2 train rows" in one for one in found.advice)
    assert found.parts[0].rows_refused == 1
    assert any("rows are read as --format chat" in one for one in found.notes)


def test_of_many_rows_some_are_tokenised_and_it_says_so(
    micro_config: ConfigMaker, folder: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(look_module, "MOST_MEASURED", 4)
    rows = [{"instruction": f"q{n}", "response": "a"} for n in range(10)]
    found = look(micro_config(data=folder(train=rows, test=rows[:4])))
    assert [share.tokens.measured for share in found.shares] == [4, 4]
    assert sum("4 of 10 train rows, at even distances, were tokenised" in one for one in found.advice) == 1
    examples = [Example(str(n), "a") for n in range(10)]
    assert [example.instruction for example in look_module._even(examples)] == ["0", "2", "5", "7"]


def test_one_file_is_split_as_a_run_splits_it(micro_config: ConfigMaker, tmp_path: Path) -> None:
    path = tmp_path / "all.csv"
    path.write_text("instruction,response\n" + "".join(f"q{n},a\n" for n in range(20)), encoding="utf-8")
    found = look(micro_config(data=str(path)))
    assert {share.name: share.rows for share in found.shares} == {"train": 16, "validation": 2, "test": 2}
    assert [(part.where, part.rows) for part in found.parts] == [(str(path), 20)]


def test_sound_data_needs_no_advice(micro_config: ConfigMaker, micro_data: Path) -> None:
    assert look(micro_config()).advice == ()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"data": "nowhere"}, "--data nowhere: no such file"),
        ({"template": "chat"}, "--template chat: .*no chat template"),
        ({"instruction_column": ("question",)}, "no column 'question'"),
        ({"model": "no model"}, "--model 'no model'"),
    ],
)
def test_data_that_cannot_be_read_at_all_are_refused(
    micro_config: ConfigMaker, changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(UserError, match=words):
        look(micro_config(**changes))
