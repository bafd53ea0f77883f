"""Would a Space run this? `make space-check`: tracked files alone, requirements.txt alone, an empty cache, no Hub; then the page is asked.

`--python PATH` takes an environment that is there instead of a fresh one. With EARMARK_DATA it looks at a catalog of one's own.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from scripts import setup  # noqa: E402
from scripts.space_rules import front_matter, front_problems, header_problems, large_files, lfs_note, size_problems  # noqa: E402

START_S, STOP_S, ASK_S = 120, 15, 30
KEPT_VARIABLES = ("PATH", "LANG", "LC_ALL", "TZ")
NO_HUB = {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
"""a Space must come up while the Hub is away. SYSTEM=spaces is not set: Gradio then wants the package `spaces`, which only the Hub's image adds"""
# every module, those of the model too, which the page imports only when a visitor asks for it
IMPORTS = """
import importlib, pkgutil, earmark, components
for package in (earmark, components):
    for found in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        if not found.name.endswith("__main__"):
            importlib.import_module(found.name)
"""


class Failed(Exception):
    """The Space would not run; the text says why."""


def main(arguments: list[str]) -> int:
    options = _parser().parse_args(arguments)
    try:
        with tempfile.TemporaryDirectory(prefix="earmark-space-") as folder:
            check(Path(folder), options.python and options.python.absolute())
    except (Failed, setup.Missing) as error:
        print(f"\nThe Space would not run: {error}", file=sys.stderr)
        return 1
    print("\nThe Space would run.")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--python", type=Path, help="the Python of an environment that is there already, instead of a fresh one")
    return parser


def check(folder: Path, python: Path | None) -> None:
    """Every step, each with what it found."""
    tree = folder / "tree"
    sizes = tracked_tree(tree)
    tables = sum(n for path, n in sizes.items() if path.startswith("precomputed/"))
    say(f"{len(sizes)} tracked files, {sum(sizes.values()) / 1e6:.1f} MB, {tables / 1e6:.1f} of them in precomputed/")
    if untracked():
        say("not tracked, and so not looked at: " + ", ".join(untracked()))
    judge(tree, sizes)
    if python is None:
        python = fresh_environment(folder / "env", tree, front_matter((tree / "README.md").read_text(encoding="utf-8"))["python_version"])
    env = space_env(folder)
    import_everything(python, tree, env)
    started = time.monotonic()
    with running(python, tree, env, folder / "page.log") as page:
        say(f"it answers {time.monotonic() - started:.1f} s after a cold start")
        ask_the_page(page)
    leftovers(tree, sizes)


def say(text: str) -> None:
    print(f"- {text}", flush=True)


