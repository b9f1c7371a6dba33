"""Carries assets along the stages; knows no stage and no operation by name."""
