"""The scripts that the key-value engine runs in the store, and what they share. Each says what it takes."""
