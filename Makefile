# `make` lists the targets. Everything runs from a machine that has only Python 3.10-3.12 and make.
LANE ?= default
VENV := $(if $(filter default,$(LANE)),.venv,.venv-$(LANE))
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# The default environment is created with what the demo needs; the rest follows when a target needs it.
ifeq ($(LANE),default)
CREATED := $(VENV)/.demo
FIRST_LOCK := demo
FIRST_PACKAGES := Spark, Java, OpenVINO and 100 other packages; 0.6 GB to download, 1.4 GB on disk, about a minute
else
CREATED := $(READY)
FIRST_LOCK := $(LANE)
FIRST_PACKAGES := 1 to 4 minutes
endif
# Only if there is one that runs: version managers put names on PATH that lead nowhere.
LANE_PYTHON := $(if $(filter hdinsight-5.1,$(LANE)),3.10,$(if $(filter dbr-15.4,$(LANE)),3.11,$(if $(filter dbr-16.4,$(LANE)),3.12,)))
PYTHON ?= $(shell sh deploy/find-python.sh $(LANE_PYTHON))
UV := $(shell command -v uv 2>/dev/null || echo .tools/bin/uv)
# Source distributions are built with packages whose hashes are known too.
INSTALL := $(UV) pip install --quiet --build-constraint requirements/build.txt
# $(call install,NAME): install the packages of requirements/NAME.txt; those that are there already stay.
install = $(INSTALL) --compile-bytecode --python $(BIN)/python --require-hashes --only-binary :all: --no-binary pyspark -r requirements/$(1).txt

.DEFAULT_GOAL := help
.PHONY: help demo full unit test test-full slow kills test-clusters test-exchange clusters yarn-livy run-yarn-livy azurite check audit azure-models azure-ml bench lock build docs graphs clean azure-up azure-stop azure-down

help:
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1|/' | awk -F'|' '{printf "%-16s %s\n", $$1, $$2}'

demo: $(CREATED) ## Draw sample images and run all five stages (IMAGES=folder: on your own)
	@$(BIN)/irbis demo $(if $(IMAGES),--images "$(IMAGES)",)

full: $(READY) ## Add torch, for all backbones and GPUs, notebooks, search and developers' tools to .venv

# Whole files to each of three processes, the long ones of end_to_end first: a test's Spark waits for Python, or the
# other way round, and two processes leave a third of two cores idle. A lane, or TESTS, takes whatever is named.
PYTEST = $(BIN)/python -m pytest -n $(or $(WORKERS),$(if $(TESTS),0,3)) --dist loadfile --no-loadscope-reorder
NOT_HERE := not slow and not clusters and not kills

unit: $(READY) ## Run the tests that start no JVM, no process and no browser (a minute)
	@$(PYTEST) -m "unit and $(NOT_HERE)" $(TESTS)

test: $(READY) ## Run what must pass before a push: unit tests, each stage, one run of the command (minutes)
	@$(PYTEST) $(if $(TESTS),,-m "(unit or core) and $(NOT_HERE)") $(TESTS)

test-full: $(READY) ## Run all other tests: Azurite, Chromium, notebooks, faults (half an hour)
	@$(PYTEST) -m "not unit and not core and $(NOT_HERE)" $(TESTS)

slow: $(READY) ## Run the tests that take many minutes: real images, killed runs
	@$(BIN)/python -m pytest -m slow $(TESTS)

kills: $(READY) ## Kill commands 200 times (KILLS=20: fewer) at random moments, and spoil 1,000 answers of a store
	@KILLS=$(or $(KILLS),200) $(BIN)/python -m pytest -m kills -n 3 --dist worksteal $(or $(TESTS),tests/kills)

test-clusters: ## Run the tests on real clusters: YARN with Livy, a standalone master (20 min; needs Python 3.10)
	@$(MAKE) --no-print-directory clusters LANE=hdinsight-5.1

test-exchange: $(READY) .venv-exchange/.ready ## Run the tests of exports with the validators of megadetector-utils (0.7 GB on disk)
	@$(BIN)/python -m pytest $(or $(TESTS),tests/exchange/test_megadetector_utils.py)

clusters: $(READY)
	@$(BIN)/python -m pytest -m clusters $(or $(TESTS),tests/clusters)

yarn-livy: ## Run YARN and Livy here, as HDInsight has them, to send runs to (Ctrl-C ends them)
	@$(MAKE) --no-print-directory run-yarn-livy LANE=hdinsight-5.1

