"""What app servers of the machine ask for: names, audiences, options."""

from hypothesis import strategies as st

from tests.platform.expectations import ALIASES, DEVICES, TAGS

names = st.sampled_from(DEVICES)
some_names = st.lists(names, min_size=1, max_size=4)
tags = st.sets(st.sampled_from(TAGS)).map(sorted)
aliases = st.sets(st.sampled_from(ALIASES)).map(sorted)
qualities = st.sampled_from((0, 1, 2, 2))
leaves = st.one_of(
    st.fixed_dictionaries({"tag": st.lists(st.sampled_from(TAGS), min_size=1, max_size=2, unique=True)}),
    st.fixed_dictionaries({"tag_and": st.just(list(TAGS))}),
    st.fixed_dictionaries({"tag_not": st.lists(st.sampled_from(TAGS), min_size=1, max_size=1)}),
    st.fixed_dictionaries(
        {"attributes": st.fixed_dictionaries({"n": st.fixed_dictionaries({"gte": st.integers(0, 3)})})}
    ),
)
nested = st.one_of(
    st.fixed_dictionaries({"any": st.lists(leaves, min_size=2, max_size=2)}),
    st.fixed_dictionaries({"every": st.lists(leaves, min_size=2, max_size=2)}),
    st.fixed_dictionaries({"not": leaves}),
)
audiences = st.one_of(
    st.fixed_dictionaries({"devices": some_names}),
    st.fixed_dictionaries({"devices": some_names}),
    st.fixed_dictionaries(
        {"aliases": st.lists(st.sampled_from(ALIASES), min_size=1, max_size=2, unique=True)}
    ),
    st.just("all"),
    leaves,
    nested,
)
options = st.fixed_dictionaries(
    {},
    optional={
        "priority": st.sampled_from(("normal", "high")),
        "collapse_key": st.sampled_from(("k", "l")),
        "qos": qualities,
        "online_only": st.just(value=True),
        "label": st.just("word"),
    },
)
# A group has one order: nothing that would break it may be asked for.
group_options = st.fixed_dictionaries(
    {}, optional={"qos": qualities, "online_only": st.just(value=True), "label": st.just("word")}
)
