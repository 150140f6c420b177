"""Everything that is read from outside, fed with whatever it may hold.

What holds everywhere: a value of the right type and range, one error of the documented class in one line, or
a hold; never another exception, and never an act on a worker that no right reading allows.

As it stands each test runs a few examples, always the same ones. The long way, tens of thousands of them and
others each time::

    MEMKILL_FUZZ=long nice python -m pytest tests/fuzz -q
"""
