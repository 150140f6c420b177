# make demo: what it does, in about a minute, on throwaway workers
# make test: every check and test
# make check: the checks alone (ruff, mypy)
# make simulate: the shipped code and Lua through thousands of failures, on a virtual clock
# make mutate: each rule broken in turn; some test must fail
# make chaos: real workers under a hand that kills, freezes and stops whatever it finds; ROUNDS=200 SEED=1
# make fuzz: whatever is read from outside, far longer than make test does it
# make benchmark: the cost of one check, beside memmon's, and of coordination to Redis

VENV = .venv
# Debian 12 and Ubuntu 24.04 ship supervisor 4.2.5, which needs a setuptools that still has pkg_resources.
SUPERVISOR42 = .venv-supervisor42
# The worker frameworks that the tests run: the newest releases, and the oldest supported ones with those
# that want an older redis-py than Celery does.
WORKERS = .venv-workers
OLD_WORKERS = .venv-workers-old
# The tests wait for real programs most of the time, so more of them than cores run side by side.
TEST_JOBS = 6
ROUNDS = 200
SEED = 1

export MEMKILL_TEST_SUPERVISOR42_PYTHON = $(CURDIR)/$(SUPERVISOR42)/bin/python
export MEMKILL_TEST_WORKERS_PYTHON = $(CURDIR)/$(WORKERS)/bin/python
export MEMKILL_TEST_OLD_WORKERS_PYTHON = $(CURDIR)/$(OLD_WORKERS)/bin/python

.PHONY: demo test check simulate mutate chaos fuzz benchmark venv test-venvs clean

demo: venv
	@$(VENV)/bin/supervisor-memkill demo

test: check
	$(VENV)-test/bin/python -m pytest -n $(TEST_JOBS) --dist worksteal

check: test-venvs
	$(VENV)-test/bin/ruff check .
	$(VENV)-test/bin/ruff format --check .
	$(VENV)-test/bin/mypy

simulate: test-venvs
	$(VENV)-test/bin/python -m tests.simulation --safety 20000 --liveness 5000

mutate: test-venvs
	$(VENV)-test/bin/python -m tests.mutation

chaos: test-venvs
	$(VENV)-test/bin/python -m tests.chaos --rounds $(ROUNDS) --seed $(SEED)

fuzz: test-venvs
	MEMKILL_FUZZ=long $(VENV)-test/bin/python -m pytest -q -n 2 tests/fuzz

benchmark: test-venvs
	$(VENV)-test/bin/python -m tests.benchmark
	$(VENV)-test/bin/python -m tests.benchmark_redis

venv:
	@scripts/make-venv $(VENV) -e .

test-venvs:
	@scripts/make-venv $(VENV)-test -e '.[test]'
	@scripts/make-venv $(SUPERVISOR42) 'supervisor==4.2.5' 'setuptools<81'
	@scripts/make-venv $(WORKERS) 'celery[redis]==5.7.0' 'rq==3.0.0' 'dramatiq[redis]==2.2.1' \
		'huey[redis]==3.5.4' 'taskiq==0.13.0' 'taskiq-redis==1.2.4'
	@scripts/make-venv $(OLD_WORKERS) 'arq==0.28.0' 'celery[redis]==5.3.6' 'kombu==5.3.7' \
		'rq==1.16.2' 'huey==2.5.5'

clean:
	rm -rf $(VENV) $(VENV)-test $(SUPERVISOR42) $(WORKERS) $(OLD_WORKERS) build dist *.egg-info .coverage .*_cache .hypothesis
