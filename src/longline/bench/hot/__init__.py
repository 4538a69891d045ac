"""What a load generator does per message: synchronous, compiled by mypyc where a compiler was at hand.

Nothing here makes a decision that is not needed while load is running: plans, credentials, processes and
reports are made one folder up, and come in as bytes and numbers.
"""
