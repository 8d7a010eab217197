/* Threads push requests and wake the reactor while the engine ends: base/visited.hpp.
 *
 * Each of two visitors enters the count, checks whether the intake is open, pushes, finds the reactor and uses it, and leaves the count. The
 * end closes the intake, hides the reactor, waits until the count is 0, takes what was pushed and destroys the reactor. The end's two stores
 * become visible late: a buffer of two stores drains in order at any time, and a seq_cst load waits for it (as on x86, where the store is an
 * exchange). The count is changed by read-modify-writes, which are visible at once.
 *
 * Checked: every accepted request was taken; no visitor uses a destroyed reactor; all processes finish.
 *
 * Faults, each of which the same check must find: LATE_COUNT (a visitor checks before it is counted), EARLY_LEAVE (it leaves the count before
 * it has pushed), RELAXED_END (the end reads the count before its stores are visible), NO_WAIT (the end does not wait for visitors),
 * TAKEN_BEFORE (the end takes requests before it waits for visitors).
 */
#define VISITORS 2

bool shut_seen, hidden_seen;
bool shut_waits, hidden_waits;
byte counted;
byte accepted, pushed, taken;
bool reactor_there = true;
byte done;

active proctype end_stores() {
end:
  do
  :: atomic { shut_waits -> shut_seen = true; shut_waits = false }
  :: atomic { !shut_waits && hidden_waits -> hidden_seen = true; hidden_waits = false }
  od
}

active [VISITORS] proctype visitor() {
  bool open, found;
#ifndef LATE_COUNT
  counted++;
#endif
  open = !shut_seen;
#ifdef LATE_COUNT
  counted++;
#endif
  if
  :: open ->
#ifdef EARLY_LEAVE
    counted--;
#endif
    pushed++;
    found = !hidden_seen;
    if
    :: found -> assert(reactor_there)
    :: else
    fi;
    accepted++
#ifdef EARLY_LEAVE
    ;
    counted++
#endif
  :: else
  fi;
  counted--;
  done++
}

active proctype ender() {
  shut_waits = true;
  hidden_waits = true;
#ifdef TAKEN_BEFORE
  taken = pushed;
#endif
#ifndef RELAXED_END
  !shut_waits && !hidden_waits;
#endif
#ifndef NO_WAIT
  counted == 0;
#endif
#ifndef TAKEN_BEFORE
  taken = pushed;
#endif
  reactor_there = false;
  done == VISITORS;
  assert(accepted == taken)
}
