/* One retained message of lease/lease_block.hpp: READERS threads pin and unpin, the owner drops the lease, the reactor moves the bytes to a
 * copy and gives the ring's place to the service. Readers use the lease itself only before it is dropped.
 *
 * Every read-modify-write of the state word is one step; copying and reading are separate steps.
 *
 * Checked: no reader reads the ring's bytes after their place was given up; a reader of the copy finds it complete; the block is returned
 * once, only when there is neither a lease nor a pin, and in the end it has been returned.
 *
 * Faults, each of which the same check must find: BLIND_FLAG (the reactor sets the flag without comparing), FLAG_FIRST (the flag is visible
 * before the copy is made), LAST_PIN_ONLY (a lease that is dropped last returns no block), BOTH_GIVE_BACK (lease and pins are not decided in
 * one word).
 */
#define READERS 2

byte pins;
bool dropped, copied;         /* together the state word */
bool copy_made, place_given;  /* the ring's place was given to the service */
byte given_back;
byte using = READERS;         /* readers that may still use the lease */
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
    :: else -> assert(!place_given)      /* still true at the end of reading */
    fi;
    if
    :: times == 1 -> using--             /* the lease is not used after the last pin: a pin may outlive it */
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

