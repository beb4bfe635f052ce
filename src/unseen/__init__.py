"""unseen: measure how far a model gives away who was in its training data.

The public names are listed here by hand and imported when first used, so that `import unseen` stays quick and nothing
happens at import.
"""

from importlib import import_module
from typing import Any

_PUBLIC = {
    "audit": "unseen.auditing",
    "audit_table": "unseen.tables",
    "audit_plan": "unseen.planned",
    "audit_plan_through": "unseen.through",
    "audit_recipe": "unseen.repeating",
    "audit_report": "unseen.replay",
    "compare": "unseen.comparing",
    "Comparison": "unseen.comparison",
    "Context": "unseen.policy",
    "Estimate": "unseen.estimate",
    "Manifest": "unseen.manifest",
    "Limit": "unseen.policy",
    "log_to_mlflow": "unseen.tracking",
    "Outcome": "unseen.outcome",
    "Policy": "unseen.policy",
    "Records": "unseen.records",
    "Repeated": "unseen.repeated",
    "Report": "unseen.report",
    "TorchRecipe": "unseen.recipes.torch",
    "load_model": "unseen.targets.files",
}
_MODULES = (
    "attacks",
    "controls",
    "data",
    "demo",
    "displays",
    "errors",
    "gates",
    "guard",
    "manifest",
    "options",
    "plan",
    "planned",
    "proposal",
    "renderers",
    "replay",
    "report",
    "stats",
    "testing",
)

__all__ = [*_PUBLIC, *_MODULES]  # noqa: PLE0604 - a list of names, built from the two above
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC and name not in _MODULES:
        raise AttributeError(f"module 'unseen' has no attribute {name!r}")
    module = _PUBLIC.get(name, f"unseen.{name}")
    try:
        value = import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module:
            raise
        raise AttributeError(f"unseen.{name} is not part of unseen-guard: pip install unseen.") from None
    value = getattr(value, name) if name in _PUBLIC else value
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
