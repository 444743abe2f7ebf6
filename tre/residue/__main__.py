"""The scanner's own process: a question as JSON on stdin, the answer as JSON on stdout, exit status 0 only with one."""

import json
import sys
from pathlib import Path

from tre.model.facts import FootprintItem, FootprintKind
from tre.residue.look import look
from tre.residue.vault import VaultEyes, look_in_vault


def main() -> int:
    """Look once."""
    question = json.load(sys.stdin)
    items = tuple(FootprintItem(i["workspace"], FootprintKind(i["kind"]), i["value"]) for i in question["items"])
    vault = question["vault"]
    try:
        found = list(look(items))
        if vault:
            eyes = VaultEyes(vault["address"], Path(vault["ca"]), Path(vault["role_id"]), Path(vault["secret_id"]))
            found += look_in_vault(eyes, items)
    except (OSError, ValueError, KeyError) as error:
        sys.stdout.write(json.dumps({"unknown": f"{type(error).__name__}: {error}"[:300]}))
        return 0
    sys.stdout.write(json.dumps({"residue": [[r.kind, r.value, r.detail] for r in found]}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
