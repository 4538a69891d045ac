"""The SQL engine's parts: its schema, its threads, and what each operation does to the tables.

Nothing here imports a database client: `longline.saver.sqlite` brings the connection, as a `Database`.
"""
