# The queue to a worker and the worker's sleep: no element is lost, doubled, overwritten or left waiting, and each step is needed.
. "$(dirname "$0")/check.sh"
holds "as it is" spsc_queue.pml
fails "tail visible before the element" spsc_queue.pml -DEARLY_TAIL
fails "head released before the element is read" spsc_queue.pml -DEARLY_HEAD
fails "without the second check" spsc_queue.pml -DNO_SECOND_LOOK
fails "flag raised after the last check" spsc_queue.pml -DFLAG_BEHIND_LOOK
fails "flag read by a plain load" spsc_queue.pml -DPLAIN_WAKER
