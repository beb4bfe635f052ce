"""OpenAI's `chat/completions` with a model used as a classifier: one text a record, its label as the answer."""

from typing import Any

from unseen.errors import DataError, ModelError, PlanError
from unseen.plan import TargetPlan
from unseen.targets.wire.format import Format, listed, member
from unseen.targets.wire.rows import Rows

LONGEST_LABEL = 16  # tokens


def encode(rows: Rows, said: TargetPlan, _metadata: Any) -> Any:
    """Return one question: the plan's `prompt`, then the record's text; the same question gets the same answer.

    >>> said = TargetPlan(url="http://m/v1/chat/completions", protocol="openai", model_name="m", prompt="Spam or ham?")
    >>> encode(Rows(("text",), [["Hello"]]), said, None)["messages"][0]
    {'role': 'system', 'content': 'Spam or ham?'}
    """
    (record,) = rows.records
    if len(record) != 1 or not isinstance(record[0], str):
        raise DataError(
            'protocol = "openai" asks about texts: the tables need one feature column, of text (data.drop).'
        )
    return {
        "model": said.model_name,
        "messages": [{"role": "system", "content": said.prompt}, {"role": "user", "content": record[0]}],
        "temperature": 0,
        "max_tokens": LONGEST_LABEL,
    }


def decode(reply: Any, records: int, _said: TargetPlan) -> list[Any]:
    """Return the answer's text without white space around it, nor a full stop at its end."""
    (choice,) = listed(member(reply, "choices"), records, "choices")
    text = member(member(choice, "message"), "content")
    if not isinstance(text, str):
        raise ModelError("the endpoint's answer holds no text.")
    return [text.strip().rstrip(".")]


def check(said: TargetPlan) -> None:
    """Raise `PlanError` where the plan asks for what such an endpoint is not asked for."""
    if said.model_name is None or not said.prompt or not said.classes:
        raise PlanError(
            'protocol = "openai" needs target.model_name, target.classes, and a target.prompt that asks for one of '
            "them."
        )
    if not str(said.url).partition("?")[0].rstrip("/").endswith("/chat/completions"):
        raise PlanError(
            'protocol = "openai" asks chat/completions for labels; the likelihood of a given text (completions with '
            "echo and logprobs) is not read here."
        )
    if said.answers not in {"auto", "labels"}:
        raise PlanError(
            f'chat/completions withhold the probability of a given text, so answers = "{said.answers}" cannot be had: '
            'say answers = "labels".'
        )


OPENAI = Format(encode, decode, most=1, check=check)
