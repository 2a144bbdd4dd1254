"""Tables: shipped entries, entries from a user's file, and what their constructors take from `--option`."""

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fedrouter_sim.errors import UserError
from fedrouter_sim.evaluation.metrics import METRICS
from fedrouter_sim.evaluation.metrics.metric import Metric
from fedrouter_sim.evaluation.metrics.rouge import Rouge1
from fedrouter_sim.examples.files import FILE_FORMATS
from fedrouter_sim.runs.entries import TABLES
from fedrouter_sim.tables import Table, parse_options

OWN = """
import dataclasses

from fedrouter_sim import Metric


@dataclasses.dataclass
class Threshold:
    value: float


class Mine(Metric):
    name, title = "mine", "my own"

    def __init__(
        self, count: int = 2, share: float = 0.5, strict: bool = False, word: str = "a", *, plain=3, bare=None
    ):
        self.given = (count, share, strict, word, plain, bare)

    def measure(self, sample):
        return 1.0


class Plain(Metric):
    name, title = "plain", "plain"

    def measure(self, sample):
        return 0.0


class Later(Mine):
    name = "later"

    def __init__(self, **rest: int):
        raise KeyError("a key")


class Refusing(Mine):
    name = "refusing"

    def __init__(self, count: int = 0):
        from fedrouter_sim import UserError

        raise UserError(f"--option count={count}: must be above 0")


class Unfinished(Metric):
    name, title = "unfinished", "unfinished"


class Nameless(Mine):
    name = ""


class Taken(Mine):
    name = "loss"


class Stranger:
    name = "stranger"


number = 7


def inside():
    class Hidden(Mine):
        name = "hidden"

    return Hidden
"""

Refusal = Callable[..., str]


@pytest.fixture
def mine(tmp_path: Path) -> str:
    """A file with metrics of the user's."""
    path = tmp_path / "mine.py"
    path.write_text(OWN, encoding="utf-8")
    return str(path)


