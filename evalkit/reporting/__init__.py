"""Leaderboards for people: tables derived from results, as Markdown and on the terminal."""
