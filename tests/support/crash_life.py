"""One life: provision, work, end, purge. May be run again over whatever an earlier run left."""

from rig import Rig

from tre.model.facts import Workspace
from tre.model.order import LineageKey


def life(rig: Rig) -> None:
    with rig.store.read() as reader:
        begun = rig.dossier.permit(reader, LineageKey("https://permits.example", "lineage-1"))
        ordered = reader.facts(Workspace)
    over = begun is not None and rig.clock.now() >= begun.ends_at()
    if not over:
        if not ordered:
            rig.provision()
        rig.settle()
        rig.clock.advance(30 * 86400 - 3600)
        rig.settle()
        rig.clock.advance(3601)
    rig.settle()
    rig.clock.advance(400)
    rig.settle()
