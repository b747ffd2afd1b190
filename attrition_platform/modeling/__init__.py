"""Splits, candidates, evaluation, fairness and promotion: the decisions, as plain functions."""
