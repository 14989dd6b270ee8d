"""The store of immutable shards and its reader."""
