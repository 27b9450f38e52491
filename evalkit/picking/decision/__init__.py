"""From measured cells to a decision: requirements, and a recommendation with its reasons. Knows no model."""
