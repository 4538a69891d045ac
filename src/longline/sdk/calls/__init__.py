"""What `Center` does, a file for each part of the API, over the requests of `http`.

Each function is written once, for asyncio. `longline.sdk.blocking` is made of these files, and of
`longline.sdk.center`, by `tools/blocking`: never edit it.
"""
