"""Which targeting key a variable is evaluated with."""

from __future__ import annotations

import pytest

from processor.variables.targeting import Targeting, parse_targeting_keys

_TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
_SPECIFIC = Targeting(by_variable={"billing": "org.id"})


@pytest.mark.parametrize(
    ("targeting", "names", "attributes", "key"),
    [
        (_SPECIFIC, ["billing"], {"user.id": "u", "org.id": "o"}, "o"),
        (_SPECIFIC, ["other"], {"user.id": "u", "org.id": "o"}, "u"),
        (_SPECIFIC, ["new_name", "billing"], {"user.id": "u", "org.id": "o"}, "o"),
        (_SPECIFIC, ["billing"], {"user.id": "u"}, "u"),
        (_SPECIFIC, ["billing"], {}, f"trace_id:{_TRACE}"),
        (_SPECIFIC, ["billing"], {"user.id": "u", "org.id": ""}, "u"),
        (_SPECIFIC, ["billing"], {"user.id": "u", "org.id": 5}, "u"),
        (_SPECIFIC, ["billing"], {"user.id": None, "org.id": ("o",)}, f"trace_id:{_TRACE}"),
        (Targeting("org.id"), ["billing"], {"user.id": "u", "org.id": "o"}, "o"),
        (Targeting(falls_back_to_trace_id=False), ["billing"], {}, None),
        (Targeting(falls_back_to_trace_id=False), ["billing"], {"user.id": "u"}, "u"),
    ],
)
def test_order_of_targeting_keys(
    targeting: Targeting, names: list[str], attributes: dict[str, object], key: str | None
) -> None:
    """S20: the variable's own attribute, the default one, the trace id; only a text that is not empty is a key."""
    assert key == targeting.key_of(names, attributes, _TRACE)


def test_attributes_that_may_hold_keys() -> None:
    """S21: what is to be carried for targeting is known, the default attribute first."""
    targeting = Targeting("user.id", {"a": "org.id", "b": "account", "c": "user.id"})
    assert ("user.id", "account", "org.id") == targeting.attributes()


def test_pairs_are_parsed() -> None:
    """S20: pairs of variable and attribute, whose key may have colons itself."""
    parsed = parse_targeting_keys(["billing_config:org.id", " plan_cfg : user.id ", "x:a:b", "x:a:b"])
    assert {"billing_config": "org.id", "plan_cfg": "user.id", "x": "a:b"} == parsed


@pytest.mark.parametrize("item", ["billing", ":org.id", "billing:", "bill-ing:org.id", "", ":"])
def test_a_wrong_pair_is_told(item: str) -> None:
    """The message says what would be right."""
    with pytest.raises(ValueError, match=r"must be variable:attribute pairs such as billing_config:org\.id"):
        parse_targeting_keys([item])


def test_two_keys_for_one_variable_are_told() -> None:
    """A variable has one attribute of its own."""
    with pytest.raises(ValueError, match="names a twice"):
        parse_targeting_keys(["a:x", "a:y"])
