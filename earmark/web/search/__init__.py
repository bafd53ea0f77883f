"""What a person types, matched with units."""
