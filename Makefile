# Every command sets up what it needs in .venv; nothing else on the machine is touched.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
SAMPLE := data/sample/documents
DEMO := $(VENV)/demo-index
export HF_HUB_OFFLINE ?= 1
export PIP_DISABLE_PIP_VERSION_CHECK ?= 1

.PHONY: install demo test check format bench torture model questions clean

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "spanseek needs Python 3.11 or newer: make PYTHON=python3.11"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $(STAMP)

demo: $(STAMP)
	$(BIN)/spanseek index $(SAMPLE) --index $(DEMO)
	$(BIN)/spanseek search "where is the assembly point?" -k 3 --index $(DEMO)
	$(BIN)/spanseek search "how long is the warranty on a Petrel 3?" -k 3 --index $(DEMO)
	$(BIN)/spanseek search "what is the order number of the slate grey Petrel 3?" -k 3 --where format=xlsx --index $(DEMO)

# On at most four processors: each loads models of its own. 'pytest FILE' alone runs in one process.
test: $(STAMP)
	$(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist worksteal

# All that CI runs.
check: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(MAKE) --no-print-directory test

format: $(STAMP)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# Minutes to an hour: each benchmark says on its first lines what it compares.
bench: $(STAMP)
	$(BIN)/python tests/benchmarks/encode.py
	$(BIN)/python tests/benchmarks/search.py
	$(BIN)/python tests/benchmarks/rerank.py
	$(BIN)/python tests/benchmarks/indexing.py --files 10000
	$(BIN)/python tests/benchmarks/memory.py
	mkdir -p build && $(BIN)/python tests/benchmarks/scale.py --json > build/scale.json
	$(BIN)/python tests/benchmarks/growth.py build/scale.json

# About an hour: breaks indexes on purpose, in the long forms of the suites that 'make test' runs in short ones.
TORTURE := $(BIN)/python tests/torture
torture: $(STAMP)
	$(TORTURE)/kill.py --points 250
	$(TORTURE)/kill.py --points 100 --fault full
	$(TORTURE)/kill.py --points 50 --fault readonly
	$(TORTURE)/damage.py --count 500
	$(TORTURE)/together.py --seconds 600
	$(TORTURE)/fuzz_readers.py --count 10000

# Trains the span scorer anew and puts data/model together: minutes on a GPU, days on a CPU. QUESTIONS are files in
# SQuAD's layout, EXTRA rows that retriever.training.qamr makes, ENCODER and TEACHER folders with
# sentence-transformers/all-MiniLM-L6-v2 and all-mpnet-base-v2 as they were published. OWN are more options, such as the
# '--data' and '--index' that 'make questions' ends with: the model that comes along learned from those afterwards
# (data/model/README.md).
RUN := build/reader
READER := $(BIN)/spanseek train reader --start none --batch-tokens 32768 --apart "Spectre (2015 film)"
model: $(STAMP)
	$(READER) --encoder $(TEACHER) --learning-rate 6e-5 --epochs 1 $(addprefix --data ,$(QUESTIONS)) $(OWN) $(addprefix --extra ,$(EXTRA)) --confidence-questions 0 --out $(RUN)/teacher
	$(READER) --teacher $(RUN)/teacher --learning-rate 3e-4 --epochs 4 $(addprefix --data ,$(QUESTIONS)) $(OWN) $(addprefix --extra ,$(EXTRA)) --out $(RUN)/pupil
	$(BIN)/python -m retriever.training.ship $(ENCODER) $(RUN)/pupil data/model

# What data/questions holds as rows to train on, and an index of the documents that they are about.
WRITTEN := build/questions
questions: $(STAMP)
	rm -rf $(WRITTEN)
	$(BIN)/python -m retriever.training.written $(WRITTEN) data/questions/*.txt
	$(BIN)/spanseek index $(WRITTEN)/documents --index $(WRITTEN)/index
	@echo 'to learn from it: spanseek train reader --data $(WRITTEN)/questions.jsonl --index $(WRITTEN)/index --out DIR'

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache build dist
