# What a worker has begun with is never changed under it, and what is being changed it does not begin with.
. "$(dirname "$0")/check.sh"
holds "as it is" claim.pml
fails "the mark looked at before the claim is seen" claim.pml -DRELAXED_CLAIM
fails "the claim looked at before the mark is seen" claim.pml -DRELAXED_MARK
fails "a worker that goes on though it sees the mark" claim.pml -DNO_STEP_BACK
fails "the mark taken away before the last edit" claim.pml -DEARLY_END
