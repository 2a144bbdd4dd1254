"""Token ids of prompts and responses, with a byte-level tokenizer: a token is a byte, so lengths are plain."""

from typing import Any

import pytest
from encoders import (
    BOS,
    EOS,
    TEMPLATE,
    TEMPLATE_TOKENS,
    TURNS,
    WithoutOffsets,
    byte_tokenizer,
    decoded,
    encode,
    encoder,
)
from tokenizers import processors

from fedrouter_sim.backbone import encoding
from fedrouter_sim.backbone.encoding import Encoder, Prompt
from fedrouter_sim.errors import UserError
from fedrouter_sim.examples.record import Example
from fedrouter_sim.examples.templates import TEMPLATES, render_prompt


@pytest.mark.parametrize("template", [*TEMPLATES, TEMPLATE])
def test_an_example_is_its_prompt_and_then_its_response_and_eos(template: str) -> None:
    coder = encoder(400, template)
    found = encode(coder, "who is there?", "it is me")
    assert decoded(coder, found.prompt.ids) == render_prompt(template, "who is there?")
    assert decoded(coder, found.response) == "it is me" + EOS
    assert not found.prompt.cut
    assert len(found) == len(found.prompt.ids) + len(found.response)


def test_prompt_and_response_are_tokenised_apart() -> None:
    coder = encoder(template="{instruction}h")
    found = encode(coder, "x", "e")
    merged = coder.tokenizer.convert_tokens_to_ids("he")
    assert merged in coder.tokenizer("xhe")["input_ids"]
    assert merged not in found.prompt.ids + found.response
    assert decoded(coder, found.prompt.ids + found.response) == "xhe" + EOS


@pytest.mark.parametrize("response", ["a", "he he", "中文", EOS])
def test_the_response_ends_with_eos(response: str) -> None:
    coder = encoder()
    assert encode(coder, "x", response).response[-1] == coder.eos == coder.tokenizer.eos_token_id


def test_prompts_and_embedded_texts_begin_as_the_tokenizer_has_it_and_responses_do_not() -> None:
    coder = encoder(begins=True)
    begin = coder.tokenizer.bos_token_id
    found = encode(coder, "x", "y")
    assert found.prompt.ids[0] == begin and found.prompt.ids.count(begin) == 1
    assert begin not in found.response
    assert coder.texts(["x"])[0].ids[0] == begin


def test_an_example_that_just_fits_is_not_cut() -> None:
    found = encode(encoder(TEMPLATE_TOKENS + 10 + 4), "0123456789", "abc")
    assert not found.prompt.cut and len(found) == TEMPLATE_TOKENS + 14


@pytest.mark.parametrize("begins", [False, True])
@pytest.mark.parametrize("room", range(11))
def test_what_is_too_long_loses_the_end_of_its_instruction_and_nothing_else(room: int, begins: bool) -> None:
    limit = TEMPLATE_TOKENS + begins + room + 4
    coder = encoder(limit, begins=begins)
    found = encode(coder, "0123456789", "abc")
    text = coder.tokenizer.decode(list(found.prompt.ids), skip_special_tokens=True)
    assert text == render_prompt(TEMPLATE, "0123456789"[:room])
    assert decoded(coder, found.response) == "abc" + EOS
    assert len(found) == limit
    assert found.prompt.cut == (room < 10)


@pytest.mark.parametrize("limit", range(TEMPLATE_TOKENS + 2, TEMPLATE_TOKENS + 30))
def test_cutting_never_leaves_half_a_character(limit: int) -> None:
    coder = encoder(limit)
    found = encode(coder, "né 中文 😀😀 hehehe", "a")
    text = decoded(coder, found.prompt.ids)
    kept = text.removeprefix("Q: ").removesuffix("\nA:")
    assert "né 中文 😀😀 hehehe".startswith(kept)
    assert text == render_prompt(TEMPLATE, kept)
    assert len(found) <= limit


