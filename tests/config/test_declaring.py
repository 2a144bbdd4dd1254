"""How settings are declared."""

import dataclasses
from typing import Any

import pytest

from fedrouter_sim.config.declaring import check_limits, flag, setting, shown_default
from fedrouter_sim.errors import UserError


@dataclasses.dataclass
class _Made:
    plain: int = setting("Panel", 3, "Help.", least=1)
    empty: tuple[str, ...] = setting("Panel", (), "Help.")
    follows: int = setting("Panel", None, "Help.", derive=lambda made: made.plain + 1, rule="one more than --plain")


FIELDS: dict[str, Any] = {field.name: field for field in dataclasses.fields(_Made)}


def test_a_default_is_shown_as_its_value_or_its_rule() -> None:
    assert [shown_default(field) for field in FIELDS.values()] == ["3", "none", "one more than --plain"]


def test_a_flag_has_dashes() -> None:
    assert flag("local_steps") == "--local-steps"


def test_a_value_outside_its_limits_is_refused() -> None:
    check_limits("--plain 1", FIELDS["plain"], 1)
    with pytest.raises(UserError, match=r"^--plain 0: must be at least 1$"):
        check_limits("--plain 0", FIELDS["plain"], 0)
