"""Models that are too big for what is left of memory: said beforehand where the files tell, else when it fails; whatever else works on."""

from __future__ import annotations

import json
import os
import resource
import shutil
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from earmark import machine, runtime
from earmark.errors import BadInput, EarmarkError, NoMemory
from earmark.live.desk import Desk
from earmark.machine import free_memory
from earmark.models.size import n_bytes_needed
from earmark.runtime import Runtime
from earmark.settings import Settings
from earmark.shelf.store import Store
from tests.fixtures.toy import sound

N_HUGE = 1 << 40
"""weights of a model that no machine of ours holds"""


def huge(path: Path, n: int = N_HUGE) -> None:
    """A safetensors file of n half-precision weights, of which the disk keeps none."""
    head = json.dumps({"__metadata__": {"format": "pt"}, "model.encoder.conv1.weight": {"dtype": "F16", "shape": [n], "data_offsets": [0, 2 * n]}}).encode()
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(head)) + head)
        file.truncate(8 + len(head) + 2 * n)


@pytest.fixture
def too_big(house: Settings, tmp_path: Path) -> Settings:
    """The toy house with weights that do not fit."""
    settings = replace(house, data=tmp_path / "data", cache=tmp_path / "cache")
    shutil.copytree(house.data, settings.data)
    huge(settings.data / "toy-model" / "model.safetensors")
    return settings


def in_little_memory(spare_mb: int, work: Callable[[], object]) -> str:
    """The sentence that `work` raises in a fork which may take so much more memory; empty where it raises none."""
    reads, writes = os.pipe()
    child = os.fork()
    if not child:
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + (spare_mb << 20),) * 2)
        try:
            work()
        except EarmarkError as error:
            os.write(writes, str(error).encode())
        except BaseException as error:  # noqa: BLE001 the fork ends here
            os.write(writes, f"no sentence: {error!r}"[:500].encode())
        os._exit(0)
    os.waitpid(child, 0)
    os.close(writes)
    with os.fdopen(reads) as told:
        return told.read()


def test_it_is_said_before_anything_is_loaded(too_big: Settings) -> None:
    with pytest.raises(NoMemory, match=r"^toy needs 4,398,\d{3} MB of memory, and [\d,]+ MB are free\. Close other work, or take something smaller\.$"):
        Runtime(too_big).model("toy")


def test_memory_that_fails_while_weights_are_read_is_said_too(too_big: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "check_memory", lambda *_: None)
    told = in_little_memory(200, lambda: Runtime(too_big).model("toy"))
    assert told.startswith("The machine's memory does not suffice for this"), told


def test_a_limit_on_addresses_counts(house: Settings) -> None:
    def ask() -> None:
        raise BadInput(str(free_memory()))

    assert 0 < int(in_little_memory(300, ask)) <= 300 << 20
    assert "needs" in in_little_memory(0, lambda: machine.check_memory("It", 1 << 20))
    assert in_little_memory(300, lambda: machine.check_memory("It", 1 << 20)) == ""


def test_the_page_says_so_and_works_on(too_big: Settings) -> None:
    desk = Desk(Store(too_big))
    with pytest.raises(NoMemory, match="toy needs"):
        desk.analyse("toy-sae", sound(1, 0.5), 3, "peak")
    desk.warm("toy-sae")
    assert isinstance(desk._loading["toy-sae"].exception(60), NoMemory)
    assert desk.state("toy-sae").name == "failed" and "toy needs" in desk.state("toy-sae").text
    assert desk.store.dictionary("toy-sae").n_units, "look-ups need no model"
    with pytest.raises(NoMemory, match="suffice for this .* MB more were asked for"):
        desk.run(lambda: torch.empty(1 << 55), "text")
    assert desk.run(lambda: 5, "text") == 5


def test_those_that_nobody_uses_leave_first(house: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    held = Runtime(house)
    held.open("toy-sae")
    needed = n_bytes_needed({"folder": house.data / "toy-model"})
    monkeypatch.setattr(runtime, "free_memory", lambda: needed - 1)
    with held._using(("model", "toy")):
        held._leave(needed)
    assert held.loaded == ("toy",)
    held._leave(needed)
    assert held.loaded == ()


def test_what_weights_need_is_what_they_take(house: Settings, tmp_path: Path) -> None:
    model = Runtime(house).model("toy")
    own = sum(p.numel() * 4 for p in model.network.parameters())
    assert own <= n_bytes_needed({"folder": house.data / "toy-model"}) <= model.n_bytes
    huge(tmp_path / "model-00001-of-00002.safetensors", 10)
    huge(tmp_path / "model-00002-of-00002.safetensors", 5)
    (tmp_path / "pytorch_model.bin").write_bytes(b"12345")
    assert n_bytes_needed({"folder": tmp_path}) == 60, "half precision becomes float32; of two forms one is loaded"
    for broken in (b"", b"\xff" * 20, struct.pack("<Q", 4) + b"{{{{", struct.pack("<Q", 2) + b"[]"):
        (tmp_path / "model-00001-of-00002.safetensors").write_bytes(broken)
        assert n_bytes_needed({"folder": tmp_path}) == 20
    assert n_bytes_needed({"checkpoint": tmp_path / "pytorch_model.bin"}) == 5
    assert n_bytes_needed({}) == 0


def test_the_smallest_of_what_is_left_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "PROC", tmp_path)
    monkeypatch.setattr(machine, "GROUP", tmp_path)
    assert free_memory() is None, "where nothing is known, nothing is refused"
    machine.check_memory("It", 1 << 60)
    (tmp_path / "meminfo").write_text("MemTotal: 9000 kB\nMemFree: 10 kB\nMemAvailable:    4000 kB\n")
    assert free_memory() == 4000 * 1024
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "memory.current").write_text("3000000\n")
    assert free_memory() == 4000 * 1024
    (tmp_path / "memory.max").write_text("4000000\n")
    assert free_memory() == 1_000_000
    (tmp_path / "memory.stat").write_text("anon 5\nfile 9\ninactive_file 200000\n")
    assert free_memory() == 1_200_000, "what was read from files leaves when memory is needed"
    (tmp_path / "memory").mkdir()
    (tmp_path / "memory/memory.limit_in_bytes").write_text("500000\n")
    (tmp_path / "memory/memory.usage_in_bytes").write_text("600000\n")
    assert free_memory() == 0
