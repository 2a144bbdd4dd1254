"""The settings of a run: their limits, defaults and layers."""

import dataclasses
from typing import Any, get_args, get_type_hints

import pytest
from needed_settings import needed_with

from fedrouter_sim.config import RunConfig, with_value
from fedrouter_sim.config.declaring import flag
from fedrouter_sim.errors import UserError

FIELDS = dataclasses.fields(RunConfig)
LIMITED = [f for f in FIELDS if any(f.metadata[limit] is not None for limit in ("least", "most", "above"))]


def test_the_defaults_are_valid_and_of_their_declared_types() -> None:
    config, hints = RunConfig(), get_type_hints(RunConfig)
    for field in FIELDS:
        kind = getattr(hints[field.name], "__origin__", hints[field.name])
        kinds = get_args(kind) if field.metadata["words"] else (kind,)
        assert type(getattr(config, field.name)) in kinds, field.name


def test_every_setting_says_what_it_means() -> None:
    for field in FIELDS:
        assert field.metadata["help"].endswith(".") and field.metadata["panel"], field.name


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        RunConfig().rounds = 3  # type: ignore[misc]


@pytest.mark.parametrize("field", LIMITED, ids=lambda field: field.name)
def test_a_value_at_its_limit_is_taken_and_one_beyond_is_refused_by_flag_and_value(
    field: dataclasses.Field[Any],
) -> None:
    limits = field.metadata
    whole = field.type is int
    step = 1 if whole else 1e-6
    taken, refused = [], []
    if limits["least"] is not None:
        taken.append(limits["least"])
        refused.append((limits["least"] - step, "at least"))
    if limits["above"] is not None:
        refused += [(limits["above"], "above"), (limits["above"] - step, "above")]
    if limits["most"] is not None:
        taken.append(limits["most"])
        refused.append((limits["most"] + step, "at most"))
    for value in taken:
        assert getattr(RunConfig.build({"lr_min": 0.0, field.name: value}), field.name) == value
    for value, remedy in refused:
        with pytest.raises(UserError) as caught:
            RunConfig.build({field.name: value})
        assert str(caught.value).startswith(f"{flag(field.name)} {value}: must be {remedy}")


@pytest.mark.parametrize("field", [f for f in FIELDS if f.metadata["choices"]], ids=lambda field: field.name)
def test_a_choice_takes_its_values_and_refuses_others_with_the_list(field: dataclasses.Field[Any]) -> None:
    for value in field.metadata["choices"]:
        settings = {field.name: value} | needed_with(field.name, value)
        assert getattr(RunConfig.build(settings), field.name) == value
    with pytest.raises(UserError) as caught:
        RunConfig.build({field.name: "other"})
    assert str(caught.value) == f"{flag(field.name)} other: choose one of {', '.join(field.metadata['choices'])}"


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("name", ["lr", "alpha", "clip", "weight_decay", "participation", "lora_alpha"])
def test_numbers_that_are_not_finite_are_refused(name: str, value: float) -> None:
    with pytest.raises(UserError, match=f"{flag(name)} .*finite"):
        RunConfig.build({name: value})


@pytest.mark.parametrize(("lr", "least"), [(2e-2, 1e-4), (1e-2, 1e-4), (5e-4, 5e-6), (1e-5, 1e-7)])
def test_the_least_learning_rate_follows_from_the_first_unless_it_is_given(lr: float, least: float) -> None:
    assert RunConfig(lr=lr).lr_min == pytest.approx(least, rel=1e-12)
    assert RunConfig(lr=lr, lr_min=0.0).lr_min == 0.0


def test_the_default_least_learning_rate_is_exactly_what_it_was() -> None:
    assert RunConfig().lr_min == RunConfig(lr=0.02).lr_min == 1e-4


@pytest.mark.parametrize(("rounds", "warmup"), [(1, 1), (2, 1), (3, 2), (8, 2)])
def test_the_warm_up_leaves_a_round_unless_it_is_given(rounds: int, warmup: int) -> None:
    assert RunConfig(rounds=rounds).warmup_rounds == warmup
    assert RunConfig(rounds=rounds, warmup_rounds=5).warmup_rounds == 5


def test_a_message_says_where_a_value_is_the_default() -> None:
    assert with_value("clients", RunConfig.clients) == f"--clients {RunConfig.clients} (the default)"
    assert with_value("split", "all") == "--split all"


def test_a_later_layer_wins_and_the_rest_is_default() -> None:
    config = RunConfig.build({"rounds": 3, "clients": 5}, {}, {"rounds": 4})
    assert config == dataclasses.replace(RunConfig(), rounds=4, clients=5)


def test_what_the_tasks_are_found_by_follows_from_whether_their_number_is_given() -> None:
    def derived(**given: Any) -> list[str]:
        config = RunConfig.build(given)
        return [config.affinity, config.normalize, config.router]

    assert derived(tasks="auto") == ["both", "cosine", "prototypes"]
    assert derived(tasks=7) == ["centroid", "standardize", "centroid"]
    assert derived(tasks="auto", affinity="gradient", normalize="l2", router="centroid") == [
        "gradient", "l2", "centroid"
    ]  # fmt: skip
