# A retained message: its bytes stay valid while a reader has them pinned, and its block is returned once.
. "$(dirname "$0")/check.sh"
holds "as it is" lease_block.pml
fails "the flag set without comparing" lease_block.pml -DBLIND_FLAG
fails "the flag visible before the copy" lease_block.pml -DFLAG_FIRST
fails "a lease that is dropped last returns no block" lease_block.pml -DLAST_PIN_ONLY
fails "lease and pins decided in two words" lease_block.pml -DBOTH_GIVE_BACK
