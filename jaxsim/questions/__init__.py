"""What is asked: questions that accumulate over shards, and their answers as plain data."""
