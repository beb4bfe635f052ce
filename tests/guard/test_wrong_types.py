"""A wrong type in a policy: its place, what it must be and what it is, in words of the policy and not of a library."""

import pytest

from unseen.errors import PolicyError
from unseen.guard.policy import policy_from

PLAIN = {"upstream": {"url": "http://127.0.0.1:1"}, "routes": [{"protocol": "mlflow"}]}
EXAMPLE = 'write controls = [{ name = "rounding", decimals = 2 }].'


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (
            {"guard": {"mode": "shaddow"}},
            "guard.mode must be 'enforce' or 'shadow', got 'shaddow'; did you mean 'shadow'?",
        ),
        ({"guard": {"mode": 1}}, "guard.mode must be 'enforce' or 'shadow', got a whole number."),
        ({"guard": 3}, "guard must be a table, got a whole number."),
        ({"guard": {"workers": "2"}}, "guard.workers must be a whole number, got a text."),
        ({"guard": {"strict": "yes"}}, "guard.strict must be true or false, got a text."),
        (
            {"tiers": {"gold": {"controls": ["rounding"]}}},
            f"tiers.gold.controls 1 must be a table, got a text: {EXAMPLE}",
        ),
        ({"tiers": {"gold": {"controls": {}}}}, f"tiers.gold.controls must be a list, got a table: {EXAMPLE}"),
        (
            {"tiers": {"gold": {"budget": {"per_day": "x"}}}},
            "tiers.gold.budget.per_day must be a whole number, got a text.",
        ),
        ({"upstream": {}}, "upstream needs url."),
        (
            {"tiers": {"gold": {"budget": {"perday": 1000}}}},
            "[tiers.gold.budget] has an unknown key 'perday'; did you mean 'per_day'?",
        ),
        ({"oidc": {"isuer": "i"}}, "[oidc] has an unknown key 'isuer'; did you mean 'issuer'?"),
        (
            {"log": {"exports": [{"to": "file", "path": "a", "zzz": 1}]}},
            "[log.exports 1] has an unknown key 'zzz'.",
        ),
        ({"routes": [{"protocol": "mlflow"}, {}]}, "routes 2 needs protocol."),
        ({"routes": {"protocol": "mlflow"}}, "routes must be a list, got a table: write a [[routes]] table."),
        ({"routes": [{"protocol": "mlflow", "scales": ["1"]}]}, "routes 1.scales 1 must be a number, got a text."),
        (
            {"routes": [{"protocol": "mlflow", "outputs": {"x": "label"}}]},
            "routes 1.outputs.x must be 'probabilities' or 'labels' or 'values', got 'label'; did you mean 'labels'?",
        ),
        ({"routes": [{"protocol": "mlflow", "outputs": ["x"]}]}, "routes 1.outputs must be a table, got a list."),
        ({"routes": ["mlflow"]}, "routes 1 must be a table, got a text: write a [[routes]] table."),
        ({"detectors": {"volume": True}}, "detectors.volume must be a table, got true or false: write volume = {}."),
        (
            {"actions": {"delay_s": [1]}},
            "actions.delay_s must be a list of 2, got 1 in it: write delay_s = [600, 7200].",
        ),
    ],
)
def test_a_wrong_type_is_said_with_its_place(content, said):
    with pytest.raises(PolicyError) as raised:
        policy_from(PLAIN | content)
    assert str(raised.value) == said
