/* A reactor that arms a wait and sleeps, and a service that posts events: reactor/reactor with one of its two wake-up backends (-DFUTEX,
 * -DEPOLL), and libqb's order of steps: chunk, semaphore, doorbell byte.
 *
 * The reactor polls the ring while it is active; when the ring is empty it arms a wait, checks once more, and sleeps. A turn takes all
 * counts but delivers one event, so each check covers counts that were taken but not delivered (the semaphore reads 0 then).
 * The socket holds CAPACITY bytes; the service owes bytes that do not fit, and sends them once there is room, as libqb does.
 *
 * Checked: the reactor does not sleep for ever while events wait (spin's invalid end states); no event is delivered twice.
 *
 * Faults, each of which the same check must find: NO_SECOND_LOOK (EPOLL: arming empties the socket, and with it the byte of an event that
 * arrived since the first check); NO_WAITERS (FUTEX: the waiter count is not raised); NO_COMPARE (FUTEX: the wait does not compare the value;
 * the kernel's comparison at submission is the last check there); NO_EMPTYING (EPOLL: a full socket gives no edge).
 */
#define EVENTS 4
#define CAPACITY 2

byte value;      /* the semaphore: events posted, not yet taken */
byte waiters;    /* the semaphore's upper half */
byte ready;      /* ring_reader::ready(): taken, not yet delivered */
byte delivered, posted;
byte bytes;      /* bytes in the socket */
byte owed;       /* bytes that the service still has to send */
bool armed;      /* source::events_armed_ */
bool submitted;  /* FUTEX: the wait was passed to the kernel */
bool waits;      /* FUTEX: the wait is in the kernel's queue */
bool completed;  /* FUTEX: the wait has a completion */
bool edge;       /* EPOLL: the socket is in the kernel's ready list */
bool finished;

inline arrive() {  /* a byte arrives in the socket */
  bytes++;
  edge = true;
}

inline post() {
  byte w;
  atomic { value++; posted++; w = waiters };  /* sem_post: one addition on one word */
#ifdef FUTEX
  if
  :: w > 0 -> atomic { if :: waits -> waits = false; completed = true :: else fi }  /* FUTEX_WAKE */
  :: else
  fi
#endif
}

inline ring_bell() {
  atomic {
    if
    :: bytes < CAPACITY -> arrive()
    :: else -> owed++
    fi
  }
}

active proctype service() {
  do
  :: posted == EVENTS -> break
  :: else ->
    post(); ring_bell()
  od;
end:
  do
  :: atomic { owed > 0 && bytes < CAPACITY -> owed--; arrive() }
  :: finished -> break
  od
}

inline waiting(answer) { answer = (value > 0 || ready > 0) }

inline arm() {  /* wake_backend::arm_event() */
  if
  :: armed -> skip
  :: else ->
    armed = true;
#ifdef FUTEX
#ifndef NO_WAITERS
    atomic { waiters++ };                   /* raise_waiters(); the entry waits in the submission queue */
#endif
    submitted = false
#endif
#ifdef EPOLL
#ifndef NO_EMPTYING
    atomic { bytes = 0 }                    /* empty_socket() */
#endif
#endif
  fi
}

inline submit() {  /* io_uring_enter */
#ifdef FUTEX
  atomic {
    if
    :: armed && !submitted ->
      submitted = true;
#ifdef NO_COMPARE
      waits = true
#else
      if
      :: value != 0 -> completed = true     /* -EAGAIN */
      :: else -> waits = true
      fi
#endif
    :: else
    fi
  }
#endif
  skip
}

inline sleep() {  /* blocks until there is a completion */
#ifdef EPOLL
  atomic { edge && bytes > 0 -> edge = false; armed = false }
#else
  atomic { completed -> completed = false; armed = false }
#ifdef FUTEX
#ifndef NO_WAITERS
  ; atomic { waiters-- }                    /* lower_waiters() */
#endif
#endif
#endif
}

active proctype reactor() {
  bool found;
  do
  :: delivered == EVENTS -> break
  :: else ->
    /* serve(): a turn */
    if
    :: ready == 0 -> atomic { ready = value; value = 0 }  /* ring_reader::collect() */
    :: else
    fi;
    if
    :: ready > 0 -> ready--; delivered++; assert(delivered <= posted)
    :: else ->
      /* rest(): the first check, in serve(), has found nothing */
      arm();
#ifndef NO_SECOND_LOOK
      waiting(found);
#else
      found = false;
#endif
      if
      :: found
      :: else -> submit(); sleep()
      fi
    fi
  od;
  finished = true
}
