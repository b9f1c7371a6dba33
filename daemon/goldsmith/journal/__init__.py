"""The record of plans, jobs, problems and history. Only this package contains SQL."""
