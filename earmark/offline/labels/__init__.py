"""Labels for units: what is said when they fire, chosen on one half of a corpus and judged on the other."""