def git(*arguments: str) -> list[str]:
    listed = subprocess.run(["git", *arguments, "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    return [name for name in listed.decode().split("\0") if name]


def tracked_tree(tree: Path) -> dict[str, int]:
    """Copy what git tracks, as it lies here; {path: bytes}."""
    sizes: dict[str, int] = {}
    for name in git("ls-files"):
        if not (ROOT / name).is_file():
            continue
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, tree / name)
        sizes[name] = (tree / name).stat().st_size
    return sizes


def untracked() -> list[str]:
    return git("ls-files", "--others", "--exclude-standard")


def judge(tree: Path, sizes: dict[str, int]) -> None:
    """Front matter and sizes."""
    readme, required = ((tree / name).read_text(encoding="utf-8") for name in ("README.md", "requirements.txt"))
    pinned = re.search(r"^gradio==(\S+)", required, re.MULTILINE)
    try:
        problems = front_problems(front_matter(readme), sizes, pinned[1] if pinned else "unpinned")
    except ValueError as error:
        raise Failed(str(error)) from None
    problems += size_problems(sizes)
    if problems:
        raise Failed(" ".join(problems))
    say("front matter and sizes are as the Hub wants them")
    if note := lfs_note(large_files(sizes)):
        say(note)


def fresh_environment(folder: Path, tree: Path, wanted: str) -> Path:
    """requirements.txt alone, by the Space's Python where this machine has it; the environment's Python."""
    short = ".".join(wanted.split(".")[:2])
    base = shutil.which(f"python{short}")
    if base is None or subprocess.call([base, "-c", ""], stderr=subprocess.DEVNULL):
        base = sys.executable
        say(f"this machine has no Python {short}, which the Space would take; {setup.HERE} stands for it")
    started = time.monotonic()
    python = folder / "bin" / "python"
    if subprocess.call([base, "-m", "venv", str(folder)], stderr=subprocess.DEVNULL):
        raise Failed(f"{base} makes no environment with pip. Install its venv module (Debian, Ubuntu: apt-get install python3-venv).")
    setup.run_pip([str(python), "-m", "pip"], ["-r", str(tree / "requirements.txt")], "requirements.txt")
    say(f"requirements.txt alone is installed ({time.monotonic() - started:.0f} s)")
    return python


def space_env(folder: Path) -> dict[str, str]:
    """The variables that the page gets: a home and caches that are empty, and nothing of this machine's own."""
    home = folder / "home"
    home.mkdir()
    env = {name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ}
    if os.environ.get("EARMARK_DATA"):
        env["EARMARK_DATA"] = str(Path(os.environ["EARMARK_DATA"]).expanduser().resolve())
    return env | NO_HUB | {"HOME": str(home), "PYTHONUNBUFFERED": "1"}


def import_everything(python: Path, tree: Path, env: dict[str, str]) -> None:
    done = subprocess.run([python, "-W", "ignore", "-c", IMPORTS], cwd=tree, env=env, capture_output=True, text=True)
    if done.returncode:
        raise Failed(f"a module cannot be imported with requirements.txt alone: {done.stderr.strip().splitlines()[-1]}")
    say("every module can be imported")


@contextmanager
def running(python: Path, tree: Path, env: dict[str, str], log: Path) -> Generator[str]:
    """app.py as a Space starts it; its address. It must stop when asked to, and may log no traceback."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    with log.open("w") as out:
        process = subprocess.Popen([python, "app.py"], cwd=tree, env=env | {"GRADIO_SERVER_PORT": str(port)}, stdout=out, stderr=subprocess.STDOUT)
    try:
        await_answer(address, lambda: process.poll() is None, lambda: log.read_text()[-2000:])
        yield address
    finally:
        process.terminate()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            raise Failed(f"the page did not stop within {STOP_S} s of being asked to") from None
    if "Traceback" in log.read_text():
        raise Failed(f"the page logged an error:\n{log.read_text()[-2000:]}")
    say("it stops when asked to, and logged no error")


def await_answer(address: str, alive: Callable[[], bool], said: Callable[[], str], limit_s: float = START_S) -> None:
    end = time.monotonic() + limit_s
    while True:
        try:
            ask(address + "/api/dictionaries")
            return
        except urllib.error.HTTPError as error:
            raise Failed(f"the page is up, but has nothing to show: {error.read().decode()}") from None
        except OSError:
            if not alive():
                raise Failed(f"app.py ended by itself:\n{said()}") from None
            if time.monotonic() > end:
                raise Failed(f"app.py did not answer within {limit_s:.0f} s:\n{said()}") from None
            time.sleep(0.2)


def ask(address: str, method: str = "GET") -> tuple[bytes, dict[str, str]]:
    """(body, headers); whatever is no 200 raises an OSError."""
    request = urllib.request.Request(address, method=method)  # noqa: S310
    with urllib.request.urlopen(request, timeout=ASK_S) as answer:  # noqa: S310
        return answer.read(), dict(answer.headers.items())


def ask_the_page(page: str) -> None:
    """A page, a JSON route, and the model, whose weights are not there."""
    try:
        default = json.loads(ask(page + "/api/dictionaries")[0])[0]["slug"]
        card = json.loads(ask(f"{page}/api/unit/{default}/0")[0])
        html, headers = ask(f"{page}/?tab=feature&dictionary={default}&unit=0")
        state = opened(page, default)
    except (OSError, ValueError, KeyError, IndexError) as error:
        raise Failed(f"the page gave no answer that is one: {error!r}") from None
    if f'data-unit="{card["unit"]}"'.encode() not in html:
        raise Failed(f"the page of {default}:0 does not show its card.")
    if problems := header_problems(headers):
        raise Failed(" ".join(problems))
    say(f"the card of {default}:0 is answered as a page ({len(html) / 1000:.0f} KB) and as JSON, and may be framed by the Hub")
    say(f"its model, without weights and Hub: {state['state']}. {state['text']}")
    if state["state"] not in {"failed", "ready"} or not state["text"]:
        raise Failed("the model, whose weights are away, is not said to be away.")


def opened(page: str, dictionary: str) -> dict[str, Any]:
    """The model's state once it has been asked for and is no longer on its way."""
    end = time.monotonic() + START_S
    ask(f"{page}/model/{dictionary}/open", "POST")
    while True:
        state = json.loads(ask(f"{page}/model/{dictionary}")[0])
        if state["state"] not in {"loading", "idle"} or time.monotonic() > end:
            return state
        time.sleep(0.3)


def leftovers(tree: Path, sizes: dict[str, int]) -> None:
    """Files that running it has left beside the code: a Space's disk may be read-only there."""
    new = [p.relative_to(tree).as_posix() for p in tree.rglob("*") if p.is_file() and "__pycache__" not in p.parts and p.suffix != ".pyi"]
    new = [name for name in new if name not in sizes]
    if new:
        raise Failed(f"running it wrote {', '.join(sorted(new)[:5])} beside the code.")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
