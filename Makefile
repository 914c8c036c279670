# Two commands set everything up on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
EXAMPLE := corpora/examples/schubert-unfinished.mid

.PHONY: demo test lint types readme bench torture clean

demo: $(VENV)/installed
	@mkdir -p demo
	@$(BIN)/musicgen continue $(EXAMPLE) --seed 3 -f mid,wav -o demo/ --overwrite
	@echo "MIDI: $(CURDIR)/demo/schubert-unfinished.continued.mid"
	@echo "WAV:  $(CURDIR)/demo/schubert-unfinished.continued.wav"

test: $(VENV)/installed-dev
	$(BIN)/python -m pytest

lint: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/installed-dev
	$(BIN)/mypy

readme: $(VENV)/installed-dev
	$(BIN)/python tests/readme_blocks.py README.md

# `make bench QUICK=1` takes at most three minutes, the whole under half an hour.
bench: $(VENV)/installed-bench
	$(BIN)/python pipelines/benchmarks/run_all.py $(if $(QUICK),--quick)

torture: $(VENV)/installed-dev
	$(BIN)/python pipelines/torture/midi_oracles.py --limit 1000
	$(BIN)/python pipelines/torture/continue_many.py
	$(BIN)/python pipelines/torture/abc_tunes.py --tunes 300

# constraints.txt pins what was tested; pyproject.toml alone gives lower bounds.
$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable .
	@touch $@

$(VENV)/installed-dev: $(VENV)/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

# The peers that the benchmarks measure beside musicgen.
$(VENV)/installed-bench: $(VENV)/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[bench]'
	@touch $@

clean:
	rm -rf $(VENV) demo dist build *.egg-info .pytest_cache .mypy_cache .ruff_cache
