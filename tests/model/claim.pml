/* Messages in a worker's queue that are changed before the worker has begun with them: dispatch/feed.hpp, claim() and edit_unclaimed().
 *
 * One queue of TOTAL messages, all published. The worker claims one after the other and works on what it has claimed; the reactor edits,
 * at any time and twice, all that is not claimed. Stores reach the other side late: each side has a buffer of one store, which drains by
 * itself at any time, and which a seq_cst load waits for (as on x86, where the store is an exchange).
 *
 * Checked: no message is edited while the worker works on it, or after; each is worked on once; the worker comes to the end.
 *
 * Faults, each of which the same check must find: RELAXED_CLAIM (the worker looks at the mark before its claim is seen), RELAXED_MARK (the
 * reactor looks at the claim before its mark is seen), NO_STEP_BACK (a worker that sees the mark goes on), EARLY_END (the mark is taken
 * away before the last edit).
 */
#define TOTAL 3

byte claimed_seen, editing_seen;  /* what the other side sees */
byte claimed_buffer, editing_buffer;
bool claimed_waits, editing_waits;  /* a store is in the buffer */
byte working = 255;                 /* the message the worker is at */
byte worked;                        /* messages that have been */

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
