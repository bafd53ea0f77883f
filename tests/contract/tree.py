"""What the contract tests read: the repository's files, and what each module imports."""

from __future__ import annotations

import ast
import subprocess
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent


@cache
def repository_files() -> tuple[Path, ...]:
    """Files that git tracks or would add; without git, all files outside folders whose names start with a dot."""
    try:
        listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        hidden = {".venv", ".git", ".ruff_cache", ".pytest_cache", ".hypothesis", "__pycache__"}
        found = [p for p in ROOT.rglob("*") if not hidden & set(p.relative_to(ROOT).parts)]
    else:
        found = [ROOT / name for name in listed.decode().split("\0") if name]
    return tuple(sorted(p for p in found if p.is_file()))


def modules(*folders: str) -> list[Path]:
    """Python files below folders of the repository, or the files themselves."""
    wanted = [ROOT / f for f in folders]
    return [p for p in repository_files() if p.suffix == ".py" and any(p == w or w in p.parents for w in wanted)]


def dotted(path: Path) -> str:
    """earmark/shelf/store.py -> earmark.shelf.store"""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def imports(path: Path, for_types: bool = True) -> set[str]:
    """Dotted names that a module imports anywhere in it; without `for_types`, those only type checkers read are left out."""
    found: set[str] = set()
    waiting: list[ast.AST] = [tree_of(path)]
    while waiting:
        node = waiting.pop()
        if not for_types and isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            waiting += node.orelse
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = _base(path, node)
            found |= {f"{base}.{alias.name}" for alias in node.names} | {base}
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module") and isinstance(node.args[0], ast.Constant):
            found.add(str(node.args[0].value))
        waiting += ast.iter_child_nodes(node)
    return found


def _base(path: Path, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    package = dotted(path).split(".")
    if path.name != "__init__.py":
        package = package[:-1]
    package = package[: len(package) - node.level + 1]
    return ".".join([*package, *([node.module] if node.module else [])])


def packages(path: Path, for_types: bool = True) -> set[str]:
    """Top-level names that a module imports."""
    return {name.split(".")[0] for name in imports(path, for_types)}
