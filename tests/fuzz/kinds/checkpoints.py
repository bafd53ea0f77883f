"""Checkpoints of every published layout: spoilt bytes, spoilt pickles inside sound archives, headers and configs that lie, gadgets, strange tensors, bombs."""

from __future__ import annotations

import io
import json
import pickle
import random
import shutil
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from earmark.dictionaries import FORMATS, open_checkpoint
from tests.fixtures.layouts import CASES, Weights
from tests.fuzz.harm import harmed
from tests.fuzz.kinds import Case
from tests.fuzz.odd import spoilt_tree
from tests.fuzz.watch import Watch

Files = dict[str, bytes]
"""path inside the folder -> what lies there"""
GADGETS = (
    """
os system, posix system, subprocess Popen, builtins eval, builtins exec, builtins open, builtins getattr, builtins __import__,
__builtin__ eval, importlib import_module, torch load, torch.hub load, torch.storage _load_from_bytes, torch.serialization load,
torch.jit load, numpy load, numpy.core.multiarray _reconstruct, numpy.core.multiarray scalar, numpy dtype, functools partial,
operator attrgetter, collections OrderedDict, torch._utils _rebuild_sparse_tensor, torch._utils _rebuild_parameter,
torch._utils _rebuild_tensor_v2, torch._utils _rebuild_qtensor, _codecs encode, torch._utils _rebuild_meta_tensor_no_storage,
torch._utils _rebuild_wrapper_subclass, torch._tensor _rebuild_from_type_v2, torch.nn.parameter Parameter, torch.utils._pytree tree_map,
pathlib Path, tempfile NamedTemporaryFile, webbrowser open, torch.distributed.rpc rpc_sync, torch Size, builtins bytearray
""".strip()
    .replace("\n", " ")
    .split(", ")
)
HUGE = (-1, -(1 << 62), 0, 1 << 20, 1 << 31, 1 << 40, 1 << 62, (1 << 63) - 1)


def prepare(folder: Path, watch: Watch) -> Case:
    valid: list[Files] = []
    for n, layout in enumerate(CASES):
        made = folder / "valid" / str(n)
        made.mkdir(parents=True)
        path = layout.write(made, Weights(n))[0]
        open_checkpoint(path)
        base = path if path.is_dir() else path.parent
        valid.append({p.relative_to(base).as_posix(): p.read_bytes() for p in base.rglob("*") if p.is_file()})
    mark, place = folder / "ran", folder / "case"

    def case(chance: random.Random) -> Callable[[], str]:
        make: Callable[[Files, random.Random, Path], Files] = chance.choices((spoilt, config, pickled, header, bomb, strange), (16, 8, 12, 8, 1, 4))[0]
        files = make(dict(chance.choice(valid)), chance, mark)
        shutil.rmtree(place, ignore_errors=True)
        for name, data in files.items():
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            (place / name).write_bytes(data)
        format_, width = chance.choice((None, None, None, *FORMATS)), chance.choice((None, None, 12, 40))
        return lambda: read(format_, width)

    def read(format_: str | None, width: int | None) -> str:
        try:
            opened = open_checkpoint(place, format=format_, width=width)
            sae = opened.dictionary
            assert sae.width * sae.n_units < 1_000_000, f"{sae.width} x {sae.n_units}"
            assert np.isfinite(sae.codes(np.ones((2, sae.width), np.float32)).dense()).all()
            json.dumps(opened.facts, default=str)
        finally:
            assert not mark.exists(), "the file ran"
        return "opened"

    return case


def _weights(files: Files) -> str:
    return max((name for name in files if not name.endswith(".json")), key=lambda name: len(files[name]))


def spoilt(files: Files, chance: random.Random, mark: Path) -> Files:
    name = chance.choice((_weights(files), *files))
    return files | {name: harmed(files[name], chance)}


def config(files: Files, chance: random.Random, mark: Path) -> Files:
    name = next((n for n in files if n.endswith(".json")), "config.json")
    told = json.loads(
        files.get(name, b'{"k": 5, "d_in": 12, "d_sae": 40, "architecture": "standard", "activation_fn": "relu", "normalize_activations": "none"}')
    )
    return files | {name: json.dumps(spoilt_tree(told, chance)).encode()}


