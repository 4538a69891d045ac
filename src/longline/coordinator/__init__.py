"""Work that belongs to no single room or request and is done by one process of the cluster at a time.

Each duty is a `Duty`: elected by itself, so that several coordinators share them, and repeated for as long as
it is led. What a duty does bears being done twice, because a leader may be replaced at any moment.
"""
