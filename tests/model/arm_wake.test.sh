# Arming and sleeping on each wake-up backend: no event stays unnoticed, and each step is needed.
. "$(dirname "$0")/check.sh"
holds "futex" arm_wake.pml -DFUTEX
holds "epoll" arm_wake.pml -DEPOLL
fails "epoll without the second check of the ring" arm_wake.pml -DEPOLL -DNO_SECOND_LOOK
fails "epoll without emptying the socket" arm_wake.pml -DEPOLL -DNO_EMPTYING
fails "futex without the waiter count" arm_wake.pml -DFUTEX -DNO_WAITERS
fails "futex without a check after arming, the kernel's comparison included" arm_wake.pml -DFUTEX -DNO_SECOND_LOOK -DNO_COMPARE
