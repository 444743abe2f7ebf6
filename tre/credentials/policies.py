"""What each vault role may do. Static: installed once, with a root token that is then revoked.

`tre-controller` can mint and disable, and can never enable again, read a secret, or write a policy. Anyone who can
mint a member's token could read as that member; the vault's own audit device counts every mint.
"""

from typing import Final

MEMBER: Final = "tre-member"
CONTROLLER: Final = "tre-controller"
RESIDUE: Final = "tre-residue"
CHECKPOINT_KEY: Final = "tre-checkpoint"
STATIC_MOUNT: Final = "tre-static"

POLICIES: Final[dict[str, str]] = {
    MEMBER: """
path "tre-static/data/{{identity.entity.metadata.workspace}}/*" { capabilities = ["read"] }
path "auth/token/lookup-self" { capabilities = ["read"] }
""",
    CONTROLLER: """
path "auth/token/create/tre-member" {
  capabilities = ["create", "update"]
  allowed_parameters = { "entity_alias" = [], "explicit_max_ttl" = [], "ttl" = [] }
}
path "identity/entity/name/+" {
  capabilities = ["read", "create", "update"]
  allowed_parameters = { "disabled" = ["true"], "metadata" = [] }
}
path "identity/entity/name" { capabilities = ["list"] }
path "identity/entity-alias" {
  capabilities = ["create", "update"]
  allowed_parameters = { "name" = [], "canonical_id" = [], "mount_accessor" = [] }
}
path "auth/token/lookup-accessor" { capabilities = ["create", "update"] }
path "auth/token/revoke-accessor" { capabilities = ["create", "update"] }
path "auth/token/lookup-self" { capabilities = ["read"] }
path "transit/sign/tre-checkpoint" { capabilities = ["create", "update"] }
path "transit/keys/tre-checkpoint" { capabilities = ["read"] }
path "sys/auth" { capabilities = ["read"] }
path "sys/policies/*" { capabilities = ["deny"] }
path "sys/policy/*" { capabilities = ["deny"] }
path "sys/mounts/*" { capabilities = ["deny"] }
path "sys/audit/*" { capabilities = ["deny"] }
path "tre-static/*" { capabilities = ["deny"] }
""",
    RESIDUE: """
path "identity/entity/name/+" { capabilities = ["read"] }
path "identity/entity/name" { capabilities = ["list"] }
path "tre-static/metadata/*" { capabilities = ["list"] }
path "auth/token/lookup-self" { capabilities = ["read"] }
""",
}
