/* Messages in a worker's queue are edited before the worker has begun them: dispatch/worker_link.hpp, claim() and edit_unclaimed().
 *
 * The queue has TOTAL published messages. The worker claims them one by one and works on each claimed one; the reactor edits all unclaimed
 * messages twice, at any time. Stores become visible late: each side has a buffer of one store, which drains at any time, and for which a
 * seq_cst load waits (as on x86, where the store is an exchange).
 *
 * Checked: no message is edited while the worker works on it, or later; each is worked on once; the worker finishes.
 *
 * Faults, each of which the same check must find: RELAXED_CLAIM (the worker reads the mark before its claim is visible), RELAXED_MARK (the
 * reactor reads the claim before its mark is visible), NO_STEP_BACK (a worker that sees the mark continues), EARLY_END (the mark is removed
 * before the last edit).
 */
#define TOTAL 3

byte claimed_seen, editing_seen;  /* visible to the other side */
byte claimed_buffer, editing_buffer;
bool claimed_waits, editing_waits;  /* a store is in the buffer */
byte working = 255;                 /* the message that the worker works on; 255: none */
byte worked;                        /* number of finished messages */

active proctype worker_stores() {
end:
  do
  :: atomic { claimed_waits -> claimed_seen = claimed_buffer; claimed_waits = false }
  od
}

active proctype reactor_stores() {
end:
  do
  :: atomic { editing_waits -> editing_seen = editing_buffer; editing_waits = false }
  od
}

inline store_claimed(value) { atomic { !claimed_waits -> claimed_buffer = value; claimed_waits = true } }
inline store_editing(value) { atomic { !editing_waits -> editing_buffer = value; editing_waits = true } }

active proctype worker() {
  byte at;
  bool marked;
  do
  :: at == TOTAL -> break
  :: else ->
    store_claimed(at + 1);
#ifndef RELAXED_CLAIM
    !claimed_waits;
#endif
    marked = editing_seen;
#ifdef NO_STEP_BACK
    marked = false;
#endif
    if
    :: marked ->
      store_claimed(at);
      editing_seen == 0
    :: else ->
      atomic { assert(worked == at); working = at };
      atomic { working = 255; worked++ };
      at++
    fi
  od
}

active proctype reactor() {
  byte times, i;
  do
  :: times == 2 -> break
  :: else ->
    store_editing(1);
#ifndef RELAXED_MARK
    !editing_waits;
#endif
    i = claimed_seen;
    do
    :: i >= TOTAL -> break
    :: else ->
#ifdef EARLY_END
      if
      :: i == TOTAL - 1 -> store_editing(0)
      :: else
      fi;
#endif
      atomic { assert(working != i && worked <= i); i++ }
    od;
#ifndef EARLY_END
    store_editing(0);
#else
    if
    :: editing_buffer == 1 -> store_editing(0)
    :: else
    fi;
#endif
    times++
  od
}
