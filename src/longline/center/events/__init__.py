"""What comes from devices to app servers: `upstream.py` reads events, by page, by long poll (`waiting.py`)
or as they come (`stream.py`); `webhooks.py` says where they are sent by themselves.
"""
