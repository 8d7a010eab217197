/* The queue of dispatch/spsc_queue.hpp between a producer and a consumer that sleeps by base/sleep_flag.hpp (sleep(), wake()).
 *
 * Capacity 2, TOTAL elements, numbered. The producer's stores (element, tail) and the consumer's (head) become visible to the other side
 * late: each side works on its own copy, and a process of its own carries stores over, in program order where they are released, in any
 * order in the faults. Reading an element is a step of its own, so that a cell which is given back too early is seen to be overwritten.
 *
 * Checked: every element is taken once and in order (assertions); no cell is written while it is read; nobody sleeps for good while
 * elements wait (spin's invalid end states).
 *
 * Faults, each of which the same check must find: EARLY_TAIL (the index is seen before the element), EARLY_HEAD (a cell is given back
 * before it is read), NO_SECOND_LOOK, FLAG_BEHIND_LOOK (the flag is raised behind the last look), PLAIN_WAKER (the flag is only loaded).
 */
#define CAPACITY 2
#define TOTAL 5

byte cells[CAPACITY];       /* what the consumer sees in them; 0: never written */
byte tail_visible;          /* the index as the consumer sees it */
byte head_visible;          /* the index as the producer sees it */
byte tail, head;            /* each side's own */
byte carried;               /* elements whose cell is visible */
bool reading[CAPACITY];
bool asleep, futex_waits;
bool producer_done;

/* The element's store and then the tail's, released: carried over in this order. */
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
  /* The exchange releases: what was stored before is visible before it. */
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
    :: tail - head_seen == CAPACITY -> head_seen = head_visible   /* room(): the copy says full */
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
    :: tail_seen == head -> tail_seen = tail_visible   /* available(): the copy says empty */
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
