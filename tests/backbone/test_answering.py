"""Answers of a batch: those of each prompt alone, while rows run in parts and leave when they have ended."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from fedrouter_sim.backbone import batching
from fedrouter_sim.backbone.answering import RunPrompts, answer, run_prompts
from fedrouter_sim.backbone.forward import pad

OnRows = Callable[[Sequence[int]], None]
CPU = torch.device("cpu")
PREFIX = (5, 9, 200)
PROMPTS = [(*PREFIX, *rest) for rest in [(7, 8, 30, 41, 41, 3, 90), (60, 2, 2, 77), (17, 4, 100), (250, 31), (8, 8)]]
ALL = list(range(len(PROMPTS)))
MOST, NEVER, ALSO = 11, 399, 398  # tokens of an answer; two tokens that no answer has


@pytest.fixture(scope="module")
def model(micro_model: Path) -> Any:
    torch.manual_seed(3)
    model = AutoModelForCausalLM.from_pretrained(micro_model, dtype=torch.float32).eval()
    with torch.no_grad():  # so that answers depend on what they have seen, and are long and varied
        for parameter in model.transformer.h.parameters():
            parameter.mul_(3)
    return model


@torch.inference_mode()
def alone(model: Any, prompt: Sequence[int]) -> list[int]:
    """Decode greedily without any cache, padding or company."""
    ids = list(prompt)
    while len(ids) < len(prompt) + MOST:
        ids.append(int(model(input_ids=torch.tensor([ids]), use_cache=False).logits[0, -1].argmax()))
    return ids[len(prompt) :]


@torch.inference_mode()
def together(
    model: Any,
    parts: Sequence[Sequence[int]] | None,
    shared: int,
    end: int,
    stretch: int | None,
    on_rows: OnRows = lambda rows: None,
    budgets: Sequence[int] = (MOST,) * len(PROMPTS),
) -> list[list[int]]:
    if parts is None:
        started = RunPrompts(*pad(PROMPTS, end, CPU, left=True), cache=None)
    else:
        started = run_prompts(model.base_model, PROMPTS, parts, shared, end, on_rows)
    return answer(model, [(ALL, started)], budgets, (end, ALSO), stretch, on_rows=on_rows)


@pytest.fixture(scope="module")
def expected(model: Any) -> dict[int, list[list[int]]]:
    """Return the answers by the token that ends them: one that none has, and one at which some end and others not."""
    answers = [alone(model, prompt) for prompt in PROMPTS]
    assert len(set(map(tuple, answers))) > 2

    def ended(end: int) -> list[list[int]]:
        return [found[: found.index(end)] if end in found else found for found in answers]

    end = max(sorted({*answers[0], *answers[1], *answers[2]}), key=lambda token: len(set(map(len, ended(token)))))
    assert len(set(map(len, ended(end)))) > 1
    return {NEVER: answers, end: ended(end)}


@pytest.mark.parametrize(
    ("parts", "shared"), [(None, 0), ([ALL], 0), ([ALL], 3), ([[0], [1, 2, 3], [4]], 0), ([[0, 1], [2, 3, 4]], 3)]
)
@pytest.mark.parametrize("stretch", [1, 4, MOST, None])
def test_answers_are_those_of_each_prompt_alone(
    model: Any,
    expected: dict[int, list[list[int]]],
    parts: list[list[int]] | None,
    shared: int,
    stretch: int | None,
) -> None:
    for end, answers in expected.items():
        assert together(model, parts, shared, end, stretch) == answers


@pytest.mark.parametrize("stretch", [1, 4, MOST, None])
def test_each_answer_has_its_own_budget(model: Any, expected: dict[int, list[list[int]]], stretch: int | None) -> None:
    budgets = [1, 11, 3, 5, 8]
    found = together(model, [[0, 1], [2, 3, 4]], 3, NEVER, stretch, budgets=budgets)
    assert found == [answer[:budget] for answer, budget in zip(expected[NEVER], budgets, strict=True)]


def test_no_row_goes_beyond_its_budget(model: Any) -> None:
    """A model may have no positions there."""
    seen: list[int] = []
    handle = model.transformer.wpe.register_forward_hook(lambda module, args, output: seen.append(int(args[0].max())))
    budgets = [2, 3, 4, 5, 6]
    try:
        together(model, [ALL], 3, NEVER, 4, budgets=budgets)
    finally:
        handle.remove()
    # The last token of an answer is not looked at again.
    assert max(seen) == max(len(prompt) + budget for prompt, budget in zip(PROMPTS, budgets, strict=True)) - 2


def test_any_of_several_tokens_ends_an_answer(model: Any, expected: dict[int, list[list[int]]]) -> None:
    whole = expected[NEVER]
    stops = (NEVER, whole[0][4], whole[1][2])
    with torch.inference_mode():
        started = run_prompts(model.base_model, PROMPTS, [ALL], 3, NEVER)
        found = answer(model, [(ALL, started)], [MOST] * len(PROMPTS), stops, 4)
    ends = [next((i for i, token in enumerate(tokens) if token in stops), MOST) for tokens in whole]
    assert found == [tokens[:end] for tokens, end in zip(whole, ends, strict=True)]
    assert len(set(ends)) > 1


def stretches_of(lengths: Sequence[int], leaving: int) -> tuple[list[list[int]], list[int]]:
    """Return the rows of each stretch of at most two tokens, and how many go on in each pass.

    Args:
        lengths: tokens of each answer, with the one that ends it.
        leaving: one row in so many that has ended ends a stretch.
    """
    token, stretches, passes = 0, list[list[int]](), list[int]()
    while going := [row for row in ALL if lengths[row] > token]:
        stretches.append(going)
        for _ in range(2):
            token += 1
            passes.append(len(going))
            if sum(lengths[row] <= token for row in going) * leaving >= len(going):
                break
    return stretches, passes


@pytest.mark.parametrize("leaving", [1, 8])
def test_rows_leave_the_batch_when_their_answers_have_ended(
    leaving: int, model: Any, expected: dict[int, list[list[int]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """After two tokens, or once all of them have ended, or one of five."""
    monkeypatch.setattr(batching, "LEAVING", leaving)
    end, answers = list(expected.items())[1]
    rows: list[int] = []
    called: list[list[int]] = []
    handle = model.transformer.wte.register_forward_hook(lambda module, args, output: rows.append(len(output)))
    try:
        together(model, [[0, 1], [2, 3, 4]], 0, end, 2, lambda places: called.append(list(places)))
    finally:
        handle.remove()
    prompts = rows[:2]
    lengths = [min(len(answer) + 1, MOST) for answer in answers]  # the token that ends it included
    stretches, passes = stretches_of(lengths, leaving)
    assert prompts == [2, 3] and rows[2:] == passes[:MOST] and min(passes) < len(PROMPTS)
    assert called == [[0, 1], [2, 3, 4], *stretches]
    assert len(stretches_of(lengths, 8)[0]) > len(stretches_of(lengths, 1)[0])


@pytest.mark.parametrize(
    ("few", "most", "mixed"),
    [(0, 1, None), (1, 2, [0, 2]), (1, 9, [0, 2, 3]), (2, 3, [0, 1, 2]), (4, 5, ALL), (9, 9, ALL)],
)
@pytest.mark.parametrize("stretch", [1, 4, MOST, None])
def test_the_few_that_are_left_of_batches_go_on_together(
    model: Any, expected: dict[int, list[list[int]]], few: int, most: int, mixed: list[int] | None, stretch: int | None
) -> None:
    budgets = [MOST, 4, MOST, MOST, 7]
    called: list[list[int]] = []
    for end, answers in expected.items():
        called.clear()
        with torch.inference_mode():
            batches = (
                (rows, run_prompts(model.base_model, [PROMPTS[row] for row in rows], [[*range(len(rows))]], 0, end))
                for rows in ([0], [1, 2], [4, 3])
            )
            told = ((end, ALSO), stretch, few, most, lambda rows: called.append(sorted(rows)))
            found = answer(model, batches, budgets, *told)
        assert found == [own[:budget] for own, budget in zip(answers, budgets, strict=True)]
        if end == NEVER and stretch == 1:
            own_batches = ({0}, {1, 2}, {3, 4})
            across = [rows for rows in called if not any(own >= set(rows) for own in own_batches)]
            assert across[:1] == ([mixed] if mixed else [])


def test_gaps_do_not_add_up(model: Any) -> None:
    """However often rows wait for others, no row has more columns than the longest has tokens."""
    lengths = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11] * 4
    prompts = [(*PREFIX, 7 + place, *range(20, 20 + place % 5)) for place in range(len(lengths))]
    widest: list[int] = []
    generate = model.generate

    def spy(**given: Any) -> Any:
        widest.append(given["attention_mask"].shape[1])
        return generate(**given)

    with torch.inference_mode(), pytest.MonkeyPatch.context() as patch:
        whole = [answer(model, [([0], run_prompts(model.base_model, [p], [[0]], 0, NEVER))], [n], (NEVER, ALSO), 1)[0]
                 for p, n in zip(prompts, lengths, strict=True)]  # fmt: skip
        patch.setattr(model, "generate", spy)
        batches = (
            (rows, run_prompts(model.base_model, [prompts[row] for row in rows], [[*range(4)]], 0, NEVER))
            for rows in ([*range(first, first + 4)] for first in range(0, len(prompts), 4))
        )
        assert answer(model, batches, lengths, (NEVER, ALSO), 1, 2, 4) == whole
    assert max(widest) < max(map(len, prompts)) + max(lengths) + 4


def test_what_was_padded_on_the_left_does_not_wait(model: Any, expected: dict[int, list[list[int]]]) -> None:
    called: list[list[int]] = []
    with torch.inference_mode():
        batches = [
            (rows, RunPrompts(*pad([PROMPTS[row] for row in rows], NEVER, CPU, left=True), cache=None))
            for rows in ([0, 1], [2, 3, 4])
        ]
        budgets, stops = [MOST] * len(PROMPTS), (NEVER, ALSO)
        assert answer(model, batches, budgets, stops, 4, 9, 9, lambda rows: called.append([*rows])) == expected[NEVER]
    assert {tuple(rows) for rows in called} == {(0, 1), (2, 3, 4)}


def test_all_but_the_last_tokens_are_in_the_cache_whose_padding_is_masked(model: Any) -> None:
    with torch.inference_mode():
        started = run_prompts(model.base_model, PROMPTS, [[0, 1], [2, 3, 4]], len(PREFIX), 0)
    assert started.ids[:, -1].tolist() == [prompt[-1] for prompt in PROMPTS]
    assert started.mask.sum(1).tolist() == list(map(len, PROMPTS))
    assert started.cache.get_seq_length() == started.ids.shape[1] - 1 == len(PROMPTS[0]) - 1
    whole = model(input_ids=torch.tensor([PROMPTS[3][:-1]]), use_cache=True).past_key_values
    for found, layer in zip(started.cache.layers, whole.layers, strict=True):
        kept = found.keys[3, :, : layer.keys.shape[-2]]
        torch.testing.assert_close(kept, layer.keys[0], rtol=1e-4, atol=1e-5)
        assert not found.keys[3, :, layer.keys.shape[-2] + 1 :].any()  # beyond what its part was padded to