def refusal(call: Callable[..., Any], *arguments: Any) -> str:
    """The one line with which something is refused."""
    with pytest.raises(UserError) as caught:
        call(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("table", [*TABLES.values(), FILE_FORMATS], ids=lambda table: table.kind)
def test_every_row_of_every_table_is_a_class_of_its_base(table: Table[Any]) -> None:
    base = table._at(table.base)
    assert table.names == tuple(table.rows) and table.names
    for name in table.names:
        assert issubclass(table.class_of(name), base)
        if table.own:  # what has one can be told from a user's file
            assert table.class_of(name).name == name and table.reference(table.class_of(name)) == name


def test_the_names_of_a_table_import_nothing() -> None:
    script = (
        "import sys; before = set(sys.modules);"
        "from fedrouter_sim.runs.entries import TABLES; from fedrouter_sim.config import RunConfig;"
        "from fedrouter_sim.runs.entries import check_names;"
        "names = [table.names for table in TABLES.values()]; check_names(RunConfig());"
        "heavy = {'torch', 'transformers', 'numpy', 'faiss', 'sklearn', 'rouge_score'} & set(sys.modules);"
        "import json; print(json.dumps(sorted(heavy)))"
    )
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert json.loads(done.stdout) == []


def test_a_shipped_entry_is_made_by_its_name() -> None:
    assert isinstance(METRICS.find("rouge1"), Rouge1)
    assert METRICS.class_of("rouge1") is Rouge1
    assert METRICS.option_names(METRICS.class_of("rouge1")) == []


def test_an_unknown_name_is_refused_with_all_names() -> None:
    said = refusal(METRICS.find, "rouge9")
    assert said.startswith(
        "--metric rouge9: choose one of rouge1, rouge2, rouge_l, exact_match, balanced_accuracy, macro_f1, loss"
    )
    assert said.endswith("or give your own as FILE.py:CLASS")


def test_a_table_without_own_entries_takes_names_alone(mine: str) -> None:
    closed: Table[Metric] = Table("metric", "--metric", METRICS.base, dict(METRICS.rows), own=False)
    for name in ("rouge9", f"{mine}:Mine"):
        assert refusal(closed.find, name).endswith(
            ": choose one of rouge1, rouge2, rouge_l, exact_match, balanced_accuracy, macro_f1, loss"
        )


def test_an_own_entry_is_found_in_its_file_and_made_as_often_as_wished(mine: str) -> None:
    found: Any = METRICS.find(f"{mine}:Mine")
    assert (found.name, found.given) == ("mine", (2, 0.5, False, "a", 3, None))
    make = METRICS.maker(f"{mine}:Mine")
    Path(mine).unlink()  # the file is run once
    assert make() is not make()


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        ("none.py", None, "none.py is no Python file; give FILE.py:CLASS"),
        ("mine.txt", OWN, "mine.txt is no Python file"),
        ("mine.py", "1 / 0", "does not run (ZeroDivisionError: division by zero)"),
        ("mine.py", "import nothing_of_that_name", "does not run (ModuleNotFoundError: No module named"),
        ("mine.py", "class Mine(:", "does not run (SyntaxError: "),
        ("mine.py", "\0", "does not run (SyntaxError: "),
        ("mine.py", "raise ValueError('one\\ntwo')", "does not run (ValueError: one)"),
        ("mine.py", "x = 1", "has no class Mine that is a fedrouter_sim.evaluation.metrics.metric.Metric"),
    ],
)
def test_a_file_that_is_none_does_not_run_or_lacks_the_class_is_refused(
    tmp_path: Path, file: str, text: str | None, said: str
) -> None:
    if text is not None:
        (tmp_path / file).write_text(text, encoding="utf-8")
    message = refusal(METRICS.find, f"{tmp_path / file}:Mine")
    assert message.startswith(f"--metric {tmp_path / file}:Mine: ") and said in message


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Stranger", "has no class Stranger that is a "),
        ("Threshold", "has no class Threshold that is a "),
        ("number", "has no class number that is a "),
        ("Absent", "has no class Absent that is a "),
        ("", "has no class  that is a "),
        ("Unfinished", "Unfinished does not define measure, which every metric has to"),
        ("Metric", "Metric does not define measure"),
        ("Nameless", "Nameless has no name of its own; set `name = ...` in the class"),
        ("Taken", "Taken has no name of its own"),
        ("Later", "Later cannot be made (KeyError: 'a key')"),
    ],
)
def test_a_class_that_is_none_of_the_table_is_refused(mine: str, name: str, said: str) -> None:
    assert said in refusal(METRICS.find, f"{mine}:{name}")


def test_what_an_own_constructor_says_to_the_user_stays_as_it_is(mine: str) -> None:
    assert refusal(METRICS.find, f"{mine}:Refusing", {"count": "0"}) == "--option count=0: must be above 0"


def test_options_go_to_the_parameters_of_their_names_in_their_types(mine: str) -> None:
    name = f"{mine}:Mine"
    assert METRICS.option_names(METRICS.class_of(name)) == ["count", "share", "strict", "word", "plain", "bare"]
    texts = {"count": "7", "share": "1e-3", "strict": "True", "word": "7", "plain": "4", "bare": "8", "other": "x"}
    found: Any = METRICS.find(name, texts)
    assert found.given == (7, 1e-3, True, "7", 4, "8")
    assert [type(value) for value in found.given] == [int, float, bool, str, int, str]
    assert METRICS.find(name, {"strict": "false"}).given[2] is False  # type: ignore[attr-defined]
    made: Any = METRICS.make(METRICS.class_of(name), {"count": "9"})
    assert made.given[0] == 9


ANNOTATED = """
from __future__ import annotations

from typing import TYPE_CHECKING

from fedrouter_sim import Metric

if TYPE_CHECKING:
    from decimal import Decimal


class Mine(Metric):
    name, title = "mine", "my own"

    def __init__(self, least: int | None = None, names: list[str] | None = None) -> None:
        self.given = (least, names)

    def measure(self, sample):
        return 1.0


class Unseen(Mine):
    name = "unseen"

    def __init__(self, least: Decimal | None = None) -> None:
        self.given = least
"""


