"""Prompt templates: ours, the user's, and the tokenizer's own chat template."""

from collections.abc import Callable

from transformers import PreTrainedTokenizerBase

from fedrouter_sim.errors import UserError, first_line

TEMPLATES = {
    # The template of Stanford Alpaca, which the paper uses.
    "alpaca": "Below is an instruction that describes a task. "
    "Write a response that appropriately completes the request."
    "\n\n### Instruction:\n{instruction}\n\n### Response:\n",
    "plain": "{instruction}\n",
}


CHAT_TEMPLATE = "chat"
"""Name of the template that the backbone's own tokenizer brings along."""


def render_prompt(template: str, instruction: str) -> str:
    """Return the text before the response; `template` is a name of `TEMPLATES` or a text with {instruction}."""
    return TEMPLATES.get(template, template).replace("{instruction}", instruction)


# Chat templates that name today's date get this one: a prompt does not change by the day.
_FIXED_DAY = "{% macro strftime_now(format) %}26 Jul 2024{% endmacro %}{{ '' }}"


def chat_renderer(tokenizer: PreTrainedTokenizerBase) -> Callable[[str], str]:
    """Return what renders an instruction as one user message of a tokenizer's chat template, up to the answer.

    Raises:
        UserError: the tokenizer has no chat template, or one that fails on, or drops, a user's message.
    """

    def render(instruction: str) -> str:
        message = {"role": "user", "content": instruction}
        return str(
            tokenizer.apply_chat_template([message], chat_template=template, tokenize=False, add_generation_prompt=True)
        )

    remedy = "take --template alpaca, plain or a text with {instruction}"
    if not tokenizer.chat_template:
        raise UserError(f"--template chat: the backbone's tokenizer has no chat template; {remedy}")
    try:
        template = _FIXED_DAY + tokenizer.get_chat_template()
        probe = render("question")
    except Exception as error:  # a template is a program and fails as it likes
        said = first_line(error)
        raise UserError(f"--template chat: the tokenizer's chat template fails ({said}); {remedy}") from None
    if "question" not in probe:
        raise UserError(f"--template chat: the tokenizer's chat template leaves the user's message out; {remedy}")
    return render
