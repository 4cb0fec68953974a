# Two commands do it all on a fresh machine: `make demo` and `make test`.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

# Of `make faults`.
MINUTES ?= 10
SEED ?= 1

.PHONY: demo test bytecode slurm lint unit bench faults docs clean

demo: $(READY)
	$(BIN)/python examples/hyperparameter_search/demo.py

test: $(READY) bytecode slurm lint
	$(BIN)/python -m pytest -n 3 --dist worksteal

# The tests start thousands of processes; where PYTHONDONTWRITEBYTECODE is set, each would compile all modules anew.
bytecode: $(READY)
	$(BIN)/python -m compileall -q balsam balsam_core plugins templates

# A real Slurm and sshd for the tests, where they can be installed; without them those tests are skipped.
slurm:
	tests/slurm/install.sh

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

unit: $(READY)
	$(BIN)/python -m pytest tests/unit

bench: $(READY)
	$(BIN)/python benchmarks/serial_throughput.py

faults: $(READY)
	$(BIN)/python -m tests.faults --minutes $(MINUTES) --seed $(SEED)

# A build/ folder of an earlier installation would ship modules that are gone.
$(READY): setup.cfg pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	rm -rf build
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev,docs,mpi,postgres,staging,plot,top,dashboard,demo]'
	touch $(READY)

# The site, into site/; open site/index.html.
docs: $(READY)
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

clean:
	rm -rf $(VENV) build dist site *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
