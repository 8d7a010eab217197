/* A sleeper sleeps unless there is work, and wakers wake it unless it is awake: base/sleep_flag.hpp, as reactor/reactor uses it.
 *
 * WAKERS wakers bring work and one sleeper takes it. Relaxed stores wait in a store buffer, which `drain` empties at any time and every
 * read-modify-write or system call empties at once. awake() is modelled as such a store, which allows more than the real exchange. The kick
 * is an eventfd: it stays until it is read.
 *
 * Checked: the sleeper does not sleep for ever while work waits (spin's invalid end states); a waker makes a system call only for an
 * announcement, and never two for the same one.
 *
 * Faults, each of which the same check must find: NO_SECOND_LOOK, PLAIN_ANNOUNCE (a relaxed store), PLAIN_WAKER (a load instead of the
 * exchange).
 */
#define WAKERS 2
#define EACH 2
#define TOTAL (WAKERS * EACH)

byte work;              /* posted, but not taken */
byte taken;
bool asleep;            /* sleep_flag::asleep_ */
byte kicks;             /* the eventfd's count */
byte calls, announces;
bool down_buffered;     /* awake(): the relaxed store of false */
bool up_buffered;       /* only in the fault PLAIN_ANNOUNCE */
bool done;

inline empty_buffer() {
  if
  :: down_buffered -> asleep = false; down_buffered = false
  :: else
  fi;
  if
  :: up_buffered -> asleep = true; up_buffered = false
  :: else
  fi
}

active proctype drain() {
end:
  do
  :: atomic { (down_buffered || up_buffered) -> empty_buffer() }
  :: done -> break
  od
}

active [WAKERS] proctype waker() {
  byte i;
  bool old;
  for (i : 1 .. EACH) {
#ifdef PLAIN_WAKER
    if
    :: work++; old = asleep
    :: old = asleep; work++       /* the load overtakes the store that makes the work visible */
    fi;
#else
    work++;                       /* released by: */
    atomic { old = asleep; asleep = false };  /* must_wake() */
#endif
    if
    :: old ->  /* write() to the eventfd */
      kicks++;
#ifndef PLAIN_WAKER
      atomic { calls++; assert(calls <= announces) }
#endif
    :: else
    fi
  }
}

active proctype sleeper() {
  do
  :: taken == TOTAL -> break
  :: else ->
    atomic { down_buffered = true; up_buffered = false };  /* reap(): awake() */
    atomic { taken = taken + work; work = 0 };             /* reap(): the intake */
    if
    :: taken == TOTAL -> break
    :: else
    fi;
#ifdef PLAIN_ANNOUNCE
    atomic { up_buffered = true; announces++ };
#else
    atomic { empty_buffer(); asleep = true; announces++ };  /* announce() */
#endif
#ifndef NO_SECOND_LOOK
    if
    :: work > 0 -> atomic { down_buffered = true; up_buffered = false }; goto awake
    :: else
    fi;
#endif
    atomic { empty_buffer() };   /* the system call */
    atomic { kicks > 0 -> kicks = 0 };
awake:
    skip
  od;
  done = true
}
