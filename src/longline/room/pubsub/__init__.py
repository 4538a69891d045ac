"""Plain publish/subscribe: who wants which topic, here and in other rooms."""
