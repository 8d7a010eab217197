# Arming and sleeping on each wake-up backend: no event is left waiting, and each step is needed.
. "$(dirname "$0")/check.sh"
holds "futex" arm_wake.pml -DFUTEX
holds "socket" arm_wake.pml -DSOCKET
holds "epoll" arm_wake.pml -DEPOLL
fails "epoll without the second look at the ring" arm_wake.pml -DEPOLL -DNO_SECOND_LOOK
fails "epoll without emptying the socket" arm_wake.pml -DEPOLL -DNO_EMPTYING
fails "futex without the waiter count" arm_wake.pml -DFUTEX -DNO_WAITERS
fails "futex without a look behind the arming, not even the kernel's" arm_wake.pml -DFUTEX -DNO_SECOND_LOOK -DNO_COMPARE
fails "socket with a service that posts behind its byte" arm_wake.pml -DSOCKET -DPOST_BEHIND_BYTE
