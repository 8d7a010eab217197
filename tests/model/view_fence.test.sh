# A view is a fence across all workers of its handle.
. "$(dirname "$0")/check.sh"
holds "as it is" view_fence.pml
fails "the view does not wait" view_fence.pml -DFENCE_DROPPED
fails "messages after the view do not wait for it" view_fence.pml -DBEHIND_EARLY
fails "a report before the callback's end" view_fence.pml -DREPORT_FIRST