@pytest.mark.parametrize("response", ["abc", "a response that is longer than the whole limit"])
def test_no_room_for_the_template_is_a_user_error_with_the_flags(response: str) -> None:
    coder = encoder(TEMPLATE_TOKENS + 3)
    with pytest.raises(UserError) as caught:
        encode(coder, "who?", response)
    message = str(caught.value)
    assert f"--max-tokens {TEMPLATE_TOKENS + 3}" in message and "'who?'" in message and "--template plain" in message
    assert "\n" not in message


def test_a_prompt_is_never_cut_to_nothing() -> None:
    with pytest.raises(UserError, match="--max-tokens 4"):
        encode(encoder(4, "{instruction}"), "who?", "abc")


def test_examples_keep_their_order_and_cut_apart() -> None:
    coder = encoder(TEMPLATE_TOKENS + 8)
    found = coder.examples([Example("0123456789", "a"), Example("x", "b"), Example("0123456789", "abcde")])
    assert [example.prompt.cut for example in found] == [True, False, True]
    assert [len(example) for example in found] == [TEMPLATE_TOKENS + 8, TEMPLATE_TOKENS + 3, TEMPLATE_TOKENS + 8]


def test_a_prompt_takes_its_own_room() -> None:
    coder = encoder()
    wide, narrow = coder.prompts(["0123456789"] * 2, [TEMPLATE_TOKENS + 10, TEMPLATE_TOKENS + 4])
    assert not wide.cut and narrow.cut
    assert decoded(coder, narrow.ids) == render_prompt(TEMPLATE, "0123")


def test_an_embedded_text_is_bare_and_cut_at_the_limit() -> None:
    coder = encoder(limit=8)
    short, long = coder.texts(["0123", "0123456789"])
    assert decoded(coder, short.ids) == "0123" and not short.cut
    assert decoded(coder, long.ids) == "01234567" and long.cut


def test_an_empty_text_is_embedded_as_eos() -> None:
    coder = encoder()
    assert coder.texts([""]) == [Prompt((coder.eos,), cut=False)]


def test_nothing_encodes_to_nothing() -> None:
    assert encoder().examples([]) == encoder().texts([]) == encoder().prompts([], []) == []


def test_a_tokenizer_without_eos_is_refused() -> None:
    with pytest.raises(UserError, match="no end-of-sequence token"):
        Encoder(byte_tokenizer(ends=False), TEMPLATE, 100)


def test_the_tokenizer_is_not_resized() -> None:
    coder = encoder()
    before = len(byte_tokenizer())
    encode(coder, "new words", "to learn")
    assert len(coder.tokenizer) == before


