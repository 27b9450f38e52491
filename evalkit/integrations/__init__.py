"""Other libraries, both ways: what they have, as ours, and ours as theirs. The rest of evalkit does without them."""
