"""Puts roles, engines and each other together into a running process; nothing else knows them all."""