def header(files: Files, chance: random.Random, mark: Path) -> Files:
    """safetensors whose header says nonsense."""
    weights = Weights(0)
    names, data = ("W_enc", "W_dec", "b_enc", "b_dec"), io.BytesIO()
    told: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    for name in names:
        array = np.ascontiguousarray(getattr(weights, name), dtype=np.float32)
        start = data.tell()
        data.write(array.tobytes())
        told[name] = {"dtype": "F32", "shape": list(array.shape), "data_offsets": [start, data.tell()]}
    text = json.dumps(spoilt_tree(told, chance)).encode()
    if chance.random() < 0.1:
        text = text[:-1] + b', "b_dec": ' + json.dumps(told["b_dec"]).encode() + b"}"
    if chance.random() < 0.05:
        text = b'{"a":' * chance.choice((100, 100_000)) + text
    size = len(text) if chance.random() < 0.8 else chance.choice((0, 1, 2, len(text) - 1, len(text) + 1, 10**8, 1 << 63, (1 << 64) - 1))
    return {"sae_weights.safetensors": struct.pack("<Q", size) + text + data.getvalue()}


# -- pickles ------------------------------------------------------------------------------------------------------------------


def pickled(files: Files, chance: random.Random, mark: Path) -> Files:
    """A pickle that does something, or is broken, in an archive that is sound; or in the form that torch wrote before archives, or bare."""
    state = {"encoder.weight": torch.zeros(40, 12), "decoder.weight": torch.zeros(12, 40), "encoder_bias": torch.zeros(40), "decoder_bias": torch.zeros(12)}
    file = io.BytesIO()
    torch.save(state, file, _use_new_zipfile_serialization=chance.random() < 0.7)
    data = file.getvalue()
    name = chance.choice(("ae.pt", "bestval.pth", "x.bin"))
    if chance.random() < 0.03:
        return {name: _tar(mark)}
    if not data.startswith(b"PK"):
        at = data.index(b"ccollections") if b"ccollections" in data else data.index(b"}")
        return {name: data[:at] + _spoilt_pickle(data[at:], chance, mark)}
    changed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(changed, "w") as new:
        for item in old.namelist():
            body = old.read(item)
            if item.endswith("data.pkl"):
                body = _spoilt_pickle(body, chance, mark)
            elif chance.random() < 0.1:
                body = harmed(body, chance) if body else body
            new.writestr(item if chance.random() < 0.98 else f"../{item}", body)
    return {name: changed.getvalue()}


def _spoilt_pickle(body: bytes, chance: random.Random, mark: Path) -> bytes:
    kind = chance.randrange(4)
    if kind == 0:
        return harmed(body, chance)
    if kind == 1:  # a number that says how large something is
        at = body.find(b"K", chance.randrange(len(body)))
        big = chance.choice(HUGE)
        return body[:at] + b"\x8a\x08" + struct.pack("<q", big) + body[at + 2 :] if at >= 0 else body
    called = _call(chance, mark)
    if kind == 2:
        return b"\x80\x02" + called + b"."
    start = body.index(b"(") if b"(" in body else 2
    return body[:start] + called + b"0" + body[start:]  # called and dropped, before the rest


def _call(chance: random.Random, mark: Path) -> bytes:
    """Opcodes that look a function up and call it, with the arguments that would make it run something."""
    module, name = chance.choice(GADGETS).split()
    code = f"__import__('os').mkdir({str(mark)!r})"
    arguments = chance.choice(
        (
            (f"mkdir {mark}",),
            (code,),
            (str(mark), "w"),
            (["mkdir", str(mark)],),
            (b"\x80\x02cos\nmkdir\n.",),
            (str(mark), 511),
            ("os",),
            (1 << 40,),
            ([], {}),
            (),
        )
    )
    packed = pickle.dumps(arguments, protocol=2)[2:-1]
    looked_up = f"c{module}\n{name}\n".encode()
    if chance.random() < 0.2:  # the newer way to name something
        looked_up = b"".join(b"\x8c" + bytes([len(part)]) + part.encode() for part in (module, name)) + b"\x93"
    called = looked_up + packed + chance.choice((b"R", b"R", b"R", b"\x81", b"b"))
    return called if chance.random() < 0.8 else f"(i{module}\n{name}\n".encode() + called


