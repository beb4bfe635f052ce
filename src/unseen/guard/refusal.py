"""Refusal: why a request was not answered, in one sentence that says nothing of any record or of other clients."""

import msgspec

AGAIN = "try again."  # the end of a sentence, where the same request may be answered later


class Refused(Exception):
    """A request that ends here. `reason` is for the log, metrics and programs of clients, the sentence for people.

    `code` is what programs of clients are told instead, where that is less. `wait_s` is when it makes sense to ask
    again; `upstream` the status that the model's server gave, where it gave one.
    """

    code = ""
    upstream = 0

    def __init__(self, status: int, reason: str, sentence: str, wait_s: float | None = None) -> None:
        super().__init__(sentence)
        self.status = status
        self.reason = reason
        self.sentence = sentence
        self.wait_s = wait_s

    def say_charged(self) -> None:
        """Say to people that what was asked is charged all the same.

        >>> refused = Refused(502, "upstream_failed", f"It failed; {AGAIN}")
        >>> refused.say_charged()
        >>> refused.sentence
        'It failed, and this was charged; try again.'
        """
        end = f"; {AGAIN}" if self.sentence.endswith(f"; {AGAIN}") else "."
        self.sentence = f"{self.sentence.removesuffix(end)}, and this was charged{end}"

    @property
    def body(self) -> bytes:
        """The answer, in the form that OpenAI's clients and plain ones both read."""
        code = self.code or self.reason
        return msgspec.json.encode({"error": {"message": self.sentence, "type": code, "code": code}})


def bad(reason: str, sentence: str) -> Refused:
    """Return a refusal of a request that cannot be understood."""
    return Refused(400, reason, sentence)


def upstream_failed(reason: str, sentence: str, status: int = 502) -> Refused:
    """Return what a client is told when the model's server did not give a usable answer: one word, whatever it was."""
    refused = Refused(status, f"upstream_{reason}", sentence)
    refused.code = "upstream"
    return refused