def test_a_number_that_may_be_none_is_a_number_and_what_a_table_does_not_know_is_text(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(ANNOTATED, encoding="utf-8")
    found: Any = METRICS.find(f"{tmp_path / 'mine.py'}:Mine", {"least": "3", "names": "a,b"})
    assert found.given == (3, "a,b")


def test_an_annotation_that_only_type_checkers_can_read_is_no_reason_to_fail(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(ANNOTATED, encoding="utf-8")
    assert METRICS.find(f"{tmp_path / 'mine.py'}:Unseen").name == "unseen"
    unseen: Any = METRICS.find(f"{tmp_path / 'mine.py'}:Unseen", {"least": "3"})
    assert unseen.given == "3"


def test_arguments_of_the_table_are_no_options(mine: str) -> None:
    found: Any = METRICS.find(f"{mine}:Mine", {"count": "7", "word": "b"}, count=3)
    assert (found.given[0], found.given[3]) == (3, "b")


def test_an_entry_without_a_constructor_takes_no_option(mine: str) -> None:
    assert METRICS.option_names(METRICS.class_of(f"{mine}:Plain")) == []
    assert METRICS.option_names(METRICS.class_of(f"{mine}:Later")) == []
    assert METRICS.find(f"{mine}:Plain", {"count": "7"}).name == "plain"


@pytest.mark.parametrize(
    ("option", "value", "kind"),
    [
        ("count", "many", "int"), ("count", "1.5", "int"), ("count", "", "int"), ("share", "half", "float"),
        ("strict", "yes", "bool"), ("strict", "1", "bool"), ("plain", "x", "int"),
    ],
)  # fmt: skip
def test_a_value_of_another_type_is_refused_by_option_value_and_type(
    mine: str, option: str, value: str, kind: str
) -> None:
    said = refusal(METRICS.find, f"{mine}:Mine", {option: value})
    assert said == f"--option {option}={value}: must be of type {kind}"


def test_options_are_read_as_name_and_value() -> None:
    assert parse_options(()) == {}
    assert parse_options(("a=1", "b=", "long_name=x=y z")) == {"a": "1", "b": "", "long_name": "x=y z"}


@pytest.mark.parametrize("text", ["a", "=1", "", "a-b=1", "1a=2", " a=1"])
def test_what_is_no_option_is_refused(text: str) -> None:
    assert refusal(parse_options, [text]).startswith(f"--option {text!r}: must be name=value")


def test_an_option_that_is_given_twice_is_refused() -> None:
    assert refusal(parse_options, ["a=1", "b=2", "a=1"]) == "--option a: is given twice; give it once"


def test_a_class_is_called_by_its_name_or_by_its_file(mine: str) -> None:
    assert METRICS.reference(Rouge1) == "rouge1"
    found = METRICS.class_of(f"{mine}:Mine")
    assert METRICS.reference(found) == f"{mine}:Mine"
    assert METRICS.class_of(METRICS.reference(found)).name == "mine"


def test_a_class_of_which_there_is_no_file_is_refused(mine: str) -> None:
    module = sys.modules[METRICS.class_of(f"{mine}:Mine").__module__]
    in_a_cell = type("InACell", (Rouge1,), {"name": "cell", "__module__": "__nowhere__"})
    for entry, said in (
        (in_a_cell, "metric InACell: stands at the top of no Python file"),
        (module.inside(), "metric inside.<locals>.Hidden: stands at the top of no Python file"),
        (module.Nameless, "metric Nameless: has no name of its own"),
        (module.Taken, "metric Taken: has no name of its own"),
    ):
        assert said in refusal(METRICS.reference, entry)


def test_the_digest_is_of_the_file_of_an_own_entry(mine: str) -> None:
    digest = hashlib.sha256(OWN.encode()).hexdigest()
    assert METRICS.digest(f"{mine}:Mine") == METRICS.digest(f"{mine}:Absent") == digest
    assert METRICS.digest("rouge1") is METRICS.digest("rouge9") is None
    Path(mine).unlink()
    assert METRICS.digest(f"{mine}:Mine") is None


def test_a_class_of_a_module_can_be_added_for_this_process() -> None:
    table: Table[Metric] = Table("metric", "--metric", METRICS.base, {})
    table.add(Rouge1)
    assert table.names == ("rouge1",) and table.class_of("rouge1") is Rouge1
    for again in (Rouge1, type("Unnamed", (Rouge1,), {"name": ""})):
        with pytest.raises(ValueError, match="needs a name of its own"):
            table.add(again)
