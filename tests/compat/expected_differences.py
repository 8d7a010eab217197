"""Where our libcpg.so.4 does something else than the stock one, and why. docs/libcpg.md tells it to users."""
NULL = "a null pointer is CS_ERR_INVALID_PARAM; stock libcpg follows it"
STACK = "stock libcpg puts 1 MiB on the stack of whoever dispatches; ours leaves events where they are"
PIECES = "stock libcpg has an array of 64 pieces, its own header among them; ours takes any number"
VANISHES = "stock libcpg says CS_OK for a message that the service throws away, because the handle is in no group; ours CS_ERR_NOT_EXIST"
WAKES = "finalize wakes whoever waits in cpg_dispatch, with CS_ERR_BAD_HANDLE; in stock libcpg it waits for ever"
NAMELESS = "a member of the group without a name is never taken out again by a stock service; ours never asks for one"
SPENT = "a service never lets a handle that has left join another group, and says CS_ERR_BUSY; stock libcpg asks again without end"
STORM = "a signal that interrupts cpg_initialize fails it in stock libcpg; ours goes on waiting"
JUMPED = "a callback that leaves by longjmp makes stock libcpg keep the handle for ever; ours gives all of it back with cpg_finalize"
STOPPED = "a service that does not answer ends the call with CS_ERR_TIMEOUT at the deadline; stock libcpg waits for ever"

DIFFERENCES = {
    "dispatch/blocked_in_1_and_finalized_by_another_thread": WAKES,
    "dispatch/blocked_in_3_and_finalized_by_another_thread": WAKES,
    "dispatch/on_a_stack_of_512_kib": STACK,
    "dispatch/on_a_stack_of_64_kib": STACK,
    "fork/a_child_uses_its_parents_handle":
        "in a child process the parent's handle is CS_ERR_BAD_HANDLE; in stock libcpg both write into the same rings",
    "gone/five_wait": "what a service had delivered before it died is handed out, then CS_ERR_LIBRARY; stock libcpg throws it away",
    "initialize/under_a_storm_of_signals": STORM,
    "leave/another_groups_name":
        "cpg_leave(3) says that the name is ignored, and ours leaves the group that was joined; stock libcpg passes the wrong name on, and "
        "the handle is stuck",
    "leave/then_send": VANISHES,
    "longjmp/and_finalize_gives_everything_back": JUMPED,
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
    "two/a_ghost_after_a_blocked_dispatch_was_finalized":
        "a handle that was finalized has left, whoever was inside cpg_dispatch; in stock libcpg it stays a member until that thread is done",
    "zcb/of_a_foreign_buffer":
        "a buffer that is none of cpg_zcb_alloc's is CS_ERR_INVALID_PARAM; stock libcpg sends the address that it finds ahead of it to the "
        "service, and a stock service follows it and dies",
}

# Where stock corosync and the embedded service answer differently.
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
