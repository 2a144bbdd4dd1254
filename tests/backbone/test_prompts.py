"""Prompts by a tokenizer's own chat template: turns, what ends them, and templates that fail."""

import pytest
from encoders import BOS, EOS, TURNS, byte_tokenizer, decoded, encode, encoder

from fedrouter_sim.backbone.encoding import EncodedExample, Encoder
from fedrouter_sim.errors import UserError
from fedrouter_sim.examples.record import Example, Turn

CHAT = (
    "{{ bos_token }}{% for message in messages %}<{{ message['role'] }}>{{ message['content'] | trim }}\n{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)
CHAT_TOKENS = 1 + len("<user>\n<assistant>")


def chat_encoder(limit: int = 100, template: str | dict[str, str] | None = CHAT) -> Encoder:
    """An encoder whose tokenizer puts BOS before a text, which the chat template does, too."""
    tokenizer = byte_tokenizer(begins=True)
    tokenizer.chat_template = template
    return Encoder(tokenizer, "chat", limit)


def test_a_chat_prompt_is_one_user_message_up_to_the_answer_with_no_special_token_twice() -> None:
    coder = chat_encoder()
    found = encode(coder, "who is there?", "me")
    assert decoded(coder, found.prompt.ids) == f"{BOS}<user>who is there?\n<assistant>"
    assert found.prompt.ids.count(coder.tokenizer.bos_token_id) == 1
    assert decoded(coder, found.response) == "me" + EOS
    assert decoded(coder, coder.texts(["bare"])[0].ids) == f"{BOS}bare"  # embedded text is in no template


@pytest.mark.parametrize("instruction", ["a {{ b }} {% c %}", "{instruction}", "中文 😀", "he\nhe"])
def test_a_chat_prompt_holds_the_instruction_verbatim(instruction: str) -> None:
    coder = chat_encoder()
    assert decoded(coder, encode(coder, instruction, "x").prompt.ids) == f"{BOS}<user>{instruction}\n<assistant>"


@pytest.mark.parametrize("room", range(11))
def test_a_chat_prompt_that_is_too_long_loses_the_end_of_its_instruction(room: int) -> None:
    coder = chat_encoder(CHAT_TOKENS + room + 4)
    found = encode(coder, "0123456789", "abc")
    assert decoded(coder, found.prompt.ids) == f"{BOS}<user>{'0123456789'[:room]}\n<assistant>"
    assert len(found) == coder.limit and found.prompt.cut == (room < 10)


def test_a_chat_template_without_room_is_refused() -> None:
    with pytest.raises(UserError, match=f"--max-tokens 20: the prompt template takes {CHAT_TOKENS} tokens"):
        encode(chat_encoder(20), "who?", "abc")


def test_of_several_chat_templates_the_default_one_is_taken() -> None:
    coder = chat_encoder(template={"default": CHAT, "tools": "{{ messages[0]['content'] }}!"})
    assert decoded(coder, encode(coder, "x", "y").prompt.ids) == f"{BOS}<user>x\n<assistant>"


@pytest.mark.parametrize(
    ("template", "said"),
    [
        (None, "has no chat template"),
        ("", "has no chat template"),
        ("{% for %}", "fails"),
        ("{{ raise_exception('system\nfirst') }}", r"fails \(system\)"),
        ("{{ messages[1]['content'] }}", "fails"),
        ("<assistant>", "leaves the user's message out"),
        ({"tools": CHAT}, "fails"),
    ],
)
def test_a_tokenizer_without_usable_chat_template_is_refused_with_what_else_would_do(
    template: str | dict[str, str] | None, said: str
) -> None:
    with pytest.raises(UserError, match=f"--template chat: .*{said}.*; take --template alpaca, plain") as caught:
        chat_encoder(template=template)
    assert "\n" not in str(caught.value)


def test_a_conversation_goes_through_the_chat_template_turn_by_turn() -> None:
    coder = chat_encoder(400)
    (found,) = coder.examples([Example.of_turns(TURNS, "nobody")])
    asked = "<system>be brief\n<user>who?\n<assistant>me\n<user>and who else?\n<assistant>"
    assert decoded(coder, found.prompt.ids) == BOS + asked and not found.prompt.cut
    assert decoded(coder, found.response) == "nobody" + EOS


def test_a_conversation_that_is_too_long_loses_its_oldest_turns_and_then_the_end_of_the_last() -> None:
    whole = len(encode_turns(chat_encoder(400)).prompt.ids)
    dropped = len("<user>who?\n<assistant>me\n")
    for limit, expected in (
        (whole, "<system>be brief\n<user>who?\n<assistant>me\n<user>and who else?\n<assistant>"),
        (whole - 1, "<system>be brief\n<user>and who else?\n<assistant>"),
        (whole - dropped, "<system>be brief\n<user>and who else?\n<assistant>"),
        (whole - dropped - 3, "<system>be brief\n<user>and who el\n<assistant>"),
    ):
        coder = chat_encoder(limit + 3)
        found = encode_turns(coder)
        assert decoded(coder, found.prompt.ids) == BOS + expected
        assert found.prompt.cut == (limit < whole)


def encode_turns(coder: Encoder) -> EncodedExample:
    (found,) = coder.examples([Example.of_turns(TURNS, "xy")])
    return found


ALTERNATES = (
    "{% for m in messages %}{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('roles must alternate') }}{% endif %}<{{ m['role'] }}>{{ m['content'] }}<|begin|>{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)


def test_a_template_without_a_place_for_the_system_gets_it_in_the_first_message() -> None:
    coder = chat_encoder(400, ALTERNATES)
    (found,) = coder.examples([Example.of_turns(TURNS, "nobody")])
    asked = f"<user>be brief\n\nwho?{BOS}<assistant>me{BOS}<user>and who else?{BOS}<assistant>"
    assert decoded(coder, found.prompt.ids) == asked


def test_a_conversation_that_the_template_fails_on_is_named() -> None:
    row = Example.of_turns([Turn("user", "one"), Turn("user", "two")], "x")
    with pytest.raises(UserError, match=r"fails on a conversation of user, user \(roles must .*, which begins 'one'"):
        chat_encoder(400, ALTERNATES).examples([row])


def test_a_conversation_that_the_template_fails_on_is_a_flaw() -> None:
    rows = [Example("x", "y"), Example.of_turns([Turn("user", "one"), Turn("user", "two")], "x")]
    found = chat_encoder(400, ALTERNATES).flaws(rows)
    assert list(found) == [1] and "roles must alternate" in found[1]


NO_SYSTEM = (
    "{% for m in messages %}{% if m['role'] == 'system' %}{{ raise_exception('no system') }}{% endif %}"
    "<{{ m['role'] }}>{{ m['content'] }}\n{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}"
)


def test_the_system_goes_before_the_first_user_wherever_that_is() -> None:
    turns = (TURNS[0], Turn("assistant", "hi"), Turn("user", "who?"))
    (found,) = chat_encoder(400, NO_SYSTEM).prompts([Example.of_turns(turns, "")], [400])
    assert decoded(encoder(), found.ids) == "<assistant>hi\n<user>be brief\n\nwho?\n<assistant>"


def test_a_response_ends_as_the_chat_template_ends_a_turn() -> None:
    coder = chat_encoder(400, ALTERNATES)
    begin = coder.tokenizer.bos_token_id
    assert coder.stops == (begin, coder.eos)
    assert encode(coder, "x", "y").response[-1] == begin


def test_a_chat_prompt_does_not_change_by_the_day() -> None:
    coder = chat_encoder(template="\n{% if strftime_now is defined %}{{ strftime_now('%d %B') }}{% endif %}" + CHAT)
    assert decoded(coder, encode(coder, "x", "y").prompt.ids) == f"\n26 Jul 2024{BOS}<user>x\n<assistant>"
