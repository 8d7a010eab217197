/* Threads that push requests and wake the reactor while the engine ends: runtime/engine_core.hpp, visit and end_driving().
 *
 * Each of two visitors counts itself, looks whether the intake is open, pushes, looks for the reactor and uses it, and is counted off. The
 * end closes the intake, hides the reactor, waits until nobody is counted, takes what was pushed and destroys the reactor. The end's two
 * stores reach the others late: a buffer of two stores, which drains in order by itself at any time, and which a seq_cst load waits for (as
 * on x86, where the store is an exchange). The counting is a read-modify-write: seen at once.
 *
 * Checked: what was accepted was taken; nobody uses a reactor that is gone; all come to their end.
 *
 * Faults, each of which the same check must find: LATE_COUNT (a visitor looks before it is counted), EARLY_LEAVE (it is counted off before it
 * has pushed), RELAXED_END (the end looks at the count before its stores are seen), NO_WAIT (the end does not wait for visitors),
 * TAKEN_BEFORE (what was pushed is taken before they are waited for).
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
