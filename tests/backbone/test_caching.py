"""Requests that come again are answered from the cache, whole or not at all."""

from fedrouter_sim.backbone.caching import RequestCache


def test_the_same_request_is_computed_once_and_another_one_anew():
    cache, computed = RequestCache(100), []

    def compute(value: str) -> str:
        computed.append(value)
        return value

    for text in ("a", "a", "b", "a"):
        assert cache.get(["embed", text], lambda text=text: compute(text), len) == text
    assert computed == ["a", "b"]


def test_the_order_and_cut_of_texts_are_part_of_the_request():
    cache = RequestCache(100)
    requests = (["a", "b"], ["b", "a"], ["ab"], ["a", "b", ""])
    found = [cache.get(request, lambda request=request: str(request), len) for request in requests]
    assert found == [str(request) for request in requests]


def test_the_oldest_result_goes_first_when_there_is_no_room():
    cache, computed = RequestCache(10), []

    def ask(name: str) -> None:
        cache.get(name, lambda: computed.append(name) or "x" * 4, len)

    for name in ("one", "two", "one", "three", "one", "two"):  # "two" is the oldest when "three" comes
        ask(name)
    assert computed == ["one", "two", "three", "two"]


def test_a_result_too_large_for_the_cache_is_returned_and_drops_nothing():
    cache, computed = RequestCache(5), []
    assert cache.get("small", lambda: "1234", len) == "1234"
    assert cache.get("large", lambda: "123456", len) == "123456"
    assert cache.get("small", lambda: computed.append("small") or "anew", len) == "1234"
    assert not computed
