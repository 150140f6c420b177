from supervisor_memkill.testing.fakes import *  # noqa: F403