def _tar(mark: Path) -> bytes:
    """The oldest form, whose name begins as a pickle does."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", encoding="latin-1") as archive:
        for name, body in (
            ("\x80\x02x", b""),
            ("storages", b"\x80\x02K\x01."),
            ("tensors", b"\x80\x02K\x01."),
            ("pickle", b"\x80\x02cos\nmkdir\nX\x01\0\0\0x\x85R."),
        ):
            info = tarfile.TarInfo(name)
            info.size = len(body)
            archive.addfile(info, io.BytesIO(body))
    return file.getvalue()


# -- bombs and strange things ---------------------------------------------------------------------------------------------------


def bomb(files: Files, chance: random.Random, mark: Path) -> Files:
    """Archives that unpack to hundreds of megabytes, or say so, or hold Python objects."""
    mega, file = chance.choice((10, 100, 200)), io.BytesIO()
    kind = chance.randrange(4)
    if kind == 0:  # arrays of zeros
        np.savez_compressed(file, W_enc=np.zeros((12, 40), np.float32), W_dec=np.zeros((mega * 25_000, 10), np.float32))
        return {"params.npz": file.getvalue()}
    if kind == 1:  # an array that claims another shape
        shape = chance.choice(((1 << 31, 1 << 31), (1 << 20, 1 << 14), (-1, 12), (0, 12), (12, 40, 1 << 40)))
        body = np.lib.format.MAGIC_PREFIX + b"\x01\x00"
        text = str({"descr": chance.choice(("<f4", "|O", "<U1000000", "<M8[s]", [("a", "<f4")])), "fortran_order": False, "shape": shape}).ljust(117) + "\n"
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("W_enc.npy", body + struct.pack("<H", len(text)) + text.encode() + bytes(4096))
        return {"params.npz": file.getvalue()}
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:  # a pickle or a storage of nothing but zeros
        zeros = bytes(mega * 1_000_000)
        pickle_ = b"\x80\x02}X\x01\0\0\0aB" + struct.pack("<I", len(zeros)) + zeros + b"s." if kind == 2 else b"\x80\x02}."
        archive.writestr("x/data.pkl", pickle_)
        archive.writestr("x/byteorder", b"little")
        archive.writestr("x/data/0", zeros if kind == 3 else b"")
        archive.writestr("x/version", b"3\n")
    return {"ae.pt": file.getvalue()}


def strange(files: Files, chance: random.Random, mark: Path) -> Files:
    """Tensors that are none, or claim more than there is, and things that hold themselves."""
    one = torch.zeros(1)
    odd: list[Callable[[], Any]] = [
        lambda: one.expand(1 << chance.choice((10, 18, 30)), 1 << chance.choice((3, 14, 28))),
        lambda: torch.eye(12).to_sparse(),
        lambda: torch.eye(12).to_sparse_csr(),
        lambda: torch.zeros(40, 12, dtype=chance.choice((torch.complex64, torch.bool, torch.int64, torch.float16, torch.bfloat16, torch.uint8))),
        lambda: torch.empty(1 << 20, 1 << 20, device="meta"),
        lambda: torch.quantize_per_tensor(torch.zeros(40, 12), 0.1, 0, torch.qint8),
        lambda: torch.zeros(600).as_strided((40, 12), (1, chance.choice((0, 1, 49)))),
        lambda: torch.zeros(1 << 16)[:480].view(40, 12),
        lambda: torch.nn.Parameter(torch.zeros(40, 12)),
        lambda: torch.full((40, 12), chance.choice((3e38, float("nan"), 1e-45))),
        lambda: torch.zeros(40, 12).conj(),
        lambda: torch.zeros(chance.choice(((), (0, 12), (2, 3, 4, 5)))),
        lambda: torch.zeros(40, 12).to(torch.float8_e4m3fn),
        lambda: None,
    ]
    bias: dict[str, Any] = {"encoder_bias": torch.zeros(40), "decoder_bias": torch.zeros(12)}
    state: dict[str, Any] = bias | {"encoder.weight": torch.zeros(40, 12), "decoder.weight": torch.zeros(12, 40)}
    state[chance.choice(list(state))] = chance.choice(odd)()
    around = chance.randrange(4)
    if around == 1:
        state = bias | {"model": bias}
        state["model"]["model"] = state  # it holds itself
    elif around == 2:
        for _ in range(chance.choice((3, 400, 3000))):
            state = {chance.choice(("model", "state_dict", "sae")): state, "step": one}
    file = io.BytesIO()
    try:
        torch.save(state, file, _use_new_zipfile_serialization=chance.random() < 0.7)
    except (RecursionError, NotImplementedError, RuntimeError):
        return files
    return {"ae.pt": file.getvalue()}