run-yarn-livy: $(READY)
	@$(BIN)/python -m tests.clusters.yarn_livy

# Azurite, for the tests of Azure Blob Storage; needs Node.js. Without it they are skipped.
azurite: .tools/npm/node_modules/azurite

# What Azure's resources are made of, for the tests of deploy/azure. Without it they are skipped.
azure-models: .tools/azure-models

# What `az ml` reads the files of deploy/azureml with. Without it their tests are skipped.
azure-ml: .tools/azure-ml

check: $(READY) ## Style, types and the direction of imports
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy && $(BIN)/lint-imports

audit: $(READY) ## Compare all locks with known vulnerabilities; requirements/accepted.yaml lists those accepted
	@$(BIN)/python requirements/audit.py

bench: $(READY) ## Measure featurize beside other engines (DATA=folder with image sets; QUICK=1; SETS=, BACKBONE=)
	@$(BIN)/python benchmarks/featurize $(or $(DATA),../shared/data) $(if $(QUICK),--quick,) $(if $(BACKBONE),--backbone $(BACKBONE),) $(if $(SETS),--sets $(SETS),)

docs: $(READY) ## Regenerate docs/reference from the code
	@$(BIN)/python docs/generate.py

graphs: $(READY) ## Convert the backbones again whose graphs ship with the package, after a change of weights or conversion
	@$(BIN)/python -c 'from pipelines.engines.packaged_graphs import write_packaged_graphs; write_packaged_graphs()'

lock: $(UV) ## Resolve requirements/ anew
	@sh requirements/lock.sh $(UV)

build: $(READY) ## Build the wheel into dist/, and the zip of it that spark-submit --py-files takes
	@rm -rf dist && $(BIN)/python -m hatchling build -t wheel -d dist >/dev/null
	@cd dist && for wheel in *.whl; do cp "$$wheel" "$${wheel%-py3-none-any.whl}.zip"; done && ls

# They say what they will do and cost, and ask first. FROM, KEY, SPOT, SHUTDOWN, GROUP, LOCATION: see the script.
azure-up: ## Make a place in Azure: TARGET=vm, databricks or hdinsight (docs/deploy/choose.md)
	@sh deploy/azure/azure.sh up $(TARGET)

azure-stop: ## Deallocate the GPU machine, delete the HDInsight cluster; what is stored stays
	@sh deploy/azure/azure.sh stop

azure-down: ## Delete all of it, what is stored too
	@sh deploy/azure/azure.sh down

clean: ## Remove environments and what the commands wrote here
	rm -rf .venv .venv-* .tools build dist irbis-workspace*

$(CREATED): requirements/$(FIRST_LOCK).txt requirements/build.txt pyproject.toml | $(UV)
	@test -n "$(PYTHON)" || { echo "No Python $(or $(LANE_PYTHON),3.10-3.12) was found. Install one, or name it: make PYTHON=/path/to/python"; exit 2; }
	@echo "Creating the environment $(VENV) (once): $(FIRST_PACKAGES)"
	@$(UV) venv --quiet --clear --python "$(PYTHON)" $(VENV)
	@$(call install,$(FIRST_LOCK))
	@$(INSTALL) --python $(BIN)/python --no-deps --editable .
	@touch $@

ifeq ($(LANE),default)
$(READY): $(CREATED) requirements/default.txt
	@echo "Adding torch, notebooks, search and developers' tools to $(VENV) (once): 3 GB to download, 5.6 GB on disk, some minutes"
	@$(call install,default)
	@touch $@
endif

.venv-exchange/.ready: requirements/exchange.txt | $(UV)
	@$(UV) venv --quiet --clear --python "$(PYTHON)" $(@D)
	@$(INSTALL) --python $(@D)/bin/python --require-hashes --only-binary :all: --no-binary clipboard -r $< && touch $@

.tools/npm/node_modules/azurite:
	@mkdir -p .tools/npm
	@npm install --prefix .tools/npm --silent --no-audit --no-fund azurite@3.35.0

.tools/azure-models .tools/azure-ml: .tools/%: requirements/%.txt | $(UV)
	@$(INSTALL) --python "$(PYTHON)" --no-deps --require-hashes --only-binary :all: --target $@ -r $< && touch $@

.tools/bin/uv: | requirements/uv.txt
	@echo "Fetching uv, which installs packages, into .tools"
	@$(PYTHON) -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --target .tools --require-hashes --only-binary :all: -r requirements/uv.txt
