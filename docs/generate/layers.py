"""The diagrams of imports, read from the code. pyproject.toml holds the contracts that enforce them."""

import grimp

from docs.generate.declarations import PACKAGES


def services() -> str:
    """Which package imports which."""
    graph = grimp.build_graph(*PACKAGES, cache_dir=None)
    edges = {
        (importer.partition(".")[0], imported.partition(".")[0])
        for importer in graph.modules
        for imported in graph.find_modules_directly_imported_by(importer)
    }
    return _diagram({(importer, imported) for importer, imported in edges if importer != imported})


def gateway() -> str:
    """The imports inside of the gateway."""
    return _inside("artcafe_gateway")


def common() -> str:
    """The imports inside of the common library."""
    return _inside("artcafe_common")


def _inside(package: str) -> str:
    graph = grimp.build_graph(package, cache_dir=None)
    for child in graph.find_children(package):
        graph.squash_module(child)
    edges = {
        (importer.rpartition(".")[2], imported.rpartition(".")[2])
        for importer in graph.find_children(package)
        for imported in graph.find_modules_directly_imported_by(importer)
        if imported != package
    }
    return _diagram(edges)


def _diagram(edges: set[tuple[str, str]]) -> str:
    """A Mermaid flowchart without the edges that follow from others."""
    below: dict[str, set[str]] = {}
    for importer, imported in sorted(edges):
        below.setdefault(importer, set()).add(imported)

    def reachable(node: str) -> set[str]:
        seen: set[str] = set()
        left = [node]
        while left:
            new = below.get(left.pop(), set()) - seen
            seen |= new
            left += new
        return seen

    lines = ["```mermaid", "flowchart TD"]
    for importer, direct in sorted(below.items()):
        indirect = {node for each in direct for node in reachable(each)}
        lines += [f"  {importer} --> {imported}" for imported in sorted(direct - indirect)]
    return "\n".join([*lines, "```"])
