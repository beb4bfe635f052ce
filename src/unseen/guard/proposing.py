"""Proposing: a commented policy to begin with, for each protocol."""

FEATURES = '# features = ["age", "wage"]         # what a record has, and nothing else; in the order of scales'
PROTOCOLS = {
    "mlflow": (f'protocol = "mlflow"\nanswers = "probabilities"\n{FEATURES}', "http://127.0.0.1:5001"),
    "open-inference-v2": (
        """protocol = "open-inference-v2"
answers = "probabilities"
# path = "/v2/models/credit"         # the one model that may be asked; any, where it is not said
# features = ["x"]                   # the inputs of a request, and nothing else
# shape = [12]                       # how many numbers a record has; shapes = { x = [12], y = [] } where inputs differ
# outputs = { predict_proba = "probabilities", predict = "labels" }  # needed where more than one leaves""",
        "http://127.0.0.1:8081",
    ),
    "kserve-v1": (
        f"""protocol = "kserve-v1"
answers = "probabilities"
# path = "/v1/models/credit"         # the one model that may be asked; any, where it is not said
# b64 = true                         # where values may be bytes, in base64
{FEATURES}""",
        "http://127.0.0.1:8081",
    ),
    "openai": (
        'protocol = "openai"\n# models = ["NAME"]                  # those that may be asked',
        "http://127.0.0.1:8000",
    ),
    "json": (
        f"""protocol = "json"
path = "/predict"
records = "/inputs"                  # JSON pointer to the records of a request
outputs = {{ "/probabilities" = "probabilities" }}  # JSON pointers to the answers
{FEATURES}""",
        "http://127.0.0.1:8000",
    ),
}
TABULAR = '[{ name = "rounding", decimals = 2 }]'
TEXT = '[{ name = "no-logprobs" }]'


def proposal(protocol: str, url: str | None = None) -> str:
    """Return a policy as text, with what every line means."""
    route, usual = PROTOCOLS[protocol]
    return f"""\
# The policy of a guard. unseen guard explain says what it means, unseen guard check what is wrong with it.

[guard]
listen = "127.0.0.1:8080"
secret = "env:UNSEEN_GUARD_SECRET"   # make one with: openssl rand -hex 32. Keep it: keys, noise and the log rest on it
state = "guard-state"                # keys, budgets and the log stand here; only its owner can read it
mode = "enforce"                     # "shadow" writes down what would be refused, and changes nothing

[upstream]
url = "{url or usual}"        # the one server that is asked
# authorization = "env:MODEL_AUTHORIZATION"   # sent to it as the Authorization header

[[routes]]                           # nothing is forwarded that no route names
{route}

[tiers.default]                      # what a key of this tier gets
rate = "10 per second, burst 20"
budget = {{ per_day = 1000, lifetime = 50000 }}   # in records, not requests; also: per_neighbourhood
controls = {TEXT if protocol == "openai" else TABULAR}   # see: unseen controls

[budgets]
total = {{ per_day = 20000 }}          # everybody together
# tenant = {{ per_day = 5000 }}        # each tenant

[store]
kind = "sqlite"                      # "redis" or "postgresql", with url = "env:NAME", for several machines
lease = 1000                         # records that a worker takes at once, at most a hundredth of a budget

[log]
durability = "process"               # "power" also survives a power cut, and waits for the disk

[detectors]                          # thresholds from your own traffic: unseen guard calibrate
volume = {{}}
{"seeking = {}" if protocol == "openai" else "# near-duplicates = { tau = 0.5 }"}

[actions]
ladder = ["log", "alert"]            # a step each sighting, an hour apart at the earliest: "log" first, then "alert"
# Both are written at once. Further steps, "tighten" (labels only), "reauthenticate" and "suspend", begin later than
# their sighting, by chance: no query is seen to have caused them.
delay_s = [600, 7200]
"""
