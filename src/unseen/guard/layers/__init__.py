"""The layers of the guard, from the outside in; each takes the handler within it and returns its own.

recorded      every request leaves a record before its answer leaves
authenticated who asks, and which route
paced         how fast
understood    what is asked: read once, strictly, and written anew
charged       how much: budgets, and answers repeated for idempotency keys
forwarded     the model is asked, and its answer hardened
"""
