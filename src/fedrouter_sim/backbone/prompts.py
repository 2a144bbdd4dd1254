"""How the turns before a response become a prompt: by a template of text, or the tokenizer's own chat template."""

from collections.abc import Callable, Sequence
from typing import Any

from transformers import PreTrainedTokenizerBase

from fedrouter_sim.errors import UserError, first_line
from fedrouter_sim.examples.record import ASSISTANT, SYSTEM, USER, Turn, conversation_text
from fedrouter_sim.examples.templates import render_prompt

CHAT_TEMPLATE = "chat"
"""Name of the template that the backbone's own tokenizer brings along."""

Render = Callable[[Sequence[Turn]], str]
"""Returns the text before the response: the turns before it in a template."""

# Chat templates that name today's date get this one: a prompt does not change by the day.
_FIXED_DAY = "{% macro strftime_now(format) %}26 Jul 2024{% endmacro %}{{ '' }}"
_REMEDY = "take --template alpaca, plain or a text with {instruction}"


def text_renderer(template: str) -> Render:
    """Return what renders turns by a name of `TEMPLATES` or a text with {instruction}."""
    return lambda turns: render_prompt(template, conversation_text(turns))


class ChatTemplate:
    """The chat template of a tokenizer.

    Attributes:
        end: the special token with which it ends what the assistant says; None where it has none.

    Raises:
        UserError: the tokenizer has no chat template, or one that fails on, or drops, a user's message.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self._tokenizer = tokenizer
        if not tokenizer.chat_template:
            raise UserError(f"--template chat: the backbone's tokenizer has no chat template; {_REMEDY}")
        question, answer = Turn(USER, "question"), Turn(ASSISTANT, "answer")
        try:
            self._template = _FIXED_DAY + tokenizer.get_chat_template()
            probe = self._apply([question])
        except Exception as error:  # a template is a program and fails as it likes
            said = first_line(error)
            raise UserError(f"--template chat: the tokenizer's chat template fails ({said}); {_REMEDY}") from None
        if question.text not in probe:
            raise UserError(f"--template chat: the tokenizer's chat template leaves the user's message out; {_REMEDY}")
        self._takes_system = "rules" in self._tried([Turn(SYSTEM, "rules"), question])
        self.end = self._special_token(self._tried([question, answer], more=False).rpartition(answer.text)[2])

    def render(self, turns: Sequence[Turn]) -> str:
        """Return the text before the answer to the last of these turns.

        What the system says is put before the first user's message where the template has no place for it.

        Raises:
            UserError: the template fails on them.
        """
        if turns[0].role == SYSTEM and not self._takes_system:
            turns = _without_system(turns)
        try:
            return self._apply(turns)
        except Exception as error:
            roles = ", ".join(turn.role for turn in turns)
            raise UserError(
                f"--template chat: the tokenizer's chat template fails on a conversation of {roles} "
                f"({first_line(error)}), which begins {turns[0].text[:40]!r}; correct the row or {_REMEDY}"
            ) from None

    def _apply(self, turns: Sequence[Turn], more: bool = True) -> str:
        messages: list[Any] = [{"role": turn.role, "content": turn.text} for turn in turns]
        return str(
            self._tokenizer.apply_chat_template(
                messages, chat_template=self._template, tokenize=False, add_generation_prompt=more
            )
        )

    def _tried(self, turns: Sequence[Turn], more: bool = True) -> str:
        """Render turns; give nothing where the template fails on them."""
        try:
            return self._apply(turns, more)
        except Exception:
            return ""

    def _special_token(self, text: str) -> int | None:
        """Return the special token that a text begins with."""
        ids: list[int] = self._tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids[0] if ids and ids[0] in self._tokenizer.all_special_ids else None


def _without_system(turns: Sequence[Turn]) -> list[Turn]:
    """Put what the system says at the beginning before the first text of a user."""
    rules, *others = turns
    first = next((i for i, turn in enumerate(others) if turn.role == USER), None)
    if first is not None:
        others[first] = others[first]._replace(text=f"{rules.text}\n\n{others[first].text}")
    return others
