# A retained message: its bytes are never given up under a reader, and its block comes back once.
. "$(dirname "$0")/check.sh"
holds "as it is" retained.pml
fails "the flag set without comparing" retained.pml -DBLIND_FLAG
fails "the flag shown before the copy" retained.pml -DFLAG_FIRST
fails "a lease that goes last gives nothing back" retained.pml -DLAST_PIN_ONLY
fails "lease and pins in two words" retained.pml -DBOTH_GIVE_BACK
