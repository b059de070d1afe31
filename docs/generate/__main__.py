"""`python -m docs.generate` rewrites the generated blocks of all pages; `--check` names the stale pages."""

import argparse
import sys

from docs.generate.blocks import ROOT, pages, regenerate


def main() -> None:
    """Runs the command."""
    parser = argparse.ArgumentParser(prog="python -m docs.generate", description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; exit with 1 if a page is stale")
    check = parser.parse_args().check
    stale = 0
    for page in pages():
        text = page.read_text()
        generated = regenerate(text)
        if generated != text:
            stale += 1
            sys.stdout.write(f"{'stale' if check else 'updated'}: {page.relative_to(ROOT)}\n")
            if not check:
                page.write_text(generated)
    sys.exit(1 if check and stale else 0)


if __name__ == "__main__":
    main()
