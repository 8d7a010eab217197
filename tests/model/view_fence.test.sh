# A view is a fence across all workers of its handle.
. "$(dirname "$0")/check.sh"
holds "as it is" view_fence.pml
fails "the view does not wait" view_fence.pml -DFENCE_DROPPED
fails "what is behind does not wait" view_fence.pml -DBEHIND_EARLY
fails "receipts ahead of the end" view_fence.pml -DRECEIPT_FIRST
