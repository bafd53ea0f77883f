# The commands that people run; .ci/run runs `make test`.
#   make setup   .venv with the app and its weights (Python >= 3.11)
#   make setup-locked   the same, in the versions of requirements.lock, each checked against its hash; make lock renews that file
#   make audit   known vulnerabilities of those versions; status 3 when nobody could be asked
#   make run     the page, on http://127.0.0.1:7860 or GRADIO_SERVER_PORT
#   make test    all tests; `make test-fast` leaves out those in a browser
#   make fuzz    hostile input of every kind: addresses, files, catalogs, tables; CASES of each (20,000), SEED, FIRST: where a run goes on
#   make faults  kill -9, a full disk and a read-only one at every step of build, train, corpus and publish; kill -9 at twenty random moments of each command (an hour)
#   make check   lint, format, types, walls
#   make coverage   which branches of earmark/ the tests without a browser take; fails below 90 %
#   make bench   benchmarks; `make bench-long` those that take an hour
#   make space-check   what a Space sees: tracked files, requirements.txt alone in a fresh environment, no cache, no Hub (some minutes)
#   make docs    rewrites what is generated in README.md and precomputed/README.md

PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && exit; done; echo python3)
IN_VENV := .venv/bin/python
# one thread a process: threads of several processes would wait for each other
WITHOUT_BROWSER := -m pytest --numprocesses auto --dist loadfile --ignore=tests/browser
ON_EVERY_CORE := OMP_NUM_THREADS=1 $(IN_VENV) $(WITHOUT_BROWSER)

# The shipped model and tables need no Hub; `HF_HUB_OFFLINE=0 make run` lets entries of your own be fetched
export HF_HUB_OFFLINE ?= 1
export GRADIO_ANALYTICS_ENABLED ?= False
export HF_HUB_DISABLE_TELEMETRY ?= 1

.PHONY: setup setup-dev run test test-fast fuzz faults coverage check bench bench-long space-check lock setup-locked audit docs

setup:
	@command -v $(PYTHON) >/dev/null || { echo "Python 3.11 or newer is missing: no $(PYTHON) here. Install it (Debian: apt-get install python3 python3-venv), or name one: make PYTHON=/path/to/python3 setup"; exit 1; }
	@$(PYTHON) scripts/setup.py

setup-dev: setup
	@$(PYTHON) scripts/setup.py --dev

setup-locked:
	@$(PYTHON) scripts/setup.py --locked

lock: setup
	@$(PYTHON) scripts/setup.py --tools
	@$(IN_VENV) scripts/lock.py

audit: setup
	@$(PYTHON) scripts/setup.py --tools
	@$(IN_VENV) scripts/audit.py

run: setup
	@$(IN_VENV) app.py

test: setup-dev
	@$(PYTHON) scripts/setup.py --browser
	@$(ON_EVERY_CORE)
	@$(IN_VENV) -m pytest tests/browser

test-fast: setup-dev
	@$(ON_EVERY_CORE)

CASES ?= 20000
FIRST ?= 0
SEED ?= 0
fuzz: setup-dev
	@$(IN_VENV) -m tests.fuzz --cases $(CASES) --first $(FIRST) --seed $(SEED)
	@EARMARK_FUZZ=$(CASES) $(IN_VENV) -m pytest --hypothesis-show-statistics tests/unit/test_hostile_addresses.py

coverage: setup-dev
	@rm -rf .coverage
	@OMP_NUM_THREADS=1 $(IN_VENV) -m coverage run $(WITHOUT_BROWSER)
	@$(IN_VENV) scripts/branches.py

faults: setup-dev
	@EARMARK_FAULTS=all OMP_NUM_THREADS=1 $(IN_VENV) -m pytest tests/unit/test_kill.py tests/unit/test_publish.py
	@OMP_NUM_THREADS=1 $(IN_VENV) -m tests.faults 20

check: setup-dev
	@$(IN_VENV) -m ruff check
	@$(IN_VENV) -m ruff format --check
	@$(IN_VENV) -m pyright
	@$(IN_VENV) -m pytest -q tests/contract/test_walls.py

bench: setup-dev
	@$(IN_VENV) scripts/setup.py --browser
	@$(IN_VENV) -m benchmarks

bench-long: setup-dev
	@$(IN_VENV) -m benchmarks --long

space-check: setup
	@$(IN_VENV) scripts/space_check.py

docs: setup
	@$(IN_VENV) scripts/docs.py
