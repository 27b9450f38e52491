"""The whole surface of a grid from its deepest run: quality against candidates, latency and bytes, with the knees."""
