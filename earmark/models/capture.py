"""Reading activations, and putting others in their place: hooks live only inside a context manager."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from ..errors import BadInput
from ..units import Hook

Change = Callable[[Tensor], Tensor]
"""what passes a hook, [n_positions, width], to what passes instead, of the same shape; it must not change what it is given"""
Replace = Mapping[Hook, Change]


class _Stop(Exception):
    """Raised inside the last hook: nothing after it is needed."""


@contextmanager
def taking(root: nn.Module, hooks: Sequence[Hook]) -> Generator[dict[Hook, Tensor]]:
    """Collect what passes each hook: {hook: [batch, positions, width]}, filled while the block runs a forward pass.

    The pass ends as soon as every hook has been filled; the block is left quietly then. A layer's output may be a tensor or a
    tuple whose first part is the tensor.
    """
    taken: dict[Hook, Tensor] = {}

    def keep(hook: Hook, value: Any) -> None:
        taken[hook] = _tensor_in(value).detach()
        if len(taken) == len(hooks):
            raise _Stop

    def on_input(hook: Hook) -> Callable[[nn.Module, Any], None]:
        return lambda _module, args: keep(hook, args)

    def on_output(hook: Hook) -> Callable[[nn.Module, Any, Any], None]:
        return lambda _module, _args, output: keep(hook, output)

    handles: list[RemovableHandle] = []
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


def _tensor_in(value: Tensor | tuple[Tensor, ...]) -> Tensor:
    """What passes a hook by itself, [batch, positions, width]."""
    return value[0] if isinstance(value, tuple) else value


@contextmanager
def replacing(root: nn.Module, replace: Replace) -> Generator[None]:
    """While the block runs, what passes each hook is what its function makes of it; a tuple's other parts stay as they are.

    A function is called once for each sample of a batch. Raises BadInput, out of the forward pass, when it gives another shape.
    """
    with _changing(root, list(replace), lambda hook, whole: [replace[hook](sample) for sample in whole]):
        yield


@contextmanager
def forking(root: nn.Module, ways: Sequence[Replace]) -> Generator[None]:
    """While the block runs one pass over one sample, it goes several ways: what it gives has [n_ways, ...] in place of [1, ...].

    The sample goes through once as far as the first hook that any of the ways changes; from there each goes its own, in one batch. Where none
    changes anything, it stays one. A batch of as many samples as there are ways is not divided: each of them goes one way.
    """

    def changed(hook: Hook, whole: Tensor) -> list[Tensor]:
        samples = whole.expand(len(ways), *whole.shape[1:])
        return [way[hook](sample) if hook in way else sample for way, sample in zip(ways, samples, strict=True)]

    with _changing(root, list(dict.fromkeys(hook for way in ways for hook in way)), changed):
        yield


@contextmanager
def _changing(root: nn.Module, hooks: Sequence[Hook], new_samples: Callable[[Hook, Tensor], list[Tensor]]) -> Generator[None]:
    """new_samples: (hook, [batch, positions, width]) -> the samples of the batch that takes its place, each [positions, width]."""

    def changed(hook: Hook, value: Any) -> Any:
        whole = _tensor_in(value)
        samples = new_samples(hook, whole)
        for sample in samples:
            if sample.shape != whole.shape[1:]:
                raise BadInput(f"What replaces the {hook} has shape {tuple(sample.shape)}; it must have {tuple(whole.shape[1:])}, [positions, width].")
        new = torch.stack(samples).to(whole.dtype)
        return (new, *value[1:]) if isinstance(value, tuple) else new

    def on_input(hook: Hook) -> Callable[[nn.Module, Any], Any]:
        return lambda _module, args: changed(hook, args)

    def on_output(hook: Hook) -> Callable[[nn.Module, Any, Any], Any]:
        return lambda _module, _args, output: changed(hook, output)

    with ExitStack() as handles:
        for hook in hooks:
            module = root.get_submodule(hook.module)
            handle = module.register_forward_pre_hook(on_input(hook)) if hook.side == "input" else module.register_forward_hook(on_output(hook))
            handles.callback(handle.remove)
        yield


def sparing(spared: NDArray[np.bool_], change: Change) -> Change:
    """The same change for all positions but those of `spared` [n_positions], which pass as they are and which it does not get to see."""
    others = torch.as_tensor(~spared)

    def changed(x: Tensor) -> Tensor:
        new = x.clone()
        new[others] = change(x[others])
        return new

    return changed
