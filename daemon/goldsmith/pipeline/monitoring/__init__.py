"""Figures for Prometheus, and whether the service is healthy. A program of its own answers; the daemon only says that its loop turns."""
