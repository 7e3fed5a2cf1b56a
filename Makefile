# Two commands for a machine with Python 3.11 or newer, git and make:
#   make demo    open napari on a real brain MR (without a display, or with HEADLESS=DIR: screenshots and scores)
#   make test    run the whole test suite
# Everything is installed into .venv; nothing in the package itself needs make.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CORE_BLOCKS := core io models embeddings prompts metrics factors evaluation inference

.PHONY: help demo test lint coverage wheel clean

help:
	@sed -n '1,4s/^# \{0,1\}//p' Makefile
	@echo "  make lint, make coverage, make wheel, make clean"

# Each stamp is newer than the metadata it was installed from, so a second run installs nothing.
$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Python 3.11 or newer is needed; $(PYTHON) is older. Say which one: make PYTHON=python3.12 ..." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip

$(VENV)/.installed-all: pyproject.toml $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable ".[all]"
	@touch $@

$(VENV)/.installed-test: pyproject.toml $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable ".[test]"
	@touch $@ $(VENV)/.installed-all

demo: $(VENV)/.installed-all
	@sh tools/system-packages.sh
	@if [ -n "$(HEADLESS)" ]; then \
		$(BIN)/napari-sam-med demo --headless "$(HEADLESS)"; \
	elif [ -z "$$DISPLAY$$WAYLAND_DISPLAY" ] && [ "$$(uname)" = Linux ]; then \
		$(BIN)/napari-sam-med demo --headless demo-output; \
	else \
		$(BIN)/napari-sam-med demo; \
	fi

test: $(VENV)/.installed-test
	@sh tools/system-packages.sh
	$(BIN)/python -m pytest $(ARGS)

lint: $(VENV)/.installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

coverage: $(VENV)/.installed-test
	@sh tools/system-packages.sh
	$(BIN)/python -m pytest --cov --cov-report= $(ARGS)
	@$(BIN)/coverage report --fail-under=90 \
		--include="$$(echo $(CORE_BLOCKS) | sed 's|[^ ]*|src/napari_sam_med/&/*|g; s| |,|g')"

wheel: $(VENV)/.installed-test
	$(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir dist .

clean:
	rm -rf build dist demo-output htmlcov .coverage .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
