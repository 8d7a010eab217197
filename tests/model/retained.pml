/* One retained message of dispatch/retained.hpp: READERS threads that pin and unpin, the owner that drops the lease, the reactor that moves
 * the bytes to a copy and gives the ring's place to the service. The lease itself is reached by the readers only before it is dropped.
 *
 * Every read-modify-write of the state word is one step; copying and reading are steps of their own in between.
 *
 * Checked: nobody reads the ring's bytes once its place has been given up; whoever reads the copy finds it whole; the block is given back
 * once, and only when neither lease nor pins are left; in the end it has been.
 *
 * Faults, each of which the same check must find: BLIND_FLAG (the reactor sets the flag without comparing), FLAG_FIRST (the flag is shown
 * before the copy is made), LAST_PIN_ONLY (a lease that goes last gives nothing back), BOTH_GIVE_BACK (lease and pins do not decide in one
 * word).
 */
#define READERS 2

byte pins;
bool dropped, copied;         /* together the state word */
bool copy_made, place_given;  /* to the service */
byte given_back;
byte using = READERS;         /* that may still use the lease */
bool block_gone;

inline give_back() {
  atomic { assert(pins == 0 && dropped); given_back++; assert(given_back == 1); block_gone = true }
}

active [READERS] proctype reader() {
  byte times;
  bool in_copy, last;
  do
  :: times == 2 -> break
  :: else ->
    atomic { assert(!block_gone); pins++; in_copy = copied }
    if
    :: in_copy -> assert(copy_made)
    :: else -> assert(!place_given)
    fi;
    if
    :: in_copy
    :: else -> assert(!place_given)      /* and at the end of reading */
    fi;
    if
    :: times == 1 -> using--             /* the last look is over before the last unpin: a pin may outlive the lease */
    :: else
    fi;
#ifdef BOTH_GIVE_BACK
    atomic { pins--; last = (pins == 0) }
    if
    :: last && dropped -> give_back()
#else
    atomic { last = (pins == 1 && dropped); pins-- }
    if
    :: last -> give_back()
#endif
    :: else
    fi;
    times++
  od
}

active proctype owner() {
  bool last;
  using == 0;
#ifdef BOTH_GIVE_BACK
  dropped = true;
  last = (pins == 0);
#else
  atomic { dropped = true; last = (pins == 0) }
#endif
#ifdef LAST_PIN_ONLY
  last = false;
#endif
  if
  :: last -> give_back()
  :: else
  fi
}

active proctype reactor() {
  bool free;
  byte tries;
  do
  :: tries == 3 || copied || given_back == 1 -> break
  :: else ->
    tries++;
    atomic { free = (pins == 0 && !dropped && !copied) }
    if
    :: free ->
#ifdef FLAG_FIRST
      copied = true;
      copy_made = true;
      place_given = true
#else
      copy_made = true;
#ifdef BLIND_FLAG
      copied = true;
      place_given = true
#else
      atomic {
        if
        :: pins == 0 && !dropped -> copied = true
        :: else
        fi
      }
      if
      :: copied -> place_given = true
      :: else
      fi
#endif
#endif
    :: else
    fi
  od;
  given_back == 1                        /* an invalid end state otherwise */
}

