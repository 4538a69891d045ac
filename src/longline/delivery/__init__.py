"""The only way in for a message, whoever brings it: the API, a device, a schedule, a group.

Who has one to send fills in a `Draft` (`draft.py`) and gives it to the `Pipeline` (`pipeline.py`), which
makes the `Message` of it (`compose.py`, `checking.py`, `audience.py`, `ids.py`), stores it as long as
`circuit.py` lets it, and hands it to the nodes of its devices (`routing.py`). What was left undone is routed
from here too. What is to be sent later (`timetable.py`) is a plan (`plans.py`) until its time comes
(`calendar.py`), where need be in each time zone (`zones.py`). Nothing in here knows an HTTP request or an
MQTT packet.
"""
