"""Numbered traffic while one part after another fails: what is lost, doubled, late or refused."""
