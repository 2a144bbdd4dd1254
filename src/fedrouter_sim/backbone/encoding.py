"""From texts to token ids: prompts, responses, and what is cut where a text is too long."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass

from transformers import PreTrainedTokenizerBase

from fedrouter_sim.backbone.prompts import CHAT_TEMPLATE, ChatTemplate, text_renderer
from fedrouter_sim.errors import UserError
from fedrouter_sim.examples.record import SYSTEM, USER, Example, Turn

_TOGETHER = 1_000  # texts tokenised in one call, whose by-products take much more memory than their ids


@dataclass(frozen=True, slots=True)
class Prompt:
    """The token ids before the response. `cut`: the instruction was shortened to fit."""

    ids: tuple[int, ...]
    cut: bool


@dataclass(frozen=True, slots=True)
class EncodedExample:
    """An example in token ids, prompt and response tokenised apart. The response ends with
    EOS, or with what ends a turn of the chat template."""

    prompt: Prompt
    response: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.prompt.ids) + len(self.response)


class _Numbers(dict[int, int]):
    """Token ids, each one object in memory however many texts hold it; `beyond` once one is not below `embedded`."""

    def __init__(self, embedded: int) -> None:
        super().__init__()
        self._embedded = embedded
        self.beyond = False

    def __missing__(self, number: int) -> int:
        self.beyond |= not 0 <= number < self._embedded
        self[number] = number
        return number


class Encoder:
    """Tokenises for one backbone, template and limit.

    What is too long loses the end of its instruction, never the template nor the response; of a conversation the
    oldest turns go first.

    Args:
        tokenizer: the backbone's own; it is never resized.
        template: a name of `TEMPLATES`, 'chat' for the tokenizer's own, or a text with {instruction}.
        limit: most tokens of prompt and response together.
        stops: further tokens that end an answer.
        embedded: how many tokens the backbone embeds; texts that hold others, such as added ones, are refused.
        name: what the user called the model, for messages.
        of_model: whether the limit is that of the model's context, below what the user allows.

    Attributes:
        eos: the tokenizer's end-of-sequence token.
        stops: all tokens that end an answer; the first is the one that training responses end with.

    Raises:
        UserError: the tokenizer has no EOS, or no usable chat template where that is asked for.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        template: str,
        limit: int,
        stops: Sequence[int] = (),
        embedded: int = sys.maxsize,
        name: str = "",
        of_model: bool = False,
    ) -> None:
        if tokenizer.eos_token_id is None:
            raise UserError(f"--model {name}: its tokenizer has no end-of-sequence token, so answers could not end")
        self.tokenizer = tokenizer
        self.eos: int = tokenizer.eos_token_id
        self.limit = limit
        self._name, self._of_model, self._embedded = name, of_model, embedded
        self._numbers = _Numbers(embedded)
        vocabulary = tokenizer.get_vocab()
        self._decodable = frozenset(vocabulary.values())
        self._unknown = {number: token for token, number in vocabulary.items() if number >= embedded}
        # A chat template writes the special tokens itself.
        self._marked = template == CHAT_TEMPLATE
        chat = ChatTemplate(tokenizer) if self._marked else None
        self._render = chat.render if chat else text_renderer(template)
        end = self.eos if chat is None or chat.end is None else chat.end
        self.stops: tuple[int, ...] = tuple(dict.fromkeys((end, self.eos, *stops)))
        if odd := [stop for stop in self.stops if not 0 <= stop < embedded]:
            raise UserError(
                f"--model {name}: answers are to end at token {odd[0]}, and the model embeds {embedded:,}; correct "
                "eos_token_id in its generation_config.json or tokenizer"
            )
        self._appended = self._count_appended()

    @property
    def limited_by(self) -> str:
        """What the limit is, for messages: the user's, or that of the model."""
        return f"--model {self._name}: its context of {self.limit}" if self._of_model else f"--max-tokens {self.limit}"

    def examples(self, examples: Sequence[Example]) -> list[EncodedExample]:
        """Encode examples for training or scoring.

        Raises:
            UserError: a response leaves no room for the template within the limit.
        """
        responses = self._responses([example.response for example in examples])
        rooms = [self.limit - len(response) for response in responses]
        return [EncodedExample(p, r) for p, r in zip(self.prompts(examples, rooms), responses, strict=True)]

    def prompts(self, asked: Sequence[str | Example], rooms: Sequence[int]) -> list[Prompt]:
        """Encode prompts, of instructions or of examples, into at most `rooms` tokens each.

        Raises:
            UserError: the template alone is longer than the room.
        """
        turns = [_turns(one) for one in asked]
        encoded = self._rendered(turns)
        return [
            Prompt(ids, cut=False) if len(ids) <= room else self._cut_prompt(of_one, room)
            for of_one, ids, room in zip(turns, encoded, rooms, strict=True)
        ]

    def flaws(self, examples: Sequence[Example]) -> dict[int, str]:
        """Return the positions of the examples that cannot be encoded, and why: the response leaves no room for the
        template within the limit, or the chat template fails on the turns."""
        # A character is at most four tokens, so that most responses need not be tokenised to know.
        least = self.limit - len(self._rendered([(Turn(USER, "a"),)])[0])
        doubtful = [i for i, one in enumerate(examples) if one.turns or 4 * len(one.response) + 8 >= least]
        found = {}
        try:
            self.examples([examples[i] for i in doubtful])
        except UserError:  # one at a time, to know which
            for i in doubtful:
                try:
                    self.examples([examples[i]])
                except UserError as error:
                    found[i] = str(error)
        return found

    def lengths(self, examples: Sequence[Example]) -> list[tuple[int, int]]:
        """Return the tokens of each example's whole prompt, and of its response with what ends it.

        Raises:
            UserError: the chat template fails on one, or it holds a token that the backbone does not embed.
        """
        prompts = self._rendered([_turns(example) for example in examples])
        responses = self._responses([example.response for example in examples])
        return [(len(prompt), len(response)) for prompt, response in zip(prompts, responses, strict=True)]

    def texts(self, texts: Sequence[str]) -> list[Prompt]:
        """Encode bare texts for embedding, with the tokenizer's default special tokens, cut at the limit."""
        # A text without tokens is embedded as EOS: there is no mean over nothing.
        return [
            Prompt(ids[: self.limit] or (self.eos,), cut=len(ids) > self.limit)
            for ids in self._ids(texts, special=True)
        ]

    def decode(self, answers: Sequence[Sequence[int]]) -> list[str]:
        """Return the texts of answers, without special tokens, ids that stand for no text, and surrounding space."""
        if not answers:  # of which transformers would make one empty text
            return []
        known = [[number for number in ids if number in self._decodable] for ids in answers]
        texts: list[str] = self.tokenizer.batch_decode(known, skip_special_tokens=True)
        return [text.strip() for text in texts]

    def visible(self, ids: Sequence[int]) -> str:
        """Return the text of tokens as it stands, special tokens included."""
        return str(self.tokenizer.decode(list(ids), clean_up_tokenization_spaces=False))

    def _responses(self, texts: Sequence[str]) -> list[tuple[int, ...]]:
        return [(*ids, self.stops[0]) for ids in self._ids(texts, special=False)]

    def _rendered(self, turns: Sequence[Sequence[Turn]]) -> list[tuple[int, ...]]:
        return self._ids([self._render(of_one) for of_one in turns], special=not self._marked)

    def _ids(self, texts: Sequence[str], special: bool) -> list[tuple[int, ...]]:
        """Tokenise texts, with or without the special tokens that the tokenizer puts before them by default."""
        number = self._numbers.__getitem__
        end = -self._appended if special and self._appended else None
        found: list[tuple[int, ...]] = []
        for start in range(0, len(texts), _TOGETHER):
            encoded = self.tokenizer(
                list(texts[start : start + _TOGETHER]), add_special_tokens=special, return_attention_mask=False
            )
            found += [tuple(map(number, ids[:end])) for ids in encoded["input_ids"]]
        if self._numbers.beyond:
            self._refuse_unknown(texts, found)
        return found

    def _refuse_unknown(self, texts: Sequence[str], encoded: Sequence[tuple[int, ...]]) -> None:
        for text, ids in zip(texts, encoded, strict=True):
            for number in (number for number in set(ids) if not 0 <= number < self._embedded):
                token = repr(self._unknown.get(number, f"token {number}"))
                raise UserError(
                    f"--model {self._name}: the text {text[:40]!r} holds {token}, a token of the "
                    "tokenizer that the model does not embed; take it out of the text, or give a model that was "
                    "resized for it"
                )

    def _count_appended(self) -> int:
        """Return how many special tokens, such as EOS, the tokenizer puts after a text.

        They are left out: an answer could not go on after them.
        """
        bare, marked = (self.tokenizer("a", add_special_tokens=special)["input_ids"] for special in (False, True))
        added = len(marked) - len(bare)
        return next((after for after in range(added, 0, -1) if marked[:-after][added - after :] == bare), 0)

    def _cut_prompt(self, turns: Sequence[Turn], room: int) -> Prompt:
        while len(turns) > 1 and (shorter := _without_oldest(turns)) != turns:
            turns = shorter
            (ids,) = self._rendered([turns])
            if len(ids) <= room:
                return Prompt(ids, cut=True)
        *before, last = turns
        ends = self._token_ends(last.text)
        kept = len(ends)
        while True:
            text = last.text[: ends[kept - 1]] if kept else ""
            (ids,) = self._rendered([(*before, last._replace(text=text))])
            if ids and len(ids) <= room:  # the first response token is predicted from a prompt token
                return Prompt(ids, cut=True)
            if not kept:
                remedy = "another model" if self._of_model else "raise --max-tokens (if the context permits)"
                raise UserError(
                    f"{self.limited_by}: the prompt template takes {len(ids)} tokens and the response of "
                    f"{last.text[:40]!r} leaves {max(room, 0)}; shorten the response, take --template plain, or "
                    f"{remedy}"
                )
            kept = max(kept - max(len(ids) - room, 1), 0)

    def _token_ends(self, text: str) -> list[int]:
        """Return the places in a text at which it may be cut: where a token ends, or after any character where the
        tokenizer does not say."""
        if not self.tokenizer.is_fast:
            return list(range(1, len(text) + 1))
        offsets = self.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
        return [end for _, end in offsets]


def _turns(asked: str | Example) -> tuple[Turn, ...]:
    if isinstance(asked, str):
        return (Turn(USER, asked),)
    return asked.turns or (Turn(USER, asked.instruction),)


def _without_oldest(turns: Sequence[Turn]) -> Sequence[Turn]:
    """Leave out the oldest turn of a user and what was said up to the next one; the system's text stays."""
    first = 1 if turns[0].role == SYSTEM else 0
    following = next((i for i in range(first + 1, len(turns)) if turns[i].role == USER), None)
    return turns if following is None else (*turns[:first], *turns[following:])
