"""Rows that do not fit: refused with how many, or left out with a note."""

from collections.abc import Sequence

import pytest

from fedrouter_sim.errors import UserError
from fedrouter_sim.examples.record import Example, Shares
from fedrouter_sim.partition.fitting import Fitting
from fedrouter_sim.partition.partitioning import ClientShares
from fedrouter_sim.partition.run_data import RunData

SHORT = tuple(Example(f"short {i}", "x") for i in range(8))
LONG = tuple(Example(f"long {i} " + "and more" * 9, "x" * 50) for i in range(4))


def flaws(examples: Sequence[Example]) -> dict[int, str]:
    assert len(set(examples)) == len(examples)  # each is looked at once
    return {i: f"{len(example.response)} letters" for i, example in enumerate(examples) if len(example.response) > 9}


def fitting(on_bad_row: str) -> Fitting:
    return Fitting(flaws, on_bad_row)


def data(*clients: ClientShares) -> RunData:
    return RunData(
        Shares(SHORT, (), SHORT),
        clients,
        drifted=clients[:1],
        held_out=((SHORT[0], LONG[3]),),
        notes=("said before",),
        validation=(SHORT[7], LONG[2]),
    )


MIXED = data(
    ClientShares((SHORT[0], LONG[0], SHORT[1]), (SHORT[2], LONG[1]), (SHORT[3],)),
    ClientShares((SHORT[4],), (), (LONG[1], SHORT[3])),
)


def test_data_that_fits_is_as_it_was() -> None:
    whole = RunData(Shares(SHORT, (), SHORT), (ClientShares(SHORT[:2], SHORT[2:3], SHORT[3:]),))
    for on_bad_row in ("error", "skip"):
        assert fitting(on_bad_row).data(whole) is whole


def test_rows_that_do_not_fit_are_refused_with_how_many() -> None:
    with pytest.raises(UserError) as caught:
        fitting("error").data(MIXED)
    assert str(caught.value) == (
        "1 of 4 training rows and 3 of 7 test or validation rows do not fit; the first begins "
        f"{LONG[0].instruction[:40]!r} (50 letters); correct them, or leave them out with --on-bad-row skip"
    )


def test_rows_that_do_not_fit_are_left_out_everywhere_with_a_note() -> None:
    found = fitting("skip").data(MIXED)
    assert found.clients == (
        ClientShares((SHORT[0], SHORT[1]), (SHORT[2],), (SHORT[3],)),
        ClientShares((SHORT[4],), (), (SHORT[3],)),
    )
    assert found.drifted == found.clients[:1]
    assert found.held_out == ((SHORT[0],),) and found.validation == (SHORT[7],)
    assert found.notes == (
        "said before",
        "left out 1 of 4 training rows and 3 of 7 test or validation rows, which do not fit (the first begins "
        f"{LONG[0].instruction[:40]!r}: 50 letters)",
    )
    assert found.shares is MIXED.shares  # the digest is that of the data


def test_a_client_that_keeps_no_training_row_is_refused() -> None:
    some = ClientShares(SHORT[:1], (), SHORT[1:2])
    with pytest.raises(UserError, match=r"left out 1 of 2 training rows.*; client 1 would have no training row left"):
        fitting("skip").data(data(some, ClientShares(LONG[:1], (), ())))


def test_a_client_that_keeps_no_row_after_its_drift_is_refused_as_well() -> None:
    some = ClientShares(SHORT[:1], (), SHORT[1:2])
    drifted = RunData(Shares(SHORT, (), SHORT), (some,), drifted=(ClientShares(LONG[:1], (), SHORT[:1]),))
    with pytest.raises(UserError, match=r"left out 1 of 2 training rows.*; client 0 would have no training row left"):
        fitting("skip").data(drifted)


def test_test_data_without_training_data() -> None:
    asked = {"given": {0: [SHORT[0], LONG[0]], 3: [LONG[0]]}}
    assert fitting("skip").test_shares(asked) == (
        {"given": {0: [SHORT[0]], 3: []}},
        [f"left out 1 of 2 test rows, which do not fit (the first begins {LONG[0].instruction[:40]!r}: 50 letters)"],
    )
    assert fitting("skip").test_shares({"all": {0: SHORT}}) == ({"all": {0: list(SHORT)}}, [])
    with pytest.raises(UserError, match="1 of 2 test rows do not fit"):
        fitting("error").test_shares(asked)


def test_data_of_which_no_test_row_is_left_are_refused_before_any_training() -> None:
    with pytest.raises(UserError, match=r"left out .* rows, which do not fit .*; no test row would be left"):
        fitting("skip").data(data(ClientShares(SHORT[:1], (), LONG[:2])))
