/* Arming a wait and sleeping, and a service that posts: reactor/reactor with one of its three wake-up backends (-DFUTEX, -DSOCKET,
 * -DEPOLL), on libqb's order of steps: chunk, semaphore, doorbell byte.
 *
 * The reactor looks at the ring while it is active; when nothing is there it arms a wait, looks once more, and sleeps. A turn takes all
 * counts but delivers one event, so that counts taken and not yet delivered (the semaphore reads 0 then) are part of the looks.
 * The socket holds CAPACITY bytes; what does not fit the service owes and sends once there is room, as libqb does.
 *
 * Checked: no end in which the reactor sleeps while events wait (spin's invalid end states); nothing is delivered twice.
 *
 * Faults, each of which the same check must find: NO_SECOND_LOOK (EPOLL: arming empties the socket, with it the byte of an event that came
 * since the first look); NO_WAITERS (FUTEX: the waiter count not raised); NO_COMPARE (FUTEX: a wait that does not compare the value; there
 * the kernel's comparison at submission is the look that cannot be passed); NO_EMPTYING (EPOLL: a full socket gives no edge);
 * POST_BEHIND_BYTE (SOCKET: a service that posts behind its byte, which libqb does not do).
 */
#define EVENTS 4
#define CAPACITY 2

byte value;      /* the semaphore: events posted, not yet taken */
byte waiters;    /* its upper half */
byte ready;      /* ring_reader::ready(): taken, not yet delivered */
byte delivered, posted;
byte bytes;      /* in the socket */
byte owed;       /* by the service */
bool armed;      /* source::events_armed_ */
bool submitted;  /* FUTEX, SOCKET: the wait has reached the kernel */
bool waits;      /* FUTEX: the kernel has it in its queue; SOCKET: the receive is pending */
bool completed;  /* its completion */
bool edge;       /* EPOLL: the kernel's ready list has the socket */
bool finished;

inline arrive() {  /* a byte comes into the socket */
  bytes++;
  edge = true;
#ifdef SOCKET
  if
  :: waits -> waits = false; completed = true; bytes = 0  /* one receive takes all that is there */
  :: else
  fi
#endif
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
#ifdef POST_BEHIND_BYTE
    ring_bell(); post()
#else
    post(); ring_bell()
#endif
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
#ifdef SOCKET
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
#ifdef SOCKET
  atomic {
    if
    :: armed && !submitted ->
      submitted = true;
      if
      :: bytes > 0 -> bytes = 0; completed = true
      :: else -> waits = true
      fi
    :: else
    fi
  }
#endif
  skip
}

inline sleep() {  /* blocks until something is to be reaped */
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
      /* rest(): the first look, in serve(), has found nothing */
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
