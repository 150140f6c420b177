"""An event listener for tests: prints what it gets to what was its standard output once."""

from __future__ import annotations

from supervisor_memkill.world.event_protocol import Event, EventStream, private_stdout


def show(event: Event) -> None:
    print(event.name, event.when, flush=True)


if __name__ == "__main__":
    protocol = private_stdout()
    print("up", flush=True)
    EventStream(0, protocol).run(show)
