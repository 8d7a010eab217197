"""Cases in which our libcpg.so.4 differs from the stock one, with the reason. docs/libcpg.md is the list for users."""
NULL = "a null pointer is CS_ERR_INVALID_PARAM; stock libcpg dereferences it"
STACK = "stock libcpg needs 1 MiB of stack to dispatch; ours leaves events in the ring"
PIECES = "stock libcpg has an array for 64 pieces, its own header included; ours takes any number"
VANISHES = "stock libcpg returns CS_OK for a message that the service discards because the handle is in no group; ours returns CS_ERR_NOT_EXIST"
WAKES = "finalize ends a blocked cpg_dispatch of another thread with CS_ERR_BAD_HANDLE; in stock libcpg that call waits for ever"
NAMELESS = "a stock service never removes a member of the group with the empty name; ours refuses that name"
SPENT = "a service answers CS_ERR_BUSY when a handle that has left joins another group; stock libcpg repeats the request for ever"
STORM = "a signal makes cpg_initialize fail in stock libcpg; ours continues to wait"
JUMPED = "a callback that leaves by longjmp makes stock libcpg keep the handle for ever; ours frees everything in cpg_finalize"
STOPPED = "if the service does not answer, the call returns CS_ERR_TIMEOUT at the deadline; stock libcpg waits for ever"

DIFFERENCES = {
    "dispatch/blocked_in_1_and_finalized_by_another_thread": WAKES,
    "dispatch/blocked_in_3_and_finalized_by_another_thread": WAKES,
    "dispatch/on_a_stack_of_512_kib": STACK,
    "dispatch/on_a_stack_of_64_kib": STACK,
    "fork/a_child_uses_its_parents_handle":
        "in a child process the parent's handle is CS_ERR_BAD_HANDLE; in stock libcpg both write into the same rings",
    "gone/five_events_in_the_ring": "events that a service delivered before it was killed are dispatched, then CS_ERR_LIBRARY; stock libcpg discards them",
    "initialize/under_many_signals": STORM,
    "leave/another_groups_name":
        "cpg_leave(3) says that the name is ignored, and ours leaves the joined group; stock libcpg sends the wrong name, and "
        "the handle is stuck",
    "leave/then_send": VANISHES,
    "longjmp/then_finalize_frees_everything": JUMPED,
    "null/context_get": NULL,
    "null/fd_get": NULL,
    "null/flow_control_state_get": NULL,
    "null/initialize_handle": NULL,
    "null/join": NULL,
    "null/leave": NULL,
    "null/local_get": NULL,
    "null/max_atomic_msgsize_get": NULL,
    "null/mcast_joined": NULL,
    "send/not_joined": VANISHES,
    "send/pieces_200": PIECES,
    "send/pieces_64": PIECES,
    "stopped/finalize": STOPPED,
    "stopped/initialize": STOPPED,
    "stopped/join": STOPPED,
    "stopped/local_get": STOPPED,
    "two/members_after_a_blocked_dispatch_was_finalized":
        "a finalized handle has left, even if a thread was inside cpg_dispatch; in stock libcpg it stays a member until that thread returns",
    "zcb/of_a_foreign_buffer":
        "a buffer that is not from cpg_zcb_alloc is CS_ERR_INVALID_PARAM; stock libcpg sends the address stored before the buffer to the "
        "service, and a stock service dereferences it and crashes",
}

# Cases in which stock corosync and the embedded service answer differently.
DIFFERENCES_ON = {
    "corosync": {
        "join/name_of_0": NAMELESS,  # the embedded service refuses it
        "leave/then_join_another": SPENT,  # the embedded service lets it join
    },
    "embedded": {
        "zcb/bytes_1048392":
            "above cpg_max_atomic_msgsize_get a buffer travels as fragments; stock libcpg sends it in one piece, which the embedded service "
            "refuses",
    },
}
