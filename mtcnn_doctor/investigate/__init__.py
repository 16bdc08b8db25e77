"""Investigations that go beyond a check: measuring now; searching for causes later."""
