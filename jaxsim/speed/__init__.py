"""How fast a block of members trains, and how fast the machine could: clocks, work and ceilings."""
