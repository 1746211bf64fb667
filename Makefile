# The verbs of this repository. 'make demo' and 'make test' are all a newcomer needs.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
GEOLOC := $(BIN)/geoloc
DEMO   := out/demo
DEMO_SEED := 900001
DEMO_VLM  := models/vlm-tiny

.DEFAULT_GOAL := help
.PHONY: help setup setup-dev demo test test-ros ros check lint type docs docs-check clean

help: ## list the verbs
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(BIN)/python:
	@echo "==> creating the virtual environment $(VENV)"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip setuptools wheel

$(VENV)/.run-ready: $(BIN)/python setup.py
	@echo "==> installing geoloc_ros with what the demo needs (a few minutes; hnswlib is compiled)"
	$(BIN)/python -m pip install --progress-bar on --disable-pip-version-check -c requirements/constraints.txt -e '.[synth,imagery]'
	@touch $@

$(VENV)/.dev-ready: $(VENV)/.run-ready
	@echo "==> installing what the tests need (PyTorch among it)"
	$(BIN)/python -m pip install --progress-bar on --disable-pip-version-check -c requirements/constraints.txt -e '.[synth,imagery,train,tensorboard,eval,dev]'
	@touch $@

$(VENV)/.vlm-ready: $(VENV)/.run-ready
	@echo "==> installing llama-cpp-python for the vision-language model (compiled: about five minutes)"
	$(BIN)/python -m pip install --progress-bar on --disable-pip-version-check -c requirements/constraints.txt -e '.[vlm]' \
		|| echo "==> it cannot be compiled here: the demo runs without it, its tests are skipped ('rm $@' to try again)"
	@touch $@

setup: $(VENV)/.run-ready ## a virtual environment with the geoloc command

setup-dev: $(VENV)/.dev-ready $(VENV)/.vlm-ready ## the same with the tools for development

demo: setup $(VENV)/.vlm-ready ## make a town, drive through it, find the vehicle; leaves out/demo/report.html
	rm -rf $(DEMO)
	$(GEOLOC) synth make --seed $(DEMO_SEED) --size 1000 --length 2000 --scenario kidnap --width 480 --height-px 270 --out $(DEMO)/world
	$(GEOLOC) index build $(DEMO)/world/imagery.tif --model models/perspective --roads $(DEMO)/world/roads.geojson --out $(DEMO)/index
	$(GEOLOC) replay $(DEMO)/world/drive_00 --index $(DEMO)/index --imagery $(DEMO)/world/imagery.tif --events $(DEMO)/world/scene.json --truth /ground_truth/pose --out $(DEMO) \
		$$($(BIN)/python scripts/demo_vlm.py $(DEMO_VLM))
	@echo "==> open $(DEMO)/report.html in a browser"

test: setup-dev ## run the tests
	$(BIN)/python -m pytest -n 2 --dist loadfile

ros: setup-dev ## build the ROS 2 workspace, ros2_ws, with the environment's Python
	scripts/ros.sh build

test-ros: setup-dev ## run the tests that need a real ROS 2; says so where there is none
	scripts/ros.sh test

lint: setup-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

type: setup-dev
	$(BIN)/mypy

docs: setup-dev ## write the generated parts: help texts in the docs, config/geoloc.yaml
	$(BIN)/python scripts/generate_docs.py

docs-check: setup-dev
	$(BIN)/python scripts/generate_docs.py --check

check: lint type docs-check test test-ros ## everything CI runs

clean: ## remove what was built, keep the virtual environment
	rm -rf out build ros2_ws/build ros2_ws/install ros2_ws/log .pytest_cache .mypy_cache .ruff_cache src/*.egg-info
