# The queue to a worker and the worker's sleep: nothing is lost, doubled, overwritten or left waiting, and each step is needed.
. "$(dirname "$0")/check.sh"
holds "as it is" spsc_queue.pml
fails "tail seen before the element" spsc_queue.pml -DEARLY_TAIL
fails "head given back before the element is read" spsc_queue.pml -DEARLY_HEAD
fails "without the second look" spsc_queue.pml -DNO_SECOND_LOOK
fails "flag raised behind the last look" spsc_queue.pml -DFLAG_BEHIND_LOOK
fails "flag looked at by a plain load" spsc_queue.pml -DPLAIN_WAKER
