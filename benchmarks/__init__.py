"""Benchmarks: ratios of both sides in one run. Never imported by the product or by a test."""
