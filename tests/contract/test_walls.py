"""The walls of the house: who may import whom, and what no module may do."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from .tree import ROOT, dotted, imports, modules, packages, tree_of

WORDS = (
    "units", "cards", "phones", "speech", "swept", "passages", "health", "links", "parameters", "settings", "errors", "machine", "atomic", "edits", "lists",
    "experiments", "presets", "trust",
)  # fmt: skip
# Rooms of earmark/, each layer importing only from earlier ones (the words also from each other)
LAYERS = (
    ("raw", "pages", "tensors"),
    WORDS,
    ("shelf", "inputs"),
    ("models", "dictionaries", "measure"),
    ("learning",),
    ("runtime",),
    ("live", "offline"),
    ("web",),
    ("api",),
    ("commands",),
    ("__main__",),
)
LAYER_OF = {room: n for n, rooms in enumerate(LAYERS) for room in rooms}
# A look-up needs none of these: they take seconds and hundreds of megabytes
HEAVY = {"torch", "transformers", "librosa"}
LIGHT_ROOMS = ("raw", "pages", *WORDS, "shelf", "web")
PAGE = {"gradio", "plotly"}
MAX_LINES = 300
MAX_ROOMS = 7
OPEN_FOLDERS = {"models", "dictionaries", "sources", "kinds"}
"""one file a family, a format, a source, a kind: these may grow"""

LIBRARY = modules("earmark")
COMPONENTS = modules("components")
CODE = [*LIBRARY, *COMPONENTS, *modules("app.py", "benchmarks", "scripts")]


def room_of(module: str) -> str:
    """earmark.shelf.store -> shelf; the package itself is ''"""
    return [*module.split("."), ""][1]


def test_there_is_code_to_test() -> None:
    assert len(LIBRARY) > 20
    assert len(COMPONENTS) > 3


@pytest.mark.parametrize("path", CODE, ids=dotted)
def test_only_the_page_imports_gradio(path: Path) -> None:
    if path not in COMPONENTS and path.name != "app.py":
        assert not packages(path) & {"gradio"}, "only components/ and app.py import gradio"
    if path in LIBRARY:
        assert not packages(path) & (PAGE | {"components", "app"}), "earmark/ knows nothing of the page"
    if path in COMPONENTS:
        assert "app" not in packages(path), "components/ does not import app"


@pytest.mark.parametrize("path", LIBRARY, ids=dotted)
def test_imports_run_one_way(path: Path) -> None:
    own = room_of(dotted(path))
    if not own:
        assert not {m for m in imports(path) if m.startswith("earmark")}, "the package itself imports nothing"
        return
    assert own in LAYER_OF, f"'{own}' is a new room of earmark/: give it its place in LAYERS"
    for module in imports(path):
        other = room_of(module)
        if module.split(".")[0] != "earmark" or other in ("", own) or other not in LAYER_OF:
            continue
        both_words = own in WORDS and other in WORDS
        assert both_words or LAYER_OF[other] < LAYER_OF[own], f"{dotted(path)} imports {module}, but {own} does not build on {other}"


def test_live_and_offline_are_apart() -> None:
    for path in LIBRARY:
        own, others = room_of(dotted(path)), {room_of(m) for m in imports(path) if m.startswith("earmark.")}
        assert {own, *others} & {"live", "offline"} != {"live", "offline"} or own in ("commands", "api"), dotted(path)


@pytest.mark.parametrize("path", [p for p in LIBRARY if room_of(dotted(p)) in LIGHT_ROOMS], ids=dotted)
def test_look_ups_name_nothing_heavy(path: Path) -> None:
    assert not packages(path, for_types=False) & HEAVY


def loaded_after(statements: str) -> set[str]:
    """Top-level modules in memory after statements in a fresh process."""
    code = f"{statements}\nimport sys\nprint(*sorted({{m.split('.')[0] for m in sys.modules}}))"
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-1500:]
    return set(done.stdout.splitlines()[-1].split())


def test_look_ups_load_nothing_heavy() -> None:
    light = [dotted(p) for p in LIBRARY if room_of(dotted(p)) in LIGHT_ROOMS]
    assert "earmark.shelf.store" in light
    assert not loaded_after("\n".join(f"import {m}" for m in light)) & (HEAVY | PAGE | {"pandas"})


def test_the_page_starts_without_anything_heavy() -> None:
    assert not loaded_after("import app") & HEAVY


@pytest.mark.parametrize("path", [*LIBRARY, *COMPONENTS], ids=dotted)
def test_modules_are_short(path: Path) -> None:
    n_lines = len(path.read_text(encoding="utf-8").splitlines())
    assert n_lines <= MAX_LINES, f"{path.relative_to(ROOT)} has {n_lines} lines; at most {MAX_LINES}"


@pytest.mark.parametrize("wing", sorted({p.parent for p in LIBRARY} - {ROOT / "earmark"}), ids=lambda p: p.name)
def test_wings_are_small(wing: Path) -> None:
    rooms = {p.relative_to(wing).parts[0] for p in LIBRARY if wing in p.parents} - {"__init__.py"}
    assert wing.name in OPEN_FOLDERS or len(rooms) <= MAX_ROOMS, f"{dotted(wing)} has {len(rooms)} rooms: {sorted(rooms)}"


@pytest.mark.parametrize("path", CODE, ids=dotted)
def test_nothing_unsafe(path: Path) -> None:
    for node in ast.walk(tree_of(path)):
        where = f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}"
        if isinstance(node, ast.keyword) and isinstance(node.value, ast.Constant):
            assert (node.arg, node.value.value) not in {("weights_only", False), ("allow_pickle", True), ("shell", True), ("autoescape", False)}, where
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            assert name not in {"pickle.load", "pickle.loads", "pickle.Unpickler", "eval", "exec", "os.system", "yaml.load"}, where
            if name.split(".")[-1] == "Environment":
                assert "autoescape" in {k.arg for k in node.keywords}, f"{where}: Jinja2 escapes nothing unless told"
        if isinstance(node, ast.ExceptHandler):
            blind = node.type is None or ast.unparse(node.type) in {"Exception", "BaseException"}
            silent = all(isinstance(s, ast.Pass) or (isinstance(s, ast.Expr) and isinstance(s.value, ast.Constant)) for s in node.body)
            assert not (blind and silent), f"{where}: an except that hides everything"
        if isinstance(node, ast.Attribute) and node.attr.startswith("register_forward"):
            assert dotted(path) == "earmark.models.capture", f"{where}: hooks only through models/capture.py's context manager"


@pytest.mark.parametrize("path", CODE, ids=dotted)
def test_every_module_says_what_it_is(path: Path) -> None:
    assert ast.get_docstring(tree_of(path)), f"{path.relative_to(ROOT)} has no docstring; README's map is made of their first sentences"
