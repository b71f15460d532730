# porl_ros: `make demo` shows it, `make test` checks it. Each sets up .venv first when there is none.

VENV := .venv
PY := $(VENV)/bin/python
STAMP := $(VENV)/.installed
METAWORLD := .venv-metaworld
DOCS := .venv-docs
SEED ?= 0
PARALLEL ?= -n 2

.PHONY: demo test quick lint bench docs metaworld setup clean

demo: $(STAMP)  ## fine-tune a UR5e policy through real ROS 2 nodes (SEED=n, ARGS=...)
	$(VENV)/bin/porl demo --seed $(SEED) $(ARGS)

test: $(STAMP)  ## the whole test suite
	$(PY) -m pytest $(PARALLEL) $(ARGS)

quick: $(STAMP)  ## the part of it that takes under two minutes
	$(PY) -m pytest -m "not slow" $(PARALLEL) $(ARGS)

lint: $(STAMP)
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .

bench: $(STAMP)  ## side-by-side measurements
	$(PY) -m benchmarks $(ARGS)

docs: $(DOCS)/.installed  ## the docs as a site in site/; a broken link fails
	NO_MKDOCS_2_WARNING=1 $(DOCS)/bin/mkdocs build --strict $(ARGS)

$(DOCS)/.installed: requirements-docs.txt
	rm -rf $(DOCS)
	python3 -m venv $(DOCS)
	$(DOCS)/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	touch $@

metaworld: $(METAWORLD)/.installed  ## the environment of the Meta-World tasks of the benchmark

$(METAWORLD)/.installed: benchmarks/finetuning/requirements-metaworld.txt
	rm -rf $(METAWORLD)
	python3 -m venv $(METAWORLD)
	$(METAWORLD)/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	touch $@

setup: $(STAMP)

$(STAMP): requirements.txt requirements-ros.txt requirements-dev.txt setup.py setup.cfg
	./tools/setup-venv $(VENV)
	touch $(STAMP)

clean:
	rm -rf $(VENV) $(METAWORLD) $(DOCS) site build install log
