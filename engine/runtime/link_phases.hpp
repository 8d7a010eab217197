// The phases of a link and the legal transitions between them, in one table.
#pragma once

#include <cstdint>
#include <string_view>

namespace cpgring::runtime {

enum class phase : std::uint8_t {
  queued,       ///< waits until fewer handshakes are under way
  handshaking,  ///< connects; the service has not answered the handshake yet
  live,         ///< connected: events, answers, requests
  lingering,    ///< closed; the service still takes the multicasts that were accepted before
  draining,     ///< the connection is over; some callbacks that are due have not run
  gone,         ///< nothing refers to it any more: it can be freed
};

/// Events that may move a link to another phase.
enum class link_event : std::uint8_t {
  slot_free,   ///< a handshake may begin
  connected,   ///< the handshake is done
  lost,        ///< the connection is over, or could not be made
  closed,      ///< by the user, or because a callback threw
  taken_over,  ///< the service has taken everything (FINALIZE) or hung up, or the deadline has passed
  idle,        ///< no callback is due, and no worker has anything of it
};

/// The phase after `what`; `from` if `what` has no effect in that phase.
constexpr phase next_phase(phase from, link_event what) noexcept {
  switch (what) {
    case link_event::slot_free: return from == phase::queued ? phase::handshaking : from;
    case link_event::connected: return from == phase::handshaking ? phase::live : from;
    case link_event::lost: return from < phase::draining ? phase::draining : from;
    case link_event::closed:
      if (from == phase::live) {
        return phase::lingering;
      }
      return from < phase::live ? phase::draining : from;
    case link_event::taken_over: return from == phase::lingering ? phase::draining : from;
    case link_event::idle: return from == phase::draining ? phase::gone : from;
  }
  return from;
}

/// Events are delivered, and requests are accepted.
constexpr bool is_open(phase p) noexcept { return p < phase::lingering; }
/// The reactor serves its rings.
constexpr bool has_connection(phase p) noexcept { return p == phase::live || p == phase::lingering; }

constexpr std::string_view to_string(phase p) noexcept {
  constexpr std::string_view names[] = {"queued", "handshaking", "live", "lingering", "draining", "gone"};
  return names[static_cast<std::uint8_t>(p)];
}

static_assert(next_phase(phase::queued, link_event::connected) == phase::queued);
static_assert(next_phase(phase::queued, link_event::closed) == phase::draining);
static_assert(next_phase(phase::live, link_event::closed) == phase::lingering);
static_assert(next_phase(phase::lingering, link_event::closed) == phase::lingering);
static_assert(next_phase(phase::lingering, link_event::lost) == phase::draining);
static_assert(next_phase(phase::draining, link_event::lost) == phase::draining);
static_assert(next_phase(phase::live, link_event::idle) == phase::live);
static_assert(next_phase(phase::gone, link_event::closed) == phase::gone);

}  // namespace cpgring::runtime
