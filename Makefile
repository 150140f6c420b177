# make demo: what it does, in about a minute, on throwaway workers
# make test: every check and test
# make check: the checks alone (ruff, mypy)
# make benchmark: the cost of one check, beside memmon's, and of coordination to Redis

VENV = .venv
# Debian 12 and Ubuntu 24.04 ship supervisor 4.2.5, which needs a setuptools that still has pkg_resources.
SUPERVISOR42 = .venv-supervisor42
# The tests wait for real programs most of the time, so more of them than cores run side by side.
TEST_JOBS = 6

.PHONY: demo test check benchmark venv test-venvs clean

demo: venv
	@$(VENV)/bin/supervisor-memkill demo

test: check
	MEMKILL_TEST_SUPERVISOR42_PYTHON=$(CURDIR)/$(SUPERVISOR42)/bin/python \
		$(VENV)-test/bin/python -m pytest -n $(TEST_JOBS) --dist worksteal

check: test-venvs
	$(VENV)-test/bin/ruff check .
	$(VENV)-test/bin/ruff format --check .
	$(VENV)-test/bin/mypy

benchmark: test-venvs
	$(VENV)-test/bin/python -m tests.benchmark
	$(VENV)-test/bin/python -m tests.benchmark_redis

venv:
	@scripts/make-venv $(VENV) -e .

test-venvs:
	@scripts/make-venv $(VENV)-test -e '.[test]'
	@scripts/make-venv $(SUPERVISOR42) 'supervisor==4.2.5' 'setuptools<81'

clean:
	rm -rf $(VENV) $(VENV)-test $(SUPERVISOR42) build dist *.egg-info .coverage .*_cache .hypothesis
