"""What devices send to the platform itself, on its own topics: `model/topics.py` says on which.

`handlers.py` says what a handler is, one for each kind of topic, and which of them a publication is for; the
client hands it over (`session/client.py`) and answers when its handler has said what became of it. None of
this is looked at for a plain publication.
"""
