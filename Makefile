.PHONY: quick test benchmark learn check wheel clean

VENV := .venv
BENCH := $(VENV)/bin/bench
INSTALLED := $(VENV)/.installed

# Sets up .venv, measures the quick matrix on this machine, prints its tables. The second time there is nothing left to measure.
quick: $(INSTALLED)
	$(BENCH) run --matrix quick --results results/local --resume

# Two tests at a time; their threads sleep while they wait, for they would take the cores from each other.
test: $(INSTALLED)
	OMP_WAIT_POLICY=passive $(VENV)/bin/python -m pytest --numprocesses 2 --dist worksteal

# The project's own speed and the rates of error of its verdicts: figures for docs/performance.md, one part after the other, or one.
benchmark: benchmark-speed benchmark-controls benchmark-comparisons benchmark-verdicts benchmark-training benchmark-exports

benchmark-%: $(INSTALLED)
	mkdir -p .benchmarks
	$(VENV)/bin/python -m pytest tests/performance/test_$*.py --benchmark-only --benchmark-json=.benchmarks/$*.json
	$(VENV)/bin/python tests/performance/write.py .benchmarks/$*.json docs/performance.md

# The learning path, run as written: what its commands print here goes into the page.
learn: $(INSTALLED)
	$(VENV)/bin/python tests/learn.py docs/learning.md

check: $(INSTALLED)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy --strict bench
	$(BENCH) report --check

wheel: $(INSTALLED)
	.ci/wheel $(VENV)/bin/python

# Bytecode once, and not at each start where nothing may write caches; some packages ship files that no Python compiles.
$(INSTALLED): pyproject.toml constraints.txt
	python3 -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet uv
	$(VENV)/bin/uv pip install --quiet --python $(VENV)/bin/python --constraint constraints.txt --editable '.[all,dev]'
	$(VENV)/bin/python -m compileall -q -j 0 $(VENV)/lib > /dev/null 2>&1 || true
	touch $(INSTALLED)

clean:
	rm -rf $(VENV) build dist *.egg-info
