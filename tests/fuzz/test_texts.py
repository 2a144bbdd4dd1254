"""Made-up texts through what reads texts: each is read, or refused by an error of the kind that readers expect."""

import os
import tomllib
from pathlib import Path

import tomli_w
from fuzzing import outcome_of
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from readers import read_config

from fedrouter_sim.federation.plan import Pool
from fedrouter_sim.parsing import parse_json, parse_toml
from fedrouter_sim.runs.summary import Summary
from fedrouter_sim.showing import plain, shown
from fedrouter_sim.typed import Misfit, fitted

CASES = int(os.environ.get("FUZZ_CASES", "300")) // 10
EASY = settings(
    max_examples=max(CASES, 10), deadline=None, derandomize="FUZZ_CASES" not in os.environ, database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip

PLAIN = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
VALUES = st.recursive(
    PLAIN, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
)
OF_TOML = (
    st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.lists(st.integers() | st.text(), max_size=3)
)
KEYS = st.sampled_from("clients lr seed method tasks cut template option data model lora_rank hold_out x".split())


@EASY
@given(st.text() | st.text('[]{}:,"\\ud80e+-0123456789.NaInfity \n', max_size=60))
@example("[" * 5000)
def test_any_text_is_json_or_refused_by_a_value_error(text: str) -> None:
    for parse in (parse_json, parse_toml):
        try:
            parse(text)
        except ValueError as error:
            assert len(str(error)) < 300


@EASY
@given(st.text())
def test_no_text_steers_a_terminal(text: str) -> None:
    for told in (plain(text), shown(text)):
        assert all(one.isprintable() or one in "\n\t" or one.isspace() or ord(one) > 159 for one in told)
        told.encode()
    assert plain(plain(text)) == plain(text)


@EASY
@given(VALUES)
def test_any_value_is_a_record_or_a_misfit(value: object) -> None:
    for kind in (Summary, Pool, tuple[Pool, ...], dict[str, int]):
        try:
            fitted(kind, value, "it")
        except Misfit as error:
            assert len(str(error)) < 300


@EASY
@given(st.dictionaries(KEYS, OF_TOML, max_size=3))
def test_any_settings_are_read_or_refused_in_one_line(tmp_path: Path, values: dict[str, object]) -> None:
    try:
        text = tomli_w.dumps(values)
        tomllib.loads(text)
        (tmp_path / "config.toml").write_text(text, encoding="utf-8")
    except (ValueError, UnicodeEncodeError):  # what no TOML file can hold
        return
    assert outcome_of(read_config, tmp_path) in (None, "")
