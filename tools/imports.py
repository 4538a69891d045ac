"""What import-linter has no contract for."""

from graphlib import CycleError, TopologicalSorter

from grimp import ImportGraph
from importlinter import Contract, ContractCheck, fields, output


class NoCircles(Contract):
    """No circle of files below `root`, of whatever length and across whatever folders.

    `acyclic_siblings` compares the children of one folder; here every file counts by itself, so a circle
    cannot hide in a folder's depth. Imports below `if TYPE_CHECKING` count as any other.
    """

    root = fields.StringField()

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:
        files = graph.find_descendants(str(self.root))
        circles = []
        imports = {file: graph.find_modules_directly_imported_by(file) & files for file in files}
        while (circle := _circle_in(imports)) is not None:
            circles.append(circle)
            imports[circle[0]].discard(circle[1])  # to see whether there are others
        return ContractCheck(kept=not circles, metadata={"circles": circles})

    def render_broken_contract(self, check: ContractCheck) -> None:
        for circle in check.metadata["circles"]:
            output.print_error(f"A circle of files: {' -> '.join(circle)}", bold=False)


def _circle_in(imports: dict[str, set[str]]) -> list[str] | None:
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        # graphlib names each file before the one that imports it.
        return list(reversed(error.args[1]))
    return None
