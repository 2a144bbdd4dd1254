"""From texts to token ids: prompts, responses, and what is cut where a text is too long."""

from collections.abc import Sequence
from dataclasses import dataclass

from transformers import PreTrainedTokenizerBase

from fedrouter_sim.errors import UserError
from fedrouter_sim.examples import Example, render_prompt


@dataclass(frozen=True)
class Prompt:
    """The token ids before the response. `cut`: the instruction was shortened to fit."""

    ids: tuple[int, ...]
    cut: bool


@dataclass(frozen=True)
class EncodedExample:
    """An example in token ids, prompt and response tokenised apart. The response ends with EOS."""

    prompt: Prompt
    response: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.prompt.ids) + len(self.response)


class Encoder:
    """Tokenises for one backbone, template and limit.

    What is too long loses the end of its instruction, never the template nor the response.

    Args:
        tokenizer: the backbone's own; it is never resized.
        template: a name of `examples.TEMPLATES` or a text with {instruction}.
        limit: most tokens of prompt and response together.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, template: str, limit: int) -> None:
        if tokenizer.eos_token_id is None:
            raise UserError("--model: its tokenizer has no end-of-sequence token, so answers could not end")
        self.tokenizer = tokenizer
        self.eos: int = tokenizer.eos_token_id
        self.limit = limit
        self._template = template

    def examples(self, examples: Sequence[Example]) -> list[EncodedExample]:
        """Encode examples for training or scoring.

        Raises:
            UserError: a response leaves no room for the template within the limit.
        """
        responses = self._responses([example.response for example in examples])
        rooms = [self.limit - len(response) for response in responses]
        prompts = self.prompts([example.instruction for example in examples], rooms)
        return [EncodedExample(p, r) for p, r in zip(prompts, responses, strict=True)]

    def response_lengths(self, examples: Sequence[Example]) -> list[int]:
        """Return the tokens of each response, EOS included."""
        return [len(response) for response in self._responses([example.response for example in examples])]

    def prompts(self, instructions: Sequence[str], rooms: Sequence[int]) -> list[Prompt]:
        """Encode prompts into at most `rooms` tokens each.

        Raises:
            UserError: the template alone is longer than the room.
        """
        if not instructions:
            return []
        texts = [render_prompt(self._template, instruction) for instruction in instructions]
        encoded = self.tokenizer(texts)["input_ids"]
        return [
            Prompt(tuple(ids), cut=False) if len(ids) <= room else self._cut_prompt(instruction, room)
            for instruction, ids, room in zip(instructions, encoded, rooms, strict=True)
        ]

    def texts(self, texts: Sequence[str]) -> list[Prompt]:
        """Encode bare texts for embedding, with the tokenizer's default special tokens, cut at the limit."""
        if not texts:
            return []
        encoded = self.tokenizer(list(texts))["input_ids"]
        # A text without tokens is embedded as EOS: there is no mean over nothing.
        return [Prompt(tuple(ids[: self.limit]) or (self.eos,), cut=len(ids) > self.limit) for ids in encoded]

    def _responses(self, texts: Sequence[str]) -> list[tuple[int, ...]]:
        if not texts:
            return []
        encoded = self.tokenizer(list(texts), add_special_tokens=False)["input_ids"]
        return [(*ids, self.eos) for ids in encoded]

    def _cut_prompt(self, instruction: str, room: int) -> Prompt:
        offsets = self.tokenizer(instruction, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
        kept = len(offsets)
        while True:
            text = instruction[: offsets[kept - 1][1]] if kept else ""
            ids = self.tokenizer(render_prompt(self._template, text))["input_ids"]
            if ids and len(ids) <= room:  # the first response token is predicted from a prompt token
                return Prompt(tuple(ids), cut=True)
            if not kept:
                raise UserError(
                    f"--max-tokens {self.limit}: the prompt template takes {len(ids)} tokens and the response of "
                    f"{instruction[:40]!r} leaves {max(room, 0)}; raise --max-tokens (if the context permits), "
                    "shorten the response, or take --template plain"
                )
            kept = max(kept - max(len(ids) - room, 1), 0)
