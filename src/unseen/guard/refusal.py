"""Refusal: why a request was not answered, in one sentence that says nothing of any record or of other clients."""

import msgspec


class Refused(Exception):
    """A request that ends here. `reason` is for the log and the programs of clients, the sentence is for people.

    `wait_s` is when it makes sense to ask again; `upstream` the status that the model's server gave, where it gave one.
    """

    upstream = 0

    def __init__(self, status: int, reason: str, sentence: str, wait_s: float | None = None) -> None:
        super().__init__(sentence)
        self.status = status
        self.reason = reason
        self.sentence = sentence
        self.wait_s = wait_s

    @property
    def body(self) -> bytes:
        """The answer, in the form that OpenAI's clients and plain ones both read."""
        return msgspec.json.encode({"error": {"message": self.sentence, "type": self.reason, "code": self.reason}})


def bad(reason: str, sentence: str) -> Refused:
    """Return a refusal of a request that cannot be understood."""
    return Refused(400, reason, sentence)


def upstream_failed(sentence: str, status: int = 502) -> Refused:
    """Return what a client is told when the model's server did not give a usable answer."""
    return Refused(status, "upstream", sentence)
