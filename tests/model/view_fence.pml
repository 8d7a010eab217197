/* A view among messages whose callbacks run on two workers: delivery/worker_lane.hpp.
 *
 * The stream of one handle is messages 1 and 2, a view, messages 3 and 4. Any message goes to any worker, as with ordering::unordered; the
 * view goes to worker 0 and passes the messages that wait there. The reactor counts items handed over and reported.
 *
 * Checked: the view runs alone, after 1 and 2 and before 3 and 4 (assertions); everything runs (an invalid end state otherwise).
 *
 * Faults, each of which the same check must find: FENCE_DROPPED (the view does not wait for earlier messages), BEHIND_EARLY (later messages
 * do not wait for the view), REPORT_FIRST (a worker reports before the callback has ended).
 */
#define VIEW 9
#ifdef BEHIND_EARLY
#define MAY_GO_ON (view_done || view_out)
#else
#define MAY_GO_ON view_done
#endif
#ifdef FENCE_DROPPED
#define ALONE true
#else
#define ALONE (open == 0)
#endif

chan queue[2] = [4] of { byte };
chan express = [1] of { byte };
chan reports = [8] of { byte };
byte running;          /* running callbacks */
bool view_has_run;
byte messages_run;

inline call(what) {
  atomic {
    if
    :: what == VIEW -> assert(running == 0 && messages_run == 2)
    :: what != VIEW && what <= 2 -> assert(!view_has_run)
    :: else -> assert(view_has_run)
    fi;
    running++
  }
#ifdef REPORT_FIRST
  reports ! what;
#endif
  atomic {
    running--;
    if
    :: what == VIEW -> view_has_run = true
    :: else -> messages_run++
    fi
  }
#ifndef REPORT_FIRST
  reports ! what
#endif
}

active proctype worker_0() {
  byte what;
end:
  do
  :: express ? what -> call(what)
  :: atomic { empty(express) && nempty(queue[0]) -> queue[0] ? what } -> call(what)
  od
}

active proctype worker_1() {
  byte what;
end:
  do
  :: queue[1] ? what -> call(what)
  od
}

active proctype reactor() {
  byte next = 1, open, what;
  bool view_out, view_done;
  do
  :: next == 5 && open == 0 && view_done -> break
  :: reports ? what ->
    if
    :: what == VIEW -> view_out = false; view_done = true
    :: else -> open--
    fi
  :: next <= 2 || (next <= 4 && MAY_GO_ON) ->
    if
    :: queue[0] ! next
    :: queue[1] ! next
    fi;
    open++;
    next++
  :: next == 3 && !view_out && !view_done && ALONE ->
    view_out = true;
    express ! VIEW
  od;
  assert(messages_run == 4 && view_has_run)
}
