"""What is promised of data and whether it holds: checks, and the questions asked of lineage."""
