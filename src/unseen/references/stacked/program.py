"""A module as a program over many models: its traced graph, interpreted node by node with stacked weights."""

from typing import Any

from torch import Tensor, fx, nn

from unseen.recipes.torch import TorchRecipe
from unseen.references.stacked.functions import FUNCTIONS, METHODS
from unseen.references.stacked.layers import CannotStack, Op, Pass, layer

Step = tuple[fx.Node, Op]


class Program:
    """What a module does, for many models at once; raises `CannotStack` where part of it is not understood."""

    def __init__(self, module: nn.Module) -> None:
        self.module = module
        graph = _traced(module.train())
        self.taken, *rest = graph.nodes
        if self.taken.op != "placeholder" or any(node.op == "placeholder" for node in rest):
            raise CannotStack("the module takes more than one argument")
        self.steps: list[Step] = [(node, self._op(node)) for node in rest if node.op != "output"]
        self.given = rest[-1].args[0]
        if not isinstance(self.given, fx.Node):
            raise CannotStack("the module gives more than one tensor")
        if str(graph) != str(_traced(module.eval())):
            raise CannotStack("its forward differs between training and evaluation")
        if any(not node.users for node in graph.nodes if node.op != "output"):
            raise CannotStack("it computes what it does not use")
        _check_weights(module, {str(node.target) for node in rest if node.op == "call_module"})

    def __call__(self, run: Pass, values: Tensor) -> Tensor:
        """Return the outputs `(batch, models, ...)` from `(batch, models, *shape)`."""
        output: Tensor = self.inside(run, values)[self.given]
        return output

    def inside(self, run: Pass, values: Tensor) -> dict[fx.Node, Any]:
        """Return what every step gives."""
        known: dict[fx.Node, Any] = {self.taken: values}
        for node, op in self.steps:
            args: Any = fx.map_arg(node.args, known.__getitem__)
            keywords: Any = fx.map_arg(node.kwargs, known.__getitem__)
            known[node] = op(run, *args, **keywords)
        return known

    def _op(self, node: fx.Node) -> Op:
        if node.op == "call_module":
            return layer(str(node.target), self.module.get_submodule(str(node.target)))
        if node.op == "call_function" and node.target in FUNCTIONS:
            return FUNCTIONS[node.target]
        if node.op == "call_method" and node.target in METHODS:
            return METHODS[str(node.target)]
        if node.op == "get_attr":
            raise CannotStack(f"it uses {node.target} outside a layer")
        raise CannotStack(f"it calls {getattr(node.target, '__name__', node.target)}")


def why_not(recipe: Any) -> str | None:
    """Return what of `recipe` cannot be stacked, a clause for a sentence, or None where nothing is known to be."""
    if not isinstance(recipe, TorchRecipe):
        return f"a {type(recipe).__name__} is not a TorchRecipe"
    try:
        module = recipe.build(0)
        if recipe.gives_again(module):
            return "its module is not built anew at each call"
        Program(module)
    except CannotStack as reason:
        return str(reason)
    except Exception as error:  # noqa: BLE001 - whatever a user's module raises; trained alone, it is named
        return f"its module cannot be built ({type(error).__name__})"
    return None


def _traced(module: nn.Module) -> fx.Graph:
    try:
        return fx.Tracer().trace(module)
    except Exception as error:  # noqa: BLE001 - whatever a user's forward raises when it is given no numbers
        raise CannotStack(f"its forward cannot be traced ({type(error).__name__})") from None


def _check_weights(module: nn.Module, called: set[str]) -> None:
    names = [name for name, _ in module.named_parameters(remove_duplicate=False)]
    if len(names) > len(list(module.parameters())):
        raise CannotStack("layers share their weights")
    if any(name.rpartition(".")[0] not in called for name in names):
        raise CannotStack("it has weights that no layer uses")
    statistics = ("running_mean", "running_var", "num_batches_tracked")
    if any(name.rpartition(".")[2] not in statistics for name, _ in module.named_buffers()):
        raise CannotStack("it keeps numbers of its own beside the weights")
