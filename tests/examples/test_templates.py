"""Prompt templates of text."""

import pytest

from fedrouter_sim.examples.templates import TEMPLATES, render_prompt


@pytest.mark.parametrize("template", [*TEMPLATES, "Q: {instruction} {x}\nA:"])
def test_a_prompt_is_the_template_with_the_instruction_verbatim(template: str) -> None:
    instruction = "braces {instruction} {0} and %s"
    before, after = TEMPLATES.get(template, template).split("{instruction}")
    assert render_prompt(template, instruction) == before + instruction + after
    assert not render_prompt(template, "x").endswith(" ")
