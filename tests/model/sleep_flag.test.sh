# The sleeping flag: no wake-up is lost, and each of its parts is needed.
. "$(dirname "$0")/check.sh"
holds "as it is" sleep_flag.pml
fails "without the second check" sleep_flag.pml -DNO_SECOND_LOOK
fails "announced by a plain store" sleep_flag.pml -DPLAIN_ANNOUNCE
fails "read by a plain load" sleep_flag.pml -DPLAIN_WAKER
