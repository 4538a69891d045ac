"""Classes of one name with two meanings, and words that nobody brings along: what a source tree has of them.

    python -m tools.names [FOLDER]

A private class (`_Place`) belongs to its file, and its name may be that of another.
"""

import ast
import re
import sys
import tokenize
from collections import defaultdict
from pathlib import Path

NOT_AS_NAMES = frozenset({"desk", "obituary", "steering", "house", "scene", "country", "town"})
NOT_AS_CLASSES = frozenset({"Elsewhere", "Why"})  # as adverbs they are like any other
NOT_IN_PROSE = re.compile(r"\b(desk|obituary|steering|at the door)\b", re.IGNORECASE)
WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+")

Found = dict[str, list[str]]


def twins(folder: Path) -> Found:
    """Public classes that more than one file defines, and the files."""
    found = defaultdict(list)
    for path in sorted(folder.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                found[node.name].append(str(path.relative_to(folder)))
    return {name: files for name, files in sorted(found.items()) if len(files) > 1}


def strange_words(folder: Path) -> Found:
    """Words that nobody brings along, and where they are: in names, and a few also in prose."""
    found = defaultdict(list)
    for path in sorted(folder.rglob("*.py")):
        with path.open("rb") as file:
            for token in tokenize.tokenize(file.readline):
                if token.type == tokenize.NAME:
                    words = [
                        word
                        for word in WORD.findall(token.string)
                        if word in NOT_AS_CLASSES or word.lower() in NOT_AS_NAMES
                    ]
                elif token.type in (tokenize.COMMENT, tokenize.STRING):
                    words = NOT_IN_PROSE.findall(token.string)
                else:
                    continue
                for word in words:
                    found[word.lower()].append(f"{path.relative_to(folder)}:{token.start[0]}")
    return dict(sorted(found.items()))


def main() -> None:
    """Prints what is found; the exit status is 1 when there is anything."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "src/longline")
    found = {**twins(folder), **strange_words(folder)}
    for name, places in found.items():
        print(f"{name}: {', '.join(places)}")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
