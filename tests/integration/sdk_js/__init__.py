"""The TypeScript SDK in tests: `package` builds it, `programs` drive it, and Python's beside it."""
