# A message is never edited after the worker has begun it, and the worker begins no message that is being edited.
. "$(dirname "$0")/check.sh"
holds "as it is" claim.pml
fails "the mark read before the claim is visible" claim.pml -DRELAXED_CLAIM
fails "the claim read before the mark is visible" claim.pml -DRELAXED_MARK
fails "a worker that continues although it sees the mark" claim.pml -DNO_STEP_BACK
fails "the mark removed before the last edit" claim.pml -DEARLY_END
