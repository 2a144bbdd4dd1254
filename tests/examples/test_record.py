"""Examples: the record, conversations, and the digest of shares."""

import hashlib
import json
from dataclasses import replace

import pytest

from fedrouter_sim.examples import record as module
from fedrouter_sim.examples.record import Example, Shares, Turn, conversation_text, tasks_of


def test_the_digest_changes_with_any_row_and_with_its_share() -> None:
    one, two = Example("a", "b", "t"), Example("c", "d", None)
    variants = [
        Shares((one, two), (), (one,)),
        Shares((two, one), (), (one,)),
        Shares((one,), (two,), (one,)),
        Shares((one, Example("c", "d", "t")), (), (one,)),
        Shares((one, two), (), (Example("a", "B", "t"),)),
    ]
    assert len({shares.digest() for shares in variants}) == len(variants)
    assert variants[0].digest() == Shares((one, two), (), (one,)).digest()


def old_digest(shares: Shares) -> str:
    """The digest as it was when no row could name a client, over all rows at once."""
    rows = [
        [(e.instruction, e.response, e.task) for e in part] for part in (shares.train, shares.validation, shares.test)
    ]
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()


@pytest.mark.parametrize("sizes", [(0, 0, 0), (1, 0, 1), (3, 2, 4), (7, 0, 3), (6, 6, 6)])
def test_the_digest_of_rows_without_clients_is_that_of_old_runs(
    sizes: tuple[int, int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_DIGESTED", 3)  # rows whose text is made at once
    parts = [tuple(Example(f'é "{i}"\n', f"{n}", "t" if i % 2 else None) for i in range(n)) for n in sizes]
    assert Shares(*parts).digest() == old_digest(Shares(*parts))


def test_whose_row_it_is_changes_the_digest() -> None:
    row = Example("a", "b", "t")
    digests = {Shares((replace(row, client=client),), (), ()).digest() for client in (None, "1", "2", "t")}
    assert len(digests) == 4


def test_notes_are_no_part_of_the_data() -> None:
    bare, noted = (Shares((Example("a", "b", "t"),), (), (), notes) for notes in ((), ("2 rows left out",)))
    assert bare == noted and bare.digest() == noted.digest()


def test_without_a_task_every_other_row_and_the_notes_stay() -> None:
    one, two = Example("a", "b", "t", "x"), Example("c", "d", "u", "y")
    assert Shares((one, two), (two,), (one,), ("note",)).without("t") == Shares((two,), (two,), ())
    assert Shares((one, two), (two,), (one,), ("note",)).without("t").notes == ("note",)


def test_tasks_are_the_distinct_labels_sorted() -> None:
    assert tasks_of([Example("a", "b", "z"), Example("a", "b"), Example("a", "b", "y"), Example("c", "d", "z")]) == [
        "y",
        "z",
    ]


ASKED, TOLD = Turn("user", "who?"), Turn("assistant", "me")


def test_a_conversation_of_one_turn_is_a_plain_example() -> None:
    assert Example.of_turns([ASKED], "me", "t", "c") == Example("who?", "me", "t", "c")


def test_the_text_of_a_conversation_says_who_speaks_where_both_do() -> None:
    system = Turn("system", "be brief")
    assert conversation_text([system, ASKED]) == "be brief\n\nwho?"
    assert conversation_text([system, ASKED, TOLD, ASKED]) == "be brief\n\nUser: who?\n\nAssistant: me\n\nUser: who?"
    assert Example.of_turns([ASKED, TOLD, ASKED], "x").instruction == conversation_text([ASKED, TOLD, ASKED])


def test_the_turns_change_the_digest() -> None:
    """Two conversations may have one text."""
    turns = [(ASKED, TOLD, ASKED), (Turn("system", "User: who?"), Turn("system", "Assistant: me"), Turn("user", "x"))]
    texts = {conversation_text(one) for one in turns}
    assert len(texts) == 2
    plain = Example(conversation_text(turns[0]), "x")
    rows = [plain, Example.of_turns(turns[0], "x")]
    assert len({Shares((row,), (), ()).digest() for row in rows}) == 2
