from supervisor_memkill.testing.contract_suite import *  # noqa: F403
