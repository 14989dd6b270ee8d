"""How a block of replicates is executed: vmap, lanes, native (C), pallas (GPU tiles)."""
