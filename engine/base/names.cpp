#include <cpgring/event.hpp>
#include <cpgring/log.hpp>
#include <cpgring/options.hpp>
#include <cpgring/view.hpp>

namespace cpgring {

std::string_view to_string(log_level level) noexcept {
  switch (level) {
    case log_level::debug: return "debug";
    case log_level::info: return "info";
    case log_level::warning: return "warning";
    case log_level::error: return "error";
  }
  return "unknown";
}

std::string_view to_string(wakeup backend) noexcept {
  switch (backend) {
    case wakeup::automatic: return "automatic";
    case wakeup::futex: return "futex";
    case wakeup::epoll: return "epoll";
  }
  return "unknown";
}

std::string_view to_string(idle strategy) noexcept {
  switch (strategy) {
    case idle::block: return "block";
    case idle::adaptive: return "adaptive";
    case idle::spin: return "spin";
    case idle::yield: return "yield";
  }
  return "unknown";
}

std::string_view to_string(ordering policy) noexcept {
  switch (policy) {
    case ordering::by_handle: return "by_handle";
    case ordering::by_sender: return "by_sender";
    case ordering::by_key: return "by_key";
    case ordering::unordered: return "unordered";
  }
  return "unknown";
}

std::string_view to_string(reason why) noexcept {
  switch (why) {
    case reason::none: return "none";
    case reason::join: return "join";
    case reason::leave: return "leave";
    case reason::node_down: return "node_down";
    case reason::node_up: return "node_up";
    case reason::process_down: return "process_down";
  }
  return "unknown";
}

std::string_view to_string(multicast_fate fate) noexcept {
  switch (fate) {
    case multicast_fate::confirmed: return "confirmed";
    case multicast_fate::not_sent: return "not sent";
    case multicast_fate::unknown: return "unknown";
  }
  return "?";
}

std::string_view to_string(handle_state state) noexcept {
  switch (state) {
    case handle_state::connecting: return "connecting";
    case handle_state::ready: return "ready";
    case handle_state::joining: return "joining";
    case handle_state::joined: return "joined";
    case handle_state::leaving: return "leaving";
    case handle_state::left: return "left";
    case handle_state::lost: return "lost";
    case handle_state::closed: return "closed";
  }
  return "unknown";
}

std::string_view to_string(overload policy) noexcept {
  switch (policy) {
    case overload::hold: return "hold";
    case overload::copy_out: return "copy_out";
    case overload::disconnect: return "disconnect";
  }
  return "unknown";
}

}  // namespace cpgring
