"""Sudden faults of servers: Redis, supervisord, and the host with its clock."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from tests.simulation.drain_places import PLACES

if TYPE_CHECKING:
    from tests.simulation.machine import Machine
    from tests.simulation.weather import Weather
    from tests.simulation.world import World


class ServerFaults:
    """What may happen to the servers of one world."""

    def __init__(self, weather: Weather, world: World, rng: random.Random) -> None:
        self._weather = weather
        self._world = world
        self._rng = rng

    def redis_outage(self, machine: Machine) -> None:
        redis = self._world.redis

        def back() -> None:
            redis.is_away = False

        redis.is_away = True
        self._world.engine.after(self._rng.uniform(1.0, 2 * self._world.shape.slot_ttl), back)

    def redis_hangs(self, machine: Machine) -> None:
        self._world.redis.hang(self._rng.uniform(1.0, 2 * self._world.shape.slot_ttl))

    def redis_flush(self, machine: Machine) -> None:
        self._world.redis.flush()

    def redis_fall_back(self, machine: Machine) -> None:
        self._world.redis.keep()
        later = self._rng.choice((0.05, 1.0, 10.0, 30.0))
        self._world.engine.after(
            later, lambda: None if self._weather.is_clear else self._world.redis.fall_back()
        )

    def redis_evict(self, machine: Machine) -> None:
        pool = self._rng.choice(self._world.shape.pools).config.name
        self._world.redis.evict(pool, self._rng.choice(("", ":up", ":ask", ":wait")))

    def redis_clock(self, machine: Machine) -> None:
        self._world.redis.jump(self._rng.choice((-40.0, -5.0, -0.5, 0.5, 5.0, 40.0)))

    def wall_clock(self, machine: Machine) -> None:
        far = 30.0 if self._weather.heals else 3600.0
        machine.set_wall(self._rng.choice((-far, -20.0, -2.0, 2.0, 20.0, far)))

    def wall_clock_in_a_drain(self, machine: Machine) -> None:
        """supervisord moves the start of a young process when the clock is set back."""
        place = self._rng.choice(PLACES)
        self._weather.when_at(
            machine, place, lambda: None if self._weather.is_clear else self.wall_clock(machine)
        )

    def supervisord_hangs(self, machine: Machine) -> None:
        machine.server.hang(self._rng.choice((2.0, 6.0, 20.0, 60.0)))

    def restart_supervisord(self, machine: Machine) -> None:
        supervisord = machine.supervisord
        if supervisord.is_down or supervisord.is_shutting_down:
            return
        supervisord.shut_down()

        def down() -> None:
            supervisord.go_down()
            self._world.standings.supervisord_took(machine)
            machine.server.drop()
            machine.events.forget()
            self._weather.kill(machine)

        self._world.engine.after(self._rng.uniform(0.5, 6.0), down)
        self._world.engine.after(self._rng.uniform(7.0, 10.0), supervisord.come_up)

    def reboot(self, machine: Machine) -> None:
        if machine.supervisord.is_down or machine.supervisord.is_shutting_down:
            return
        machine.supervisord.go_down()
        self._world.standings.supervisord_took(machine)
        machine.server.drop()
        self._weather.kill(machine)
        machine.reboot()
        self._world.engine.after(self._rng.uniform(5.0, 15.0), machine.supervisord.come_up)
