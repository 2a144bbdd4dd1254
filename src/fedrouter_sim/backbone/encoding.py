"""From texts to token ids: prompts, responses, and what is cut where a text is too long."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from transformers import PreTrainedTokenizerBase

from fedrouter_sim.backbone.prompts import CHAT_TEMPLATE, chat_renderer, render_prompt
from fedrouter_sim.errors import UserError
from fedrouter_sim.examples.record import Example

_TOGETHER = 1_000  # texts tokenised in one call, whose by-products take much more memory than their ids


@dataclass(frozen=True, slots=True)
class Prompt:
    """The token ids before the response. `cut`: the instruction was shortened to fit."""

    ids: tuple[int, ...]
    cut: bool


@dataclass(frozen=True, slots=True)
class EncodedExample:
    """An example in token ids, prompt and response tokenised apart. The response ends with EOS."""

    prompt: Prompt
    response: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.prompt.ids) + len(self.response)


class _Numbers(dict[int, int]):
    """Token ids, each one object in memory however many texts hold it."""

    def __missing__(self, number: int) -> int:
        self[number] = number
        return number


class Encoder:
    """Tokenises for one backbone, template and limit.

    What is too long loses the end of its instruction, never the template nor the response.

    Args:
        tokenizer: the backbone's own; it is never resized.
        template: a name of `examples.TEMPLATES`, 'chat' for the tokenizer's own, or a text with {instruction}.
        limit: most tokens of prompt and response together.

    Raises:
        UserError: the tokenizer has no EOS, or no usable chat template where that is asked for.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, template: str, limit: int) -> None:
        if tokenizer.eos_token_id is None:
            raise UserError("--model: its tokenizer has no end-of-sequence token, so answers could not end")
        self.tokenizer = tokenizer
        self.eos: int = tokenizer.eos_token_id
        self.limit = limit
        self._numbers = _Numbers()
        # A chat template writes the special tokens itself.
        self._marked = template == CHAT_TEMPLATE
        self._render = chat_renderer(tokenizer) if self._marked else partial(render_prompt, template)

    def examples(self, examples: Sequence[Example]) -> list[EncodedExample]:
        """Encode examples for training or scoring.

        Raises:
            UserError: a response leaves no room for the template within the limit.
        """
        responses = self._responses([example.response for example in examples])
        rooms = [self.limit - len(response) for response in responses]
        prompts = self.prompts([example.instruction for example in examples], rooms)
        return [EncodedExample(p, r) for p, r in zip(prompts, responses, strict=True)]

    def prompts(self, instructions: Sequence[str], rooms: Sequence[int]) -> list[Prompt]:
        """Encode prompts into at most `rooms` tokens each.

        Raises:
            UserError: the template alone is longer than the room.
        """
        encoded = self._ids([self._render(instruction) for instruction in instructions], special=not self._marked)
        return [
            Prompt(ids, cut=False) if len(ids) <= room else self._cut_prompt(instruction, room)
            for instruction, ids, room in zip(instructions, encoded, rooms, strict=True)
        ]

    def texts(self, texts: Sequence[str]) -> list[Prompt]:
        """Encode bare texts for embedding, with the tokenizer's default special tokens, cut at the limit."""
        # A text without tokens is embedded as EOS: there is no mean over nothing.
        return [
            Prompt(ids[: self.limit] or (self.eos,), cut=len(ids) > self.limit)
            for ids in self._ids(texts, special=True)
        ]

    def _responses(self, texts: Sequence[str]) -> list[tuple[int, ...]]:
        return [(*ids, self.eos) for ids in self._ids(texts, special=False)]

    def _ids(self, texts: Sequence[str], special: bool) -> list[tuple[int, ...]]:
        """Tokenise texts, with or without the special tokens that the tokenizer adds by default."""
        number = self._numbers.__getitem__
        found: list[tuple[int, ...]] = []
        for start in range(0, len(texts), _TOGETHER):
            encoded = self.tokenizer(
                list(texts[start : start + _TOGETHER]), add_special_tokens=special, return_attention_mask=False
            )
            found += [tuple(map(number, ids)) for ids in encoded["input_ids"]]
        return found

    def _cut_prompt(self, instruction: str, room: int) -> Prompt:
        offsets = self.tokenizer(instruction, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
        kept = len(offsets)
        while True:
            text = instruction[: offsets[kept - 1][1]] if kept else ""
            (ids,) = self._ids([self._render(text)], special=not self._marked)
            if ids and len(ids) <= room:  # the first response token is predicted from a prompt token
                return Prompt(ids, cut=True)
            if not kept:
                raise UserError(
                    f"--max-tokens {self.limit}: the prompt template takes {len(ids)} tokens and the response of "
                    f"{instruction[:40]!r} leaves {max(room, 0)}; raise --max-tokens (if the context permits), "
                    "shorten the response, or take --template plain"
                )
            kept = max(kept - max(len(ids) - room, 1), 0)
