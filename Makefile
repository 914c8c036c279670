# Two commands set everything up on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
BOUNDS := .venv-bounds
SMOKE := tests/test_bounds.py tests/io/test_interop.py tests/io/test_interop_music21.py tests/io/test_audio.py \
	tests/io/scores/test_scores.py tests/test_schemas.py tests/runs tests/corpus/test_frames.py tests/training/test_loop.py tests/render/test_synth.py \
	tests/cli/test_commands.py tests/cli/test_pictures.py
PIP_INSTALL := -m pip install --quiet --disable-pip-version-check
EXAMPLE := corpora/examples/schubert-unfinished.mid

.PHONY: demo test test-avx2 test-bounds lint types readme docs course bench torture clean

demo: $(VENV)/installed
	@mkdir -p demo
	@$(BIN)/musicgen continue $(EXAMPLE) --seed 3 -f mid,wav -o demo/ --overwrite
	@echo "MIDI: $(CURDIR)/demo/schubert-unfinished.continued.mid"
	@echo "WAV:  $(CURDIR)/demo/schubert-unfinished.continued.wav"
	@echo "Next: . $(BIN)/activate; musicgen continue yours.mid"

# In a process a core, each with one thread; what a file of tests shares is made once.
test: $(VENV)/installed-dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile

# The numbers a second time, from the instructions of a CPU without AVX-512; where there are no more it is the same.
test-avx2: $(VENV)/installed-dev
	ONEDNN_MAX_CPU_ISA=AVX2 ATEN_CPU_CAPABILITY=avx2 $(BIN)/python -m pytest tests/models tests/training tests/sampling

# With the oldest versions that pyproject.toml allows, tests that need each of them.
test-bounds: $(BOUNDS)/installed
	$(BOUNDS)/bin/python -m pytest --disable-warnings $(SMOKE)

lint: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/installed-dev
	$(BIN)/mypy

readme: $(VENV)/installed-dev
	$(BIN)/python tests/readme_blocks.py README.md

# The pages of the API, from the docstrings: build/docs/index.html. A warning fails it.
docs: $(VENV)/installed-dev
	rm -rf build/docs
	$(BIN)/python docs/build_pages.py build/docs

# The notebooks of docs/course/ by a kernel, on the short budget; the tests run their code without one.
course: $(VENV)/installed-dev
	$(BIN)/python pipelines/course notebooks

# `make bench QUICK=1` takes at most three minutes, the whole under half an hour.
bench: $(VENV)/installed-bench
	$(BIN)/python pipelines/benchmarks/run_all.py $(if $(QUICK),--quick)

# Everything that can be done to it, as one table; `make torture QUICK=1` does a tenth.
torture: $(VENV)/installed-dev
	$(BIN)/python pipelines/torture $(if $(QUICK),--share 0.1)

# constraints.txt pins what was tested; pyproject.toml alone gives lower bounds.
$(VENV)/installed: pyproject.toml constraints.txt
	@echo "Setting up in $(VENV), once: some minutes, 1.2 GB"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python $(PIP_INSTALL) --constraint constraints.txt --editable .
	@touch $@

# hatchling, too: a test looks into the wheel.
$(VENV)/installed-dev: $(VENV)/installed
	$(BIN)/python $(PIP_INSTALL) --constraint constraints.txt --editable '.[dev,course]' hatchling
	@touch $@

# The peers that the benchmarks measure beside musicgen.
$(VENV)/installed-bench: $(VENV)/installed
	$(BIN)/python $(PIP_INSTALL) --constraint constraints.txt --editable '.[bench]'
	@touch $@

$(BOUNDS)/installed: pyproject.toml .ci/lower-bounds.txt
	$(PYTHON) -m venv $(BOUNDS)
	$(BOUNDS)/bin/python $(PIP_INSTALL) --constraint .ci/lower-bounds.txt --editable '.[dev,bench,course,fluidsynth,frames,pictures]'
	@touch $@

clean:
	rm -rf $(VENV) $(BOUNDS) demo dist build *.egg-info .pytest_cache .mypy_cache .ruff_cache
