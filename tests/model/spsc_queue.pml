/* The queue of dispatch/spsc_queue.hpp between a producer and a consumer that sleeps by base/sleep_flag.hpp (sleep(), wake()).
 *
 * The capacity is 2, and TOTAL numbered elements pass. The stores of the producer (element, tail) and of the consumer (head) become visible
 * late: each side works on its own copy, and a separate process carries stores over, in program order if they are released, in any order in
 * the faults. Reading an element is a separate step, so that overwriting a cell that was released too early is detected.
 *
 * Checked: every element is taken once and in order (assertions); no cell is written while it is read; the consumer does not sleep for ever
 * while elements wait (spin's invalid end states).
 *
 * Faults, each of which the same check must find: EARLY_TAIL (the index is visible before the element), EARLY_HEAD (a cell is released
 * before it is read), NO_SECOND_LOOK (no check after the flag is raised), FLAG_BEHIND_LOOK (the flag is raised after the last check),
 * PLAIN_WAKER (the flag is only loaded).
 */
#define CAPACITY 2
#define TOTAL 5

byte cells[CAPACITY];       /* contents visible to the consumer; 0: never written */
byte tail_visible;          /* the tail visible to the consumer */
byte head_visible;          /* the head visible to the producer */
byte tail, head;            /* the own index of each side */
byte carried;               /* elements whose cell is visible */
bool reading[CAPACITY];
bool asleep, futex_waits;
bool producer_done;

/* Carries over the store of an element and then the store of the tail, which is released. */
active proctype stores() {
end:
  do
  :: atomic { carried < tail -> assert(!reading[carried % CAPACITY]); cells[carried % CAPACITY] = carried + 1; carried++ }
#ifdef EARLY_TAIL
  :: atomic { tail_visible < tail -> tail_visible++ }
#else
  :: atomic { tail_visible < carried -> tail_visible++ }
#endif
  od
}

inline wake() {
  bool old;
  /* The exchange releases: earlier stores are visible before it. */
#ifdef PLAIN_WAKER
  old = asleep;
#else
  atomic { carried == tail && tail_visible == tail -> old = asleep; asleep = false };
#endif
  if
  :: old -> futex_waits = false   /* FUTEX_WAKE */
  :: else
  fi
}

active proctype producer() {
  byte head_seen;
  do
  :: tail == TOTAL -> break
  :: else ->
    if
    :: tail - head_seen == CAPACITY -> head_seen = head_visible   /* room(): full according to the cached head */
    :: else
    fi;
    if
    :: tail - head_seen < CAPACITY -> tail++; wake()
    :: else
    fi
  od;
  producer_done = true
}

active proctype consumer() {
  byte tail_seen;
  byte taken;
  do
  :: taken == TOTAL -> break
  :: else ->
    if
    :: tail_seen == head -> tail_seen = tail_visible   /* available(): empty according to the cached tail */
    :: else
    fi;
    if
    :: tail_seen != head ->
#ifdef EARLY_HEAD
      head_visible = head + 1;
#endif
      reading[head % CAPACITY] = true;
      assert(cells[head % CAPACITY] == head + 1);
      reading[head % CAPACITY] = false;
      taken++;
      head++;
      head_visible = head           /* release(1) */
    :: else ->
#ifdef FLAG_BEHIND_LOOK
      tail_seen = tail_visible;
      if
      :: tail_seen == head -> asleep = true; atomic { futex_waits = asleep }; !futex_waits
      :: else
      fi;
#else
      asleep = true;                /* announce() */
#ifndef NO_SECOND_LOOK
      tail_seen = tail_visible;
#endif
      if
      :: tail_seen == head -> atomic { futex_waits = asleep }; !futex_waits   /* FUTEX_WAIT compares and waits in one step */
      :: else
      fi;
#endif
      asleep = false                /* awake() */
    fi
  od
}
