// Faults that the simulator plants, to show that it finds them. Only its own build of this layer can have
// them; everywhere else is_planted() is false at compile time.
#pragma once

namespace cpgring::channel {

enum class planted_fault {
  none,
  state_without_hello,       // a STATE counts although its HELLO was not delivered in this epoch
  table_of_the_sending,      // STATE holds the table as it was when HELLO was sent
  log_not_replayed,          // what was announced between HELLO and STATE is forgotten
  merge_before_own_state,    // the others' STATE counts before the own component has spoken
  transfers_not_voided,      // an addition to a channel leaves half-delivered messages as they are
  restart_before_the_first,  // a transfer starts again although no chunk of it has been delivered
  transfer_of_earlier_stay,  // the number of a transfer is not compared
};

#ifdef CPGRING_PLANTED_FAULTS
inline planted_fault planted = planted_fault::none;
[[nodiscard]] inline bool is_planted(planted_fault which) noexcept { return planted == which; }
#else
[[nodiscard]] constexpr bool is_planted(planted_fault) noexcept { return false; }
#endif

}  // namespace cpgring::channel
