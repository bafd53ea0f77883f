"""Reading activations: hooks live only inside a context manager, and the pass stops at the last one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from ..units import Hook


class _Stop(Exception):
    """Raised inside the last hook: nothing after it is needed."""


@contextmanager
def taking(root: nn.Module, hooks: Sequence[Hook]) -> Iterator[dict[Hook, Tensor]]:
    """Collect what passes each hook: {hook: [batch, positions, width]}, filled while the block runs a forward pass.

    The pass ends as soon as every hook has been filled; the block is left quietly then. A layer's output may be a tensor or a
    tuple whose first part is the tensor.
    """
    taken: dict[Hook, Tensor] = {}

    def keep(hook: Hook, value: Any) -> None:
        taken[hook] = (value[0] if isinstance(value, tuple) else value).detach()
        if len(taken) == len(hooks):
            raise _Stop

    def on_input(hook: Hook) -> Callable[[nn.Module, Any], None]:
        return lambda _module, args: keep(hook, args)

    def on_output(hook: Hook) -> Callable[[nn.Module, Any, Any], None]:
        return lambda _module, _args, output: keep(hook, output)

    handles = []
    for hook in hooks:
        module = root.get_submodule(hook.module)
        if hook.side == "input":
            handles.append(module.register_forward_pre_hook(on_input(hook)))
        else:
            handles.append(module.register_forward_hook(on_output(hook)))
    try:
        yield taken
    except _Stop:
        pass
    finally:
        for handle in handles:
            handle.remove()
