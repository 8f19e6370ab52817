"""The nouns: names, types, resources, lineage, runs. Pure: no I/O, no clock, nothing mutable."""
