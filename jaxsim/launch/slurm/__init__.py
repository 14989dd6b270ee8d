"""Batch jobs on a Slurm cluster: settings, scripts, submission, and what a job knows of itself."""