@pytest.mark.parametrize("together", [1, 2, 1_000])
def test_the_ids_do_not_depend_on_how_many_texts_are_tokenised_together(
    together: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [Example(f"who {i}?" * (i + 1), "he " * i + "x") for i in range(5)]
    whole = encoder(60).examples(rows), encoder(60).texts([row.instruction for row in rows])
    monkeypatch.setattr(encoding, "_TOGETHER", together)
    assert (encoder(60).examples(rows), encoder(60).texts([row.instruction for row in rows])) == whole


def test_equal_ids_are_one_object_in_memory() -> None:
    coder = encoder()
    one, two = coder.texts(["中" * 3, "中" * 5])
    assert {id(number) for number in two.ids} == {id(number) for number in one.ids}
    assert type(one.ids) is tuple and type(one.ids[0]) is int


def marked_encoder(single: str, **more: Any) -> Encoder:
    """An encoder whose tokenizer puts special tokens around a text."""
    tokenizer = byte_tokenizer()
    numbers = [(token, tokenizer.convert_tokens_to_ids(token)) for token in (EOS, BOS)]
    tokenizer._tokenizer.post_processor = processors.TemplateProcessing(single=single, special_tokens=numbers)
    return Encoder(tokenizer, TEMPLATE, 100, **more)


@pytest.mark.parametrize(
    ("single", "before"), [(f"$A {EOS}", 0), (f"{BOS} $A {EOS}", 1), (f"{BOS} $A {EOS} {BOS}", 1), (f"{BOS} $A", 1)]
)
def test_special_tokens_that_a_tokenizer_puts_after_a_text_are_left_out(single: str, before: int) -> None:
    coder = marked_encoder(single)
    plain = encode(encoder(), "who is there?", "me")
    found = encode(coder, "who is there?", "me")
    assert found.prompt.ids[before:] == plain.prompt.ids and found.response == plain.response
    assert coder.texts(["who"])[0].ids[before:] == encoder().texts(["who"])[0].ids
    # EOS of the text's own stays.
    assert coder.texts([f"a{EOS}"])[0].ids[-1] == coder.eos


def test_all_stop_tokens_are_known_and_the_first_ends_training_responses() -> None:
    coder = marked_encoder("$A", stops=(7, 9, 7))
    assert coder.stops == (coder.eos, 7, 9)
    assert encode(coder, "x", "y").response[-1] == coder.eos


def test_a_text_with_a_token_that_the_model_does_not_embed_is_refused() -> None:
    tokenizer = byte_tokenizer()
    tokenizer.add_special_tokens({"pad_token": "[PAD]"})
    coder = Encoder(tokenizer, TEMPLATE, 100, embedded=tokenizer.pad_token_id)
    encode(coder, "PAD", "x")
    with pytest.raises(UserError, match=r"the text 'Q: a \[PAD\] b\\nA:' holds '\[PAD\]', a token .* does not embed"):
        encode(coder, "a [PAD] b", "x")


def test_answers_are_decoded_without_ids_that_stand_for_nothing() -> None:
    coder = encoder()
    ids = coder.tokenizer("hi")["input_ids"]
    assert coder.decode([[*ids, 10**6, coder.eos], []]) == ["hi", ""]


@pytest.mark.parametrize("room", range(4, 12))
def test_a_tokenizer_without_offsets_cuts_at_characters(room: int) -> None:
    coder = Encoder(byte_tokenizer(), TEMPLATE, TEMPLATE_TOKENS + room + 4)
    coder.tokenizer = WithoutOffsets(coder.tokenizer)
    found = encode(coder, "né 中文 hehe", "abc")
    kept = decoded(coder, found.prompt.ids).removeprefix("Q: ").removesuffix("\nA:")
    assert "né 中文 hehe".startswith(kept) and len(found) <= coder.limit and found.prompt.cut
    assert len(found) > coder.limit - 8  # a character may be three tokens, and as many characters go as tokens are over


def test_flaws_are_the_examples_that_encoding_refuses() -> None:
    coder = encoder(TEMPLATE_TOKENS + 12)
    rows = [Example("a", "b" * n) for n in (1, 11, 12, 40)] + [Example("0123456789", "b" * 5), Example("a", "中" * 4)]
    refused = {}
    for i, row in enumerate(rows):
        try:
            coder.examples([row])
        except UserError as error:
            refused[i] = str(error)
    assert coder.flaws(rows) == refused
    assert list(refused) == [2, 3, 5]


def test_lengths_are_of_the_whole_texts_however_long() -> None:
    assert encoder(TEMPLATE_TOKENS + 5).lengths([Example("0123456789", "abc"), Example("he", "he")]) == [
        (TEMPLATE_TOKENS + 10, 4),
        (TEMPLATE_TOKENS + 1, 2),
    ]


def test_tokens_are_made_visible_as_they_stand() -> None:
    coder = encoder(begins=True)
    found = encode(coder, "a , b !", " me")
    assert coder.visible(found.prompt.ids) == f"{BOS}Q: a , b !\nA:" and coder.visible(found.response) == f" me{EOS}"


def test_a_conversation_in_a_template_of_text_is_its_text() -> None:
    row = Example.of_turns(TURNS, "nobody")
    (found,) = encoder(400).examples([row])
    text = "be brief\n\nUser: who?\n\nAssistant: me\n\nUser: and who else?"
    assert row.instruction == text
    assert decoded(encoder(), found.prompt.ids) == render_prompt(TEMPLATE, text)


def test_the_models_context_is_named_where_it_is_the_limit() -> None:
    tokenizer = byte_tokenizer()
    coder = Encoder(tokenizer, TEMPLATE, TEMPLATE_TOKENS + 3, name="small", of_model=True)
    with pytest.raises(UserError, match=rf"^--model small: its context of {TEMPLATE_TOKENS + 3}: .* or another model$"):
        encode(coder, "who?", "abc")
