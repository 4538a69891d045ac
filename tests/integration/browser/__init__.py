"""A page in headless Chromium: `chromium.py` opens it and hears what it tells, `page.html` is the page."""
