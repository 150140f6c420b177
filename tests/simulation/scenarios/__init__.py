"""Single histories in the world of the simulation, one rule each; every promise is judged all the time."""
