"""Stand-ins for engines, for the tests of those who use them."""
