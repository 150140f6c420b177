# make demo: what it does, in about a minute, on throwaway workers; the first time it needs a package index
# make test: every check and test; it installs the servers that the tests start and says so
# make test-roots: later suites of Debian in a folder each, for newer frameworks; part of make test
# make check: the checks alone (ruff, mypy, the build of a release and its metadata)
# make coverage: the fast tests, with the branches that they reach; fails below the floor in setup.cfg
# make test-pythons: the fast tests by every supported Python that this machine has
# make simulate: the shipped code and Lua through thousands of failures, on a virtual clock
# make mutate: each rule broken in turn; some test must fail
# make chaos: real workers under a hand that kills, freezes and stops whatever it finds; ROUNDS=200 SEED=1
# make soak: real workers replaced again and again under a constant feed; KIND=laravel RESTARTS=100
# make fuzz: whatever is read from outside, far longer than make test does it
# make benchmark: what the running listener costs, beside memmon; what coordination costs Redis
# make release: the sdist and the wheel, in dist/

VENV = .venv
# Debian 12 and Ubuntu 24.04 ship supervisor 4.2.5, which needs a setuptools that still has pkg_resources.
SUPERVISOR42 = .venv-supervisor42
# The worker frameworks that the tests run: the newest releases, and the oldest supported ones with those
# that want an older redis-py than Celery does.
WORKERS = .venv-workers
OLD_WORKERS = .venv-workers-old
# The tests wait for real programs most of the time, so more of them than cores run side by side. On a machine
# with little memory: make test TEST_JOBS=4
TEST_JOBS = 10
CORES = $(shell getconf _NPROCESSORS_ONLN)
PYTHONS = 3.10 3.11 3.12 3.13 3.14
ROUNDS = 200
SEED = 1
KIND = laravel
RESTARTS = 100

export MEMKILL_TEST_SUPERVISOR42_PYTHON = $(CURDIR)/$(SUPERVISOR42)/bin/python
export MEMKILL_TEST_WORKERS_PYTHON = $(CURDIR)/$(WORKERS)/bin/python
export MEMKILL_TEST_OLD_WORKERS_PYTHON = $(CURDIR)/$(OLD_WORKERS)/bin/python

# Container images often set it. Then each program that a test starts would compile the whole package anew.
unexport PYTHONDONTWRITEBYTECODE

TEST = $(VENV)-test/bin/python -m pytest

.PHONY: demo test check coverage test-pythons simulate mutate chaos soak fuzz benchmark release venv test-venvs \
	test-parts test-roots clean

demo: venv
	@$(VENV)/bin/supervisor-memkill demo

test: test-parts test-roots check coverage
	$(TEST) -n $(TEST_JOBS) --dist load --maxschedchunk 1 -m real

check: test-venvs release
	$(VENV)-test/bin/ruff check .
	$(VENV)-test/bin/ruff format --check .
	$(VENV)-test/bin/mypy

coverage: test-venvs
	$(TEST) -n $(CORES) --dist worksteal -m "not real" --cov --cov-report=term

test-pythons:
	@scripts/test-pythons $(CORES) $(PYTHONS)

simulate: test-venvs
	$(VENV)-test/bin/python -m tests.simulation --safety 20000 --liveness 5000

mutate: test-venvs
	$(VENV)-test/bin/python -m tests.mutation

chaos: test-venvs
	$(VENV)-test/bin/python -m tests.chaos --rounds $(ROUNDS) --seed $(SEED)

soak: test-venvs
	$(VENV)-test/bin/python -m tests.soak --kind $(KIND) --restarts $(RESTARTS)

fuzz: test-venvs
	MEMKILL_FUZZ=long $(VENV)-test/bin/python -m pytest -q -n 2 tests/fuzz

benchmark: test-venvs
	$(VENV)-test/bin/python -m tests.benchmark
	$(VENV)-test/bin/python -m tests.benchmark.redis_load
	$(VENV)-test/bin/python -m tests.benchmark.many_pools
	$(VENV)-test/bin/python -m tests.benchmark_reports

release: test-venvs
	@rm -rf dist
	$(VENV)-test/bin/python -m build --no-isolation >/dev/null
	$(VENV)-test/bin/python -m twine check --strict dist/*

venv:
	@[ -e $(VENV)/.made-from ] || echo "Making a virtual environment first; this takes a minute, once"
	@scripts/make-venv $(VENV) -e .

test-venvs:
	@scripts/make-venv $(VENV)-test -e '.[test]'
	@scripts/make-venv $(SUPERVISOR42) 'supervisor==4.2.5' 'setuptools<81' 'redis==4.5.1'
	@scripts/make-venv $(WORKERS) 'celery[redis]==5.7.0' 'rq==3.0.0' 'dramatiq[redis]==2.2.1' \
		'huey[redis]==3.5.4' 'taskiq==0.13.0' 'taskiq-redis==1.2.4' \
		'django-q2==1.11.1'
	@scripts/make-venv $(OLD_WORKERS) 'arq==0.28.0' 'celery[redis]==5.3.6' 'kombu==5.3.7' \
		'rq==1.16.2' 'huey==2.5.5'

test-parts:
	@scripts/install-test-parts

test-roots: test-parts
	@scripts/make-test-roots

clean:
	rm -rf $(VENV) $(VENV)-test* $(SUPERVISOR42) $(WORKERS) $(OLD_WORKERS) .roots build dist *.egg-info .coverage .*_cache .hypothesis
